//! `ObjectEvent`: an event about an object, as it is recorded.

/// Object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventSubject {
    /// Group and version, such as `image.openshift.io/v1`.
    pub api_version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Namespace of the object, and of the event.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// Type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectEventType {
    /// An expected event.
    Normal,
    /// An event that may need someone's attention.
    Warning,
}

/// An event. Equal ones form a series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectEvent {
    /// Object.
    pub subject: EventSubject,
    /// Type.
    pub r#type: ObjectEventType,
    /// Reason in UpperCamelCase.
    pub reason: &'static str,
    /// Action in UpperCamelCase.
    pub action: &'static str,
    /// Description. It is cut at 1 KiB.
    pub note: String,
}

impl ObjectEventType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}
