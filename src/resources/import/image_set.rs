//! The images that an import stores together with its stream.

use std::collections::{HashMap, HashSet};

use crate::api::{Image, ImageImportStatus, ImageStream};
use crate::domain::import;
use crate::meta::{ObjectMeta, Status, Time};
use crate::registry::admission::chain::Admitted;
use crate::registry::companions::{CompanionDecision, Companions};
use crate::registry::read_set::ReadSet;
use crate::resources::Catalog;
use crate::resources::stored_image::StoredImage;
use crate::store::{Key, Revision};

/// The distinct images of an import.
pub(in crate::resources) struct ImportedImageSet<'a> {
    catalog: &'a Catalog,
    images: Vec<(Key, Image)>,
    names: HashSet<String>,
}

/// Identities of the images of an import, by name.
#[derive(Default)]
pub(in crate::resources) struct StoredIdentities(HashMap<String, StoredIdentity>);

/// The identity of an image in the store.
struct StoredIdentity {
    metadata: ObjectMeta,
    change: ImageChange,
}

/// The change of an image by an import.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ImageChange {
    /// The image is new, or replaces a less proved one.
    Written,
    /// The image was stored before.
    Kept,
}

impl<'a> ImportedImageSet<'a> {
    /// An empty set.
    pub(in crate::resources) fn new(catalog: &'a Catalog) -> Self {
        Self { catalog, images: Vec::new(), names: HashSet::new() }
    }

    /// Adds the images of a successful result. A result with an invalid image becomes a failure.
    pub(in crate::resources) fn add(&mut self, result: &mut ImageImportStatus, now: Time) {
        let Some(image) = &result.image else { return };
        let images = result.manifests.iter().chain([image]);
        let prepared: Result<Vec<Image>, Status> = images
            .filter(|image| !self.names.contains(&image.metadata.name))
            .map(|image| self.prepare(image, now))
            .collect();
        match prepared {
            Ok(prepared) => prepared.into_iter().for_each(|image| self.insert(image)),
            Err(status) => {
                result.status = status;
                result.image = None;
                result.manifests.clear();
            }
        }
    }

    /// Returns the image as it is stored: with an identity, without manifest and configuration.
    fn prepare(&self, image: &Image, now: Time) -> Result<Image, Status> {
        // The manifest decides the limits, so it is part of the validation.
        let mut validated = image.clone();
        self.catalog.images.prepare_and_validate("", now, &mut validated)?;
        let mut stored = image.clone();
        let annotations = std::mem::take(&mut stored.metadata.annotations);
        stored.metadata = ObjectMeta { annotations, ..validated.metadata };
        import::drop_content(&mut stored);
        self.catalog.images.check_size(&stored)?;
        Ok(stored)
    }

    fn insert(&mut self, image: Image) {
        let name = image.metadata.name.clone();
        let key = self.catalog.images.key("", &name);
        if self.names.insert(name) {
            self.images.push((key, image));
        }
    }
}

impl Companions<ImageStream> for ImportedImageSet<'_> {
    type Outcome = StoredIdentities;

    fn decide(
        &self,
        _: &ImageStream,
        read_set: &ReadSet,
        admitted: &Admitted,
    ) -> Result<CompanionDecision<StoredIdentities>, Status> {
        let mut unread: Vec<Key> = self
            .images
            .iter()
            .filter(|(key, _)| !read_set.contains(key))
            .map(|(key, _)| key.clone())
            .collect();
        if !unread.is_empty() {
            return Ok(CompanionDecision::Read(unread));
        }
        let images = &self.catalog.images;
        let (mut identities, mut writes) = (HashMap::new(), Vec::new());
        // All at once, because each decision looks at all images.
        let mut unadmitted = Vec::new();
        for (key, image) in &self.images {
            let name = image.metadata.name.as_str();
            let stored = StoredImage::find(images, read_set, key, image)?;
            if let StoredImage::Unread(key) = stored {
                unread.push(key);
                continue;
            }
            let new = stored.replacement(images, image);
            let (metadata, change) = match (&new, stored.image()) {
                (None, Some(stored)) => (stored.metadata.clone(), ImageChange::Kept),
                (new, _) => (new.as_ref().unwrap_or(image).metadata.clone(), ImageChange::Written),
            };
            identities.insert(name.to_owned(), StoredIdentity { metadata, change });
            if let Some(new) = new {
                let step =
                    images.derived_admission(admitted, ("", name), stored.image(), Some(&new));
                unadmitted.extend(step.map(|step| *step));
                writes.push((key, stored, new));
            }
        }
        if !unread.is_empty() {
            return Ok(CompanionDecision::Read(unread));
        }
        if !unadmitted.is_empty() {
            return Ok(CompanionDecision::Admit(unadmitted));
        }
        let changes = writes
            .iter()
            .map(|(key, stored, new)| stored.change(images, key, new))
            .collect::<Result<Vec<_>, Status>>()?;
        Ok(CompanionDecision::Write(changes, StoredIdentities(identities)))
    }
}

impl StoredIdentities {
    /// Shows an image with its identity in the store. Only an image that the import wrote has a
    /// resourceVersion, as in openshift-apiserver.
    pub(in crate::resources) fn show(&self, image: &mut Image, revision: Option<Revision>) {
        let Some(StoredIdentity { metadata, change }) = self.0.get(&image.metadata.name) else {
            return;
        };
        image.metadata.uid.clone_from(&metadata.uid);
        image.metadata.creation_timestamp = metadata.creation_timestamp;
        image.metadata.resource_version = match (change, revision) {
            (ImageChange::Written, Some(revision)) => revision.to_string(),
            _ => String::new(),
        };
    }
}
