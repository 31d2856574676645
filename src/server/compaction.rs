//! Forgets old revisions in the background, as kube-apiserver does with etcd: what is older than the retention, or beyond
//! the number of revisions that are kept, can no longer be listed or watched from, and its space is used again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::meta::duration;
use crate::store::{Compact, Revision, Store, StoreError};

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

/// How often revisions are counted. At full speed some ten thousand are made in this time.
const COUNTING: Duration = Duration::from_secs(10);

/// Which revision was the latest, and when: the clock of the store.
#[derive(Default)]
struct Seen(VecDeque<(Instant, Revision)>);

impl Seen {
    /// Notes the latest revision, and tells up to which one everything is older than `retention`.
    fn note(&mut self, now: Instant, latest: Revision, retention: Duration) -> Option<Revision> {
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

/// What is beyond the number of revisions that are kept, if that is bounded and there are more.
fn surplus(latest: Revision, forgotten: Revision, max: u64) -> Option<Revision> {
    let bound = Revision(latest.0.saturating_sub(max));
    (max > 0 && bound > forgotten).then_some(bound)
}

/// Compacts for ever. Runs until it is dropped; a failure is logged and tried again at the next turn.
pub(super) async fn run(store: Arc<dyn Store>, compact: Arc<dyn Compact>, options: Options) {
    let Options { compaction_interval, compaction_retention, compaction_max_revisions } = options;
    let mut turns = tokio::time::interval(compaction_interval);
    let mut counts = tokio::time::interval(COUNTING);
    let (mut seen, mut forgotten) = (Seen::default(), Revision(0));
    loop {
        let turn = tokio::select! {
            now = turns.tick() => Some(now),
            _ = counts.tick() => None,
        };
        let done = async {
            let latest = store.current().await?;
            let due = match turn {
                Some(now) => seen.note(now, latest, compaction_retention),
                None => surplus(latest, forgotten, compaction_max_revisions),
            };
            if let Some(revision) = due {
                compact.compact(revision).await?;
                forgotten = forgotten.max(revision);
            }
            Ok::<_, StoreError>(())
        };
        if let Err(why) = done.await {
            tracing::warn!("old revisions could not be forgotten: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_younger_than_the_retention_is_kept() {
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let mut seen = Seen::default();
        let mut note = |minutes: u32, revision| seen.note(start + minute * minutes, Revision(revision), minute * 10);
        assert_eq!(note(0, 1), None);
        assert_eq!(note(5, 7), None);
        assert_eq!(note(10, 9), Some(Revision(1)));
        assert_eq!(note(15, 9), Some(Revision(7)));
        assert_eq!(note(60, 9), Some(Revision(9)));
    }

    #[test]
    fn only_so_many_revisions_are_kept() {
        let surplus = |latest, forgotten, max| surplus(Revision(latest), Revision(forgotten), max);
        assert_eq!(surplus(100, 0, 30), Some(Revision(70)));
        assert_eq!(surplus(100, 70, 30), None);
        assert_eq!(surplus(101, 70, 30), Some(Revision(71)));
        assert_eq!(surplus(20, 0, 30), None);
        assert_eq!(surplus(100, 0, 0), None, "any number");
    }
}
