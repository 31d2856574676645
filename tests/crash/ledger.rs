//! Ledger of each object's acknowledged states and of its request in flight.

use std::fmt;

use serde_json::Value;

/// Annotation that every write sets to a new value, so that states are distinguishable.
pub(crate) const MARK: &str = "mark";

/// State of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Absent,
    There { version: u64, mark: String },
}

impl State {
    /// State of an object in JSON. `version` is that of its row, for objects without a
    /// resourceVersion.
    pub(crate) fn of(object: &Value, version: Option<u64>) -> Self {
        let meta = &object["metadata"];
        let told = || meta["resourceVersion"].as_str().and_then(|text| text.parse().ok());
        Self::There {
            version: version.or_else(told).expect("an object has a numeric version here"),
            mark: meta["annotations"][MARK].as_str().unwrap_or_default().to_owned(),
        }
    }

    pub(crate) fn version(&self) -> Option<u64> {
        match self {
            Self::There { version, .. } => Some(*version),
            Self::Absent => None,
        }
    }
}

/// Write in flight, without a response yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Write { mark: String },
    Delete,
}

/// Object with a single writer.
pub(crate) struct Owned {
    pub(crate) resource: Resource,
    pub(crate) name: String,
    pub(crate) known: State,
    pub(crate) open: Option<Attempt>,
    /// States since the last inspection.
    pub(crate) passed: Vec<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Image,
    Stream,
}

/// Namespace of all streams.
pub(crate) const NAMESPACE: &str = "crash";

impl Resource {
    /// Path of all objects below the version of the API.
    pub(crate) fn collection(self) -> String {
        match self {
            Self::Image => "images".to_owned(),
            Self::Stream => format!("namespaces/{NAMESPACE}/imagestreams"),
        }
    }

    /// Prefix of the keys of all objects in the store.
    pub(crate) fn prefix(self) -> String {
        match self {
            Self::Image => "/image.openshift.io/images/".to_owned(),
            Self::Stream => format!("/image.openshift.io/imagestreams/{NAMESPACE}/"),
        }
    }
}

impl Owned {
    pub(crate) fn new(resource: Resource, name: String) -> Self {
        Self { resource, name, known: State::Absent, open: None, passed: Vec::new() }
    }

    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.resource.collection(), self.name)
    }

    pub(crate) fn key(&self) -> String {
        format!("{}{}", self.resource.prefix(), self.name)
    }

    /// Records an acknowledged state, or one found after a kill.
    pub(crate) fn reached(&mut self, state: State) {
        self.open = None;
        self.passed.push(state.clone());
        self.known = state;
    }

    /// Checks the state found after a kill: either the last acknowledged one or the result of the
    /// write in flight.
    pub(crate) fn found(&mut self, state: State) {
        let is_made = match (&state, &self.open) {
            _ if state == self.known => false,
            (State::There { version, mark }, Some(Attempt::Write { mark: wanted })) => {
                mark == wanted && self.known.version().is_none_or(|before| *version > before)
            }
            (State::Absent, Some(Attempt::Delete)) => true,
            _ => false,
        };
        assert!(is_made || state == self.known, "{self} is {state:?} after the kill");
        self.open = None;
        if is_made {
            self.reached(state);
        }
    }
}

impl fmt::Display for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { known, open, .. } = self;
        write!(f, "{}, acknowledged as {known:?}, with {open:?} in flight,", self.path())
    }
}

/// Push of an image to a tag of a stream that all writers share.
pub(crate) struct Push {
    pub(crate) stream: String,
    pub(crate) tag: String,
    pub(crate) image: String,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Acknowledged,
    /// No response arrived, so the push may or may not be stored.
    Open,
    /// No response arrived, and the push is not stored.
    Unmade,
}
