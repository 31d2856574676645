//! Lists: the objects that a request selects, read some at a time as of one revision and sent while they are read.
//!
//! A [`ObjectStream`] goes through the objects, a frame says how they are written, and the answer to a [`ListPage`] brings both
//! together: a small list is one whole body, a large one is made part by part, so that it takes little memory however
//! many objects there are.

use std::future::Future;

use crate::meta::{Kind, ListMeta, Status};

/// The objects of a list in their order, as of one revision. A clone goes on by itself from the same place.
pub trait ObjectStream: Clone + Send + Sync + 'static {
    /// What the objects are.
    type Item: Kind;

    /// The next object; none at the end.
    ///
    /// # Errors
    /// Failures of the store, objects that cannot be read, and, at the first object, a revision that cannot be had.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Item>, Status>> + Send;

    /// What the list says of itself, but for what follows behind the objects that were seen. Known once the first was read.
    fn metadata(&self) -> ListMeta;

    /// The token that continues the list behind the last object; none where nothing follows.
    fn continue_token(&self) -> Option<String>;

    /// Goes on by so many objects, or to the end.
    ///
    /// # Errors
    /// As for [`ObjectStream::next`].
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

    /// How many objects follow behind the last one, where that can be known without reading them.
    ///
    /// # Errors
    /// As for [`ObjectStream::next`].
    fn remaining_count(&self) -> impl Future<Output = Result<Option<u64>, Status>> + Send {
        async { Ok(None) }
    }
}

/// What a request wants to see.
#[derive(Clone, Debug)]
pub struct ListPage<S> {
    /// The objects.
    pub objects: S,
    /// How many of them at most; 0 for all.
    pub limit: usize,
}

impl<S> ListPage<S> {
    /// Maximum number of objects; none if nothing limits them.
    pub(crate) fn max_objects(&self) -> Option<usize> {
        (self.limit > 0).then_some(self.limit)
    }
}

/// What a list says of itself that ends here because of its limit.
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
