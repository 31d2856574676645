//! The contract of a list: a stream of objects, and the page of it that a request gets.

use std::future::Future;

use super::stored_parts::StoredParts;
use crate::meta::{Kind, ListMeta, Status};

/// An object of a list.
#[derive(Debug)]
pub enum ListItem<T> {
    /// A decoded object.
    Object(Box<T>),
    /// An object in parts, of which only the metadata are decoded.
    Stored(Box<StoredParts>),
}

/// The objects of a list in order, at one revision. Clones advance independently.
pub trait ObjectStream: Clone + Send + Sync + 'static {
    /// The type of the objects.
    type Item: Kind;

    /// Returns the next object; none at the end.
    ///
    /// # Errors
    /// Store failures, objects that cannot be decoded, and an unavailable revision at the first
    /// object.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Item>, Status>> + Send;

    /// Returns the next object in the form that takes the least work; none at the end.
    ///
    /// # Errors
    /// The errors of [`ObjectStream::next`].
    fn next_item(
        &mut self,
    ) -> impl Future<Output = Result<Option<ListItem<Self::Item>>, Status>> + Send {
        async { Ok(self.next().await?.map(|object| ListItem::Object(Box::new(object)))) }
    }

    /// The metadata of the list without `continue` and `remainingItemCount`. Valid after the first
    /// read.
    fn metadata(&self) -> ListMeta;

    /// The token that continues the list after the last object; none at the end.
    fn continue_token(&self) -> Option<String>;

    /// Releases memory until the next object is needed, except for `kept` bytes. The stream may read
    /// what it drops again.
    fn pause(&mut self, kept: u64) {
        let _ = kept;
    }

    /// Skips objects.
    ///
    /// # Errors
    /// The errors of [`ObjectStream::next`].
    fn skip(&mut self, count: usize) -> impl Future<Output = Result<(), Status>> + Send {
        async move {
            for _ in 0..count {
                if self.next().await?.is_none() {
                    break;
                }
            }
            Ok(())
        }
    }

    /// The number of objects that follow; none if it is unknown without reading them.
    ///
    /// # Errors
    /// The errors of [`ObjectStream::next`].
    fn remaining_count(&self) -> impl Future<Output = Result<Option<u64>, Status>> + Send {
        async { Ok(None) }
    }
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct ListPage<S> {
    /// The objects.
    pub objects: S,
    /// The maximum number of objects; 0 for all.
    pub limit: usize,
}

impl<S> ListPage<S> {
    /// The maximum number of objects; none if unlimited.
    pub(crate) fn max_objects(&self) -> Option<usize> {
        (self.limit > 0).then_some(self.limit)
    }
}

/// The metadata of a list that ends at its limit.
pub(crate) async fn page_metadata<S: ObjectStream>(objects: &S) -> Result<ListMeta, Status> {
    let metadata = objects.metadata();
    match objects.continue_token() {
        None => Ok(metadata),
        Some(r#continue) => {
            let remaining_item_count = objects.remaining_count().await?;
            Ok(ListMeta { r#continue, remaining_item_count, ..metadata })
        }
    }
}
