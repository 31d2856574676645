//! Highest commit that any client had seen at a time.

use super::attribution::Attribution;
use super::record::{History, Moment, Response, Revision};
use super::timeline::Timeline;

/// Moments in ascending order, with the highest commit that was seen until then.
pub(crate) struct Seen(Vec<(Moment, Revision)>);

impl Seen {
    /// Collects acknowledged writes, reads, lists and events.
    pub(crate) fn of(
        history: &History,
        timeline: &Timeline,
        attribution: &Attribution<'_>,
    ) -> Self {
        let mut all = Vec::new();
        for operation in &history.operations {
            let shown = match &operation.response {
                Response::Object(version) => Some(version.revision),
                // The revision of a list may lie between two commits.
                Response::Listed { revision, .. } => timeline.commit_at(*revision),
                Response::Pushed | Response::Deleted(_) => attribution.revision(operation.number),
                _ => None,
            };
            all.extend(shown.map(|revision| (operation.returned, revision)));
        }
        let events = history.watches.iter().flat_map(|watch| &watch.events);
        all.extend(events.map(|event| (event.at, event.version.revision)));
        all.sort_unstable();
        let mut highest = 0;
        for (_, revision) in &mut all {
            highest = highest.max(*revision);
            *revision = highest;
        }
        Self(all)
    }

    /// The highest commit that was seen before a time; zero if there is none.
    pub(crate) fn before(&self, moment: Moment) -> Revision {
        let count = self.0.partition_point(|(at, _)| *at < moment);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}
