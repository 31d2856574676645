//! Results of reads and writes, before they are encoded.

use crate::meta::Status;

/// The result of a read.
#[derive(Clone, Debug)]
pub enum ReadResult<T> {
    /// The object.
    Object(Box<T>),
    /// The object without the parts that cannot be shown.
    Partial {
        /// The object.
        object: Box<T>,
        /// Warnings for the client that name what is missing.
        warnings: Vec<String>,
    },
    /// The object's compact JSON, complete with kind, version and final newline, prepared when the
    /// object was stored.
    Json(Vec<u8>),
}

/// The result of a write, with warnings for the client.
#[derive(Clone, Debug)]
pub struct Written<T> {
    /// The object or Status.
    pub result: WriteResult<T>,
    /// Warnings for the client.
    pub warnings: Vec<String>,
}

/// The object or Status that a write returns.
#[derive(Clone, Debug)]
pub enum WriteResult<T> {
    /// A new object.
    Created(Box<T>),
    /// An existing object after the write.
    Updated(Box<T>),
    /// An object whose deletion has begun.
    Accepted(Box<T>),
    /// The end of an object, or a result without one.
    Status(Box<Status>),
}

impl<T> Written<T> {
    /// A new object.
    pub fn created(object: T) -> Self {
        Self::from(WriteResult::Created(Box::new(object)))
    }

    /// An existing object after the write.
    pub fn updated(object: T) -> Self {
        Self::from(WriteResult::Updated(Box::new(object)))
    }

    /// An object whose deletion has begun.
    pub fn accepted(object: T) -> Self {
        Self::from(WriteResult::Accepted(Box::new(object)))
    }

    /// A result without an object.
    pub fn status(status: Status) -> Self {
        Self::from(WriteResult::Status(Box::new(status)))
    }

    /// The same result with more warnings.
    pub fn warning(mut self, warnings: Vec<String>) -> Self {
        self.warnings.extend(warnings);
        self
    }
}

impl<T> From<WriteResult<T>> for Written<T> {
    fn from(result: WriteResult<T>) -> Self {
        Self { result, warnings: Vec::new() }
    }
}
