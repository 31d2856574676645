//! What is there when a watch begins, as if it had just come to be.

use std::sync::Arc;

use super::change::Read;
use super::scope::{Extent, Scope};
use crate::meta::{Kind, Status};
use crate::registry::list::Entries;
use crate::registry::page;
use crate::store::{At, Revision, Store};

/// What is there, page by page, all as of one revision.
pub(crate) struct Initial(Entries);

/// Some of what is there.
pub(crate) struct Page<T> {
    /// Those objects that are selected, as they are stored.
    pub(crate) objects: Vec<T>,
    /// The revision at which they are so.
    pub(crate) revision: Revision,
    /// What follows.
    pub(crate) rest: Option<Initial>,
}

impl Initial {
    /// What a scope holds now, which must not be older than a revision.
    pub(crate) fn new(store: Arc<dyn Store>, scope: &Scope, at_least: Revision) -> Self {
        let options = page::Options { at: At::Now, at_least, start: None, limit: 0 };
        let entries = Entries::new(store, scope.prefix.clone(), None, options);
        Self(match scope.extent {
            Extent::Many => entries,
            Extent::One => entries.only(""),
        })
    }

    /// The next page of the objects that the scope selects.
    ///
    /// # Errors
    /// Failures of the store, a revision that does not exist yet, objects that cannot be read.
    pub(crate) async fn next<T: Kind>(mut self, scope: &Scope, read: &dyn Read<T>) -> Result<Page<T>, Status> {
        let entries = self.0.page().await?;
        let mut objects = Vec::with_capacity(entries.len());
        for entry in &entries {
            let object = read.decode(entry)?;
            if scope.selects(&object, read) {
                objects.push(object);
            }
        }
        Ok(Page { objects, revision: self.0.revision(), rest: self.0.has_more().then_some(self) })
    }
}
