//! Import of objects into a store.
//!
//! An object keeps its internal fields, UID, creationTimestamp and status, which clients of the API
//! cannot set; missing UIDs and timestamps are generated. An image without internal fields gets the
//! evidence of one created through `images`. Objects pass the validation for creates, and manifests
//! must match their digests. Derived rows are written in the same transaction. Tags of a stream
//! without history are resolved at the next write through the API.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;

use super::decode::StoredObject;
use crate::api::{GROUP, Image, ImageStream};
use crate::domain::{content, image_strategy, names, validate};
use crate::meta::{
    GroupResource, Kind, ObjectMeta, Status, Time, field, is_dns_label, path_segment_errors,
};
use crate::registry::actor::Actor;
use crate::registry::admission::chain::Admitted;
use crate::registry::guaranteed_update::{UpdateDecision, UpdateOutcome};
use crate::registry::history_limit;
use crate::registry::metadata;
use crate::registry::object_change::{ObjectChange, WriteEffect};
use crate::registry::object_store::ObjectStore;
use crate::registry::read_set::ReadSet;
use crate::registry::strategy::Strategy;
use crate::resources::catalog::Catalog;
use crate::resources::openshift_layout::StoredForm;
use crate::resources::superseded_images::{self, SUPERSEDED_IMAGE};
use crate::store::{Change, Charge, Key, Store};

/// The treatment of objects that already exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// The import fails.
    Refuse,
    /// The stored object is kept.
    Skip,
    /// The object replaces the stored one, which need not be readable.
    Replace,
}

/// Selects whether objects are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// Objects are stored.
    Write,
    /// Objects are only validated; the results are the same.
    DryRun,
}

/// The result of importing an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// The object was created.
    Created,
    /// The object already exists and was kept.
    Skipped,
    /// The object replaced another one.
    Replaced,
}

/// The origin of imported images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageOrigin {
    /// Clients, as of a create: computed fields are completed.
    Clients,
    /// A store, whose images stay as they are.
    Store,
}

/// An import into a catalog.
pub struct Importer<'a> {
    /// The destination.
    pub catalog: &'a Catalog,
    /// The treatment of objects that already exist.
    pub existing: ConflictPolicy,
    /// Selects whether objects are stored.
    pub mode: ImportMode,
    /// The origin of images.
    pub origin: ImageOrigin,
    /// The default creationTimestamp.
    pub now: Time,
}

/// The results of an import, in the order of the objects.
type Results = Vec<Result<Imported, Status>>;

/// A valid object, with its place among the objects of an import.
struct ValidObject {
    place: usize,
    key: Key,
    charge: Charge,
    object: StoredObject,
}

impl Importer<'_> {
    /// Imports objects, many in one transaction. A refused object does not affect the others. Of
    /// several objects with one name, the first is stored first.
    ///
    /// The result of an object is an error if it is invalid (422), exists already (409) or cannot be
    /// stored.
    pub async fn import(&self, objects: Vec<StoredObject>) -> Results {
        let mut results: Vec<_> = objects.iter().map(|_| Ok(Imported::Skipped)).collect();
        let (mut valid, mut superseded) = (Vec::new(), Vec::new());
        for (place, object) in objects.into_iter().enumerate() {
            match object {
                StoredObject::Superseded(image) => superseded.push((place, image)),
                object => match self.validated(place, object) {
                    Ok(object) => valid.push(object),
                    Err(status) => results[place] = Err(status),
                },
            }
        }
        while !valid.is_empty() {
            let (batches, rest) = batches(valid, self.catalog.storage.store().max_changes());
            valid = rest;
            for batch in join_all(batches.into_iter().map(|batch| self.store_in_parts(batch))).await
            {
                batch.into_iter().for_each(|(place, result)| results[place] = result);
            }
        }
        // The images that they belong to are stored now.
        let forms = superseded
            .into_iter()
            .map(async |(place, image)| (place, self.superseded(*image).await));
        for (place, result) in join_all(forms).await {
            results[place] = result;
        }
        results
    }

    /// The object as an import would store it in place of another one.
    ///
    /// # Errors
    /// 422 for an object that is not valid, and 413 for one that exceeds the limits of the store.
    pub fn prepare(&self, object: StoredObject) -> Result<StoredObject, Status> {
        let Catalog { images, streams, storage, .. } = self.catalog;
        let ValidObject { key, object, charge, .. } = self.validated(0, object)?;
        let change = match &object {
            StoredObject::Image(image) => {
                images.change_unreadable(&key, ("", &image.metadata.name), Some(image))?
            }
            StoredObject::Stream(stream) => {
                let ObjectMeta { namespace, name, .. } = &stream.metadata;
                streams.change_unreadable(&key, (namespace, name), Some(stream))?
            }
            StoredObject::Superseded(image) => {
                let key = superseded_images::key(&image.metadata.name);
                self.superseded_change(&key, &images.strategy().encode(image), &charge)
            }
        };
        check_limits(&change.rows, &**storage.store())?;
        Ok(object)
    }

    fn validated(&self, place: usize, mut object: StoredObject) -> Result<ValidObject, Status> {
        let Catalog { images, streams, .. } = self.catalog;
        if let StoredObject::Superseded(_) = object {
            self.require_superseded_images()?;
        }
        let (key, charge) = match &mut object {
            StoredObject::Image(image) | StoredObject::Superseded(image) => {
                let errors = self.prepare_and_validate_image(image);
                images.reject_invalid(image, &errors)?;
                (images.key("", &image.metadata.name), charge_of(image))
            }
            StoredObject::Stream(stream) => {
                let errors = self.prepare_and_validate_stream(stream);
                streams.reject_invalid(stream, &errors)?;
                let ObjectMeta { namespace, name, .. } = &stream.metadata;
                let charge = Charge::Unlimited(history_limit::account(namespace));
                (streams.key(namespace, name), charge)
            }
        };
        Ok(ValidObject { place, key, charge, object })
    }

    /// Prepares an image and returns all errors.
    fn prepare_and_validate_image(&self, image: &mut Image) -> field::Errors {
        image.metadata.namespace.clear();
        self.complete(&mut image.metadata);
        let mut errors = self.catalog.images.strategy().limit_errors(None, image);
        errors.append(metadata::validate_with(&image.metadata, path_segment_errors));
        errors.extend(names::new_image_name_error("metadata.name", &image.metadata.name));
        errors.append(content::digest_errors(image));
        if self.origin == ImageOrigin::Clients {
            image_strategy::prepare_for_create(image);
        }
        errors.append(validate::image(image, &metadata::validate));
        errors
    }

    /// Prepares a stream and returns all errors.
    fn prepare_and_validate_stream(&self, stream: &mut ImageStream) -> field::Errors {
        self.complete(&mut stream.metadata);
        stream.metadata.generation = stream.metadata.generation.max(1);
        let mut errors = self.catalog.streams.strategy().limit_errors(None, stream);
        errors.append(metadata::validate_with(&stream.metadata, names::stream_name_errors));
        if !is_dns_label(&stream.metadata.namespace) {
            let rule = "must be a DNS label, because streams are namespaced";
            errors.push_with(|| {
                field::Error::invalid("metadata.namespace", &stream.metadata.namespace, rule)
            });
        }
        errors.append(validate::stream(stream));
        errors
    }

    /// Generates missing system fields.
    fn complete(&self, meta: &mut ObjectMeta) {
        meta.resource_version.clear();
        meta.self_link.clear();
        meta.creation_timestamp.get_or_insert(self.now);
        if meta.uid.is_empty() {
            meta.uid = uuid::Uuid::new_v4().to_string();
        }
    }

    /// Stores objects of one account in one transaction, or in several if one does not hold all of
    /// them. Returns the result of each by its place.
    async fn store_in_parts(
        &self,
        batch: Vec<ValidObject>,
    ) -> Vec<(usize, Result<Imported, Status>)> {
        let (mut parts, mut all) = (vec![batch], Vec::new());
        while let Some(part) = parts.pop() {
            let results = self.store(&part).await;
            // The error of a transaction is that of all of its objects.
            let is_refused =
                results.iter().all(|(_, result)| result.as_ref().is_err_and(is_about_transaction));
            if is_refused && part.len() > 1 {
                let mut first = part;
                parts.push(first.split_off(first.len() / 2));
                parts.push(first);
            } else {
                all.extend(results);
            }
        }
        all
    }

    /// Stores objects of one account in one transaction. Returns the result of each by its place.
    async fn store(&self, batch: &[ValidObject]) -> Vec<(usize, Result<Imported, Status>)> {
        let actor = Actor::internal("store-import", self.now);
        let keys: Vec<Key> = batch.iter().map(|object| object.key.clone()).collect();
        let attempt = |read_set: &ReadSet, _: &Admitted| {
            let (mut changes, mut results) = (Vec::new(), Vec::new());
            for object in batch {
                let result = self.decide(read_set, object).map(|(imported, change)| {
                    changes.extend(change);
                    imported
                });
                results.push((object.place, result));
            }
            Ok(match self.mode {
                ImportMode::Write if !changes.is_empty() => UpdateDecision::Write(changes, results),
                ImportMode::Write | ImportMode::DryRun => UpdateDecision::Keep(results),
            })
        };
        match self.catalog.storage.guaranteed_update(&actor, &keys, attempt).await {
            Ok(UpdateOutcome::Unchanged(results) | UpdateOutcome::Committed(results, _)) => results,
            Err(status) => batch.iter().map(|object| (object.place, Err(status.clone()))).collect(),
        }
    }

    /// The result for one object, and its change if it is stored.
    fn decide(
        &self,
        read_set: &ReadSet,
        valid: &ValidObject,
    ) -> Result<(Imported, Option<ObjectChange>), Status> {
        let ValidObject { key, charge, object, .. } = valid;
        let Catalog { images, streams, .. } = self.catalog;
        let (decided, change) = match object {
            StoredObject::Image(object) | StoredObject::Superseded(object) => {
                self.decide_object(images, read_set, key, &**object)?
            }
            StoredObject::Stream(object) => {
                self.decide_object(streams, read_set, key, &**object)?
            }
        };
        Ok((decided, change.map(|change| ObjectChange { charge: charge.clone(), ..change })))
    }

    fn decide_object<T: Kind, S: Strategy<T>>(
        &self,
        stored: &ObjectStore<T, S>,
        read_set: &ReadSet,
        key: &Key,
        object: &T,
    ) -> Result<(Imported, Option<ObjectChange>), Status> {
        let ObjectMeta { namespace, name, .. } = object.metadata();
        let namespaced_name = (namespace.as_str(), name.as_str());
        match (read_set.entry(key), self.existing) {
            (Ok(None), _) => {
                let change = stored.change(key, namespaced_name, None, Some(object))?;
                Ok((Imported::Created, Some(change)))
            }
            // Derived rows of the replaced object are removed too.
            (_, ConflictPolicy::Replace) => {
                let change = stored.change_unreadable(key, namespaced_name, Some(object))?;
                Ok((Imported::Replaced, Some(change)))
            }
            (Ok(Some(_)), ConflictPolicy::Skip) => Ok((Imported::Skipped, None)),
            (Ok(Some(_)), ConflictPolicy::Refuse) => {
                Err(Status::already_exists(stored.resource(), name))
            }
            (Err(status), _) => Err(status),
        }
    }

    /// Imports the superseded form of an image. The proved image must be stored already and refer
    /// to it; otherwise no stream would show it.
    async fn superseded(&self, mut unproved: Image) -> Result<Imported, Status> {
        self.require_superseded_images()?;
        let images = &self.catalog.images;
        let errors = self.prepare_and_validate_image(&mut unproved);
        images.reject_invalid(&unproved, &errors)?;
        let name = &unproved.metadata.name;
        let keys = [superseded_images::key(name), images.key("", name)];
        let [key, image_key] = &keys;
        let (value, charge) = (images.strategy().encode(&unproved), charge_of(&unproved));
        let actor = Actor::internal("store-import", self.now);
        let done = self.catalog.storage.guaranteed_update(&actor, &keys, |read_set, _| {
            let image = read_set.entry(image_key)?.map(|entry| images.decode(entry)).transpose()?;
            let is_wanted = image.as_ref().is_some_and(|image| {
                image.evidence.has_unproved_form && image.metadata.uid == unproved.metadata.uid
            });
            let is_free = matches!(read_set.entry(key), Ok(None));
            match (self.mode, &image) {
                // A dry run stores nothing, so the image may precede this line in the import.
                (ImportMode::DryRun, None) => Ok(UpdateDecision::Keep(Imported::Created)),
                (ImportMode::DryRun, Some(_)) if is_wanted && is_free => {
                    Ok(UpdateDecision::Keep(Imported::Created))
                }
                (ImportMode::Write, Some(_)) if is_wanted && is_free => {
                    let change = self.superseded_change(key, &value, &charge);
                    Ok(UpdateDecision::Write(vec![change], Imported::Created))
                }
                (_, Some(_)) if self.existing == ConflictPolicy::Skip => {
                    Ok(UpdateDecision::Keep(Imported::Skipped))
                }
                (mode, Some(_)) if is_wanted && self.existing == ConflictPolicy::Replace => {
                    let change = self.superseded_change(key, &value, &charge);
                    Ok(match mode {
                        ImportMode::DryRun => UpdateDecision::Keep(Imported::Replaced),
                        ImportMode::Write => {
                            UpdateDecision::Write(vec![change], Imported::Replaced)
                        }
                    })
                }
                (_, Some(_)) if is_wanted => Err(Status::already_exists(superseded_kind(), name)),
                _ => Err(belongs_to_no_image(name)),
            }
        });
        let (UpdateOutcome::Unchanged(imported) | UpdateOutcome::Committed(imported, _)) =
            done.await?;
        Ok(imported)
    }

    /// Refuses superseded images in a store that has no evidence, which alone refers to them.
    fn require_superseded_images(&self) -> Result<(), Status> {
        match self.catalog.images.strategy().stored_form {
            StoredForm::Own => Ok(()),
            StoredForm::OpenShift => Err(Status::failure(
                422,
                "Invalid",
                "the layout of openshift-apiserver has no superseded images: streams show the proved image",
            )),
        }
    }

    fn superseded_change(&self, key: &Key, value: &[u8], charge: &Charge) -> ObjectChange {
        ObjectChange {
            resource: self.catalog.images.resource(),
            namespace: String::new(),
            effect: WriteEffect::Updated,
            rows: vec![Change::Put(key.clone(), value.to_vec().into())],
            charge: charge.clone(),
        }
    }
}

/// The code of a transaction that exceeds the limits of the store.
const TOO_LARGE: u16 = 413;

/// Returns true for the refusal of a whole transaction, which fewer objects may pass: it is too
/// large, or has a value that is.
fn is_about_transaction(status: &Status) -> bool {
    matches!(status.code, 400 | TOO_LARGE)
}

/// The maximum number of objects in a transaction.
const MAX_BATCH_OBJECTS: usize = 500;

/// Groups objects of distinct keys by account, each group for one transaction of at most
/// `max_changes` changes. Returns the objects of repeated keys too.
fn batches(
    objects: Vec<ValidObject>,
    max_changes: usize,
) -> (Vec<Vec<ValidObject>>, Vec<ValidObject>) {
    /// The most rows that one object writes.
    const ROWS: usize = 5;
    let most = (max_changes / ROWS).clamp(1, MAX_BATCH_OBJECTS);
    let (mut open, mut full, mut rest) = (HashMap::new(), Vec::new(), Vec::new());
    let mut keys = HashSet::new();
    for object in objects {
        if !keys.insert(object.key.clone()) {
            rest.push(object);
            continue;
        }
        let account = object.charge.account().cloned();
        let batch: &mut Vec<ValidObject> = open.entry(account).or_default();
        batch.push(object);
        if batch.len() == most {
            full.push(std::mem::take(batch));
        }
    }
    full.extend(open.into_values().filter(|batch| !batch.is_empty()));
    (full, rest)
}

/// Checks the rows of one object against the limits of the store.
fn check_limits(rows: &[Change], store: &dyn Store) -> Result<(), Status> {
    let (bytes, max_bytes) =
        (rows.iter().map(Change::stored_bytes).sum::<u64>(), store.max_bytes());
    let (count, max_count) = (rows.len(), store.max_changes());
    let text = if bytes > max_bytes {
        format!(
            "it takes {bytes} bytes in one transaction, at most {max_bytes} fit: shorten the object"
        )
    } else if count > max_count {
        format!("it takes {count} rows in one transaction, at most {max_count} fit")
    } else {
        return Ok(());
    };
    Err(Status::failure(TOO_LARGE, "RequestEntityTooLarge", text))
}

/// The charge for an image: the account of the namespace that pushed it first.
fn charge_of(image: &Image) -> Charge {
    Charge::Unlimited(history_limit::account(&image.evidence.namespace))
}

fn superseded_kind() -> GroupResource<'static> {
    GroupResource { group: GROUP, name: SUPERSEDED_IMAGE }
}

fn belongs_to_no_image(name: &str) -> Status {
    let quoted = field::quote(name);
    let text = format!(
        "{SUPERSEDED_IMAGE} {quoted} is not stored: no image has this name and uid and evidence.hasUnprovedForm; import \
         the line of the image first"
    );
    Status::failure(409, "Conflict", text).about(superseded_kind(), name)
}
