//! Keys, values and revisions.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// The position of a commit in the total order of commits. At least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The longest key that a store accepts, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;
/// The longest value that a store accepts, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

/// A key, for instance `/images/sha256:…`. Ordered by its bytes. Cheap to clone.
///
/// A valid key has 1 to [`MAX_KEY_BYTES`] bytes and no NUL. [`super::Store::commit`] rejects other
/// keys as `Invalid`; a read of one finds no value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// A key, valid or not.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_storable(&self) -> bool {
        !self.0.is_empty() && self.0.len() <= MAX_KEY_BYTES && !self.0.as_bytes().contains(&0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Bytes,
    /// The revision of the commit that wrote the value.
    pub revision: Revision,
}

/// The result of [`super::Store::get`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The key has no value.
    Missing,
    /// The value is the one of the `known` revision.
    Unchanged,
    /// The current entry.
    Found(Entry),
}
