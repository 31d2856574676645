//! Values as openshift-apiserver stores them: protobuf in the envelope of Kubernetes.
//!
//! Values of older versions are JSON or YAML, and may have the API version `v1` of the time before
//! API groups (`pkg/api/legacy` in openshift-apiserver).

use std::borrow::Cow;

use serde_json::Value;

use crate::api::GROUP_VERSION;
use crate::machinery::go_json::RepeatedKeys;
use crate::machinery::json;
use crate::machinery::protobuf::{
    self, DecodeError, ENVELOPE_TAIL, EncodeError, RuntimeUnknown, TypeMeta, WireError,
};
use crate::machinery::value::{self, object_from};
use crate::meta::Kind;
use crate::meta::protobuf::UnknownFields;

/// The first bytes of a value in protobuf.
const PROTOBUF_PREFIX: &[u8] = b"k8s\0";
/// The first bytes of a value that an encryption provider of kube-apiserver wrote. The name of the
/// provider and of its key follow.
const ENCRYPTED_PREFIX: &[u8] = b"k8s:enc:";
/// The API version of objects from before API groups.
const LEGACY_VERSION: &str = "v1";
/// The longest name of an encryption provider in an error, in bytes.
const MAX_PROVIDER_BYTES: usize = 64;

/// A value that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(in crate::resources) enum StoredValueError {
    /// An encrypted value.
    #[error(
        "the value is encrypted by the provider {provider:?} of kube-apiserver, which this server cannot decrypt: let \
         openshift-apiserver store it again with the provider identity"
    )]
    Encrypted {
        /// Provider and key.
        provider: String,
    },
    /// An object of another kind or version.
    #[error("the value holds {kind:?} of {version:?}, expected {expected} of {GROUP_VERSION}")]
    Kind {
        /// The kind in the value.
        kind: String,
        /// The API version in the value.
        version: String,
        /// The expected kind.
        expected: &'static str,
    },
    /// Malformed protobuf.
    #[error("the protobuf cannot be decoded: {0}")]
    Protobuf(#[from] DecodeError),
    /// Malformed fields of protobuf.
    #[error("the protobuf cannot be decoded: {0}")]
    Wire(#[from] WireError),
    /// Malformed JSON or YAML, or a field with a wrong type.
    #[error("the value cannot be decoded: {0}")]
    Text(String),
    /// An object that protobuf cannot hold.
    #[error("the object cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
}

/// Encodes an object as openshift-apiserver does, byte for byte. Unknown fields follow the known
/// ones.
///
/// # Errors
/// The object does not match its message, or its unknown fields are malformed.
pub(in crate::resources) fn encode<T: Kind>(
    object: &T,
    unknown_fields: &UnknownFields,
) -> Result<Vec<u8>, StoredValueError> {
    let mut object = Cow::Borrowed(object);
    if !object.metadata().resource_version.is_empty() || !object.metadata().self_link.is_empty() {
        let metadata = object.to_mut().metadata_mut();
        metadata.resource_version.clear();
        metadata.self_link.clear();
    }
    let mut json = Vec::with_capacity(2048);
    let head = format!(r#"{{"kind":"{}","apiVersion":"{GROUP_VERSION}""#, T::KIND);
    json::encode_behind(head.as_bytes(), &*object, &mut json);
    let encoded = protobuf::encode_object(T::MESSAGE, &json)?;
    let Some(old) = unknown_fields.message() else { return Ok(encoded) };
    let new = protobuf::decode_envelope(&encoded)?.message;
    let message = protobuf::keep_unknown_fields(T::MESSAGE, old, new)?;
    let type_meta = TypeMeta { api_version: GROUP_VERSION, kind: T::KIND };
    let mut out = protobuf::envelope_head(type_meta, message.len());
    out.extend_from_slice(&message);
    out.extend_from_slice(&ENVELOPE_TAIL);
    Ok(out)
}

/// Decodes a value and sets the defaults of the API.
///
/// # Errors
/// An encrypted value, an object of another kind, or a malformed one.
pub(in crate::resources) fn decode<T: Kind>(
    bytes: &[u8],
) -> Result<(T, UnknownFields), StoredValueError> {
    let mut unknown_fields = UnknownFields::default();
    if let Some(rest) = bytes.strip_prefix(ENCRYPTED_PREFIX) {
        return Err(StoredValueError::Encrypted { provider: provider(rest) });
    }
    let value = if bytes.starts_with(PROTOBUF_PREFIX) {
        let RuntimeUnknown { api_version, kind, message } = protobuf::decode_envelope(bytes)?;
        check_kind::<T>(&kind, &api_version)?;
        if protobuf::has_unknown_fields(T::MESSAGE, message)? {
            unknown_fields = UnknownFields::of(message);
        }
        Value::Object(protobuf::decode_fields(T::MESSAGE, message)?)
    } else {
        let value = match bytes.trim_ascii_start().starts_with(b"{") {
            true => value::parse_json(bytes, RepeatedKeys::Merged),
            false => value::parse_yaml(bytes),
        };
        let value = value.map_err(StoredValueError::Text)?;
        let text = |name| value.get(name).and_then(Value::as_str).unwrap_or_default();
        check_kind::<T>(text("kind"), text("apiVersion"))?;
        value
    };
    let object = object_from(value).map_err(StoredValueError::Text)?;
    Ok((object, unknown_fields))
}

fn check_kind<T: Kind>(kind: &str, version: &str) -> Result<(), StoredValueError> {
    if kind == T::KIND && [GROUP_VERSION, LEGACY_VERSION].contains(&version) {
        return Ok(());
    }
    let (kind, version) = (kind.to_owned(), version.to_owned());
    Err(StoredValueError::Kind { kind, version, expected: T::KIND })
}

/// The name of an encryption provider and of its key, such as `aescbc:v1:key1`.
fn provider(rest: &[u8]) -> String {
    let name = rest.split(|byte| *byte == b':').take(3).collect::<Vec<_>>().join(&b':');
    String::from_utf8_lossy(&name[..name.len().min(MAX_PROVIDER_BYTES)]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::Deserialize;

    use super::*;
    use crate::api::{Image, ImageStream};

    /// A value that openshift-apiserver stored, and the object that it sent.
    #[derive(Deserialize)]
    struct Captured {
        key: String,
        value: String,
        object: Value,
    }

    fn captured() -> Vec<Captured> {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/etcd/values.jsonl");
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `unstored` clears the fields that a read computes.
    fn check<T: Kind>(captured: &Captured, unstored: fn(&mut T), differences: &mut Vec<String>) {
        let Captured { key, value, object } = captured;
        let bytes = STANDARD.decode(value).unwrap();
        let (decoded, unknown_fields) = match decode::<T>(&bytes) {
            Ok(decoded) => decoded,
            Err(why) => return differences.push(format!("{key}: {why}")),
        };
        let [mut sent, mut shown] = [object_from(object.clone()).unwrap(), decoded.clone()];
        sent.metadata_mut().resource_version.clear();
        unstored(&mut sent);
        unstored(&mut shown);
        if shown != sent {
            let (decoded, sent) = (json::encode(&shown), json::encode(&sent));
            let [decoded, sent] = [decoded, sent].map(|json| String::from_utf8(json).unwrap());
            differences.push(format!("{key}\n  decoded {decoded}\n  sent    {sent}"));
        }
        match encode(&decoded, &unknown_fields) {
            Ok(encoded) if encoded == bytes => {}
            Ok(encoded) => differences.push(format!(
                "{key}\n  stored  {}\n  encoded {}",
                bytes.escape_ascii(),
                encoded.escape_ascii()
            )),
            Err(why) => differences.push(format!("{key}: {why}")),
        }
    }

    fn computed(stream: &mut ImageStream) {
        stream.status.docker_image_repository.clear();
        stream.status.public_docker_image_repository.clear();
    }

    #[test]
    fn captured_values_decode_and_encode_to_themselves() {
        let all = captured();
        assert!(all.len() >= 400, "{}", all.len());
        let mut differences = Vec::new();
        for captured in &all {
            match captured.key.contains("/images/") {
                true => check::<Image>(captured, |_| {}, &mut differences),
                false => check::<ImageStream>(captured, computed, &mut differences),
            }
        }
        let count = differences.len();
        differences.truncate(5);
        assert!(differences.is_empty(), "{count} values differ:\n{}", differences.join("\n"));
    }

    #[test]
    fn values_of_older_versions_are_read() {
        let stream = "metadata: {name: s, namespace: ns}\nspec: {tags: [{name: t}]}\n";
        for text in [
            format!("kind: ImageStream\napiVersion: v1\n{stream}"),
            format!("kind: ImageStream\napiVersion: image.openshift.io/v1\n{stream}"),
            r#"{"kind":"ImageStream","apiVersion":"v1","metadata":{"name":"s","namespace":"ns"},"spec":{"tags":[{"name":"t"}]},"future":1}"#
                .to_owned(),
        ] {
            let (stream, _) = decode::<ImageStream>(text.as_bytes()).unwrap();
            assert_eq!((&*stream.metadata.name, &*stream.spec.tags[0].name), ("s", "t"));
            assert_eq!(stream.spec.tags[0].reference_policy.r#type, "Source");
        }
    }

    #[test]
    fn values_that_cannot_be_read_are_named() {
        let error = |bytes: &[u8]| decode::<Image>(bytes).unwrap_err().to_string();
        assert!(error(b"k8s:enc:aescbc:v1:key1:\x01\x02").contains("\"aescbc:v1:key1\""));
        let stream = encode(&ImageStream::default(), &UnknownFields::default()).unwrap();
        assert_eq!(
            error(&stream),
            "the value holds \"ImageStream\" of \"image.openshift.io/v1\", expected Image of image.openshift.io/v1"
        );
        assert!(error(b"k8s\0\x12\x05a").contains("unexpected EOF"));
    }

    #[test]
    fn unknown_fields_survive_a_rewrite() {
        let mut image = Image::default();
        image.metadata.name = "i".into();
        let known = encode(&image, &UnknownFields::default()).unwrap();
        let mut message = protobuf::decode_envelope(&known).unwrap().message.to_vec();
        message.extend(b"\xfa\x01\x03new");
        let (mut image, unknown_fields) = {
            let type_meta = TypeMeta { api_version: GROUP_VERSION, kind: Image::KIND };
            let mut value = protobuf::envelope_head(type_meta, message.len());
            value.extend(message);
            value.extend(ENVELOPE_TAIL);
            decode::<Image>(&value).unwrap()
        };
        image.docker_image_reference = "r".into();
        let rewritten = encode(&image, &unknown_fields).unwrap();
        let message = protobuf::decode_envelope(&rewritten).unwrap().message;
        assert!(message.ends_with(b"\xfa\x01\x03new"), "{}", message.escape_ascii());
        assert_eq!(decode::<Image>(&rewritten).unwrap().0.docker_image_reference, "r");
    }

    #[test]
    fn resource_version_is_not_stored() {
        let mut image = Image::default();
        let expected = encode(&image, &UnknownFields::default()).unwrap();
        image.metadata.resource_version = "7".into();
        assert_eq!(encode(&image, &UnknownFields::default()).unwrap(), expected);
    }
}
