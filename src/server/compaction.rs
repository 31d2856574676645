//! Forgets old revisions in the background, as kube-apiserver does with etcd: what is older than the retention can no
//! longer be listed or watched from, and its space is used again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::meta::flag;
use crate::store::{Revision, Store};

/// The flags of compaction.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// How often old revisions are forgotten.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = flag::some_duration)]
    pub compaction_interval: Duration,
    /// How long revisions are kept at least, for pages of lists and for watches that come back.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = flag::some_duration)]
    pub compaction_retention: Duration,
}

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

/// Compacts for ever. Runs until it is dropped; a failure is logged and tried again at the next turn.
pub(super) async fn run(store: Arc<dyn Store>, options: Options) {
    let Options { compaction_interval, compaction_retention } = options;
    let mut turns = tokio::time::interval(compaction_interval);
    let mut seen = Seen::default();
    loop {
        let now = turns.tick().await;
        let done = async {
            let latest = store.current().await?;
            match seen.note(now, latest, compaction_retention) {
                Some(revision) => store.compact(revision).await,
                None => Ok(()),
            }
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
}
