//! Objects that are stored as they are: where they lie, how they are read and watched, whatever their type.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::codec::GroupVersion;
use super::cx::Cx;
use super::endpoint::{self, Get, List};
use super::failure::status_of;
use super::list::{Entries, Listing, Objects};
use super::metadata;
use super::negotiate::Form;
use super::page;
use super::pool::Workload;
use super::quota::{Place, Quota};
use super::read;
use super::reply::Sent;
use super::rules::{Faults, Others, Strategy};
use super::schema::Schema;
use super::selector::Selector;
use super::target::check_path_segment;
use super::watch::{self, Changes, Extent, Hub};
use crate::meta::{Kind, Resource, Status, field};
use crate::store::{Change, Entry, Key, Revision, Store, StoreError};

/// The stored objects of a resource.
pub struct Stored<T, S> {
    store: Arc<dyn Store>,
    api: GroupVersion,
    resource: Resource<'static>,
    schema: Schema,
    strategy: S,
    quota: Option<Quota>,
    most_bytes: usize,
    hub: Hub<T>,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T: Kind, S: Strategy<T>> Stored<T, S> {
    /// The objects of the resource `name` of an API in a store.
    pub fn new(store: Arc<dyn Store>, api: GroupVersion, name: &'static str, strategy: S) -> Self {
        Self {
            store,
            api,
            resource: Resource { group: api.group, name },
            schema: Schema::of::<T>(),
            strategy,
            quota: None,
            most_bytes: usize::MAX,
            hub: Hub::default(),
            kind: std::marker::PhantomData,
        }
    }

    /// The same, at most so many objects in a namespace.
    pub fn at_most(self, objects: NonZeroU64) -> Self {
        Self { quota: Some(Quota::new(objects.get())), ..self }
    }

    /// The same, each object at most so many bytes as it is stored.
    pub fn of_at_most(self, bytes: usize) -> Self {
        Self { most_bytes: bytes, ..self }
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The API that the objects belong to.
    pub fn api(&self) -> GroupVersion {
        self.api
    }

    /// The resource as errors name it.
    pub fn resource(&self) -> Resource<'static> {
        self.resource
    }

    /// The shape of the objects.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What is special about the objects.
    pub fn strategy(&self) -> &S {
        &self.strategy
    }

    /// The key of an object; `namespace` is empty for objects of the cluster.
    pub fn key(&self, namespace: &str, name: &str) -> Key {
        let mut key = self.prefix(namespace, name.len());
        key.push_str(name);
        Key::new(key)
    }

    /// The beginning of the keys of a namespace, or of all objects, with room for `more` bytes.
    pub(super) fn prefix(&self, namespace: &str, more: usize) -> String {
        let Resource { group, name: resource } = self.resource;
        let mut prefix = String::with_capacity(group.len() + resource.len() + namespace.len() + more + 4);
        let end = if namespace.is_empty() { "" } else { "/" };
        prefix.extend(["/", group, "/", resource, "/", namespace, end]);
        prefix
    }

    /// The object in an entry, with its resourceVersion, as it is stored.
    ///
    /// # Errors
    /// 500 for an entry that cannot be read; it names the object.
    pub fn decode(&self, entry: &Entry) -> Result<T, Status> {
        self.completed(entry, self.strategy.decode(&entry.value))
    }

    /// The same, but for all that is not metadata, which is empty.
    ///
    /// # Errors
    /// As for [`Stored::decode`].
    pub(super) fn decode_metadata(&self, entry: &Entry) -> Result<T, Status> {
        self.completed(entry, self.strategy.decode_metadata(&entry.value))
    }

    fn completed(&self, entry: &Entry, decoded: Result<T, String>) -> Result<T, Status> {
        let mut object = decoded.map_err(|why| unreadable(&entry.key, &why))?;
        object.default_fields();
        object.metadata_mut().resource_version = entry.revision.to_string();
        Ok(object)
    }

    /// The stored object of a name, for a request that reads it. It is as new as it can be, so that a version which the request says
    /// matters only where it is yet to come.
    ///
    /// # Errors
    /// 400 for a version that is none, 504 for one that is yet to come; failures of the store.
    pub async fn read(&self, cx: &Cx, name: &str) -> Result<Option<T>, Status> {
        if let Some(requested) = page::least_version(&cx.query)? {
            let current = self.store.current().await.map_err(|error| status_of(&error))?;
            if requested > current {
                return Err(status_of(&StoreError::Future { requested, current }));
            }
        }
        self.find(&cx.load, cx.namespace(), name).await
    }

    /// The stored object of a name, for a request with this load; a large one is decoded with a place of the pool.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn find(&self, load: &Workload, namespace: &str, name: &str) -> Result<Option<T>, Status> {
        self.find_at(load, &self.key(namespace, name)).await
    }

    /// The object in the row of a key, which need not be that of the object.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn find_at(&self, load: &Workload, key: &Key) -> Result<Option<T>, Status> {
        let entry = read::entry(&*self.store, load, key, 0).await?;
        entry.map(|entry| self.decode(&entry)).transpose()
    }

    /// Prepares and checks an object that is to be made beside another one, where it needs no others.
    ///
    /// # Errors
    /// 400 and 422 for objects that cannot be made.
    pub fn admit(&self, cx: &Cx, object: &mut T) -> Result<(), Status> {
        metadata::prepare_create(cx, object.metadata_mut())?;
        self.refuse(object, &self.strategy.limits(None, object))?;
        self.strategy.restrict(None, object);
        self.strategy.prepare(None, object);
        let settled = self.strategy.settle(None, object, &Others::none(), cx.now);
        self.refuse(object, &self.faults_of_new(object, settled))
    }

    /// All faults of a new object, in the order in which they are told.
    pub(super) fn faults_of_new(&self, object: &T, settled: Faults) -> field::Errors {
        let of_metadata = metadata::faults_by(object.metadata(), |name| self.strategy.name_faults(name));
        let mut faults = settled.first;
        faults.append(of_metadata);
        faults.append(settled.last);
        faults
    }

    /// 422, if there are faults.
    ///
    /// # Errors
    /// That 422.
    pub fn refuse(&self, object: &T, faults: &field::Errors) -> Result<(), Status> {
        if faults.is_empty() { Ok(()) } else { Err(Status::invalid(self.kind(), &object.metadata().name, faults)) }
    }

    /// The kind as errors name it.
    pub fn kind(&self) -> Resource<'static> {
        Resource { group: self.resource.group, name: T::KIND }
    }

    /// The changes that put `new` in the place of `old` under a key whose last part is `name`.
    ///
    /// # Errors
    /// 413 for an object that is too large to be stored.
    pub fn changes(&self, key: &Key, name: &str, old: Option<&T>, new: Option<&T>) -> Result<Vec<Change>, Status> {
        let mut changes = self.strategy.companions(name, old, new);
        changes.push(match new {
            None => Change::Delete(key.clone()),
            Some(new) => {
                let value = self.strategy.encode(new);
                if value.len() > self.most_bytes {
                    return Err(self.too_large(name, value.len()));
                }
                Change::Put(key.clone(), value.into())
            }
        });
        Ok(changes)
    }

    fn too_large(&self, name: &str, bytes: usize) -> Status {
        let (resource, quoted, most) = (self.resource, field::quote(name), self.most_bytes);
        let text = format!(
            "{resource} {quoted} is too large: it would take {bytes} bytes, and --max-object-size of the server allows {most}: \
             remove tags or annotations that are not needed"
        );
        Status::failure(413, "RequestEntityTooLarge", text).about(resource, name)
    }
}

impl<T: Kind, S: Strategy<T>> Get<T> for Stored<T, S> {
    async fn get(&self, cx: &Cx) -> Result<Sent<T>, Status> {
        check_path_segment(cx.name())?;
        let object = self.read(cx, cx.name()).await?;
        let mut object = object.ok_or_else(|| Status::not_found(self.resource, cx.name()))?;
        self.strategy.present(&mut object);
        Ok(Sent::Object(Box::new(object)))
    }
}

impl<T: Kind, S: Strategy<T>> List<T> for Stored<T, S> {
    type Walk = Objects<T, S>;

    fn list(self: &Arc<Self>, cx: &Cx, scope: endpoint::Scope) -> Result<Listing<Self::Walk>, Status> {
        if cx.query.switch("watch") {
            return Err(Status::not_watchable(self.resource));
        }
        self.selected(cx, scope)
    }
}

impl<T: Kind, S: Strategy<T>> endpoint::Watch<T> for Stored<T, S> {
    async fn watch(self: Arc<Self>, cx: &Cx, scope: endpoint::Scope) -> Result<Changes<T>, Status> {
        let scope = self.scope(cx, scope)?;
        let options = watch::Options::read(&cx.query)?;
        let (store, hub, prefix) = (&self.store, &self.hub, &*self.prefix("", 0));
        Changes::begin(watch::Source { store, hub, prefix, read: self.clone() }, scope, options).await
    }
}

impl<T: Kind, S: Strategy<T>> watch::Read<T> for Stored<T, S> {
    fn decode(&self, entry: &Entry) -> Result<T, Status> {
        self.decode(entry)
    }

    fn field(&self, object: &T, name: &str) -> String {
        self.strategy.field(object, name)
    }

    fn present(&self, object: &mut T) {
        self.strategy.present(object);
    }
}

impl<T: Kind, S: Strategy<T>> Stored<T, S> {
    /// What a watch is about: all objects of a place, or the one that the path or the field selector names.
    fn scope(&self, cx: &Cx, scope: endpoint::Scope) -> Result<watch::Scope, Status> {
        let selector = Selector::read(&cx.query, self.strategy.selectable_fields())?;
        let selected = selector.exact_name().map(str::to_owned);
        if cx.target.name.as_ref().is_some_and(|name| selector.contradicts_name(name)) {
            return Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name"));
        }
        let name = cx.target.name.as_deref().or(selected.as_deref()).filter(|name| !name.is_empty());
        Ok(match name.filter(|_| names_one(cx, scope)) {
            Some(name) => watch::Scope {
                prefix: self.key(cx.namespace(), name).as_str().to_owned(),
                extent: Extent::One,
                selector: selector.beside_name(name),
            },
            None => watch::Scope { prefix: self.prefix(cx.namespace(), 0), extent: Extent::Many, selector },
        })
    }
}

impl<T: Kind, S: Strategy<T>> Stored<T, S> {
    /// The objects that the query selects.
    ///
    /// # Errors
    /// 400 and 422 for selectors and options that cannot be.
    pub(super) fn selected(
        self: &Arc<Self>,
        cx: &Cx,
        scope: endpoint::Scope,
    ) -> Result<Listing<Objects<T, S>>, Status> {
        let selector = Selector::read(&cx.query, self.strategy.selectable_fields())?;
        let options = page::Options::read(&cx.query)?;
        let (start, limit) = (options.start.clone(), options.limit);
        let entries = self.entries(cx.namespace(), start.as_deref(), options);
        let name = selector.exact_name().filter(|name| !name.is_empty() && names_one(cx, scope));
        let entries = match name {
            Some(name) => entries.only(name),
            None if selector.is_empty() => entries.at_most(limit),
            None => entries,
        };
        let walk = Objects::new(self, entries, selector);
        let walk = if cx.representation.form == Form::PartialList { walk.with_little() } else { walk };
        Ok(Listing { walk, limit })
    }

    /// The rows of a namespace, or of all, from the name `start` on.
    pub fn entries(&self, namespace: &str, start: Option<&str>, options: page::Options) -> Entries {
        Entries::new(self.store.clone(), self.prefix(namespace, 0), start, options)
    }
}

impl<T: Kind, S: Strategy<T>> Stored<T, S> {
    /// A place for an object that is to be made. Whoever makes one takes it first.
    pub(super) async fn place(&self, namespace: &str, name: &str) -> Result<Place, Status> {
        let Some(quota) = &self.quota else {
            return Ok(Place::unlimited());
        };
        let place = quota.place(&*self.store, namespace, &self.prefix(namespace, 0)).await;
        place.map_err(|why| why.status(self.resource, namespace, name))
    }

    /// Takes note that an object was removed.
    pub(super) fn note_removal(&self, namespace: &str, revision: Revision) {
        if let Some(quota) = &self.quota {
            quota.deleted(namespace, revision);
        }
    }
}

/// Whether a name is that of one object at most in the place of a request: in all namespaces several may have it.
fn names_one(cx: &Cx, scope: endpoint::Scope) -> bool {
    scope == endpoint::Scope::Cluster || cx.target.namespace.is_some()
}

fn unreadable(key: &Key, why: &str) -> Status {
    let mut status = Status::failure(
        500,
        "InternalError",
        format!("Internal error occurred: the stored object {key} cannot be read"),
    );
    status.hidden = Some(format!("{key}: {why}"));
    status
}
