//! Reads of many keys: the range and its pages.

use super::{Entry, Key, Revision};

/// The revision that a range reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum At {
    /// The latest commit.
    #[default]
    Now,
    /// The state after the commit with this revision.
    Revision(Revision),
}

/// A range of keys for [`super::Store::range`] and [`super::Store::outline`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Range {
    /// The prefix of the keys; empty for all keys.
    pub prefix: String,
    /// The first key, for the pages after the first page.
    pub start: Option<String>,
    /// The most entries of a page; 0 for no limit.
    pub limit: usize,
    /// Bytes of values after which a page ends; 0 for no limit. The last entry may exceed it. An
    /// outline ignores it.
    pub bytes: usize,
    /// The revision to read.
    pub at: At,
}

/// The result of [`super::Store::range`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries in the order of their keys.
    pub entries: Vec<Entry>,
    /// The revision that was read; later pages pass it in [`At::Revision`].
    pub revision: Revision,
    /// True if entries follow after this page.
    pub more: bool,
}

/// The result of [`super::Store::outline`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The revision that was read.
    pub revision: Revision,
    /// The number of entries in the page.
    pub entries: u64,
    /// The key of the last entry in the page.
    pub last: Option<Key>,
    /// The exact number of entries after the page.
    pub remaining: u64,
}
