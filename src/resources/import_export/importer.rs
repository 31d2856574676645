//! Objects into a store, as if they had always been there.
//!
//! An object keeps its marks, uid, creationTimestamp and status, which nobody may set who makes it through the API; uid and
//! creationTimestamp are made where they are missing. An image without marks has the evidence of one that is made
//! through `images`. It is judged by the same rules as one that is made, and manifests by their digests too. What lies
//! beside it is written with it, in one transaction. The tags that a stream wants and has no history of come into being
//! when it is next written through the API.

use super::decode::StoredObject;
use crate::api::{GROUP, Image, ImageStream};
use crate::domain::{content, image_strategy, names, validate};
use crate::meta::{GroupResource, Kind, ObjectMeta, Status, Time, field, is_dns_label, path_segment_errors};
use crate::registry::actor::Actor;
use crate::registry::admission::chain::Admitted;
use crate::registry::guaranteed_update::{ReadSet, UpdateDecision, UpdateOutcome};
use crate::registry::metadata;
use crate::registry::object_change::{ObjectChange, WriteEffect};
use crate::registry::object_store::ObjectStore;
use crate::registry::strategy::Strategy;
use crate::resources::catalog::Catalog;
use crate::resources::superseded_images::{self, SUPERSEDED_IMAGE};
use crate::store::Change;

/// What becomes of an object whose name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// It is an error.
    Refuse,
    /// The stored one stays.
    Skip,
}

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// Objects are stored.
    Write,
    /// Nothing is; the answers are the same.
    DryRun,
}

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It is stored now.
    Created,
    /// One of this name was there before, and stays.
    Skipped,
}

/// Puts objects into a store.
pub struct Importer<'a> {
    /// Where they go.
    pub catalog: &'a Catalog,
    /// What becomes of those whose names are taken.
    pub existing: ConflictPolicy,
    /// Whether anything is written.
    pub mode: ImportMode,
    /// When the objects were made that do not say so.
    pub now: Time,
}

impl Importer<'_> {
    /// Stores an object.
    ///
    /// # Errors
    /// 422 for one that breaks the rules, 409 for one whose name is taken, and failures of the store.
    pub async fn import(&self, object: StoredObject) -> Result<Imported, Status> {
        match object {
            StoredObject::Image(image) => self.image(*image).await,
            StoredObject::Stream(stream) => self.stream(*stream).await,
            StoredObject::Superseded(image) => self.superseded(*image).await,
        }
    }

    async fn image(&self, mut image: Image) -> Result<Imported, Status> {
        let errors = self.prepare_and_validate_image(&mut image);
        self.store(&self.catalog.images, image, &errors).await
    }

    /// Prepares an image and answers what is wrong with it.
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

    /// Stores the unproved form of an image beside the proved one, which must be stored already and say that it has
    /// one. Without that no stream shows it.
    async fn superseded(&self, mut unproved: Image) -> Result<Imported, Status> {
        let images = &self.catalog.images;
        let errors = self.prepare_and_validate_image(&mut unproved);
        images.reject_invalid(&unproved, &errors)?;
        let name = &unproved.metadata.name;
        let keys = [superseded_images::key(name), images.key("", name)];
        let [key, place] = &keys;
        let value = images.strategy().encode(&unproved);
        let actor = Actor::internal("store-import", self.now);
        let done = self.catalog.storage.guaranteed_update(&actor, &keys, |read_set, _| {
            let image = read_set.entry(place).map(|entry| images.decode(entry)).transpose()?;
            let is_wanted = image
                .as_ref()
                .is_some_and(|image| image.evidence.has_unproved_form && image.metadata.uid == unproved.metadata.uid);
            let is_free = read_set.entry(key).is_none();
            match (self.mode, &image) {
                // Nothing that this import checked is stored, so the image may be one of them.
                (ImportMode::DryRun, None) => Ok(UpdateDecision::Keep(Imported::Created)),
                (ImportMode::DryRun, Some(_)) if is_wanted && is_free => Ok(UpdateDecision::Keep(Imported::Created)),
                (ImportMode::Write, Some(_)) if is_wanted && is_free => {
                    let rows = vec![Change::Put(key.clone(), value.clone().into())];
                    let (resource, effect) = (images.resource(), WriteEffect::Updated);
                    let change = ObjectChange { resource, namespace: String::new(), effect, rows };
                    Ok(UpdateDecision::Write(vec![change], Imported::Created))
                }
                (_, Some(_)) if self.existing == ConflictPolicy::Skip => Ok(UpdateDecision::Keep(Imported::Skipped)),
                (_, Some(_)) if is_wanted => Err(Status::already_exists(superseded_kind(), name)),
                _ => Err(belongs_to_no_image(name)),
            }
        });
        let (UpdateOutcome::Unchanged(imported) | UpdateOutcome::Committed(imported, _)) = done.await?;
        Ok(imported)
    }

    async fn stream(&self, mut stream: ImageStream) -> Result<Imported, Status> {
        self.complete(&mut stream.metadata);
        stream.metadata.generation = stream.metadata.generation.max(1);
        let mut errors = self.catalog.streams.strategy().limit_errors(None, &stream);
        errors.append(metadata::validate_with(&stream.metadata, names::stream_name_errors));
        if !is_dns_label(&stream.metadata.namespace) {
            let rule = "a stream lives in a namespace, and the name of that is a DNS label";
            errors.push_with(|| field::Error::invalid("metadata.namespace", &stream.metadata.namespace, rule));
        }
        errors.append(validate::stream(&stream));
        self.store(&self.catalog.streams, stream, &errors).await
    }

    /// Makes what the server makes for a new object, where it is not there.
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
        errors: &field::Errors,
    ) -> Result<Imported, Status> {
        stored.reject_invalid(&object, errors)?;
        let place = (object.metadata().namespace.as_str(), object.metadata().name.as_str());
        let key = stored.key(place.0, place.1);
        let actor = Actor::internal("store-import", self.now);
        let attempt = |read_set: &ReadSet, admitted: &Admitted| match (read_set.entry(&key), self.mode) {
            (None, ImportMode::DryRun) => Ok(UpdateDecision::Keep(Imported::Created)),
            (None, ImportMode::Write) => {
                if let Some(attributes) = stored.admission_attributes(admitted, place, None, Some(&object)) {
                    return Ok(UpdateDecision::Admit(attributes));
                }
                let change = stored.change(&key, place, None, Some(&object))?;
                Ok(UpdateDecision::Write(vec![change], Imported::Created))
            }
            (Some(_), _) if self.existing == ConflictPolicy::Skip => Ok(UpdateDecision::Keep(Imported::Skipped)),
            (Some(_), _) => Err(Status::already_exists(stored.resource(), place.1)),
        };
        let done = stored.storage().guaranteed_update(&actor, std::slice::from_ref(&key), attempt);
        let (UpdateOutcome::Unchanged(imported) | UpdateOutcome::Committed(imported, _)) = done.await?;
        Ok(imported)
    }
}

fn superseded_kind() -> GroupResource<'static> {
    GroupResource { group: GROUP, name: SUPERSEDED_IMAGE }
}

fn belongs_to_no_image(name: &str) -> Status {
    let quoted = field::quote(name);
    let text = format!(
        "{SUPERSEDED_IMAGE} {quoted} is not stored: no image of this name, uid and evidence.hasUnprovedForm is there; import \
         the line of the image first"
    );
    Status::failure(409, "Conflict", text).about(superseded_kind(), name)
}
