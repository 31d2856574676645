//! Bodies of responses.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::BoxStream;

/// The body of a response.
pub enum ResponseBody {
    /// A complete body.
    Full(Bytes),
    /// A body that is produced while it is sent. The request counts as in flight until it ends.
    Chunks(BodyStream),
    /// The events of a watch. The request does not count as in flight between events.
    Events(BodyStream),
}

/// The chunks of a body. After an error the connection is closed, so that the client cannot take
/// an incomplete body for a complete one.
pub type BodyStream = BoxStream<'static, Result<Bytes, Interrupted>>;

/// A failure after the head of a response was sent. The text is for the log.
#[derive(Debug, thiserror::Error)]
#[error("a response was aborted: {0}")]
pub struct Interrupted(pub String);

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => fmt::Debug::fmt(bytes, f),
            Self::Chunks(_) => f.write_str("<chunks>"),
            Self::Events(_) => f.write_str("<events>"),
        }
    }
}

impl<B: Into<Bytes>> From<B> for ResponseBody {
    fn from(bytes: B) -> Self {
        Self::Full(bytes.into())
    }
}
