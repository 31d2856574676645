//! Bodies of answers: whole, or made part by part while they are sent.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::BoxStream;

/// The body of an answer.
pub enum ResponseBody {
    /// All of it.
    Full(Bytes),
    /// Made part by part, each when the client has taken those before. It ends when it is complete, and counts as work
    /// until then.
    Chunks(BodyStream),
    /// What happens from now on, part by part. It ends when there is nothing more to tell, and is no work while nothing
    /// happens.
    Events(BodyStream),
}

/// What is sent, one after the other. A failure ends the connection, so that the client does not take what it has for all.
pub type BodyStream = BoxStream<'static, Result<Bytes, Interrupted>>;

/// Why the rest of an answer cannot be had, in a sentence for the log.
#[derive(Debug, thiserror::Error)]
#[error("an answer was broken off: {0}")]
pub struct Interrupted(pub String);

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => fmt::Debug::fmt(bytes, f),
            Self::Chunks(_) => f.write_str("<parts>"),
            Self::Events(_) => f.write_str("<events>"),
        }
    }
}

impl<B: Into<Bytes>> From<B> for ResponseBody {
    fn from(bytes: B) -> Self {
        Self::Full(bytes.into())
    }
}
