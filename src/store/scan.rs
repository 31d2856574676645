//! The ability to follow the stored values of a store: all of them once, then the differences.

use futures_util::future::BoxFuture;

use super::StoreError;

/// Creates scanners.
pub trait Scan: Send + Sync + 'static {
    /// A scanner of the keys under some prefixes.
    fn scanner(&self, prefixes: Vec<String>) -> Box<dyn Scanner>;
}

/// Reports the values under some prefixes to a [`ScanVisitor`] in short steps.
pub trait Scanner: Send {
    /// Visits some more keys. Blocks for some milliseconds, longer on a slow disk.
    ///
    /// Starts over after an error, and if compaction has removed the revision of the scan.
    ///
    /// # Errors
    /// The store cannot be read.
    fn step(&mut self, visitor: &mut dyn ScanVisitor) -> Result<ScanProgress, StoreError>;

    /// Starts over with the next step.
    fn restart(&mut self);

    /// Waits until a step has something to report. Never resolves once the store is closed.
    fn changed(&mut self) -> BoxFuture<'_, ()>;
}

/// Progress of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanProgress {
    /// More keys remain.
    More,
    /// Every key up to the latest revision has been visited.
    Done,
}

/// Receives the results of a scan.
pub trait ScanVisitor {
    /// Resets the visitor: the scan starts over with an empty store.
    fn begin(&mut self);

    /// Visits a key whose value differs from the one at its last visit.
    fn visit(&mut self, change: ValueChange<'_>);
}

/// The difference of a key between two visits. Several changes in between count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueChange<'a> {
    /// The key.
    pub key: &'a str,
    /// The value at the last visit. Not verified.
    pub before: Option<&'a [u8]>,
    /// The value now, damaged or not.
    pub after: Option<&'a [u8]>,
}
