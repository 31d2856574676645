//! The stored image that a pushed or imported one meets.

use super::openshift_layout::StoredForm;
use super::strategies::ImageStrategy;
use super::superseded_images;
use crate::api::{Image, Proof};
use crate::domain::proof;
use crate::meta::Status;
use crate::registry::object_change::ObjectChange;
use crate::registry::object_store::ObjectStore;
use crate::registry::read_set::ReadSet;
use crate::registry::strategy::Strategy;
use crate::registry::unreadable::ObjectState;
use crate::store::Key;

/// The stored image that a pushed or imported one meets.
pub(super) enum StoredImage {
    /// No image has the name.
    Missing,
    /// The image.
    Found(Box<Image>),
    /// The image cannot be read. A proved image with its name has the same content, and heals it.
    Unreadable {
        /// True if streams show a superseded form of it.
        has_unproved_form: bool,
    },
    /// The image cannot be read, and this key must be read first.
    Unread(Key),
}

impl StoredImage {
    /// Finds the stored image under a key.
    ///
    /// # Errors
    /// 500 for an unreadable image that `new` does not prove, or that another server may read.
    pub(super) fn find(
        images: &ObjectStore<Image, ImageStrategy>,
        read_set: &ReadSet,
        key: &Key,
        new: &Image,
    ) -> Result<Self, Status> {
        match images.state(read_set, key) {
            ObjectState::Missing => Ok(Self::Missing),
            ObjectState::Readable(image) => Ok(Self::Found(image)),
            ObjectState::Unreadable(status)
                if new.evidence.proof == Proof::Nothing || !may_heal(images) =>
            {
                Err(*status)
            }
            ObjectState::Unreadable(_) => {
                let superseded = superseded_images::key(&new.metadata.name);
                if !read_set.contains(&superseded) {
                    return Ok(Self::Unread(superseded));
                }
                let has_unproved_form = matches!(read_set.entry(&superseded), Ok(Some(_)));
                Ok(Self::Unreadable { has_unproved_form })
            }
        }
    }

    /// The image, if it can be read.
    pub(super) fn image(&self) -> Option<&Image> {
        if let Self::Found(image) = self { Some(image) } else { None }
    }

    /// The image that is stored because of `new`; none if the stored one is kept.
    pub(super) fn replacement(
        &self,
        images: &ObjectStore<Image, ImageStrategy>,
        new: &Image,
    ) -> Option<Image> {
        match self {
            Self::Found(stored) => proof::superseding(stored, new)
                .filter(|image| has_other_value(images.strategy(), stored, image)),
            Self::Unreadable { has_unproved_form } => {
                let mut image = new.clone();
                image.evidence.has_unproved_form = *has_unproved_form;
                Some(image)
            }
            Self::Missing | Self::Unread(_) => Some(new.clone()),
        }
    }

    /// The change that stores `image` in place of this one.
    ///
    /// # Errors
    /// 413 for an object over the size limit.
    pub(super) fn change(
        &self,
        images: &ObjectStore<Image, ImageStrategy>,
        key: &Key,
        image: &Image,
    ) -> Result<ObjectChange, Status> {
        let name = ("", image.metadata.name.as_str());
        match self {
            Self::Unreadable { .. } => images.change_unreadable(key, name, Some(image)),
            _ => images.change(key, name, self.image(), Some(image)),
        }
    }
}

/// Returns true if a proved image replaces an unreadable one. An encrypted value of
/// openshift-apiserver is not damaged.
fn may_heal(images: &ObjectStore<Image, ImageStrategy>) -> bool {
    images.strategy().stored_form == StoredForm::Own
}

/// Returns true if a better proved image changes what is stored. Without evidence in the store, each
/// push of an image proves it once more.
fn has_other_value(strategy: &ImageStrategy, stored: &Image, image: &Image) -> bool {
    match strategy.stored_form {
        StoredForm::Own => true,
        StoredForm::OpenShift => strategy.encode(stored) != strategy.encode(image),
    }
}
