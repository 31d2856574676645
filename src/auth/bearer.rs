//! The bearer token of a request, wherever Kubernetes lets it stand.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};

/// What a request shows of a bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bearer {
    /// Nothing; another scheme and an empty token count as nothing.
    Absent,
    /// A token behind more than one space, which is ignored.
    Spaced,
    /// A token.
    Token(String),
}

/// The beginning of the sub-protocol by which browsers, which can set no header there, authenticate a WebSocket.
const PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// The token in the header `Authorization`.
pub(super) fn of_header(headers: &HeaderMap) -> Bearer {
    // A token that is no text is still one, and a bad one.
    let value = headers.get(header::AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
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

/// The token among the sub-protocols of a WebSocket; an error where it is unreadable, stands there twice, or alone.
pub(super) fn of_websocket(headers: &HeaderMap) -> Result<Option<String>, ()> {
    if !is_websocket(headers) {
        return Ok(None);
    }
    let protocols = protocols(headers);
    let tokens: Vec<&str> = protocols.iter().filter_map(|each| each.strip_prefix(PROTOCOL)).collect();
    match tokens[..] {
        [] => Ok(None),
        // The server answers with one of the protocols, which must not be the token.
        [_] if protocols.len() == 1 => Err(()),
        [encoded] => {
            let token = URL_SAFE_NO_PAD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            token.filter(|token| !token.is_empty()).map(Some).ok_or(())
        }
        _ => Err(()),
    }
}

/// Takes the token out of the sub-protocols, so that the rest can be agreed on.
pub(super) fn strip(headers: &mut HeaderMap) {
    headers.remove(header::AUTHORIZATION);
    let protocols = protocols(headers);
    if protocols.iter().any(|each| each.starts_with(PROTOCOL)) {
        headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        let rest: Vec<&str> = protocols.iter().map(String::as_str).filter(|each| !each.starts_with(PROTOCOL)).collect();
        if let Ok(value) = HeaderValue::try_from(rest.join(","))
            && !rest.is_empty()
        {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
    }
}

/// Whether a request wishes to go on by WebSocket.
pub fn is_websocket(headers: &HeaderMap) -> bool {
    let holds = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(word))
    };
    holds(header::CONNECTION, "upgrade") && holds(header::UPGRADE, "websocket")
}

fn protocols(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|each| each.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &'static str) -> Bearer {
        of_header(&HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]))
    }

    #[test]
    fn the_scheme_may_be_written_in_any_case() {
        assert_eq!(header("Bearer secret"), Bearer::Token("secret".into()));
        assert_eq!(header("bearer secret"), Bearer::Token("secret".into()));
        assert_eq!(header("  BEARER secret more"), Bearer::Token("secret".into()));
    }

    #[test]
    fn what_is_no_bearer_token_counts_as_nothing() {
        for value in ["", "Basic x", "Bearer", "Bearer ", "Bearersecret"] {
            assert_eq!(header(value), Bearer::Absent, "{value:?}");
        }
        assert_eq!(of_header(&HeaderMap::new()), Bearer::Absent);
        assert_eq!(header("Bearer  secret"), Bearer::Spaced);
        let no_text = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").unwrap())]);
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
    fn a_websocket_carries_the_token_as_a_protocol() {
        let mut headers = websocket("v1, base64url.bearer.authorization.k8s.io.c2VjcmV0");
        assert_eq!(of_websocket(&headers), Ok(Some("secret".into())));
        strip(&mut headers);
        assert_eq!(headers[header::SEC_WEBSOCKET_PROTOCOL], "v1");
        headers.remove(header::UPGRADE);
        assert_eq!(of_websocket(&headers), Ok(None));
    }

    #[test]
    fn a_token_that_is_unreadable_or_there_twice_is_wrong() {
        let twice = "base64url.bearer.authorization.k8s.io.YQ,base64url.bearer.authorization.k8s.io.YQ";
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
