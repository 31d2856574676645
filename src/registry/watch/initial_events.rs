//! The initial events of a watch: `ADDED` for each existing object.

use std::sync::Arc;

use super::cached_event::ObjectReader;
use super::scope::WatchScope;
use crate::meta::{Kind, Status};
use crate::registry::keys::KeyMatch;
use crate::registry::list::entries::Entries;
use crate::registry::page::PageOptions;
use crate::store::{At, Revision, Store};

/// The existing objects, in pages at one revision.
pub(crate) struct InitialEvents(Entries);

/// A page of initial events.
pub(crate) struct InitialPage<T> {
    /// The selected objects in their stored form.
    pub(crate) objects: Vec<T>,
    /// The revision of the page.
    pub(crate) revision: Revision,
    /// The pages that follow; none at the end.
    pub(crate) rest: Option<InitialEvents>,
}

impl InitialEvents {
    /// The objects in a scope, at a revision of at least `at_least`.
    pub(crate) fn new(store: Arc<dyn Store>, scope: &WatchScope, at_least: Revision) -> Self {
        let options = PageOptions { at: At::Now, at_least, start: None, limit: 0 };
        let entries = Entries::new(store, scope.prefix.clone(), None, options);
        Self(match scope.key_match {
            KeyMatch::Prefix => entries,
            KeyMatch::Exact => entries.exact(""),
        })
    }

    /// Reads the next page.
    ///
    /// # Errors
    /// Store failures, a revision in the future, and objects that cannot be decoded.
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
        Ok(InitialPage {
            objects,
            revision: self.0.revision(),
            rest: self.0.has_more().then_some(self),
        })
    }
}
