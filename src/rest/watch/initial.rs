//! What is there when a watch begins, as if it had just come to be.

use std::sync::Arc;

use super::change::Read;
use super::scope::{Extent, Scope};
use crate::meta::{Kind, Status};
use crate::rest::failure::status_of;
use crate::store::{At, Range, Revision, Store, StoreError};

/// How many bytes of values are read at a time.
const PAGE: usize = 256 << 10;

/// What is there, page by page, all as of one revision.
pub(super) struct Initial {
    store: Arc<dyn Store>,
    at: At,
    at_least: Revision,
    start: Option<String>,
}

/// Some of what is there.
pub(super) struct Page<T> {
    /// Those objects that are selected, as they are stored.
    pub(super) objects: Vec<T>,
    /// The revision at which they are so.
    pub(super) revision: Revision,
    /// What follows.
    pub(super) rest: Option<Initial>,
}

impl Initial {
    /// What is there now, which must not be older than a revision.
    pub(super) fn new(store: Arc<dyn Store>, at_least: Revision) -> Self {
        Self { store, at: At::Now, at_least, start: None }
    }

    /// The next page of the objects of a scope.
    ///
    /// # Errors
    /// Failures of the store, a revision that does not exist yet, objects that cannot be read.
    pub(super) async fn next<T: Kind>(self, scope: &Scope, read: &dyn Read<T>) -> Result<Page<T>, Status> {
        let Self { store, at, at_least, start } = self;
        let limit = if scope.extent == Extent::One { 1 } else { 0 };
        let range = Range { prefix: scope.prefix.clone(), start, limit, at, bytes: PAGE };
        let page = store.range(range).await.map_err(|error| status_of(&error))?;
        if page.revision < at_least {
            return Err(status_of(&StoreError::Future { requested: at_least, current: page.revision }));
        }
        let mut objects = Vec::with_capacity(page.entries.len());
        for entry in page.entries.iter().filter(|entry| scope.contains(&entry.key)) {
            let object = read.decode(entry)?;
            if scope.selects(&object, read) {
                objects.push(object);
            }
        }
        // The first key under a prefix that is a whole key is that key.
        let is_done = scope.extent == Extent::One || !page.more;
        let last = page.entries.last().filter(|_| !is_done);
        let rest = last.map(|last| Self {
            store,
            at: At::Revision(page.revision),
            at_least,
            start: Some(format!("{}\0", last.key)),
        });
        Ok(Page { objects, revision: page.revision, rest })
    }
}
