//! Results of a transfer.

use crate::store::Problems;

/// The result of a transfer.
#[derive(Debug, Default)]
pub struct TransferReport {
    /// The number of objects that were stored; in a dry run, of those that would be.
    pub stored: u64,
    /// The number of objects that replaced others.
    pub replaced: u64,
    /// The number of objects that were in the target already.
    pub equal: u64,
    /// The number of objects that the target refused, and of unreadable entries of the source.
    pub refused: u64,
    /// Objects of which the target keeps less.
    pub reduced: ReducedObjects,
    /// The comparison of both endpoints after the transfer; `None` for a dry run.
    pub verification: Option<TransferVerification>,
}

/// Numbers of stored objects that lost something because the target does not keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReducedObjects {
    /// Objects with a new uid and creationTimestamp.
    pub renewed: u64,
    /// Images whose content nothing proved, and which count as trusted in the target.
    pub vouched: u64,
    /// Objects without their owners.
    pub orphaned: u64,
    /// Images without their evidence, and streams that lost which of their images are unproved.
    pub unrecorded: u64,
    /// Objects without the fields of protobuf that this version does not know.
    pub cropped: u64,
}

/// The comparison of both endpoints after a transfer.
#[derive(Debug)]
pub struct TransferVerification {
    /// The number of equal objects.
    pub equal: u64,
    /// The SHA-256 digest of the equal objects as lines of an export, in hexadecimal digits.
    pub digest: String,
    /// The number of objects of the target that the source does not have.
    pub others: u64,
    /// The differences. Objects that were refused before do not count.
    pub differences: Problems,
}
