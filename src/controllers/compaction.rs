//! Compaction of old revisions, as by the compactor of kube-apiserver in
//! k8s.io/apiserver/pkg/storage/etcd3/compact.go.
//!
//! Lists and watches cannot start at a compacted revision, and its disk space is used again.
//!
//! On a volume that is nearly full, revisions are compacted before the end of the retention, so
//! that writes go on in the space of replaced values.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{info, warn};

use super::controller::{Controller, Leadership};
use crate::meta::duration;
use crate::store::{
    Accounting, Compact, DiskUsage, Elector, FileStats, RESERVE_BYTES, Revision, Store, StoreError,
};
use crate::telemetry::metrics::Metrics;

/// Flags of compaction.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Storage")]
pub struct Options {
    /// Interval between compactions of old revisions.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::positive)]
    pub compaction_interval: Duration,
    /// Minimum age of a revision that is compacted.
    ///
    /// Watches and paged lists can resume from younger revisions.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::positive)]
    pub compaction_retention: Duration,
    /// Minimum age of a revision that is compacted while the volume is nearly full.
    ///
    /// Below 512 MiB of free space, revisions younger than --compaction-retention are compacted
    /// too, so that writes can go on.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration::positive)]
    pub compaction_min_retention: Duration,
    /// Maximum number of revisions to keep; 0 for no limit.
    ///
    /// Above it, revisions younger than --compaction-retention are compacted too.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
    pub compaction_max_revisions: u64,
}

/// The time between two counts of the revisions. Under full write load, it takes some ten thousand
/// revisions.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// The time between two looks at the volume.
const SPACE_INTERVAL: Duration = Duration::from_secs(2);
/// The room for writes, in bytes beyond the reserve, below which a volume is nearly full. It lasts
/// for the writes of some seconds.
const LITTLE_ROOM: u64 = 7 * RESERVE_BYTES;

/// Compacts revisions by age, by number, and for lack of space.
pub(super) struct CompactionController {
    pub(super) store: Arc<dyn Store>,
    pub(super) compact: Arc<dyn Compact>,
    pub(super) elector: Arc<dyn Elector>,
    /// The disk usage; `None` if the store has no volume that can fill up.
    pub(super) disk: Option<Arc<dyn DiskUsage>>,
    pub(super) accounting: Option<Arc<dyn Accounting>>,
    pub(super) options: Options,
    pub(super) metrics: Arc<Metrics>,
}

impl Controller for CompactionController {
    fn name(&self) -> &'static str {
        "compaction"
    }

    fn leadership(&self) -> Leadership {
        Leadership::Elected(self.elector.clone())
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.compact_at_intervals())
    }
}

impl CompactionController {
    /// Compacts at each interval. Logs failures. Never returns.
    async fn compact_at_intervals(&self) {
        let mut ages = tokio::time::interval(self.options.compaction_interval);
        let mut counts = tokio::time::interval(COUNT_INTERVAL);
        let mut spaces = tokio::time::interval(SPACE_INTERVAL);
        spaces.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut history, mut compacted) = (RevisionHistory::default(), Revision(0));
        let mut pressure = SpacePressure::default();
        loop {
            let due = tokio::select! {
                now = ages.tick() => self.due_by_age(now, &mut history).await,
                _ = counts.tick() => self.due_by_number(compacted).await,
                now = spaces.tick() => self.due_by_space(now, &mut pressure, compacted).await,
            };
            match self.compact(due).await {
                Ok(revision) => compacted = compacted.max(revision.unwrap_or_default()),
                Err(error) => warn!(%error, "old revisions cannot be compacted"),
            }
        }
    }

    async fn due_by_age(
        &self,
        now: Instant,
        history: &mut RevisionHistory,
    ) -> Result<Option<Revision>, StoreError> {
        let latest = self.store.current().await?;
        Ok(history.record(now, latest, self.options.compaction_retention))
    }

    async fn due_by_number(&self, compacted: Revision) -> Result<Option<Revision>, StoreError> {
        let latest = self.store.current().await?;
        Ok(surplus(latest, compacted, self.options.compaction_max_revisions))
    }

    async fn due_by_space(
        &self,
        now: Instant,
        pressure: &mut SpacePressure,
        compacted: Revision,
    ) -> Result<Option<Revision>, StoreError> {
        if let Some(accounting) = &self.accounting {
            let largest = accounting.largest().map_or(0, |(_, usage)| usage.total());
            self.metrics.history().set_largest(largest);
        }
        let Some(disk) = &self.disk else { return Ok(None) };
        let latest = self.store.current().await?;
        let retention =
            self.options.compaction_min_retention.min(self.options.compaction_retention);
        let Some(room) = room(&disk.file_stats()?) else { return Ok(None) };
        let due = pressure.record(now, latest, retention, room).filter(|due| *due > compacted);
        if let Some(revision) = due {
            self.metrics.history().record_early_compaction();
            if !std::mem::replace(&mut pressure.is_logged, true) {
                warn!(room, %revision, "the volume is nearly full, compacting revisions before --compaction-retention");
            }
        } else if room >= LITTLE_ROOM && std::mem::take(&mut pressure.is_logged) {
            info!(room, "the volume has room again, compacting after --compaction-retention");
        }
        Ok(due)
    }

    /// Compacts up to the revision that is due, and returns it.
    async fn compact(
        &self,
        due: Result<Option<Revision>, StoreError>,
    ) -> Result<Option<Revision>, StoreError> {
        let due = due?;
        if let Some(revision) = due {
            self.compact.compact(revision).await?;
        }
        Ok(due)
    }
}

/// The latest revisions at past times, oldest first. The store does not date revisions.
#[derive(Default)]
struct RevisionHistory(VecDeque<(Instant, Revision)>);

impl RevisionHistory {
    /// Records the latest revision. Returns the newest recorded one that is older than `retention`.
    fn record(&mut self, now: Instant, latest: Revision, retention: Duration) -> Option<Revision> {
        self.0.push_back((now, latest));
        let mut due = None;
        while let Some((_, revision)) =
            self.0.front().copied().filter(|(then, _)| now.duration_since(*then) >= retention)
        {
            self.0.pop_front();
            due = Some(revision);
        }
        due
    }
}

/// The newest revision that may be compacted for lack of space.
#[derive(Default)]
struct SpacePressure {
    recent: RevisionHistory,
    /// The newest recorded revision that is older than the retention.
    old: Option<Revision>,
    is_logged: bool,
}

impl SpacePressure {
    /// Records the latest revision. Returns the newest recorded one that is older than `retention`
    /// if there is little room.
    fn record(
        &mut self,
        now: Instant,
        latest: Revision,
        retention: Duration,
        room: u64,
    ) -> Option<Revision> {
        self.old = self.recent.record(now, latest, retention).or(self.old);
        self.old.filter(|_| room < LITTLE_ROOM)
    }
}

/// Bytes that can be written until the volume is full: beyond the reserve, and inside the file.
/// `None` if they are not known.
fn room(stats: &FileStats) -> Option<u64> {
    let available = stats.available?.saturating_sub(stats.reserve);
    Some(available.saturating_add(stats.reusable))
}

/// The revision to compact at so that `max` revisions remain, if there are more; 0 is no limit.
fn surplus(latest: Revision, compacted: Revision, max: u64) -> Option<Revision> {
    let bound = Revision(latest.0.saturating_sub(max));
    (max > 0 && bound > compacted).then_some(bound)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::store::{self, Account, Change, Charge, FileSize, Key, Opened, Txn};

    #[test]
    fn revisions_younger_than_the_retention_are_kept() {
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let mut history = RevisionHistory::default();
        let mut record = |minutes: u32, revision| {
            history.record(start + minute * minutes, Revision(revision), minute * 10)
        };
        assert_eq!(record(0, 1), None);
        assert_eq!(record(5, 7), None);
        assert_eq!(record(10, 9), Some(Revision(1)));
        assert_eq!(record(15, 9), Some(Revision(7)));
        assert_eq!(record(60, 9), Some(Revision(9)));
    }

    #[test]
    fn little_room_compacts_down_to_the_minimum_retention() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut pressure = SpacePressure::default();
        let mut record = |seconds: u32, revision, room| {
            pressure.record(start + second * seconds, Revision(revision), second * 60, room)
        };
        assert_eq!(record(0, 1, LITTLE_ROOM), None);
        assert_eq!(record(30, 5, LITTLE_ROOM - 1), None, "every revision is too young");
        assert_eq!(record(60, 7, LITTLE_ROOM), None, "there is room");
        assert_eq!(record(80, 8, 0), Some(Revision(1)), "revision 5 is 50 seconds old");
        assert_eq!(record(90, 9, 0), Some(Revision(5)));
        assert_eq!(record(91, 9, LITTLE_ROOM), None);
    }

    /// A volume whose room a test sets.
    struct Volume(AtomicU64);

    impl DiskUsage for Volume {
        fn file_stats(&self) -> Result<FileStats, StoreError> {
            Ok(FileStats {
                size: FileSize { length: 0, allocated: 0 },
                available: Some(RESERVE_BYTES + self.0.load(Ordering::Relaxed)),
                reserve: RESERVE_BYTES,
                reusable: 0,
                revision: Revision(0),
                compacted: Revision(0),
            })
        }

        fn used_bytes(&self) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    #[tokio::test]
    async fn nearly_full_volume_is_compacted_before_the_retention() {
        let Opened { store, compact, accounting, elector, .. } = store::in_memory().unwrap();
        let (volume, metrics) = (Arc::new(Volume(AtomicU64::new(LITTLE_ROOM))), Metrics::new());
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let controller = CompactionController {
            store: store.clone(),
            compact: compact.unwrap(),
            elector,
            disk: Some(volume.clone()),
            accounting,
            options: Options {
                compaction_interval: minutes(5),
                compaction_retention: minutes(10),
                compaction_min_retention: minutes(1),
                compaction_max_revisions: 0,
            },
            metrics: Arc::new(metrics),
        };
        let (start, mut pressure) = (Instant::now(), SpacePressure::default());
        let changes = vec![Change::Put(Key::new("/a"), "1".into())];
        let charge = Charge::Limited(Account::new("a"));
        store.commit(Txn { changes, charge, ..Txn::default() }).await.unwrap();
        let mut due = async |after| {
            controller.due_by_space(start + after, &mut pressure, Revision(0)).await.unwrap()
        };
        assert_eq!(due(Duration::ZERO).await, None);
        assert_eq!(due(minutes(1)).await, None, "there is room");
        volume.0.store(LITTLE_ROOM - 1, Ordering::Relaxed);
        let latest = store.current().await.unwrap();
        assert_eq!(due(minutes(2)).await, Some(latest));
        let text = controller.metrics.text();
        assert!(text.contains("imagestream_apiserver_early_compactions_total 1"), "{text}");
        assert!(text.contains("imagestream_apiserver_largest_namespace_bytes 3"), "{text}");
    }

    #[test]
    fn reserve_is_no_room_and_reusable_parts_of_the_file_are() {
        let size = FileSize { length: 0, allocated: 0 };
        let (revision, compacted) = (Revision(1), Revision(1));
        let room = |available, reusable| {
            let reserve = RESERVE_BYTES;
            room(&FileStats { size, available, reserve, reusable, revision, compacted })
        };
        assert_eq!(room(Some(RESERVE_BYTES + 5), 7), Some(12));
        assert_eq!(room(Some(RESERVE_BYTES - 5), 7), Some(7));
        assert_eq!(room(None, 7), None);
    }

    #[test]
    fn revisions_beyond_the_maximum_are_compacted() {
        let surplus = |latest, compacted, max| surplus(Revision(latest), Revision(compacted), max);
        assert_eq!(surplus(100, 0, 30), Some(Revision(70)));
        assert_eq!(surplus(100, 70, 30), None);
        assert_eq!(surplus(101, 70, 30), Some(Revision(71)));
        assert_eq!(surplus(20, 0, 30), None);
        assert_eq!(surplus(100, 0, 0), None, "0 is no limit");
    }
}
