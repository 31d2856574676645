//! What is there when a watch begins, as if it had just come to be.

use std::sync::Arc;

use super::cached_event::ObjectReader;
use super::scope::WatchScope;
use crate::meta::{Kind, Status};
use crate::registry::keys::KeyMatch;
use crate::registry::list::entries::Entries;
use crate::registry::page::PageOptions;
use crate::store::{At, Revision, Store};

/// What is there, page by page, all as of one revision.
pub(crate) struct InitialEvents(Entries);

/// Some of what is there.
pub(crate) struct InitialPage<T> {
    /// Those objects that are selected, as they are stored.
    pub(crate) objects: Vec<T>,
    /// The revision at which they are so.
    pub(crate) revision: Revision,
    /// What follows.
    pub(crate) rest: Option<InitialEvents>,
}

impl InitialEvents {
    /// What a scope holds now, which must not be older than a revision.
    pub(crate) fn new(store: Arc<dyn Store>, scope: &WatchScope, at_least: Revision) -> Self {
        let options = PageOptions { at: At::Now, at_least, start: None, limit: 0 };
        let entries = Entries::new(store, scope.prefix.clone(), None, options);
        Self(match scope.key_match {
            KeyMatch::Prefix => entries,
            KeyMatch::Exact => entries.exact(""),
        })
    }

    /// The next page of the objects that the scope selects.
    ///
    /// # Errors
    /// Failures of the store, a revision that does not exist yet, objects that cannot be read.
    pub(crate) async fn next<T: Kind>(
        mut self,
        scope: &WatchScope,
        reader: &dyn ObjectReader<T>,
    ) -> Result<InitialPage<T>, Status> {
        let entries = self.0.next_page().await?;
        let mut objects = Vec::with_capacity(entries.len());
        for entry in &entries {
            let object = reader.decode(entry)?;
            if scope.selects(&object, reader) {
                objects.push(object);
            }
        }
        Ok(InitialPage { objects, revision: self.0.revision(), rest: self.0.has_more().then_some(self) })
    }
}
