//! Signed schema 1 manifests: the text that was signed, which is what their digest is of.
//!
//! The signatures themselves are not verified; nobody trusts them any more.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};

#[derive(Deserialize)]
struct Signed {
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    protected: String,
}

/// How the signed text continues where the signatures were put in.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format {
    format_length: usize,
    format_tail: String,
}

/// The text that was signed, without the signatures in it; `None` if `manifest` is not signed.
pub fn payload(manifest: &str) -> Option<Vec<u8>> {
    let signed: Signed = json(manifest.as_bytes())?;
    let protected = &signed.signatures.first()?.protected;
    let format: Format = json(&URL_SAFE_NO_PAD.decode(protected).ok()?)?;
    let mut payload = manifest.as_bytes().get(..format.format_length)?.to_vec();
    payload.extend(URL_SAFE_NO_PAD.decode(format.format_tail).ok()?);
    Some(payload)
}

fn json<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `text`, which ends in `}`, with a signature put in before its last two letters.
    fn sign(text: &str) -> String {
        let (head, tail) = text.split_at(text.len() - 2);
        let tail = URL_SAFE_NO_PAD.encode(tail);
        let protected = format!(r#"{{"formatLength":{},"formatTail":"{tail}"}}"#, head.len());
        let protected = URL_SAFE_NO_PAD.encode(protected);
        format!(r#"{head},"signatures":[{{"protected":"{protected}"}}]}}"#)
    }

    #[test]
    fn the_signed_text_is_restored_to_the_byte() {
        let text = "{\n \"schemaVersion\": 1\n}";
        assert_eq!(payload(&sign(text)).unwrap(), text.as_bytes());
    }

    #[test]
    fn what_is_not_signed_has_no_payload() {
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
