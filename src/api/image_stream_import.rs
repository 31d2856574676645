//! `ImageStreamImport`: the request to import images from external registries. Not stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Image, ImageStream, ObjectReference, TagImportPolicy, TagReference, TagReferencePolicy, object,
    protobuf,
};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, ObjectMeta, Status};

/// ImageStreamImport imports images from external registries into an image stream, or reads their
/// metadata only. It is not stored.
///
/// The server contacts the registries while the client waits. The response has one status for each
/// image; it is 201 even if every import failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamImport")]
pub struct ImageStreamImport {
    /// Standard object metadata. The name is the name of the stream, which is created if it does
    /// not exist. With a resourceVersion the import fails if the stream has another one.
    pub metadata: ObjectMeta,
    /// Spec describes the images to import.
    #[schemars(extend("required" = true))]
    pub spec: ImageStreamImportSpec,
    /// Status is the result of the import.
    pub status: ImageStreamImportStatus,
}

/// ImageStreamImportSpec describes the images to import.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamImportSpec")]
pub struct ImageStreamImportSpec {
    /// Import is true if the images are imported into the stream. If it is false, nothing is
    /// stored.
    #[schemars(extend("required" = true))]
    pub import: bool,
    /// Repository is a repository whose tags are imported. Each tag of the repository becomes a tag
    /// of the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryImportSpec>,
    /// Images is the list of single images to import.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageImportSpec>,
}

/// ImageStreamImportStatus is the result of an import.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageStreamImportStatus")]
pub struct ImageStreamImportStatus {
    /// Import is the stream after the import. Absent if spec.import is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<Box<ImageStream>>,
    /// Repository is the result of the import of spec.repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryImportStatus>,
    /// Images is the list of results of spec.images, in the same order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageImportStatus>,
}

/// RepositoryImportSpec describes the import of the tags of a repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.RepositoryImportSpec")]
pub struct RepositoryImportSpec {
    /// From is the repository: kind `DockerImage`, and a pull spec without tag and digest as the
    /// name.
    #[schemars(extend("required" = true))]
    pub from: ObjectReference,
    /// ImportPolicy controls the import, and becomes the import policy of the tags.
    pub import_policy: TagImportPolicy,
    /// ReferencePolicy becomes the reference policy of new tags.
    pub reference_policy: TagReferencePolicy,
    /// IncludeManifest is true if the response contains the manifests and configurations of the
    /// images. It has no effect if spec.import is true.
    #[serde(skip_serializing_if = "is_false")]
    pub include_manifest: bool,
}

/// RepositoryImportStatus is the result of the import of a repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.RepositoryImportStatus")]
pub struct RepositoryImportStatus {
    /// Status tells if the tags could be listed and all images imported.
    pub status: Status,
    /// Images is the list of results of the imported tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageImportStatus>,
    /// AdditionalTags is the list of tags that exist in the repository and were not imported,
    /// because a repository has a maximum number of tags to import.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_tags: Vec<String>,
}

/// ImageImportSpec describes the import of one image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageImportSpec")]
pub struct ImageImportSpec {
    /// From is the source: kind `DockerImage`, and a pull spec as the name. Without a tag and a
    /// digest it means the tag `latest`.
    #[schemars(extend("required" = true))]
    pub from: ObjectReference,
    /// To is the tag of the stream to which the image is assigned. Defaults to the tag in from. If
    /// neither names a tag, the image is not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<LocalObjectReference>,
    /// ImportPolicy controls the import, and becomes the import policy of the tag.
    pub import_policy: TagImportPolicy,
    /// ReferencePolicy becomes the reference policy of the tag if the tag is new.
    pub reference_policy: TagReferencePolicy,
    /// IncludeManifest is true if the response contains the manifest and the configuration of the
    /// image. It has no effect if spec.import is true.
    #[serde(skip_serializing_if = "is_false")]
    pub include_manifest: bool,
}

/// ImageImportStatus is the result of the import of one image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageImportStatus")]
pub struct ImageImportStatus {
    /// Status is the success of the import, or the error.
    #[schemars(extend("required" = true))]
    pub status: Status,
    /// Image is the imported image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Tag is the tag of the source. Empty for an image that was imported by its digest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// Manifests is the list of images of a manifest list that was imported in the mode
    /// `PreserveOriginal`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Image>,
}

/// LocalObjectReference names an object or a part of one in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(
    rename = "io.k8s.api.core.v1.LocalObjectReference",
    extend("x-kubernetes-map-type" = "atomic")
)]
pub struct LocalObjectReference {
    /// Name of the referent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

object!(ImageStreamImport);

impl Kind for ImageStreamImport {
    const KIND: &'static str = "ImageStreamImport";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_STREAM_IMPORT;

    fn default_fields(&mut self) {
        if let Some(repository) = &mut self.spec.repository {
            repository.import_policy.default_fields();
            repository.reference_policy.default_fields();
        }
        for image in &mut self.spec.images {
            image.import_policy.default_fields();
            image.reference_policy.default_fields();
        }
        if let Some(stream) = &mut self.status.import {
            stream.spec.tags.iter_mut().for_each(TagReference::default_fields);
        }
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}
