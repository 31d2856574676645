//! `Evidence`: proof of an image's content. Stored with the image; not part of the API.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ImageLayer;

/// Degree to which the content of an image is proved, in ascending order.
///
/// A claim is a field that the client set and that does not follow from the manifest and the
/// configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Proof {
    /// The image has no manifest, or its name is not the digest of the manifest.
    #[default]
    Nothing,
    /// The name is the digest of the manifest. The configuration is missing, and there are claims.
    ManifestWithClaims,
    /// The name is the digest of the manifest. The configuration is missing.
    Manifest,
    /// The name is the digest of the manifest, and the configuration matches it. There are claims.
    FullWithClaims,
    /// The name is the digest of the manifest, and the configuration, if the manifest has one,
    /// matches it.
    Full,
    /// The image was written by a user with the permission to create images.
    Authority,
}

/// Facts about an image that are not part of the API.
///
/// The default applies to images that were stored before evidence was recorded: no proof, and the
/// recorded layers count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// Degree of proof.
    pub proof: Proof,
    /// Blobs for `imagestreams/layers` if they differ from the layers and configuration of the
    /// image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blobs: Option<NamedBlobs>,
    /// Labels and annotations that were set through the `images` resource. Kept only while a better
    /// proof could replace the image.
    #[serde(skip_serializing_if = "Authored::is_empty")]
    pub authored: Authored,
    /// A proof replaced the unproved image. The replaced image is stored separately for the streams
    /// that pushed it.
    pub has_unproved_form: bool,
    /// Namespace that pushed the image first, which is charged for its bytes. Empty for images that
    /// were created through the `images` resource, or stored before this field existed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// Blobs of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamedBlobs {
    /// Layers, lowest first.
    pub layers: Vec<ImageLayer>,
    /// Digest of the configuration, if the image has one.
    pub config: Option<String>,
}

/// Keys of labels and annotations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Authored {
    /// Label keys.
    pub labels: BTreeSet<String>,
    /// Annotation keys.
    pub annotations: BTreeSet<String>,
}

impl Evidence {
    /// Returns the evidence of an image written by a user with the permission to create images.
    pub fn authority() -> Self {
        Self { proof: Proof::Authority, ..Self::default() }
    }

    /// Returns the evidence of an image whose name is not the digest of its manifest. None of its
    /// blobs count.
    pub fn unproved() -> Self {
        Self { blobs: Some(NamedBlobs::default()), ..Self::default() }
    }
}

impl Authored {
    fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }
}
