//! Events of a watch.

use super::{Entry, Key, Revision};

/// Events in order, the result of [`super::Watch::next`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The events. Events of one transaction are never in two batches.
    pub events: Vec<Event>,
    /// Every event up to this revision is in this batch or an earlier one.
    pub revision: Revision,
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A value was stored.
    Put {
        /// The new entry.
        entry: Entry,
        /// The replaced entry; `None` if the key had no value.
        previous: Option<Entry>,
    },
    /// A value was removed.
    Delete {
        /// The key.
        key: Key,
        /// The revision of the commit that removed it.
        revision: Revision,
        /// The removed entry.
        previous: Entry,
    },
}

impl Event {
    /// The key.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { entry, .. } => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// The revision of the commit.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put { entry, .. } => entry.revision,
            Self::Delete { revision, .. } => *revision,
        }
    }
}
