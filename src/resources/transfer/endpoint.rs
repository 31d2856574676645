//! Endpoints of a transfer.

use futures_util::future::BoxFuture;

use super::form::KeptForm;
use super::name::TransferName;
use crate::resources::import_export::StoredObject;

/// A place that holds objects, and can store others.
pub trait TransferEndpoint: Send + Sync {
    /// The number of objects; `None` if it takes a list to know it.
    fn count(&self) -> BoxFuture<'_, Result<Option<u64>, TransferError>>;

    /// A list of all objects, as of the moment of its first page.
    fn list(&self) -> Box<dyn TransferList + '_>;

    /// The form in which the endpoint keeps objects.
    fn form(&self) -> KeptForm;

    /// The object as the endpoint would store it.
    ///
    /// # Errors
    /// A sentence for an object that the endpoint would refuse, as far as it is known without a
    /// write.
    fn prepare(&self, object: StoredObject) -> Result<StoredObject, String>;

    /// Returns true for an object that the endpoint stores in several writes, of which the last is
    /// missing. [`TransferEndpoint::put`] completes it.
    fn is_unfinished(&self, object: &StoredObject) -> bool {
        let _ = object;
        false
    }

    /// Stores objects. Returns a sentence for each that is refused, in the order of the objects. A
    /// refused object does not affect the others.
    ///
    /// # Errors
    /// The endpoint failed. Any of the objects may be stored.
    fn put(
        &self,
        objects: Vec<StoredObject>,
        overwrite: OverwritePolicy,
    ) -> BoxFuture<'_, Result<Vec<Result<(), String>>, TransferError>>;
}

/// The treatment of objects of the target that differ from those of the same name in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverwritePolicy {
    /// They are conflicts, and stay.
    Refuse,
    /// They are replaced.
    Replace,
}

/// A list of the objects of an endpoint.
pub trait TransferList: Send {
    /// The next page, whose names are greater than all before; `None` at the end. A page may be
    /// empty.
    fn next_page(&mut self) -> BoxFuture<'_, Result<Option<TransferPage>, TransferError>>;
}

/// A part of a list.
#[derive(Debug, Default)]
pub struct TransferPage {
    /// The objects.
    pub objects: Vec<ListedObject>,
    /// A sentence for each entry that is no readable object.
    pub unreadable: Vec<String>,
    /// The resourceVersion of the list.
    pub version: u64,
}

/// An object of a list.
#[derive(Clone, Debug)]
pub struct ListedObject {
    /// The name.
    pub name: TransferName,
    /// The object, without its resourceVersion.
    pub object: StoredObject,
    /// Its resourceVersion.
    pub version: u64,
}

/// The reason why a transfer stopped.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// An endpoint cannot be read or written.
    #[error("{endpoint}: {why}")]
    Endpoint {
        /// The name of the endpoint.
        endpoint: String,
        /// The reason.
        why: String,
    },
    /// A response is larger than a client reads.
    #[error("{endpoint}: a response has more than {bytes} bytes")]
    LargeResponse {
        /// The name of the endpoint.
        endpoint: String,
        /// The limit.
        bytes: usize,
    },
    /// Too many objects were refused.
    #[error("{0} objects were refused: remove the reason, and run the transfer again")]
    TooManyRefused(usize),
}
