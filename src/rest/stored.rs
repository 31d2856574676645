//! Objects that are stored as they are: reading, listing, making and deleting them, whatever their type.

use std::num::NonZeroU64;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use serde_json::Value;

use super::codec;
use super::cx::{Cx, check_dry_run};
use super::endpoint::{Create, Delete, Get, List};
use super::failure::status_of;
use super::json;
use super::metadata;
use super::page;
use super::quota::{Place, Quota};
use super::reply::{Listed, Sent, Written};
use super::selector::Selector;
use super::target::check_path_segment;
use super::update::{Decision, Done, transact};
use crate::meta::{Details, Kind, ListMeta, Resource, Status, field};
use crate::store::{At, Change, Entry, Key, Lookup, Range, Revision, Store, StoreError};

/// What differs from one stored type to another.
pub trait Strategy<T: Kind>: Send + Sync + 'static {
    /// Sets what the API defines for a new object, and drops what a client may not set.
    fn prepare_create(&self, object: &mut T);

    /// The fields that lists can select by, besides name and namespace.
    fn selectable_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// The stored value of one of those fields.
    fn field(&self, _object: &T, _name: &str) -> String {
        String::new()
    }

    /// The rules for names that `name` breaks.
    fn name_faults(&self, name: &str) -> Vec<&'static str>;

    /// The faults of a new object besides those of its metadata.
    fn validate(&self, object: &T) -> Vec<field::Error>;

    /// Sets what is computed on the way out and never stored.
    fn present(&self, object: &mut T);

    /// Changes to other rows that belong into the transaction that puts `new` in the place of `old` under a name.
    fn companions(&self, _name: &str, _old: Option<&T>, _new: Option<&T>) -> Vec<Change> {
        Vec::new()
    }

    /// The form in which an object is stored. The resourceVersion in it does not count: it is that of the row.
    fn encode(&self, object: &T) -> Vec<u8> {
        json::encode(object)
    }

    /// The object that was stored in this form.
    ///
    /// # Errors
    /// A sentence for the log, when the bytes are none that `encode` writes.
    fn decode(&self, bytes: &[u8]) -> Result<T, String> {
        // Some empty lists and texts are written as null.
        codec::from_value(serde_json::from_slice(bytes).map_err(|why| why.to_string())?)
    }
}

/// The stored objects of a resource.
pub struct Stored<T, S> {
    store: Arc<dyn Store>,
    resource: Resource<'static>,
    strategy: S,
    quota: Option<Quota>,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T: Kind, S: Strategy<T>> Stored<T, S> {
    /// The objects of `resource` in a store.
    pub fn new(store: Arc<dyn Store>, resource: Resource<'static>, strategy: S) -> Self {
        Self { store, resource, strategy, quota: None, kind: std::marker::PhantomData }
    }

    /// The same, at most so many objects in a namespace.
    pub fn at_most(self, objects: NonZeroU64) -> Self {
        Self { quota: Some(Quota::new(objects.get())), ..self }
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The resource as errors name it.
    pub fn resource(&self) -> Resource<'static> {
        self.resource
    }

    /// The key of an object; `namespace` is empty for objects of the cluster.
    pub fn key(&self, namespace: &str, name: &str) -> Key {
        let mut key = self.prefix(namespace, name.len());
        key.push_str(name);
        Key::new(key)
    }

    /// The beginning of the keys of a namespace, or of all objects, with room for `more` bytes.
    fn prefix(&self, namespace: &str, more: usize) -> String {
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
        let mut object = self.strategy.decode(&entry.value).map_err(|why| unreadable(&entry.key, &why))?;
        object.default_fields();
        object.metadata_mut().resource_version = entry.revision.to_string();
        Ok(object)
    }

    /// The stored object of a name.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn find(&self, namespace: &str, name: &str) -> Result<Option<T>, Status> {
        match self.store.get(&self.key(namespace, name), None).await.map_err(|error| status_of(&error))? {
            Lookup::Found(entry) => self.decode(&entry).map(Some),
            Lookup::Missing | Lookup::Unchanged => Ok(None),
        }
    }

    /// Prepares and checks an object that is to be made.
    ///
    /// # Errors
    /// 400 and 422 for objects that cannot be made.
    pub fn admit(&self, cx: &Cx, object: &mut T) -> Result<(), Status> {
        metadata::prepare_create(cx, object.metadata_mut())?;
        self.strategy.prepare_create(object);
        let mut faults = metadata::faults_by(object.metadata(), |name| self.strategy.name_faults(name));
        faults.extend(self.strategy.validate(object));
        self.refuse(object, &faults)
    }

    /// 422, if there are faults.
    ///
    /// # Errors
    /// That 422.
    pub fn refuse(&self, object: &T, faults: &[field::Error]) -> Result<(), Status> {
        let kind = Resource { group: self.resource.group, name: T::KIND };
        if faults.is_empty() { Ok(()) } else { Err(Status::invalid(kind, &object.metadata().name, faults)) }
    }

    /// The changes that put `new` in the place of `old` under a key whose last part is `name`.
    pub fn changes(&self, key: &Key, name: &str, old: Option<&T>, new: Option<&T>) -> Vec<Change> {
        let mut changes = self.strategy.companions(name, old, new);
        changes.push(match new {
            Some(new) => Change::Put(key.clone(), self.strategy.encode(new).into()),
            None => Change::Delete(key.clone()),
        });
        changes
    }

    /// The object as it was written by a transaction and as clients see it.
    pub fn presented(&self, mut object: T, revision: Revision) -> Box<T> {
        object.metadata_mut().resource_version = revision.to_string();
        self.strategy.present(&mut object);
        Box::new(object)
    }
}

impl<T: Kind, S: Strategy<T>> Stored<T, S> {
    /// Puts `object` in the place of the stored one that the path names, after `edit` has given it what it must keep.
    ///
    /// The object must say which resourceVersion it is made from. Answers the object as it is stored now; one that
    /// changes nothing is not written.
    ///
    /// # Errors
    /// What `edit` refuses; 400, 404, 409 and 422 as Kubernetes' updates.
    pub async fn replace(
        &self,
        cx: &Cx,
        object: &T,
        edit: impl Fn(&T, &mut T) -> Result<(), Status>,
    ) -> Result<T, Status> {
        check_path_segment(cx.name())?;
        let is_dry_run = cx.is_dry_run("UpdateOptions")?;
        self.check_names(cx, object)?;
        let key = self.key(cx.namespace(), cx.name());
        let done = transact(&*self.store, std::slice::from_ref(&key), |entries| {
            let [Some(entry)] = entries else {
                return Err(Status::not_found(self.resource, cx.name()));
            };
            let old = self.decode(entry)?;
            let mut new = object.clone();
            self.check_version(&old, &new)?;
            metadata::prepare_update(old.metadata(), new.metadata_mut());
            self.refuse(&new, &metadata::faults_by(new.metadata(), |name| self.strategy.name_faults(name)))?;
            edit(&old, &mut new)?;
            match new == old || is_dry_run {
                true => Ok(Decision::Keep(new)),
                false => Ok(Decision::Write(self.changes(&key, cx.name(), Some(&old), Some(&new)), new)),
            }
        });
        match done.await? {
            Done::Kept(object) => Ok(object),
            Done::Committed(mut object, revision) => {
                object.metadata_mut().resource_version = revision.to_string();
                Ok(object)
            }
        }
    }

    fn check_names(&self, cx: &Cx, object: &T) -> Result<(), Status> {
        let meta = object.metadata();
        let text = match (meta.name.as_str(), cx.name()) {
            ("", wanted) => {
                format!("the name of the object ({wanted} based on URL) was undeterminable: name must be provided")
            }
            (name, wanted) if name != wanted => {
                format!("the name of the object ({name}) does not match the name on the URL ({wanted})")
            }
            _ if !meta.namespace.is_empty() && meta.namespace != cx.namespace() => {
                "the namespace of the provided object does not match the namespace sent on the request".into()
            }
            _ => return Ok(()),
        };
        Err(Status::bad_request(text))
    }

    fn check_version(&self, old: &T, new: &T) -> Result<(), Status> {
        let (old, new) = (old.metadata(), new.metadata());
        let wanted = &new.resource_version;
        if wanted.is_empty() || wanted == "0" {
            let fault = field::Error::invalid_value("metadata.resourceVersion", 0, "must be specified for an update");
            return Err(Status::invalid(self.resource, &old.name, &[fault]));
        }
        if wanted.parse::<u64>().is_err() {
            let why = format!("metadata.resourceVersion: Invalid value: {}: must be a number", field::quote(wanted));
            return Err(Status::bad_request(why));
        }
        if !new.uid.is_empty() && new.uid != old.uid {
            let why = format!("Precondition failed: UID in precondition: {}, UID in object meta: {}", new.uid, old.uid);
            return Err(Status::conflict(self.resource, &old.name, &why));
        }
        if *wanted == old.resource_version { Ok(()) } else { Err(Status::modified(self.resource, &old.name)) }
    }
}

impl<T: Kind, S: Strategy<T>> Get<T> for Stored<T, S> {
    async fn get(&self, cx: &Cx) -> Result<Sent<T>, Status> {
        check_path_segment(cx.name())?;
        let object = self.find(cx.namespace(), cx.name()).await?;
        let mut object = object.ok_or_else(|| Status::not_found(self.resource, cx.name()))?;
        self.strategy.present(&mut object);
        Ok(Sent::Object(Box::new(object)))
    }
}

impl<T: Kind, S: Strategy<T>> List<T> for Stored<T, S> {
    async fn list(&self, cx: &Cx) -> Result<Listed<T>, Status> {
        if cx.query.switch("watch") {
            let text = format!("watch is not supported on resources of kind \"{}\"", self.resource);
            let details =
                Details { group: self.resource.group.into(), kind: self.resource.name.into(), ..Details::default() };
            return Err(Status::failure(405, "MethodNotAllowed", text).with_details(details));
        }
        let selector = Selector::read(&cx.query, self.strategy.selectable_fields())?;
        let options = page::Options::read(&cx.query)?;
        self.page(&self.prefix(cx.namespace(), 0), options, &selector).await
    }
}

impl<T: Kind, S: Strategy<T>> Stored<T, S> {
    /// Objects whose keys start with `prefix`, as many as are wanted of those that are selected.
    async fn page(&self, prefix: &str, options: page::Options, selector: &Selector) -> Result<Listed<T>, Status> {
        /// How many objects are read at a time where a selector may leave out any of them.
        const STEP: usize = 500;
        let page::Options { mut at, at_least, start, limit } = options;
        let mut start = start.map(|start| format!("{prefix}{start}"));
        let mut items = Vec::new();
        loop {
            let step = if selector.is_empty() { limit } else { STEP };
            let range = Range { prefix: prefix.into(), start, limit: step, at };
            let page = self.store.range(range).await.map_err(|error| status_of(&error))?;
            if page.revision < at_least {
                return Err(status_of(&StoreError::Future { requested: at_least, current: page.revision }));
            }
            let mut metadata = ListMeta { resource_version: page.revision.to_string(), ..ListMeta::default() };
            for (number, entry) in page.entries.iter().enumerate() {
                let mut object = self.decode(entry)?;
                if !selector.selects(object.metadata(), |name| self.strategy.field(&object, name)) {
                    continue;
                }
                self.strategy.present(&mut object);
                items.push(object);
                let follows = page.more || number + 1 < page.entries.len();
                if limit > 0 && items.len() == limit && follows {
                    metadata.r#continue = page::token(page.revision, &entry.key.as_str()[prefix.len()..]);
                    metadata.remaining_item_count = selector.is_empty().then_some(page.remaining);
                    return Ok(Listed { metadata, items });
                }
            }
            start = page.entries.last().map(|entry| format!("{}\0", entry.key));
            at = At::Revision(page.revision);
            if !page.more {
                return Ok(Listed { metadata, items });
            }
        }
    }
}

impl<T: Kind, S: Strategy<T>> Stored<T, S> {
    /// A place for an object that is to be made. Whoever makes one takes it first.
    async fn place(&self, namespace: &str, name: &str) -> Result<Place, Status> {
        let Some(quota) = &self.quota else {
            return Ok(Place::unlimited());
        };
        let place = quota.place(&*self.store, namespace, &self.prefix(namespace, 0)).await;
        place.map_err(|why| why.status(self.resource, namespace, name))
    }
}

impl<T: Kind, S: Strategy<T>> Create<T> for Stored<T, S> {
    async fn create(&self, cx: &Cx, mut object: T) -> Result<Written<T>, Status> {
        let is_dry_run = cx.is_dry_run("CreateOptions")?;
        self.admit(cx, &mut object)?;
        let key = self.key(cx.namespace(), &object.metadata().name);
        let mut place = self.place(cx.namespace(), &object.metadata().name).await?;
        let done = transact(&*self.store, std::slice::from_ref(&key), |entries| match entries {
            [None] if is_dry_run => Ok(Decision::Keep(())),
            [None] => {
                place.ask();
                Ok(Decision::Write(self.changes(&key, &object.metadata().name, None, Some(&object)), ()))
            }
            _ => {
                place.refused();
                Err(Status::already_exists(self.resource, &object.metadata().name))
            }
        });
        match done.await? {
            Done::Committed((), revision) => {
                place.filled(revision);
                Ok(Written::Object(self.presented(object, revision)))
            }
            Done::Kept(()) => {
                self.strategy.present(&mut object);
                Ok(Written::Object(Box::new(object)))
            }
        }
    }
}

impl<T: Kind, S: Strategy<T>> Delete<T> for Stored<T, S> {
    async fn delete(&self, cx: &Cx) -> Result<Written<T>, Status> {
        check_path_segment(cx.name())?;
        let options = delete_options(cx)?;
        let key = self.key(cx.namespace(), cx.name());
        let done = transact(&*self.store, std::slice::from_ref(&key), |entries| {
            let [Some(entry)] = entries else {
                return Err(Status::not_found(self.resource, cx.name()));
            };
            let object = match self.decode(entry) {
                Ok(object) => object,
                // What cannot be read must still be possible to remove.
                Err(_) if options.preconditions.is_none() && !is_dry_run(&options) => {
                    return Ok(Decision::Write(self.changes(&key, cx.name(), None, None), String::new()));
                }
                Err(status) => return Err(status),
            };
            self.check_preconditions(&options, &object)?;
            let uid = object.metadata().uid.clone();
            match is_dry_run(&options) {
                true => Ok(Decision::Keep(uid)),
                false => Ok(Decision::Write(self.changes(&key, cx.name(), Some(&object), None), uid)),
            }
        });
        let uid = match done.await? {
            Done::Kept(uid) => uid,
            Done::Committed(uid, revision) => {
                if let Some(quota) = &self.quota {
                    quota.deleted(cx.namespace(), revision);
                }
                uid
            }
        };
        Ok(Written::Status(Box::new(Status::success().with_details(Details {
            name: cx.name().into(),
            group: self.resource.group.into(),
            kind: self.resource.name.into(),
            uid,
            ..Details::default()
        }))))
    }
}

impl<T: Kind, S: Strategy<T>> Stored<T, S> {
    fn check_preconditions(&self, options: &DeleteOptions, object: &T) -> Result<(), Status> {
        let Some(wanted) = &options.preconditions else {
            return Ok(());
        };
        let (meta, kind) = (object.metadata(), Resource { group: self.resource.group, name: T::KIND });
        if let Some(uid) = wanted.uid.as_ref().filter(|uid| **uid != meta.uid) {
            let why = format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
                 deleted and then recreated",
                meta.uid
            );
            return Err(Status::conflict(kind, &meta.name, &why));
        }
        if let Some(version) = wanted.resource_version.as_ref().filter(|version| **version != meta.resource_version) {
            let why = format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). \
                 The object might have been modified",
                meta.resource_version
            );
            return Err(Status::conflict(kind, &meta.name, &why));
        }
        Ok(())
    }
}

/// The options of a deletion: from the body, which switches the query off, or else from the query.
fn delete_options(cx: &Cx) -> Result<DeleteOptions, Status> {
    let options = if cx.body.is_empty() { delete_options_of_query(cx)? } else { delete_options_of_body(cx)? };
    let values: Vec<&str> = options.dry_run.iter().flatten().map(String::as_str).collect();
    check_dry_run(&values, "DeleteOptions")?;
    check_propagation(&options)?;
    Ok(options)
}

fn delete_options_of_query(cx: &Cx) -> Result<DeleteOptions, Status> {
    let text = |name| cx.query.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let dry_run: Vec<String> = cx.query.all("dryRun").map(str::to_owned).collect();
    let (uid, resource_version) = (text("uid"), text("resourceVersion"));
    let has_preconditions = uid.is_some() || resource_version.is_some();
    Ok(DeleteOptions {
        dry_run: Some(dry_run).filter(|values| !values.is_empty()),
        grace_period_seconds: cx.query.integer("gracePeriodSeconds")?,
        orphan_dependents: cx.query.get("orphanDependents").map(|_| cx.query.switch("orphanDependents")),
        preconditions: has_preconditions.then_some(Preconditions { resource_version, uid }),
        propagation_policy: text("propagationPolicy"),
        ..DeleteOptions::default()
    })
}

fn delete_options_of_body(cx: &Cx) -> Result<DeleteOptions, Status> {
    const KIND: &str = "DeleteOptions";
    let value = codec::read(cx, KIND)?;
    if let Some(other) = value.get("kind").and_then(Value::as_str).filter(|kind| *kind != KIND) {
        return Err(Status::bad_request(format!("the body of a deletion must be of kind {KIND}, not {other}")));
    }
    codec::from_value(value).map_err(|why| Status::bad_request(format!("{KIND} cannot be read: {why}")))
}

fn check_propagation(options: &DeleteOptions) -> Result<(), Status> {
    const NAME: &str = "propagationPolicy";
    let fault = match options.propagation_policy.as_deref() {
        None => return Ok(()),
        Some(policy) if options.orphan_dependents.is_some() => {
            field::Error::invalid(NAME, policy, "orphanDependents and deletionPropagation cannot be both set")
        }
        Some("Foreground" | "Background" | "Orphan") => return Ok(()),
        Some(other) => field::Error::unsupported(NAME, other, &["Foreground", "Background", "Orphan", "nil"]),
    };
    Err(Status::invalid(Resource { group: "meta.k8s.io", name: "DeleteOptions" }, "", &[fault]))
}

fn is_dry_run(options: &DeleteOptions) -> bool {
    options.dry_run.as_ref().is_some_and(|values| !values.is_empty())
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
