//! Forms in which endpoints keep objects.

use crate::api::{Evidence, Image, ImageStream};
use crate::meta::ObjectMeta;
use crate::resources::import_export::{StoredObject, encode_for_api, encode_object};
use crate::resources::openshift_layout::stored_value;

/// The form in which an endpoint keeps objects. It decides which fields two endpoints must have in
/// common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptForm {
    /// All fields but the resourceVersion.
    Whole,
    /// The form of openshift-apiserver: all fields of the API, and those in its protobuf that this
    /// version does not know. There are no internal fields.
    OpenShift,
    /// The fields that clients of the API can write.
    ///
    /// The API itself sets uid, creationTimestamp, generation, managedFields, the generation of spec
    /// tags and the repositories in the status. Owners are left out: they have other UIDs in another
    /// cluster, which would collect the object as garbage. Internal fields are not part of the API.
    Api,
}

impl KeptForm {
    /// The object reduced to this form.
    pub fn reduce(self, object: &StoredObject) -> StoredObject {
        match (self, object) {
            (Self::Whole, object) => object.clone(),
            (Self::OpenShift, object) => without_internal_fields(object.clone()),
            (Self::Api, StoredObject::Image(image)) => {
                StoredObject::Image(Box::new(writable_image(image)))
            }
            (Self::Api, StoredObject::Superseded(image)) => {
                StoredObject::Superseded(Box::new(writable_image(image)))
            }
            (Self::Api, StoredObject::Stream(stream)) => {
                StoredObject::Stream(Box::new(writable_stream(stream)))
            }
        }
    }

    /// The form in which objects of a source are compared with those of a target: the fields that
    /// both keep.
    pub(super) fn compared(source: Self, target: Self) -> Self {
        match (source, target) {
            (_, Self::Api) => Self::Api,
            (Self::OpenShift, _) | (_, Self::OpenShift) => Self::OpenShift,
            (_, Self::Whole) => Self::Whole,
        }
    }

    /// The bytes by which objects are compared: the line of an export.
    pub(super) fn comparable(self, object: &StoredObject) -> Vec<u8> {
        match self {
            Self::Whole => encode_object(object),
            Self::OpenShift => encode_for_api(object),
            Self::Api => encode_object(&self.reduce(object)),
        }
    }
}

/// Returns true if objects whose known fields are equal have equal unknown fields.
pub(super) fn has_equal_unknown_fields(first: &StoredObject, second: &StoredObject) -> bool {
    let is_known = |object: &StoredObject| object.unknown_fields().message().is_none();
    match (is_known(first), is_known(second)) {
        (true, true) => true,
        (false, false) => value(first) == value(second),
        _ => false,
    }
}

/// The value of openshift-apiserver; `None` for an object that has none.
fn value(object: &StoredObject) -> Option<Vec<u8>> {
    let unknown_fields = object.unknown_fields();
    match object {
        StoredObject::Image(image) => stored_value::encode(&**image, unknown_fields).ok(),
        StoredObject::Stream(stream) => stored_value::encode(&**stream, unknown_fields).ok(),
        StoredObject::Superseded(_) => None,
    }
}

fn without_internal_fields(mut object: StoredObject) -> StoredObject {
    match &mut object {
        StoredObject::Image(image) | StoredObject::Superseded(image) => {
            image.evidence = Evidence::default();
        }
        StoredObject::Stream(stream) => stream.unproved.clear(),
    }
    object
}

fn writable_image(image: &Image) -> Image {
    let mut image = Image { metadata: writable(&image.metadata), ..image.clone() };
    image.evidence = Evidence::authority();
    for signature in &mut image.signatures {
        signature.metadata = writable(&signature.metadata);
    }
    image
}

fn writable_stream(stream: &ImageStream) -> ImageStream {
    let mut stream = ImageStream { metadata: writable(&stream.metadata), ..stream.clone() };
    stream.unproved.clear();
    stream.status.docker_image_repository.clear();
    stream.status.public_docker_image_repository.clear();
    for tag in &mut stream.spec.tags {
        tag.generation = None;
    }
    for tag in &mut stream.status.tags {
        if let Some(latest) = tag.items.first_mut() {
            // The API replaces 0 by the generation of the stream, which is 1 after its creation.
            latest.generation = latest.generation.max(1);
        }
    }
    stream
}

fn writable(meta: &ObjectMeta) -> ObjectMeta {
    let ObjectMeta { name, namespace, labels, annotations, finalizers, .. } = meta;
    ObjectMeta {
        name: name.clone(),
        namespace: namespace.clone(),
        labels: labels.clone(),
        annotations: annotations.clone(),
        finalizers: finalizers.clone(),
        ..ObjectMeta::default()
    }
}
