//! The freshness that several reads of one request share.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Revision;

/// The revision that the next read of a request must see at least, because an earlier one has seen
/// it. Begins unknown: then a read sees the latest revision.
///
/// Reads that share a point may together take the freshness of the first one, so that the store
/// checks it once. A request that has written in between needs a new point.
#[derive(Debug, Default)]
pub struct ReadPoint(AtomicU64);

impl ReadPoint {
    /// The revision; `None` before the first read.
    pub fn get(&self) -> Option<Revision> {
        Some(Revision(self.0.load(Ordering::Relaxed))).filter(|revision| *revision != Revision(0))
    }

    /// Records that a read was as fresh as a revision, which was the latest one during the request.
    pub fn begin(&self, latest: Revision) {
        self.0.fetch_max(latest.0, Ordering::Relaxed);
    }

    /// Records the revision of a value that a read returned.
    pub fn record(&self, value: Revision) {
        if self.get().is_some() {
            self.begin(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_without_a_check_of_freshness_proves_nothing() {
        let point = ReadPoint::default();
        point.record(Revision(7));
        assert_eq!(point.get(), None);
        point.begin(Revision(5));
        point.begin(Revision(4));
        assert_eq!(point.get(), Some(Revision(5)));
        point.record(Revision(7));
        assert_eq!(point.get(), Some(Revision(7)));
    }
}
