//! The store of the objects of one resource: keys, reads, watches and the rows of a change.

use std::sync::Arc;

use bytes::Bytes;

use super::admission::attributes::{
    AdmissionOperation, AdmissionPhase, AdmissionStep, AdmissionTarget, WriteOrigin,
};
use super::admission::chain::Admitted;
use super::decoded_objects::{self, DecodedObjects};
use super::guaranteed_update::Storage;
use super::keys::{self, KeyMatch};
use super::object_change::{ObjectChange, WriteEffect};
use crate::machinery::group_version::GroupVersion;
use crate::machinery::schema::Schema;
use crate::machinery::selector::Selector;
use crate::meta::{GroupResource, Kind, Status, Time, field};
use crate::registry::actor::Actor;
use crate::registry::history_limit;
use crate::registry::list::entries::Entries;
use crate::registry::list::stored_parts::StoredParts;
use crate::registry::metadata;
use crate::registry::object_ref::{ObjectRef, check_path_segment};
use crate::registry::options::{GetOptions, ListOptions};
use crate::registry::outcome::ReadResult;
use crate::registry::page::{self, PageOptions};
use crate::registry::read;
use crate::registry::storage_errors::status_of;
use crate::registry::strategy::{Dependencies, Strategy, ValidationErrors};
use crate::registry::verbs::{self, Get};
use crate::registry::watch::{
    Identity, ObjectReader, ObjectWatch, Shown, WatchCache, WatchOptions, WatchScope, WatchSource,
};
use crate::registry::workload::Workload;
use crate::store::{Change, Charge, Entry, Key, Store, StoreError};

/// The stored objects of a resource.
pub struct ObjectStore<T, S> {
    storage: Arc<Storage>,
    api: GroupVersion,
    resource: GroupResource<'static>,
    schema: Schema,
    strategy: S,
    max_bytes: usize,
    watch_cache: WatchCache<T>,
    decoded: DecodedObjects<T>,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// Creates the store of the resource `name` of an API version.
    pub fn new(storage: Arc<Storage>, api: GroupVersion, name: &'static str, strategy: S) -> Self {
        Self {
            storage,
            api,
            resource: GroupResource { group: api.group, name },
            schema: Schema::of::<T>(),
            strategy,
            max_bytes: usize::MAX,
            watch_cache: WatchCache::default(),
            decoded: DecodedObjects::new(),
            kind: std::marker::PhantomData,
        }
    }

    /// Limits the encoded size of each object.
    pub fn with_max_object_bytes(self, bytes: usize) -> Self {
        Self { max_bytes: bytes, ..self }
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &**self.storage.store()
    }

    /// The storage, with its admission chain.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The API that the objects belong to.
    pub fn api(&self) -> GroupVersion {
        self.api
    }

    /// The resource as errors name it.
    pub fn resource(&self) -> GroupResource<'static> {
        self.resource
    }

    /// The schema of the objects.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The strategy of the resource.
    pub fn strategy(&self) -> &S {
        &self.strategy
    }

    /// The key of an object; `namespace` is empty for cluster-scoped objects.
    pub fn key(&self, namespace: &str, name: &str) -> Key {
        keys::key(self.resource, namespace, name)
    }

    /// The key prefix of a namespace, or of all objects when `namespace` is empty.
    pub(crate) fn prefix(&self, namespace: &str) -> String {
        keys::prefix(self.resource, namespace, 0)
    }

    /// Decodes the stored form of an object and sets its resourceVersion.
    ///
    /// # Errors
    /// 500 for an entry that cannot be decoded; it names the object.
    pub fn decode(&self, entry: &Entry) -> Result<T, Status> {
        let decoded = self.decoded.get(entry).map_or_else(|| self.decode_value(entry), Ok);
        self.complete(entry, decoded)
    }

    /// Decodes a value, and keeps the result if the value is large.
    fn decode_value(&self, entry: &Entry) -> Result<T, String> {
        let object = self.strategy.decode(&entry.value)?;
        if decoded_objects::is_kept_if_read(&entry.value) {
            self.keep_decoded(&entry.key, &entry.value, &object);
        }
        Ok(object)
    }

    fn keep_decoded(&self, key: &Key, value: &Bytes, object: &T) {
        if self.strategy.has_cheap_clones() {
            self.strategy.prepare_clones(object);
            self.decoded.insert(key, value, object.clone());
        }
    }

    /// Decodes only the metadata of an object; all other fields are empty.
    ///
    /// # Errors
    /// The errors of [`ObjectStore::decode`].
    pub(crate) fn decode_metadata(&self, entry: &Entry) -> Result<T, Status> {
        self.complete(entry, self.strategy.decode_metadata(&entry.value))
    }

    /// Decodes only the metadata of an object whose other fields are stored as responses contain
    /// them; none for other objects.
    pub(crate) fn split(&self, entry: &Entry) -> Option<StoredParts> {
        let (mut metadata, others) = self.strategy.split(&entry.value)?;
        metadata.resource_version = entry.revision.to_string();
        Some(StoredParts { key: entry.key.clone(), metadata, others })
    }

    /// Decodes the metadata of an object and the fields that the columns of its table show.
    ///
    /// # Errors
    /// The errors of [`ObjectStore::decode`].
    pub(crate) fn decode_columns(&self, entry: &Entry) -> Result<T, Status> {
        match self.decoded.get(entry) {
            Some(object) => self.complete(entry, Ok(object)),
            None => self.complete(entry, self.strategy.decode_columns(&entry.value)),
        }
    }

    fn complete(&self, entry: &Entry, decoded: Result<T, String>) -> Result<T, Status> {
        let mut object = decoded.map_err(|why| unreadable(&entry.key, &why))?;
        object.default_fields();
        object.metadata_mut().resource_version = entry.revision.to_string();
        Ok(object)
    }

    /// Reads the latest revision of an object for a request. A resourceVersion in the options is a
    /// lower bound.
    ///
    /// # Errors
    /// 400 for a malformed resourceVersion, 504 for one in the future, and store failures.
    pub async fn read(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        options: &GetOptions,
        name: &str,
    ) -> Result<Option<T>, Status> {
        self.check_least_version(options).await?;
        self.find(&actor.load, at.namespace(), name).await
    }

    /// Checks the resourceVersion in the options of a read, which is a lower bound.
    ///
    /// # Errors
    /// 400 for a malformed resourceVersion, 504 for one in the future, and store failures.
    pub async fn check_least_version(&self, options: &GetOptions) -> Result<(), Status> {
        if let Some(requested) = page::least_version(options)? {
            let current = self.store().current().await.map_err(|error| status_of(&error))?;
            if requested > current {
                return Err(status_of(&StoreError::Future { requested, current }));
            }
        }
        Ok(())
    }

    /// Reads the latest revision of an object. Large objects are decoded in a slot of the pool.
    ///
    /// # Errors
    /// Store failures.
    pub async fn find(
        &self,
        load: &Workload,
        namespace: &str,
        name: &str,
    ) -> Result<Option<T>, Status> {
        self.find_by_key(load, &self.key(namespace, name)).await
    }

    /// Reads the object that is stored under a key, which need not be the key of the object.
    ///
    /// # Errors
    /// Store failures.
    pub async fn find_by_key(&self, load: &Workload, key: &Key) -> Result<Option<T>, Status> {
        let entry = read::read_entry(self.store(), load, key, 0).await?;
        entry.map(|entry| self.decode(&entry)).transpose()
    }

    /// Prepares and validates an object that is created in a transaction with another one and has
    /// no dependencies.
    ///
    /// # Errors
    /// 400 and 422 for invalid objects.
    pub fn prepare_and_validate(
        &self,
        namespace: &str,
        now: Time,
        object: &mut T,
    ) -> Result<(), Status> {
        metadata::prepare_create(namespace, now, object.metadata_mut())?;
        self.reject_invalid(object, &self.strategy.limit_errors(None, object))?;
        self.strategy.reset_fields(None, object);
        self.strategy.prepare(None, object);
        let validated = self.strategy.validate(None, object, &Dependencies::none(), now);
        self.reject_invalid(object, &self.new_object_errors(object, validated))
    }

    /// Checks the size of an object before it is part of a transaction with others.
    ///
    /// # Errors
    /// 413 for an object over the size limit.
    pub fn check_size(&self, object: &T) -> Result<(), Status> {
        let bytes = self.strategy.encode(object).len();
        match bytes > self.max_bytes {
            true => Err(self.too_large(&object.metadata().name, bytes)),
            false => Ok(()),
        }
    }

    /// All errors of a new object, in the order of kube-apiserver.
    pub(crate) fn new_object_errors(
        &self,
        object: &T,
        validated: ValidationErrors,
    ) -> field::Errors {
        let of_metadata =
            metadata::validate_with(object.metadata(), |name| self.strategy.name_errors(name));
        let mut errors = validated.before_metadata;
        errors.append(of_metadata);
        errors.append(validated.after_metadata);
        errors
    }

    /// Returns an error if there are field errors.
    ///
    /// # Errors
    /// 422 with all field errors.
    pub fn reject_invalid(&self, object: &T, errors: &field::Errors) -> Result<(), Status> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Status::invalid(self.kind(), &object.metadata().name, errors))
        }
    }

    /// The kind as errors name it.
    pub fn kind(&self) -> GroupResource<'static> {
        GroupResource { group: self.resource.group, name: T::KIND }
    }

    /// The change that replaces `old` with `new` under a key, charged to the namespace.
    ///
    /// # Errors
    /// 413 for an object over the size limit, unless it was larger before.
    pub fn change(
        &self,
        key: &Key,
        (namespace, name): (&str, &str),
        old: Option<&T>,
        new: Option<&T>,
    ) -> Result<ObjectChange, Status> {
        let mut rows = self.strategy.derived_rows(name, old, new);
        rows.push(match new {
            None => Change::Delete(key.clone()),
            Some(new) => {
                let value = self.strategy.encode(new);
                let shrinks =
                    || old.is_some_and(|old| value.len() < self.strategy.encode(old).len());
                if value.len() > self.max_bytes && !shrinks() {
                    return Err(self.too_large(name, value.len()));
                }
                let value = Bytes::from(value);
                if decoded_objects::is_kept_if_written(&value)
                    && self.strategy.decodes_as_encoded(new)
                {
                    self.keep_decoded(key, &value, new);
                }
                Change::Put(key.clone(), value)
            }
        });
        let effect = match (old, new) {
            (_, None) => WriteEffect::Deleted,
            (None, Some(_)) => WriteEffect::Created,
            (Some(_), Some(_)) => WriteEffect::Updated,
        };
        Ok(ObjectChange {
            resource: self.resource,
            namespace: namespace.to_owned(),
            effect,
            rows,
            charge: Charge::Limited(history_limit::account(namespace)),
        })
    }

    /// The target of a write of these objects, for admission.
    pub(super) fn admission_target(
        &self,
        operation: AdmissionOperation,
        origin: WriteOrigin,
        subresource: &'static str,
    ) -> AdmissionTarget {
        let (resource, api) = (self.resource, self.api);
        AdmissionTarget { operation, origin, resource, subresource, kind: T::KIND, api }
    }

    /// The run of a phase that a write of a transaction needs; none if it was admitted, or if no
    /// plugin takes part.
    pub(super) fn admission_step(
        &self,
        admitted: &Admitted,
        step: (AdmissionPhase, AdmissionTarget),
        namespaced_name: (&str, &str),
        old: Option<&T>,
        new: Option<&T>,
    ) -> Option<Box<AdmissionStep>> {
        self.storage.chain().step(admitted, step, namespaced_name, old, new)
    }

    /// The run of the validating phase for a write that follows from one of another object.
    pub fn derived_admission(
        &self,
        admitted: &Admitted,
        namespaced_name: (&str, &str),
        old: Option<&T>,
        new: Option<&T>,
    ) -> Option<Box<AdmissionStep>> {
        let operation = AdmissionOperation::of(old, new);
        let target = self.admission_target(operation, WriteOrigin::Derived, "");
        let step = (AdmissionPhase::Validate, target);
        self.admission_step(admitted, step, namespaced_name, old, new)
    }

    fn too_large(&self, name: &str, bytes: usize) -> Status {
        let (resource, quoted, max) = (self.resource, field::quote(name), self.max_bytes);
        let text = format!(
            "{resource} {quoted} is too large: it would take {bytes} bytes, and --max-object-size of the server allows {max}: \
             remove tags or annotations that are not needed"
        );
        Status::failure(413, "RequestEntityTooLarge", text).about(resource, name)
    }
}

impl<T: Kind, S: Strategy<T>> Get<T> for ObjectStore<T, S> {
    async fn get(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        options: &GetOptions,
    ) -> Result<ReadResult<T>, Status> {
        check_path_segment(at.name())?;
        let object = self.read(actor, at, options, at.name()).await?;
        let mut object = object.ok_or_else(|| Status::not_found(self.resource, at.name()))?;
        self.strategy.decorate(&mut object);
        Ok(ReadResult::Object(Box::new(object)))
    }
}

impl<T: Kind, S: Strategy<T>> verbs::Watch<T> for ObjectStore<T, S> {
    type Stored = T;

    async fn watch(
        self: Arc<Self>,
        actor: &Actor,
        at: &ObjectRef,
        scope: verbs::Scope,
        options: &ListOptions,
    ) -> Result<ObjectWatch<T, T>, Status> {
        let scope = self.scope(at, scope, options)?;
        let shown = Shown { projection: Arc::new(Identity), names: Selector::default() };
        self.watch_as(&actor.load, scope, shown, options).await
    }
}

impl<T: Kind, S: Strategy<T>> ObjectReader<T> for ObjectStore<T, S> {
    fn decode(&self, entry: &Entry) -> Result<T, Status> {
        let mut object = self.decode(entry)?;
        self.strategy.decorate(&mut object);
        Ok(object)
    }

    fn field(&self, object: &T, name: &str) -> String {
        self.strategy.field(object, name)
    }
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// Watches the objects in a scope, and shows them or their views. All watches share the watch
    /// cache of the resource.
    ///
    /// # Errors
    /// 400 and 422 for invalid options, and store failures.
    pub(crate) async fn watch_as<V: Kind>(
        self: Arc<Self>,
        load: &Workload,
        scope: WatchScope,
        shown: Shown<T, V>,
        options: &ListOptions,
    ) -> Result<ObjectWatch<T, V>, Status> {
        let options = WatchOptions::read(options)?;
        let (store, cache, prefix) = (self.storage.store(), &self.watch_cache, &*self.prefix(""));
        let source = WatchSource { store, cache, prefix, reader: self.clone() };
        ObjectWatch::begin(source, load, scope, shown, options).await
    }
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// The keys and selectors of a watch: one object if the path or the field selector names it,
    /// otherwise a whole collection.
    fn scope(
        &self,
        at: &ObjectRef,
        scope: verbs::Scope,
        options: &ListOptions,
    ) -> Result<WatchScope, Status> {
        let selector = options.selector(self.strategy.selectable_fields())?;
        let selected = selector.exact_name().map(str::to_owned);
        if at.name.as_ref().is_some_and(|name| selector.contradicts_name(name)) {
            return Err(Status::bad_request(
                "fieldSelector metadata.name doesn't match requested name",
            ));
        }
        let name = at.name.as_deref().or(selected.as_deref()).filter(|name| !name.is_empty());
        Ok(match name.filter(|_| scope.name_is_unique(at)) {
            Some(name) => WatchScope {
                prefix: self.key(at.namespace(), name).as_str().to_owned(),
                key_match: KeyMatch::Exact,
                selector: selector.without_name(name),
            },
            None => WatchScope {
                prefix: self.prefix(at.namespace()),
                key_match: KeyMatch::Prefix,
                selector,
            },
        })
    }
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// The entries of a namespace, or of all namespaces, from the name `start` on.
    pub fn entries(&self, namespace: &str, start: Option<&str>, options: PageOptions) -> Entries {
        Entries::new(self.storage.store().clone(), self.prefix(namespace), start, options)
    }
}

pub(crate) fn unreadable(key: &Key, why: &str) -> Status {
    let mut status = Status::failure(
        500,
        "InternalError",
        format!("Internal error occurred: the stored object {key} cannot be read"),
    );
    status.hidden = Some(format!("{key}: {why}"));
    status
}
