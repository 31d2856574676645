//! `Image`: one container image, known to the whole cluster by its digest.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use super::{DockerImageMetadata, Evidence, ImageSignature, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Base64, Kind, ObjectMeta};

/// A container image: where to pull it, what it is made of and what is known about it.
///
/// Images are named after the digest of their manifest and belong to the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, remote = "Self")]
#[schemars(rename = "com.github.openshift.api.image.v1.Image")]
pub struct Image {
    /// Standard object metadata; the name is the digest of the manifest, such as `sha256:…`.
    pub metadata: ObjectMeta,
    /// The string with which this image can be pulled.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_image_reference: String,
    /// What the image's configuration says about it: author, architecture, command, environment, size and so on.
    #[serde(skip_deserializing)]
    #[schemars(extend("x-kubernetes-patch-strategy" = "replace"))]
    pub docker_image_metadata: DockerImageMetadata,
    /// Version of the form of `dockerImageMetadata`: `1.0`, or `pre012` for very old images.
    #[schemars(extend("default" = DockerImageMetadata::DEFAULT_VERSION))]
    pub docker_image_metadata_version: String,
    /// The manifest, byte for byte as the registry has it. Left out where an image is seen through a stream.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_image_manifest: String,
    /// The layers, lowest first. Empty for an image that only lists other images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub docker_image_layers: Vec<ImageLayer>,
    /// Signatures of the image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    // Patches merge by a key that no signature has; so nobody can own one of several.
    #[schemars(extend(
        "x-kubernetes-list-type" = "atomic",
        "x-kubernetes-patch-strategy" = "merge",
        "x-kubernetes-patch-merge-key" = "name"
    ))]
    pub signatures: Vec<ImageSignature>,
    /// Signatures in the older form: opaque, base64 encoded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Base64>")]
    pub docker_image_signatures: Vec<k8s_openapi::ByteString>,
    /// Media type of the manifest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_image_manifest_media_type: String,
    /// The configuration, byte for byte as the registry has it. Left out where an image is seen through a stream.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_image_config: String,
    /// For an image that lists images, such as one for several platforms: its parts. Never set together with layers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub docker_image_manifests: Vec<ImageManifest>,
    /// Evidence of what the image is. Neither read from clients nor sent to them.
    #[serde(skip)]
    pub evidence: Evidence,
}

/// One layer of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageLayer")]
pub struct ImageLayer {
    /// Digest of the layer as the registry stores it.
    pub name: String,
    /// Size in bytes as the registry stores it.
    pub size: i64,
    /// Media type of the layer.
    pub media_type: String,
}

/// One part of an image that lists images, usually the variant for one platform.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageManifest")]
pub struct ImageManifest {
    /// Digest of the part's manifest; the name of the Image object that describes it.
    pub digest: String,
    /// Media type of the part's manifest.
    pub media_type: String,
    /// Size of the part's manifest in bytes.
    pub manifest_size: i64,
    /// Processor architecture that the part is for, such as `amd64`.
    pub architecture: String,
    /// Operating system that the part is for, such as `linux`.
    pub os: String,
    /// Variant of the architecture, such as `v7` for ARM.
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

/// The form of the metadata depends on the version that stands beside it, so both are read here together.
impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = serde_json::Map::deserialize(deserializer)?;
        let metadata = fields.remove("dockerImageMetadata");
        let mut image = Self::deserialize(Value::Object(fields)).map_err(de::Error::custom)?;
        if image.docker_image_metadata_version.is_empty() {
            image.docker_image_metadata_version = DockerImageMetadata::DEFAULT_VERSION.into();
        }
        image.docker_image_metadata =
            DockerImageMetadata::read(metadata, &image.docker_image_metadata_version).map_err(de::Error::custom)?;
        Ok(image)
    }
}
