//! Lists: the objects that a request selects, read some at a time as of one revision and sent while they are read.
//!
//! A [`Walk`] goes through the objects, a frame says how they are written, and the answer to a [`Listing`] brings both
//! together: a small list is one whole body, a large one is made part by part, so that it takes little memory however
//! many objects there are.

mod entries;
mod objects;

use std::future::Future;

pub use entries::Entries;
pub use objects::Objects;

use crate::meta::{Kind, ListMeta, Status};

/// The objects of a list in their order, as of one revision. A clone goes on by itself from the same place.
pub trait Walk: Clone + Send + Sync + 'static {
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
    fn token(&self) -> Option<String>;

    /// Goes on by so many objects, or to the end.
    ///
    /// # Errors
    /// As for [`Walk::next`].
    fn skip(&mut self, objects: usize) -> impl Future<Output = Result<(), Status>> + Send {
        async move {
            for _ in 0..objects {
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
    /// As for [`Walk::next`].
    fn remaining(&self) -> impl Future<Output = Result<Option<u64>, Status>> + Send {
        async { Ok(None) }
    }
}

/// What a request wants to see.
#[derive(Clone, Debug)]
pub struct Listing<W> {
    /// The objects.
    pub walk: W,
    /// How many of them at most; 0 for all.
    pub limit: usize,
}

impl<W> Listing<W> {
    /// Maximum number of objects; none if nothing limits them.
    pub(crate) fn most(&self) -> Option<usize> {
        (self.limit > 0).then_some(self.limit)
    }
}

/// What a list says of itself that ends here because of its limit.
pub(crate) async fn ended<W: Walk>(walk: &W) -> Result<ListMeta, Status> {
    let metadata = walk.metadata();
    match walk.token() {
        None => Ok(metadata),
        Some(r#continue) => {
            let remaining_item_count = walk.remaining().await?;
            Ok(ListMeta { r#continue, remaining_item_count, ..metadata })
        }
    }
}
