//! The parts of a backup.

use std::time::SystemTime;

use crate::store::{Key, Revision};

/// The head of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveHead {
    /// The revision of the entries.
    pub revision: Revision,
    /// The time of the backup, in whole seconds.
    pub taken: SystemTime,
}

/// The contents of a complete backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// The revision of the entries.
    pub revision: Revision,
    /// The number of entries.
    pub entries: u64,
    /// The length of the backup, in bytes.
    pub bytes: u64,
    /// The number of entries that are missing because their values are damaged.
    pub missing: u64,
}

/// An entry that a backup lacks because its value is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingEntry {
    /// The key.
    pub key: Key,
    /// The revision that wrote the value; 0 if unknown.
    pub revision: Revision,
}

pub(super) const MAGIC: [u8; 8] = *b"ISTORE\x1a\n";
pub(super) const FORMAT: u32 = 2;
/// The oldest format that can be read.
pub(super) const FIRST_FORMAT: u32 = 1;

pub(super) const ENTRY: u8 = 1;
pub(super) const END: u8 = 2;
pub(super) const FAILURE: u8 = 3;
pub(super) const ACCOUNT_ENTRY: u8 = 4;
pub(super) const GAPS: u8 = 5;

/// The most missing entries of a backup. With more damage, it is of no use.
pub(crate) const MAX_GAPS: usize = 1_000_000;

/// Upper bound of the revisions in a valid backup: clients read a revision as a signed 64-bit
/// number, and the restored store needs room above.
pub(crate) const REVISION_LIMIT: u64 = 1 << 62;
