//! Signed schema 1 manifests: extraction of the signed payload, to which the digest refers.
//!
//! Signatures are not verified; they are obsolete.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

#[derive(Deserialize)]
struct SignedManifest {
    signatures: Vec<ManifestSignature>,
}

#[derive(Deserialize)]
struct ManifestSignature {
    protected: String,
}

/// Protected header of a signature: length and end of the payload.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProtectedHeader {
    format_length: usize,
    format_tail: String,
}

/// Returns the signed payload, without signatures. `None` if `manifest` is not signed.
pub fn payload(manifest: &str) -> Option<Vec<u8>> {
    let signed: SignedManifest = json(manifest.as_bytes())?;
    let protected = &signed.signatures.first()?.protected;
    let header: ProtectedHeader = json(&URL_SAFE_NO_PAD.decode(protected).ok()?)?;
    let mut payload = manifest.as_bytes().get(..header.format_length)?.to_vec();
    payload.extend(URL_SAFE_NO_PAD.decode(header.format_tail).ok()?);
    Some(payload)
}

/// Returns true if `manifest` equals `payload` plus signatures.
///
/// The payload ends where the signatures begin. Fields after them, or with a name that differs only
/// in case, would otherwise pass as signed.
pub fn is_signed_form(manifest: &str, payload: &[u8]) -> bool {
    let fields =
        |text: &[u8]| -> Option<Vec<(String, Value)>> { Some(json::<OrderedFields>(text)?.0) };
    let (Some(mut all), Some(signed)) = (fields(manifest.as_bytes()), fields(payload)) else {
        return false;
    };
    all.retain(|(name, _)| name != "signatures");
    all == signed
}

/// Fields of an object in order, including repeated ones.
struct OrderedFields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for OrderedFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = OrderedFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OrderedFields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(OrderedFields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

fn json<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}

/// Inserts a signature before the last two characters of `text`, which ends in `}`.
#[cfg(test)]
pub(crate) fn sign(text: &str) -> String {
    let (head, tail) = text.split_at(text.len() - 2);
    let tail = URL_SAFE_NO_PAD.encode(tail);
    let protected = format!(r#"{{"formatLength":{},"formatTail":"{tail}"}}"#, head.len());
    let protected = URL_SAFE_NO_PAD.encode(protected);
    format!(r#"{head},"signatures":[{{"protected":"{protected}"}}]}}"#)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn payload_is_restored_byte_for_byte() {
        let text = "{\n \"schemaVersion\": 1\n}";
        assert_eq!(payload(&sign(text)).unwrap(), text.as_bytes());
    }

    #[test]
    fn unsigned_text_has_no_payload() {
        for text in ["", "{}", r#"{"signatures":[]}"#, r#"{"signatures":[{"protected":"!"}]}"#] {
            assert_eq!(payload(text), None, "{text}");
        }
        let beyond = URL_SAFE_NO_PAD.encode(r#"{"formatLength":1000,"formatTail":""}"#);
        assert_eq!(payload(&format!(r#"{{"signatures":[{{"protected":"{beyond}"}}]}}"#)), None);
    }

    proptest! {
        #[test]
        fn any_text_has_a_payload_or_none(text in "\\PC*", header in "\\PC*") {
            let protected = URL_SAFE_NO_PAD.encode(header);
            let _ = (payload(&text), payload(&format!(r#"{{"signatures":[{{"protected":"{protected}"}}]}}"#)));
        }
    }
}
