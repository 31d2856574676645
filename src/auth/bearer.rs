//! Bearer tokens in the headers of a request.
//!
//! As `bearertoken.go` and `websocket/protocol.go` in
//! `k8s.io/apiserver/pkg/authentication/request`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};

/// Bearer token of the `Authorization` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bearer {
    /// No token, an empty token, or another scheme.
    Absent,
    /// Token after more than one space, which is ignored.
    Spaced,
    /// Token.
    Token(String),
}

/// Prefix of the WebSocket subprotocol that carries a token. Browsers cannot set the
/// `Authorization` header of a WebSocket.
const PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// Bearer token of the `Authorization` header.
pub(super) fn of_header(headers: &HeaderMap) -> Bearer {
    let value =
        headers.get(header::AUTHORIZATION).map(|value| match str::from_utf8(value.as_bytes()) {
            Ok(text) => Cow::Borrowed(text),
            // A token that is not UTF-8 is an invalid token, not a missing one.
            Err(_) => String::from_utf8_lossy(value.as_bytes()),
        });
    let Some((scheme, rest)) = value.as_deref().unwrap_or_default().trim().split_once(' ') else {
        return Bearer::Absent;
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Bearer::Absent;
    }
    match rest.split(' ').next().unwrap_or_default() {
        "" if rest.trim().is_empty() => Bearer::Absent,
        "" => Bearer::Spaced,
        token => Bearer::Token(token.to_owned()),
    }
}

/// Bearer token of the WebSocket subprotocols; `None` without one.
///
/// # Errors
/// The token is malformed, is repeated, or is the only subprotocol.
pub(super) fn of_websocket(headers: &HeaderMap) -> Result<Option<String>, ()> {
    if !is_websocket(headers) {
        return Ok(None);
    }
    let protocols = protocols(headers);
    let tokens: Vec<&str> =
        protocols.iter().filter_map(|each| each.strip_prefix(PROTOCOL)).collect();
    match tokens[..] {
        [] => Ok(None),
        // The server selects one of the subprotocols, and must not send the token back.
        [_] if protocols.len() == 1 => Err(()),
        [encoded] => {
            let token = URL_SAFE_NO_PAD
                .decode(encoded)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            token.filter(|token| !token.is_empty()).map(Some).ok_or(())
        }
        _ => Err(()),
    }
}

/// Removes the token from `Authorization` and from the WebSocket subprotocols.
pub(super) fn strip(headers: &mut HeaderMap) {
    headers.remove(header::AUTHORIZATION);
    let protocols = protocols(headers);
    if protocols.iter().any(|each| each.starts_with(PROTOCOL)) {
        headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        let rest: Vec<&str> = protocols
            .iter()
            .map(String::as_str)
            .filter(|each| !each.starts_with(PROTOCOL))
            .collect();
        if let Ok(value) = HeaderValue::try_from(rest.join(","))
            && !rest.is_empty()
        {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
    }
}

/// Returns true if a request upgrades to a WebSocket.
pub fn is_websocket(headers: &HeaderMap) -> bool {
    let holds = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(word))
    };
    // Few requests have an `Upgrade` header, and many a `Connection` header.
    holds(header::UPGRADE, "websocket") && holds(header::CONNECTION, "upgrade")
}

fn protocols(headers: &HeaderMap) -> Vec<String> {
    let values = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|each| each.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &'static str) -> Bearer {
        of_header(&HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]))
    }

    #[test]
    fn scheme_is_case_insensitive() {
        assert_eq!(header("Bearer secret"), Bearer::Token("secret".into()));
        assert_eq!(header("bearer secret"), Bearer::Token("secret".into()));
        assert_eq!(header("  BEARER secret more"), Bearer::Token("secret".into()));
    }

    #[test]
    fn other_schemes_and_empty_tokens_are_absent() {
        for value in ["", "Basic x", "Bearer", "Bearer ", "Bearersecret"] {
            assert_eq!(header(value), Bearer::Absent, "{value:?}");
        }
        assert_eq!(of_header(&HeaderMap::new()), Bearer::Absent);
        assert_eq!(header("Bearer  secret"), Bearer::Spaced);
        let no_text = HeaderMap::from_iter([(
            header::AUTHORIZATION,
            HeaderValue::from_bytes(b"Bearer \xff").unwrap(),
        )]);
        assert!(matches!(of_header(&no_text), Bearer::Token(_)));
    }

    fn websocket(protocols: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocols)),
        ])
    }

    #[test]
    fn websocket_subprotocol_carries_the_token() {
        let mut headers = websocket("v1, base64url.bearer.authorization.k8s.io.c2VjcmV0");
        assert_eq!(of_websocket(&headers), Ok(Some("secret".into())));
        strip(&mut headers);
        assert_eq!(headers[header::SEC_WEBSOCKET_PROTOCOL], "v1");
        headers.remove(header::UPGRADE);
        assert_eq!(of_websocket(&headers), Ok(None));
    }

    #[test]
    fn malformed_or_repeated_websocket_token_is_an_error() {
        let twice =
            "base64url.bearer.authorization.k8s.io.YQ,base64url.bearer.authorization.k8s.io.YQ";
        for protocols in [
            twice,
            "v1,base64url.bearer.authorization.k8s.io.?",
            "v1,base64url.bearer.authorization.k8s.io.",
            "base64url.bearer.authorization.k8s.io.c2VjcmV0",
        ] {
            assert_eq!(of_websocket(&websocket(protocols)), Err(()), "{protocols}");
        }
        assert_eq!(of_websocket(&websocket("v1")), Ok(None));
    }
}
