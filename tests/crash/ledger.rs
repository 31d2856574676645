//! What the server acknowledged, object by object, and what it was asked last without an answer.

use std::fmt;

use serde_json::Value;

/// The mark that every write of a test gives its object, so that one state can be told from another.
pub(crate) const MARK: &str = "mark";

/// A state of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Absent,
    There { version: u64, mark: String },
}

impl State {
    /// The state that an object in JSON shows. `version` is that of the row where the object does not say it.
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

/// A write that was sent and not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Write { mark: String },
    Delete,
}

/// An object that one writer alone writes.
pub(crate) struct Owned {
    pub(crate) resource: Resource,
    pub(crate) name: String,
    pub(crate) known: State,
    pub(crate) open: Option<Attempt>,
    /// The states that the object went through since an inspector last looked.
    pub(crate) passed: Vec<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Image,
    Stream,
}

/// The namespace of all streams.
pub(crate) const NAMESPACE: &str = "crash";

impl Resource {
    /// The path of all objects below the version of the API.
    pub(crate) fn collection(self) -> String {
        match self {
            Self::Image => "images".to_owned(),
            Self::Stream => format!("namespaces/{NAMESPACE}/imagestreams"),
        }
    }

    /// The prefix of the keys of all objects in the store.
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

    /// Takes note of a state that was acknowledged, or found.
    pub(crate) fn reached(&mut self, state: State) {
        self.open = None;
        self.passed.push(state.clone());
        self.known = state;
    }

    /// Judges the state that is found after a kill: the last acknowledged one, or what the write in flight makes of it.
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

/// An image that was pushed to a tag of a stream that all writers share.
pub(crate) struct Push {
    pub(crate) stream: String,
    pub(crate) tag: String,
    pub(crate) image: String,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Acknowledged,
    /// No answer came, so it may be there or not.
    Open,
    /// It was open and is not there.
    Unmade,
}
