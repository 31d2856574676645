//! Broken rules that a history shows.

use super::record::{Collection, Number, Object, Revision};

/// A broken rule. Numbers are those of operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// An acknowledged write is not in the history of its object.
    Lost(Number),
    /// A write has the revision in its response for the client, and another one in watches.
    WrongRevision { write: Number, response: Revision, applied: Revision },
    /// A write is applied at two revisions, or two deletes are acknowledged for one deletion.
    AppliedTwice(Number),
    /// A write that was refused is applied.
    RefusedButApplied(Number),
    /// A push has made only the image or only the change of the stream at this revision.
    Partial { push: Number, revision: Revision },
    /// No write explains the change: a lost update, or a state out of nowhere.
    Unexplained { object: Object, revision: Revision },
    /// An update replaced another revision than the one that it named.
    GuardBroken { update: Number, revision: Revision },
    /// Two writes have one revision.
    SharedRevision { writes: [Number; 2], revision: Revision },
    /// A write has a revision that a client had seen, or passed, before the write was called.
    OutOfOrder { write: Number, revision: Revision, seen: Revision },
    /// A response shows a write that was called later.
    Premature { read: Number, revision: Revision },
    /// A read shows a state that had been replaced, in view of some client, before it was called.
    Stale { read: Number, seen: Revision },
    /// A list has an older revision than one seen before it was called.
    StaleList { list: Number, revision: Revision, seen: Revision },
    /// A list differs from the state at its revision in this object.
    WrongList { list: Number, object: Object },
    /// Two responses show different states of an object at one revision.
    Contradiction { object: Object, revision: Revision },
    /// A watch repeats an event, or delivers an older one after it.
    WatchOrder { watch: usize, revision: Revision },
    /// A watch has left out an event.
    WatchGap { watch: usize, revision: Revision },
    /// An event has the wrong type, or is in a watch of another collection.
    WatchType { watch: usize, revision: Revision },
    /// No watch has covered the revisions after this one, so that nothing can be said about them.
    Uncovered { collection: Collection, after: Revision },
}

impl Violation {
    /// Returns true if this operation is part of the violation.
    pub(crate) fn names(&self, number: Number) -> bool {
        match self {
            Self::Lost(write) | Self::AppliedTwice(write) | Self::RefusedButApplied(write) => {
                *write == number
            }
            Self::WrongRevision { write, .. } | Self::OutOfOrder { write, .. } => *write == number,
            Self::Partial { push, .. } => *push == number,
            Self::GuardBroken { update, .. } => *update == number,
            Self::SharedRevision { writes, .. } => writes.contains(&number),
            Self::Premature { read, .. } | Self::Stale { read, .. } => *read == number,
            Self::StaleList { list, .. } | Self::WrongList { list, .. } => *list == number,
            Self::Unexplained { .. }
            | Self::Contradiction { .. }
            | Self::WatchOrder { .. }
            | Self::WatchGap { .. }
            | Self::WatchType { .. }
            | Self::Uncovered { .. } => false,
        }
    }
}
