//! Compaction of old revisions, as by the compactor of kube-apiserver in
//! k8s.io/apiserver/pkg/storage/etcd3/compact.go.
//!
//! Lists and watches cannot start at a compacted revision, and its disk space is used again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tracing::warn;

use super::controller::{Controller, Leadership};
use crate::meta::duration;
use crate::store::{Compact, Elector, Revision, Store, StoreError};

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
    /// Maximum number of revisions to keep; 0 for no limit.
    ///
    /// Above it, revisions younger than --compaction-retention are compacted too.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
    pub compaction_max_revisions: u64,
}

/// The time between two counts of the revisions. Under full write load, it takes some ten thousand
/// revisions.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);

/// Compacts revisions by age and by number.
pub(super) struct CompactionController {
    pub(super) store: Arc<dyn Store>,
    pub(super) compact: Arc<dyn Compact>,
    pub(super) elector: Arc<dyn Elector>,
    pub(super) options: Options,
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
        let (mut history, mut compacted) = (RevisionHistory::default(), Revision(0));
        loop {
            let due = tokio::select! {
                now = ages.tick() => self.due_by_age(now, &mut history).await,
                _ = counts.tick() => self.due_by_number(compacted).await,
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

/// The revision to compact at so that `max` revisions remain, if there are more; 0 is no limit.
fn surplus(latest: Revision, compacted: Revision, max: u64) -> Option<Revision> {
    let bound = Revision(latest.0.saturating_sub(max));
    (max > 0 && bound > compacted).then_some(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn revisions_beyond_the_maximum_are_compacted() {
        let surplus = |latest, compacted, max| surplus(Revision(latest), Revision(compacted), max);
        assert_eq!(surplus(100, 0, 30), Some(Revision(70)));
        assert_eq!(surplus(100, 70, 30), None);
        assert_eq!(surplus(101, 70, 30), Some(Revision(71)));
        assert_eq!(surplus(20, 0, 30), None);
        assert_eq!(surplus(100, 0, 0), None, "0 is no limit");
    }
}
