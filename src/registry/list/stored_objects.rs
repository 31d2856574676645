//! Lists of stored objects.

use std::sync::Arc;

use super::entries::{Entries, EntryCost};
use super::object_stream::{ListItem, ListPage, ObjectStream};
use super::stored_parts::StoredParts;
use crate::machinery::selector::Selector;
use crate::meta::{Kind, ListMeta, Status};
use crate::registry::actor::Actor;
use crate::registry::object_ref::ObjectRef;
use crate::registry::object_store::ObjectStore;
use crate::registry::options::{ListContent, ListOptions};
use crate::registry::page::{self, PageOptions};
use crate::registry::strategy::Strategy;
use crate::registry::verbs::{List, Scope};
use crate::registry::workload::Workload;
use crate::store::Entry;

/// The stored objects that a selector matches, in the order of their keys.
pub struct StoredObjects<T, S> {
    store: Arc<ObjectStore<T, S>>,
    entries: Entries,
    selector: Selector,
    /// The decoded content of the objects.
    content: ListContent,
    /// The key of the last object.
    last: Option<String>,
}

impl<T: Kind, S: Strategy<T>> StoredObjects<T, S> {
    /// The objects of `entries` that the selector matches.
    pub(crate) fn new(
        store: &Arc<ObjectStore<T, S>>,
        entries: Entries,
        selector: Selector,
    ) -> Self {
        Self { store: store.clone(), entries, selector, content: ListContent::Whole, last: None }
    }

    /// Reads the first page, which fixes the revision of the list.
    ///
    /// # Errors
    /// Store failures, and a revision that is not available.
    pub(crate) async fn fix_revision(&mut self) -> Result<(), Status> {
        self.entries.peek().await.map(|_| ())
    }

    /// Decodes an object; none if it is not selected.
    fn decode_selected(&self, entry: &Entry) -> Result<Option<T>, Status> {
        let strategy = self.store.strategy();
        let mut object = match self.content {
            ListContent::Whole | ListContent::Stored => self.store.decode(entry)?,
            ListContent::Columns => self.store.decode_columns(entry)?,
            ListContent::Metadata => self.store.decode_metadata(entry)?,
        };
        if !self.selector.selects(object.metadata(), |name| strategy.field(&object, name)) {
            return Ok(None);
        }
        strategy.decorate(&mut object);
        Ok(Some(object))
    }

    /// Decodes only the metadata of an object whose other fields are sent as they are stored; none
    /// if they must be decoded.
    fn split(&self, entry: &Entry) -> Option<StoredParts> {
        if self.content == ListContent::Stored { self.store.split(entry) } else { None }
    }

    /// Returns true if the selector, which is about metadata only, matches an object.
    fn selects(&self, parts: &StoredParts) -> bool {
        self.selector.selects(&parts.metadata, |_| String::new())
    }

    /// Decodes only the metadata, unless the selector needs other fields.
    pub(crate) fn metadata_only(self) -> Self {
        self.with_content(ListContent::Metadata)
    }

    /// Decodes only this content, unless the selector needs other fields.
    fn with_content(self, content: ListContent) -> Self {
        let content = if self.selector.is_about_metadata() { content } else { self.content };
        Self { content, ..self }
    }
}

// Not derived, because `T` and `S` need not be `Clone`.
impl<T, S> Clone for StoredObjects<T, S> {
    fn clone(&self) -> Self {
        let Self { store, entries, selector, content, last } = self;
        let (store, entries, selector) = (store.clone(), entries.clone(), selector.clone());
        Self { store, entries, selector, content: *content, last: last.clone() }
    }
}

impl<T: Kind, S: Strategy<T>> ObjectStream for StoredObjects<T, S> {
    type Item = T;

    async fn next(&mut self) -> Result<Option<T>, Status> {
        while let Some(entry) = self.entries.next().await? {
            if let Some(object) = self.decode_selected(&entry)? {
                self.last = Some(entry.key.as_str().to_owned());
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    async fn next_item(&mut self) -> Result<Option<ListItem<T>>, Status> {
        while let Some(entry) = self.entries.next().await? {
            let item = match self.split(&entry) {
                Some(parts) => self.selects(&parts).then(|| ListItem::Stored(Box::new(parts))),
                None => {
                    self.decode_selected(&entry)?.map(|object| ListItem::Object(Box::new(object)))
                }
            };
            if item.is_some() {
                self.last = Some(entry.key.as_str().to_owned());
                return Ok(item);
            }
        }
        Ok(None)
    }

    fn metadata(&self) -> ListMeta {
        ListMeta { resource_version: self.entries.revision().to_string(), ..ListMeta::default() }
    }

    fn continue_token(&self) -> Option<String> {
        let last = self.last.as_deref().filter(|_| self.entries.has_more())?;
        Some(page::continue_token(
            self.entries.revision(),
            last.strip_prefix(self.entries.prefix())?,
        ))
    }

    fn pause(&mut self, kept: u64) {
        self.entries.pause(kept);
    }

    async fn skip(&mut self, count: usize) -> Result<(), Status> {
        if self.selector.is_empty() {
            self.last = self.entries.skip(count).await?.or(self.last.take());
            return Ok(());
        }
        for _ in 0..count {
            if self.next().await?.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn remaining_count(&self) -> Result<Option<u64>, Status> {
        if !self.selector.is_empty() {
            return Ok(None);
        }
        self.entries.remaining().await.map(Some)
    }
}

impl<T: Kind, S: Strategy<T>> List<T> for ObjectStore<T, S> {
    type Objects = StoredObjects<T, S>;

    fn list(
        self: &Arc<Self>,
        actor: &Actor,
        at: &ObjectRef,
        scope: Scope,
        options: &ListOptions,
    ) -> Result<ListPage<Self::Objects>, Status> {
        if options.watch {
            return Err(Status::not_watchable(self.resource()));
        }
        self.selected(&actor.load, at, scope, options)
    }
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// The objects that a request selects.
    ///
    /// # Errors
    /// 400 and 422 for invalid selectors and options.
    pub(crate) fn selected(
        self: &Arc<Self>,
        load: &Workload,
        at: &ObjectRef,
        scope: Scope,
        options: &ListOptions,
    ) -> Result<ListPage<StoredObjects<T, S>>, Status> {
        let selector = options.selector(self.strategy().selectable_fields())?;
        let content = options.content;
        let options = PageOptions::read(options)?;
        let (start, limit) = (options.start.clone(), options.limit);
        let entries = self.entries(at.namespace(), start.as_deref(), options);
        let name =
            selector.exact_name().filter(|name| !name.is_empty() && scope.name_is_unique(at));
        let entries = match name {
            Some(name) => entries.exact(name),
            None if selector.is_empty() => entries.limited_to(limit),
            None => entries,
        };
        let is_about_metadata = selector.is_about_metadata();
        let cost: EntryCost = match content {
            ListContent::Metadata if is_about_metadata => Workload::cost_of_metadata,
            ListContent::Metadata
            | ListContent::Columns
            | ListContent::Stored
            | ListContent::Whole => Workload::cost_of_object,
        };
        let objects = StoredObjects::new(self, entries.charged_to(load, cost), selector);
        Ok(ListPage { objects: objects.with_content(content), limit })
    }
}
