//! The walk through stored objects.

use std::sync::Arc;

use super::{Entries, Walk};
use crate::machinery::selector::Selector;
use crate::meta::{Kind, ListMeta, Status};
use crate::registry::object_store::ObjectStore;
use crate::registry::page;
use crate::registry::strategy::Strategy;

/// Stored objects that are selected, in the order of their keys.
pub struct Objects<T, S> {
    stored: Arc<ObjectStore<T, S>>,
    entries: Entries,
    selector: Selector,
    content: Content,
    /// The key of the last object.
    last: Option<String>,
}

/// How much of the objects is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// All of them.
    Whole,
    /// Their metadata; the rest of them is empty.
    Metadata,
}

impl<T: Kind, S: Strategy<T>> Objects<T, S> {
    /// Those of `entries` that are selected.
    pub(crate) fn new(stored: &Arc<ObjectStore<T, S>>, entries: Entries, selector: Selector) -> Self {
        Self { stored: stored.clone(), entries, selector, content: Content::Whole, last: None }
    }

    /// Settles of which revision the objects are.
    ///
    /// # Errors
    /// Failures of the store; a revision that cannot be had.
    pub(crate) async fn begin(&mut self) -> Result<(), Status> {
        self.entries.peek().await.map(|_| ())
    }

    /// The same objects, of which only the metadata is read, where that is enough to select them.
    pub(crate) fn with_little(self) -> Self {
        let content = if self.selector.is_about_metadata() { Content::Metadata } else { self.content };
        Self { content, ..self }
    }
}

// Not derived, since neither objects nor rules need to be copied.
impl<T, S> Clone for Objects<T, S> {
    fn clone(&self) -> Self {
        let Self { stored, entries, selector, content, last } = self;
        let (stored, entries, selector) = (stored.clone(), entries.clone(), selector.clone());
        Self { stored, entries, selector, content: *content, last: last.clone() }
    }
}

impl<T: Kind, S: Strategy<T>> Walk for Objects<T, S> {
    type Item = T;

    async fn next(&mut self) -> Result<Option<T>, Status> {
        let strategy = self.stored.strategy();
        while let Some(entry) = self.entries.next().await? {
            let mut object = match self.content {
                Content::Whole => self.stored.decode(&entry)?,
                Content::Metadata => self.stored.decode_metadata(&entry)?,
            };
            if self.selector.selects(object.metadata(), |name| strategy.field(&object, name)) {
                strategy.decorate(&mut object);
                self.last = Some(entry.key.as_str().to_owned());
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    fn metadata(&self) -> ListMeta {
        ListMeta { resource_version: self.entries.revision().to_string(), ..ListMeta::default() }
    }

    fn token(&self) -> Option<String> {
        let last = self.last.as_deref().filter(|_| self.entries.has_more())?;
        Some(page::token(self.entries.revision(), last.strip_prefix(self.entries.prefix())?))
    }

    async fn skip(&mut self, objects: usize) -> Result<(), Status> {
        if self.selector.is_empty() {
            self.last = self.entries.skip(objects).await?.or(self.last.take());
            return Ok(());
        }
        for _ in 0..objects {
            if self.next().await?.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn remaining(&self) -> Result<Option<u64>, Status> {
        if !self.selector.is_empty() {
            return Ok(None);
        }
        self.entries.remaining().await.map(Some)
    }
}
