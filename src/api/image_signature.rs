//! `ImageSignature`: a signature of an image.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{nulls, object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Base64, Kind, ObjectMeta, Time};

/// ImageSignature is a signature of an image, with the result of its verification.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.ImageSignature")]
pub struct ImageSignature {
    /// Standard object metadata. The name has the form `<image name>@<signature name>`.
    pub metadata: ObjectMeta,
    /// Type is the type of the signature, such as `AtomicImageV1`.
    #[schemars(extend("required" = true))]
    pub r#type: String,
    /// Content is the signature as an opaque, base64-encoded value.
    #[schemars(with = "Base64", extend("required" = true, "nullable" = true))]
    #[serde(serialize_with = "bytes_or_null", deserialize_with = "nulls::or_empty")]
    pub content: ByteString,
    /// Conditions is the list of the latest observations of the signature's state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-patch-strategy" = "merge",
        "x-kubernetes-patch-merge-key" = "type"
    ))]
    pub conditions: Vec<SignatureCondition>,
    /// ImageIdentity is the pull spec that the signer signed. It shows the registry and repository
    /// from which the image comes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_identity: String,
    /// SignedClaims is a map of further claims of the signer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub signed_claims: BTreeMap<String, String>,
    /// Created is the time at which the signature was created, according to the signer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// IssuedBy describes the issuer of the signing certificate or key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_by: Option<SignatureIssuer>,
    /// IssuedTo describes the holder of the signing certificate or key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_to: Option<SignatureSubject>,
}

/// SignatureCondition is the state of a signature at a point in time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.SignatureCondition")]
pub struct SignatureCondition {
    /// Type is the type of the condition: `Trusted` or `ForImage`.
    #[schemars(extend("required" = true))]
    pub r#type: String,
    /// Status is the status of the condition: `True`, `False` or `Unknown`.
    #[schemars(extend("required" = true))]
    pub status: String,
    /// LastProbeTime is the time at which the condition was last checked.
    pub last_probe_time: Option<Time>,
    /// LastTransitionTime is the time at which the status last changed.
    pub last_transition_time: Option<Time>,
    /// Reason is a brief, machine-readable reason for the last transition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Message is a human-readable description of the last transition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// SignatureIssuer describes the issuer of a signing certificate or key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.SignatureIssuer")]
pub struct SignatureIssuer {
    /// Organization is the name of the issuer's organization.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub organization: String,
    /// CommonName is the common name of the issuer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub common_name: String,
}

/// SignatureSubject describes the holder of a signing certificate or key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.SignatureSubject")]
pub struct SignatureSubject {
    /// Organization is the name of the holder's organization.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub organization: String,
    /// CommonName is the common name of the holder.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub common_name: String,
    /// PublicKeyID is the ID of the public key that verifies the signature.
    #[serde(rename = "publicKeyID")]
    pub public_key_id: String,
}

object!(ImageSignature);

impl Kind for ImageSignature {
    const KIND: &'static str = "ImageSignature";
    const MESSAGE: &'static MessageDescriptor = &protobuf::IMAGE_SIGNATURE;
}

/// Writes empty content as `null`, as Go does with a nil slice.
fn bytes_or_null<S: serde::Serializer>(
    content: &ByteString,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match content.0.is_empty() {
        true => serializer.serialize_none(),
        false => content.serialize(serializer),
    }
}
