//! Import of objects into a store.
//!
//! An object keeps its internal fields, UID, creationTimestamp and status, which clients of the API
//! cannot set; missing UIDs and timestamps are generated. An image without internal fields gets the
//! evidence of one created through `images`. Objects pass the validation for creates, and manifests
//! must match their digests. Derived rows are written in the same transaction. Tags of a stream
//! without history are resolved at the next write through the API.

use super::decode::StoredObject;
use crate::api::{GROUP, Image, ImageStream};
use crate::domain::{content, image_strategy, names, validate};
use crate::meta::{
    GroupResource, Kind, ObjectMeta, Status, Time, field, is_dns_label, path_segment_errors,
};
use crate::registry::actor::Actor;
use crate::registry::admission::chain::Admitted;
use crate::registry::guaranteed_update::{ReadSet, UpdateDecision, UpdateOutcome};
use crate::registry::history_limit;
use crate::registry::metadata;
use crate::registry::object_change::{ObjectChange, WriteEffect};
use crate::registry::object_store::ObjectStore;
use crate::registry::strategy::Strategy;
use crate::resources::catalog::Catalog;
use crate::resources::superseded_images::{self, SUPERSEDED_IMAGE};
use crate::store::{Change, Charge};

/// The treatment of objects that already exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// The import fails.
    Refuse,
    /// The stored object is kept.
    Skip,
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
}

/// An import into a catalog.
pub struct Importer<'a> {
    /// The destination.
    pub catalog: &'a Catalog,
    /// The treatment of objects that already exist.
    pub existing: ConflictPolicy,
    /// Selects whether objects are stored.
    pub mode: ImportMode,
    /// The default creationTimestamp.
    pub now: Time,
}

impl Importer<'_> {
    /// Imports an object.
    ///
    /// # Errors
    /// 422 for an invalid object, 409 for one that already exists, and store failures.
    pub async fn import(&self, object: StoredObject) -> Result<Imported, Status> {
        match object {
            StoredObject::Image(image) => self.image(*image).await,
            StoredObject::Stream(stream) => self.stream(*stream).await,
            StoredObject::Superseded(image) => self.superseded(*image).await,
        }
    }

    async fn image(&self, mut image: Image) -> Result<Imported, Status> {
        let errors = self.prepare_and_validate_image(&mut image);
        let charge = charge_of(&image);
        self.store(&self.catalog.images, image, charge, &errors).await
    }

    /// Prepares an image and returns all errors.
    fn prepare_and_validate_image(&self, image: &mut Image) -> field::Errors {
        image.metadata.namespace.clear();
        self.complete(&mut image.metadata);
        let mut errors = self.catalog.images.strategy().limit_errors(None, image);
        errors.append(metadata::validate_with(&image.metadata, path_segment_errors));
        errors.extend(names::new_image_name_error("metadata.name", &image.metadata.name));
        errors.append(content::digest_errors(image));
        image_strategy::prepare_for_create(image);
        errors.append(validate::image(image, &metadata::validate));
        errors
    }

    /// Imports the superseded form of an image. The proved image must be stored already and refer
    /// to it; otherwise no stream would show it.
    async fn superseded(&self, mut unproved: Image) -> Result<Imported, Status> {
        let images = &self.catalog.images;
        let errors = self.prepare_and_validate_image(&mut unproved);
        images.reject_invalid(&unproved, &errors)?;
        let name = &unproved.metadata.name;
        let keys = [superseded_images::key(name), images.key("", name)];
        let [key, image_key] = &keys;
        let (value, charge) = (images.strategy().encode(&unproved), charge_of(&unproved));
        let actor = Actor::internal("store-import", self.now);
        let done = self.catalog.storage.guaranteed_update(&actor, &keys, |read_set, _| {
            let image = read_set.entry(image_key).map(|entry| images.decode(entry)).transpose()?;
            let is_wanted = image.as_ref().is_some_and(|image| {
                image.evidence.has_unproved_form && image.metadata.uid == unproved.metadata.uid
            });
            let is_free = read_set.entry(key).is_none();
            match (self.mode, &image) {
                // A dry run stores nothing, so the image may precede this line in the import.
                (ImportMode::DryRun, None) => Ok(UpdateDecision::Keep(Imported::Created)),
                (ImportMode::DryRun, Some(_)) if is_wanted && is_free => {
                    Ok(UpdateDecision::Keep(Imported::Created))
                }
                (ImportMode::Write, Some(_)) if is_wanted && is_free => {
                    let rows = vec![Change::Put(key.clone(), value.clone().into())];
                    let (resource, effect) = (images.resource(), WriteEffect::Updated);
                    let (namespace, charge) = (String::new(), charge.clone());
                    let change = ObjectChange { resource, namespace, effect, rows, charge };
                    Ok(UpdateDecision::Write(vec![change], Imported::Created))
                }
                (_, Some(_)) if self.existing == ConflictPolicy::Skip => {
                    Ok(UpdateDecision::Keep(Imported::Skipped))
                }
                (_, Some(_)) if is_wanted => Err(Status::already_exists(superseded_kind(), name)),
                _ => Err(belongs_to_no_image(name)),
            }
        });
        let (UpdateOutcome::Unchanged(imported) | UpdateOutcome::Committed(imported, _)) =
            done.await?;
        Ok(imported)
    }

    async fn stream(&self, mut stream: ImageStream) -> Result<Imported, Status> {
        self.complete(&mut stream.metadata);
        stream.metadata.generation = stream.metadata.generation.max(1);
        let mut errors = self.catalog.streams.strategy().limit_errors(None, &stream);
        errors.append(metadata::validate_with(&stream.metadata, names::stream_name_errors));
        if !is_dns_label(&stream.metadata.namespace) {
            let rule = "must be a DNS label, because streams are namespaced";
            errors.push_with(|| {
                field::Error::invalid("metadata.namespace", &stream.metadata.namespace, rule)
            });
        }
        errors.append(validate::stream(&stream));
        let charge = Charge::Unlimited(history_limit::account(&stream.metadata.namespace));
        self.store(&self.catalog.streams, stream, charge, &errors).await
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

    async fn store<T: Kind, S: Strategy<T>>(
        &self,
        stored: &ObjectStore<T, S>,
        object: T,
        charge: Charge,
        errors: &field::Errors,
    ) -> Result<Imported, Status> {
        stored.reject_invalid(&object, errors)?;
        let namespaced_name =
            (object.metadata().namespace.as_str(), object.metadata().name.as_str());
        let key = stored.key(namespaced_name.0, namespaced_name.1);
        let actor = Actor::internal("store-import", self.now);
        let attempt =
            |read_set: &ReadSet, admitted: &Admitted| match (read_set.entry(&key), self.mode) {
                (None, ImportMode::DryRun) => Ok(UpdateDecision::Keep(Imported::Created)),
                (None, ImportMode::Write) => {
                    if let Some(attributes) =
                        stored.admission_attributes(admitted, namespaced_name, None, Some(&object))
                    {
                        return Ok(UpdateDecision::Admit(attributes));
                    }
                    let change = stored.change(&key, namespaced_name, None, Some(&object))?;
                    let change = ObjectChange { charge: charge.clone(), ..change };
                    Ok(UpdateDecision::Write(vec![change], Imported::Created))
                }
                (Some(_), _) if self.existing == ConflictPolicy::Skip => {
                    Ok(UpdateDecision::Keep(Imported::Skipped))
                }
                (Some(_), _) => Err(Status::already_exists(stored.resource(), namespaced_name.1)),
            };
        let done = stored.storage().guaranteed_update(&actor, std::slice::from_ref(&key), attempt);
        let (UpdateOutcome::Unchanged(imported) | UpdateOutcome::Committed(imported, _)) =
            done.await?;
        Ok(imported)
    }
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
