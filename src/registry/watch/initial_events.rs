//! The initial events of a watch: `ADDED` for each existing object.

use std::sync::Arc;

use super::scope::WatchScope;
use crate::meta::Status;
use crate::registry::keys::KeyMatch;
use crate::registry::list::entries::Entries;
use crate::registry::page::PageOptions;
use crate::registry::workload::Workload;
use crate::store::{At, Entry, Revision, Store};

/// The existing objects, in pages at one revision.
pub(crate) struct InitialEvents(Entries);

/// A page of initial events.
pub(crate) struct InitialPage {
    /// The stored objects, selected or not.
    pub(crate) entries: Vec<Entry>,
    /// The revision of the page.
    pub(crate) revision: Revision,
    /// The pages that follow; none at the end.
    pub(crate) rest: Option<InitialEvents>,
}

impl InitialEvents {
    /// The objects in a scope, at a revision of at least `at_least`.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        load: &Workload,
        scope: &WatchScope,
        at_least: Revision,
    ) -> Self {
        let options = PageOptions { at: At::Now, at_least, start: None, limit: 0 };
        let entries = Entries::new(store, scope.prefix.clone(), None, options)
            .charged_to(load, Workload::cost_of_object);
        Self(match scope.key_match {
            KeyMatch::Prefix => entries,
            KeyMatch::Exact => entries.exact(""),
        })
    }

    /// Reads the next page. Its memory is reserved until the caller releases it.
    ///
    /// # Errors
    /// Store failures, and a revision in the future.
    pub(crate) async fn next(mut self) -> Result<InitialPage, Status> {
        let entries = self.0.next_page().await?;
        Ok(InitialPage {
            entries,
            revision: self.0.revision(),
            rest: self.0.has_more().then_some(self),
        })
    }
}
