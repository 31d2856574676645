//! `Evidence`: how far an image is known to be what its name says. Stored beside the image; no part of the API.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ImageLayer;

/// Degree to which an image is proved to be what its name says, from nothing upwards.
///
/// A claim is something that the client filled in and that does not follow from the manifest and the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Proof {
    /// No manifest came with the image, or its name is no digest.
    #[default]
    Nothing,
    /// The manifest hashes to the name; the configuration that it names is missing; there are claims.
    ManifestWithClaims,
    /// The manifest hashes to the name; the configuration that it names is missing.
    Manifest,
    /// The manifest hashes to the name, and the configuration to what the manifest names; there are claims.
    FullWithClaims,
    /// The manifest hashes to the name, and the configuration, where the manifest names one, to what it names.
    Full,
    /// Somebody with the right to create images vouches for it.
    Authority,
}

/// Facts about an image that the API does not show.
///
/// The default is what stored images have that were written before evidence was recorded: nothing is proved, and
/// their layers count as recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// Degree of proof.
    pub proof: Proof,
    /// The blobs that count in `imagestreams/layers`; absent where they are those that the image shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blobs: Option<NamedBlobs>,
    /// The labels and annotations that were set through `images`. Kept only while a proof could replace the image.
    #[serde(skip_serializing_if = "Authored::is_empty")]
    pub authored: Authored,
    /// A proof replaced an unproved form of the image, which is kept for the streams that pushed it.
    pub has_unproved_form: bool,
}

/// The blobs of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamedBlobs {
    /// The layers, lowest first.
    pub layers: Vec<ImageLayer>,
    /// Digest of the configuration, for images that have one.
    pub config: Option<String>,
}

/// Keys of labels and annotations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Authored {
    /// Keys of labels.
    pub labels: BTreeSet<String>,
    /// Keys of annotations.
    pub annotations: BTreeSet<String>,
}

impl Evidence {
    /// The evidence of an image for which somebody with the right to create images vouches.
    pub fn authority() -> Self {
        Self { proof: Proof::Authority, ..Self::default() }
    }

    /// The evidence of an image that was pushed without a manifest that hashes to its name. None of its blobs count.
    pub fn unproved() -> Self {
        Self { blobs: Some(NamedBlobs::default()), ..Self::default() }
    }
}

impl Authored {
    fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }
}
