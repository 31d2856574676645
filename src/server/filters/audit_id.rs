//! The audit ID, which names a request in logs, audit events and the response.

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// The longest accepted audit ID of a client, in bytes.
const MAX_BYTES: usize = 64;

/// The audit ID of the client, or a new one if that is not plain and short.
pub(super) fn of(headers: &HeaderMap) -> HeaderValue {
    headers.get(AUDIT_ID).filter(|id| is_acceptable(id)).cloned().unwrap_or_else(generate)
}

/// Adds the audit ID to a response.
pub(super) fn set(response: &mut Response, mut audit_id: HeaderValue) {
    // HPACK keeps no sensitive value in its table. Each response has another ID, which would evict
    // the headers that all responses have in common.
    audit_id.set_sensitive(true);
    response.headers_mut().insert(AUDIT_ID, audit_id);
}

fn is_acceptable(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    (1..=MAX_BYTES).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

fn generate() -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    HeaderValue::from_str(uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text))
        .expect("a UUID is plain ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_id_stays_out_of_the_table_of_hpack() {
        let mut response = Response::default();
        set(&mut response, HeaderValue::from_static("id"));
        assert!(response.headers()[AUDIT_ID].is_sensitive());
    }

    #[test]
    fn an_audit_id_is_short_and_plain() {
        let (longest, too_long) = ("x".repeat(64), "x".repeat(65));
        for (id, is_kept) in [
            ("my-own-ID-7", true),
            (&longest, true),
            (&too_long, false),
            ("", false),
            ("a b", false),
            ("a_b", false),
            ("a\u{e4}", false),
        ] {
            let id = HeaderValue::from_bytes(id.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(AUDIT_ID, id.clone())]);
            assert_eq!(of(&headers) == id, is_kept, "{id:?}");
        }
        assert_eq!(of(&HeaderMap::new()).len(), uuid::fmt::Hyphenated::LENGTH);
    }
}
