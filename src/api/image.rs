//! `Image`: a container image, named by its digest. Cluster-scoped.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::docker_image::UnversionedMetadata;
use super::{DockerImageMetadata, Evidence, ImageLayer, ImageSignature, object, protobuf};
use crate::meta::protobuf::{MessageDescriptor, UnknownFields};
use crate::meta::{Base64, Kind, ObjectMeta};

/// Image is an immutable representation of a container image and its metadata.
///
/// Images are cluster-scoped and named by the digest of their manifest. To work with the images of
/// a project, use image streams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, remote = "Self")]
#[schemars(rename = "com.github.openshift.api.image.v1.Image")]
pub struct Image {
    /// Standard object metadata. The name is the digest of the manifest, such as `sha256:…`.
    pub metadata: ObjectMeta,
    /// DockerImageReference is the pull spec of this image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_image_reference: String,
    /// DockerImageMetadata describes the image: author, architecture, command, environment, size
    /// and more. It is computed from the image configuration.
    #[serde(skip_deserializing)]
    #[schemars(extend("x-kubernetes-patch-strategy" = "replace"))]
    pub docker_image_metadata: DockerImageMetadata,
    /// DockerImageMetadataVersion is the version of the object in dockerImageMetadata: `1.0`, or
    /// `pre012` for images built before Docker 0.12.
    #[schemars(extend("default" = DockerImageMetadata::DEFAULT_VERSION))]
    pub docker_image_metadata_version: String,
    /// DockerImageManifest is the raw JSON of the manifest. Omitted if the image is read through an
    /// image stream.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_image_manifest: String,
    /// DockerImageLayers is the list of layers of the image, lowest first. Empty for a manifest
    /// list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub docker_image_layers: Vec<ImageLayer>,
    /// Signatures is the list of signatures of the image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    // The merge key `name` does not exist in signatures, so no manager can own a single item.
    #[schemars(extend(
        "x-kubernetes-list-type" = "atomic",
        "x-kubernetes-patch-strategy" = "merge",
        "x-kubernetes-patch-merge-key" = "name"
    ))]
    pub signatures: Vec<ImageSignature>,
    /// DockerImageSignatures is a list of signatures as opaque, base64-encoded values. Superseded
    /// by signatures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Base64>")]
    pub docker_image_signatures: Vec<k8s_openapi::ByteString>,
    /// DockerImageManifestMediaType is the media type of the manifest, as defined by Docker or OCI.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_image_manifest_media_type: String,
    /// DockerImageConfig is the raw JSON of the image configuration. Omitted if the image is read
    /// through an image stream.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_image_config: String,
    /// DockerImageManifests is the list of images in a manifest list, usually one per platform.
    /// Empty for other images, and never set together with dockerImageLayers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub docker_image_manifests: Vec<ImageManifest>,
    /// Proof of the content. Stored only; never read from or written to the API.
    #[serde(skip)]
    pub evidence: Evidence,
    /// Fields of a newer version in the stored form. Stored only.
    #[serde(skip)]
    pub unknown_fields: UnknownFields,
}

/// ImageManifest is one image of a manifest list, usually the variant for one platform.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageManifest")]
pub struct ImageManifest {
    /// Digest is the digest of the manifest, which is the name of the Image.
    pub digest: String,
    /// MediaType is the media type of the manifest.
    pub media_type: String,
    /// ManifestSize is the size of the manifest in bytes.
    pub manifest_size: i64,
    /// Architecture is the processor architecture, such as `amd64`.
    pub architecture: String,
    /// OS is the operating system, such as `linux`.
    pub os: String,
    /// Variant is the variant of the architecture, such as `v7` for ARM.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

object!(Image);

impl Kind for Image {
    const KIND: &'static str = "Image";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE;
}

impl Serialize for Image {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// Reads `dockerImageMetadata` together with its version, which determines the type of the
/// metadata.
impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ImageVisitor)
    }
}

struct ImageVisitor;

impl<'de> Visitor<'de> for ImageVisitor {
    type Value = Image;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Image, A::Error> {
        let mut metadata = None;
        let others = OtherFields { fields, metadata: &mut metadata };
        let mut image = Image::deserialize(MapAccessDeserializer::new(others))?;
        if image.docker_image_metadata_version.is_empty() {
            image.docker_image_metadata_version = DockerImageMetadata::DEFAULT_VERSION.into();
        }
        image.docker_image_metadata =
            DockerImageMetadata::read(metadata, &image.docker_image_metadata_version)
                .map_err(de::Error::custom)?;
        Ok(image)
    }
}

/// The fields of an image except for `dockerImageMetadata`, which is read separately.
struct OtherFields<'a, A> {
    fields: A,
    metadata: &'a mut Option<UnversionedMetadata>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for OtherFields<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct ImageKey<'a>(#[serde(borrow)] Cow<'a, str>);
        while let Some(ImageKey(name)) = self.fields.next_key()? {
            if name != "dockerImageMetadata" {
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
            *self.metadata = Some(self.fields.next_value()?);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.fields.next_value_seed(seed)
    }
}
