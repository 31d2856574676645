//! `ImageSignature`: who vouches for an image.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{nulls, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Base64, Kind, ObjectMeta, Time};

/// A signature of an image and what verifying it found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageSignature")]
pub struct ImageSignature {
    /// Standard object metadata; the name is `<image name>@<signature name>`.
    pub metadata: ObjectMeta,
    /// Kind of signature, such as `AtomicImageV1`.
    #[schemars(extend("required" = true))]
    pub r#type: String,
    /// The signature itself, base64 encoded.
    #[schemars(with = "Base64", extend("required" = true))]
    #[serde(serialize_with = "bytes_or_null", deserialize_with = "nulls::or_empty")]
    pub content: ByteString,
    /// What is known of the signature's state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-patch-strategy" = "merge",
        "x-kubernetes-patch-merge-key" = "type"
    ))]
    pub conditions: Vec<SignatureCondition>,
    /// The image reference that the signer signed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_identity: String,
    /// What else the signer claims.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub signed_claims: BTreeMap<String, String>,
    /// When the signature was made, as the signer says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// Who issued the signing certificate or key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_by: Option<SignatureIssuer>,
    /// Whom the signing certificate or key was issued to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_to: Option<SignatureSubject>,
}

/// One statement about a signature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.SignatureCondition")]
pub struct SignatureCondition {
    /// What the statement is about, such as `Trusted` or `ForImage`.
    #[schemars(extend("required" = true))]
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    #[schemars(extend("required" = true))]
    pub status: String,
    /// When it was last checked.
    pub last_probe_time: Option<Time>,
    /// When it last changed.
    pub last_transition_time: Option<Time>,
    /// Reason of the last change, for programs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Reason of the last change, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Who issued a signing certificate or key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.SignatureIssuer")]
pub struct SignatureIssuer {
    /// Organization of the issuer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub organization: String,
    /// Common name of the issuer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub common_name: String,
}

/// Whom a signing certificate or key was issued to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.SignatureSubject")]
pub struct SignatureSubject {
    /// Organization of the holder.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub organization: String,
    /// Common name of the holder.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub common_name: String,
    /// Identifier of the public key that verifies the signature.
    #[serde(rename = "publicKeyID")]
    pub public_key_id: String,
}

object!(ImageSignature);

impl Kind for ImageSignature {
    const KIND: &'static str = "ImageSignature";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_SIGNATURE;
}

/// No content is `null` on the wire, not an empty string.
fn bytes_or_null<S: serde::Serializer>(content: &ByteString, serializer: S) -> Result<S::Ok, S::Error> {
    match content.0.is_empty() {
        true => serializer.serialize_none(),
        false => content.serialize(serializer),
    }
}
