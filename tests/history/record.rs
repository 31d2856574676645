//! Record of a run: operations of clients, and watches, on one clock.
//!
//! Every write has a number of its own, which it leaves in the objects that it changes. So each
//! state of an object names the writes that made it.

use std::fmt;

/// Nanoseconds since the start of the run.
pub(crate) type Moment = u64;
/// Revision of the store, from a resourceVersion.
pub(crate) type Revision = u64;
/// Number of an operation.
pub(crate) type Number = u64;

/// First number of the images that pushes make: the image of push N has the number `PUSHED + N`.
pub(crate) const PUSHED: u64 = 1 << 32;

/// Collection of objects that a client can list and watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Collection {
    Streams,
    Images,
}

impl Collection {
    pub(crate) const ALL: [Self; 2] = [Self::Streams, Self::Images];
}

/// Object by the number in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Object {
    Stream(u64),
    Image(u64),
}

impl Object {
    /// The image that a push makes.
    pub(crate) fn pushed(push: Number) -> Self {
        Self::Image(PUSHED + push)
    }

    pub(crate) fn collection(self) -> Collection {
        match self {
            Self::Stream(_) => Collection::Streams,
            Self::Image(_) => Collection::Images,
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(number) => write!(f, "stream {number}"),
            Self::Image(number) if *number >= PUSHED => {
                write!(f, "image of push {}", number - PUSHED)
            }
            Self::Image(number) => write!(f, "image {number}"),
        }
    }
}

/// Content of an object that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// Distinguishes the object from deleted ones of the same name.
    pub(crate) uid: u128,
    /// Last create, patch or update.
    pub(crate) label: Option<Number>,
    /// Last push.
    pub(crate) push: Option<Number>,
}

/// State of an object that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) revision: Revision,
    pub(crate) content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Get(Object),
    /// The image of a push, through the stream.
    GetPushed {
        stream: Object,
        push: Number,
    },
    List(Collection),
    Create(Object),
    Patch(Object),
    /// Replaces the object if it has this revision.
    Update(Object, Revision),
    Delete(Object),
    /// Creates an image and adds it to a stream.
    Push(Object),
}

impl Call {
    /// The object that the call names, unless it is a list or a read through a stream.
    pub(crate) fn object(self) -> Option<Object> {
        match self {
            Self::Get(object)
            | Self::Create(object)
            | Self::Patch(object)
            | Self::Update(object, _)
            | Self::Delete(object)
            | Self::Push(object) => Some(object),
            Self::GetPushed { .. } | Self::List(_) => None,
        }
    }

    pub(crate) fn is_write(self) -> bool {
        !matches!(self, Self::Get(_) | Self::GetPushed { .. } | Self::List(_))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    /// State that a read returns, or that a create, patch or update has made.
    Object(Version),
    /// A read of the image of a push returns it.
    Found,
    /// The object does not exist. A write changes nothing.
    Absent,
    /// A create finds the object and changes nothing.
    Exists,
    Listed {
        revision: Revision,
        items: Vec<(Object, Version)>,
    },
    /// A delete has removed the object with this uid.
    Deleted(u128),
    Pushed,
    /// The server promises that the write changed nothing, for a reason that says nothing about the
    /// object.
    Refused,
    /// A write may have been applied.
    Unknown,
}

/// One request of a client.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) number: Number,
    pub(crate) call: Call,
    pub(crate) called: Moment,
    pub(crate) returned: Moment,
    pub(crate) response: Response,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// Time of the delivery.
    pub(crate) at: Moment,
    pub(crate) change: Change,
    pub(crate) object: Object,
    /// For a deletion, the revision of the deletion with the last content.
    pub(crate) version: Version,
}

/// Events of one response, from its start to its end.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) collection: Collection,
    /// Revision after which the watch starts.
    pub(crate) after: Revision,
    pub(crate) events: Vec<Event>,
    /// Bookmarks: each revision, and the number of events before it.
    pub(crate) bookmarks: Vec<(Revision, usize)>,
}

impl Watch {
    /// Revision up to which the watch has promised every event.
    pub(crate) fn end(&self) -> Revision {
        let event = self.events.last().map(|event| event.version.revision);
        let bookmark = self.bookmarks.last().map(|(revision, _)| *revision);
        self.after.max(event.max(bookmark).unwrap_or_default())
    }
}

/// All operations and watches of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) operations: Vec<Operation>,
    pub(crate) watches: Vec<Watch>,
    /// Revision before the first write of the run.
    pub(crate) start: Revision,
}
