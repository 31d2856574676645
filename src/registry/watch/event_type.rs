//! Types of watch events.

/// The type of an event as a watcher sees it, for the objects that its selectors match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EventType {
    /// The object is new, or newly selected.
    Added,
    /// The object changed, and is selected before and after the change.
    Modified,
    /// The object was deleted, or is no longer selected.
    Deleted,
}
