//! The walk through stored objects.

use std::sync::Arc;

use super::{Entries, Walk};
use crate::meta::{Kind, ListMeta, Status};
use crate::rest::page;
use crate::rest::rules::Strategy;
use crate::rest::selector::Selector;
use crate::rest::stored::Stored;

/// Stored objects that are selected, in the order of their keys.
pub struct Objects<T, S> {
    stored: Arc<Stored<T, S>>,
    entries: Entries,
    selector: Selector,
    /// The key of the last object.
    last: Option<String>,
}

impl<T: Kind, S: Strategy<T>> Objects<T, S> {
    /// Those of `entries` that are selected.
    pub(in crate::rest) fn new(stored: &Arc<Stored<T, S>>, entries: Entries, selector: Selector) -> Self {
        Self { stored: stored.clone(), entries, selector, last: None }
    }
}

// Not derived, since neither objects nor rules need to be copied.
impl<T, S> Clone for Objects<T, S> {
    fn clone(&self) -> Self {
        let Self { stored, entries, selector, last } = self;
        Self { stored: stored.clone(), entries: entries.clone(), selector: selector.clone(), last: last.clone() }
    }
}

impl<T: Kind, S: Strategy<T>> Walk for Objects<T, S> {
    type Item = T;

    async fn next(&mut self) -> Result<Option<T>, Status> {
        let strategy = self.stored.strategy();
        while let Some(entry) = self.entries.next().await? {
            let mut object = self.stored.decode(&entry)?;
            if self.selector.selects(object.metadata(), |name| strategy.field(&object, name)) {
                strategy.present(&mut object);
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
        Ok(Some(self.entries.outline(0).await?.entries))
    }
}
