//! `ResponseError`: an HTTP response of a registry or token server that reports an error.
//!
//! The texts are those of github.com/distribution/distribution registry/api/errcode and
//! internal/client/errors.go, except that bodies of other formats are not quoted: they may come
//! from a service that is no registry.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::challenge::Challenge;
use super::limits::cut;

/// Maximum number of errors of a response in messages.
const MAX_ERRORS: usize = 8;

/// An error response, with the parts of its body that messages may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseError {
    status: StatusCode,
    errors: Vec<ApiError>,
    retry_after: Option<Duration>,
}

/// An entry of `errors` in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Code.
    pub code: ErrorCode,
    /// Message, cut; none if it says no more than the code.
    pub message: Option<String>,
}

/// Standard code of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(&'static str);

/// Codes with their standard messages, as in errcode/register.go and api/v2/errors.go.
const CODES: [(ErrorCode, &str); 16] = [
    (ErrorCode::UNKNOWN, "unknown error"),
    (ErrorCode("UNSUPPORTED"), "The operation is unsupported."),
    (ErrorCode::UNAUTHORIZED, "authentication required"),
    (ErrorCode::DENIED, "requested access to the resource is denied"),
    (ErrorCode("UNAVAILABLE"), "service unavailable"),
    (ErrorCode::TOO_MANY_REQUESTS, "too many requests"),
    (ErrorCode("DIGEST_INVALID"), "provided digest did not match uploaded content"),
    (ErrorCode("SIZE_INVALID"), "provided length did not match content length"),
    (ErrorCode("NAME_INVALID"), "invalid repository name"),
    (ErrorCode("TAG_INVALID"), "manifest tag did not match URI"),
    (ErrorCode::NAME_UNKNOWN, "repository name not known to registry"),
    (ErrorCode::MANIFEST_UNKNOWN, "manifest unknown"),
    (ErrorCode("MANIFEST_INVALID"), "manifest invalid"),
    (ErrorCode("MANIFEST_UNVERIFIED"), "manifest failed signature verification"),
    (ErrorCode("MANIFEST_BLOB_UNKNOWN"), "blob unknown to registry"),
    (ErrorCode::BLOB_UNKNOWN, "blob unknown to registry"),
];

impl ErrorCode {
    /// Any other code.
    pub const UNKNOWN: Self = Self("UNKNOWN");
    /// Credentials are missing or invalid.
    pub const UNAUTHORIZED: Self = Self("UNAUTHORIZED");
    /// Credentials are insufficient.
    pub const DENIED: Self = Self("DENIED");
    /// Rate limit.
    pub const TOO_MANY_REQUESTS: Self = Self("TOOMANYREQUESTS");
    /// Unknown repository.
    pub const NAME_UNKNOWN: Self = Self("NAME_UNKNOWN");
    /// Unknown tag or digest.
    pub const MANIFEST_UNKNOWN: Self = Self("MANIFEST_UNKNOWN");
    /// Unknown blob.
    pub const BLOB_UNKNOWN: Self = Self("BLOB_UNKNOWN");

    fn parse(text: &str) -> (Self, &'static str) {
        CODES.into_iter().find(|(code, _)| code.0 == text).unwrap_or(CODES[0])
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<BodyError>,
    #[serde(default)]
    details: Option<String>,
}

#[derive(Deserialize)]
struct BodyError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    detail: Option<Value>,
}

impl ResponseError {
    /// Reads an error response with the start of its body. `absent` is the code of a response with
    /// the status 404 and without a body, such as the response to HEAD.
    pub(super) fn new(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        absent: ErrorCode,
    ) -> Self {
        let mut errors = Vec::new();
        // Other statuses are reported as they are, as by HandleErrorResponse.
        if status.is_client_error() {
            errors.extend(challenge_error(headers));
            errors.extend(body_errors(status, body));
        }
        if errors.is_empty() {
            errors.extend(implied(status, body, absent));
        }
        errors.truncate(MAX_ERRORS);
        Self { status, errors, retry_after: retry_after(headers) }
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the errors in the body.
    pub fn errors(&self) -> &[ApiError] {
        &self.errors
    }

    /// Returns the time in the header `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns true if one of the errors has this code.
    pub fn has(&self, code: ErrorCode) -> bool {
        self.errors.iter().any(|error| error.code == code)
    }
}

/// The error of RFC 6750 in the challenge of a response.
fn challenge_error(headers: &HeaderMap) -> Option<ApiError> {
    let challenges = Challenge::all(headers);
    challenges.iter().find_map(|challenge| {
        let Challenge::Bearer(bearer) = challenge else { return None };
        let (code, message) = match bearer.error.as_deref()? {
            "invalid_token" => ErrorCode::parse("UNAUTHORIZED"),
            "insufficient_scope" => ErrorCode::parse("DENIED"),
            _ => return None,
        };
        let message = bearer.error_description.as_deref().unwrap_or(message);
        Some(ApiError { code, message: Some(cut(message)) })
    })
}

fn body_errors(status: StatusCode, body: &[u8]) -> Vec<ApiError> {
    let Ok(body) = serde_json::from_slice::<Body>(body) else { return Vec::new() };
    // An older form.
    if let Some(details) = body.details.filter(|details| !details.is_empty()) {
        let (code, standard) = ErrorCode::parse(match status {
            StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
            StatusCode::FORBIDDEN => "DENIED",
            StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
            _ => "UNKNOWN",
        });
        let message = (details != standard).then(|| cut(&details));
        return vec![ApiError { code, message }];
    }
    let error = |BodyError { code, message, detail }: BodyError| {
        let (code, standard) = ErrorCode::parse(&code);
        let adds =
            detail.is_some_and(|it| !it.is_null()) || !(message.is_empty() || message == standard);
        ApiError { code, message: adds.then(|| cut(&message)) }
    };
    body.errors.into_iter().take(MAX_ERRORS).map(error).collect()
}

/// The error that the status implies if the body has none.
fn implied(status: StatusCode, body: &[u8], absent: ErrorCode) -> Option<ApiError> {
    let code = match status {
        StatusCode::UNAUTHORIZED => ErrorCode::UNAUTHORIZED,
        StatusCode::TOO_MANY_REQUESTS => ErrorCode::TOO_MANY_REQUESTS,
        StatusCode::FORBIDDEN if body.is_empty() => ErrorCode::DENIED,
        StatusCode::NOT_FOUND if body.is_empty() => absent,
        _ => return None,
    };
    let message = (status == StatusCode::UNAUTHORIZED).then(|| "authentication required".into());
    Some(ApiError { code, message })
}

/// Returns the time in the header `Retry-After`. A date counts from that of the response, so that
/// the clock of the server need not be right.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let value = text(header::RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text| jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp());
    let pause = date(value)?.duration_since(date(text(header::DATE)?)?);
    Duration::try_from(pause).ok()
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_ascii_lowercase().replace('_', " "))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.code),
            None => self.code.fmt(f),
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.as_slice() {
            [] if self.status.is_client_error() => write!(
                f,
                "error parsing HTTP {} response body: it has no errors of a registry in JSON",
                self.status.as_u16()
            ),
            [] => write!(f, "received unexpected HTTP status: {}", self.status),
            [error] => error.fmt(f),
            errors => {
                f.write_str("errors:\n")?;
                errors.iter().try_for_each(|error| writeln!(f, "{error}"))
            }
        }
    }
}

impl std::error::Error for ResponseError {}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn text(status: u16, body: &str) -> String {
        error(status, &HeaderMap::new(), body).to_string()
    }

    fn error(status: u16, headers: &HeaderMap, body: &str) -> ResponseError {
        let status = StatusCode::from_u16(status).unwrap();
        ResponseError::new(status, headers, body.as_bytes(), ErrorCode::MANIFEST_UNKNOWN)
    }

    #[test]
    fn texts_are_those_of_the_reference() {
        let body = |code: &str, message: &str| {
            format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#)
        };
        for (status, body, expected) in [
            (404, body("NAME_UNKNOWN", "repository name not known to registry"), "name unknown"),
            (
                403,
                body("DENIED", "requested access is denied"),
                "denied: requested access is denied",
            ),
            (400, body("FOO", "bad thing"), "unknown: bad thing"),
            (429, body("TOOMANYREQUESTS", "slow down"), "toomanyrequests: slow down"),
            (429, body("TOOMANYREQUESTS", "too many requests"), "toomanyrequests"),
            (429, r#"{"details":"later"}"#.into(), "toomanyrequests: later"),
            (429, "<html>".into(), "toomanyrequests"),
            (401, body("UNAUTHORIZED", "authentication required"), "unauthorized"),
            (401, String::new(), "unauthorized: authentication required"),
            (404, String::new(), "manifest unknown"),
            (
                500,
                body("UNKNOWN", "x"),
                "received unexpected HTTP status: 500 Internal Server Error",
            ),
        ] {
            assert_eq!(text(status, &body), expected, "{status} {body}");
        }
        let two = r#"{"errors":[{"code":"DENIED"},{"code":"UNKNOWN","message":"m"}]}"#;
        assert_eq!(text(403, two), "errors:\ndenied\nunknown: m\n");
        let detail = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#;
        assert_eq!(text(404, detail), "manifest unknown: manifest unknown");
    }

    #[test]
    fn foreign_bodies_are_not_quoted_and_texts_are_cut() {
        let html = text(403, "<html>secret</html>");
        assert!(html.starts_with("error parsing HTTP 403 response body: "), "{html}");
        assert!(!html.contains("secret"), "{html}");
        let long = format!(r#"{{"errors":[{{"code":"DENIED","message":"{}"}}]}}"#, "é".repeat(500));
        assert_eq!(text(403, &long), format!("denied: {}...", "é".repeat(128)));
    }

    #[test]
    fn headers_add_retry_time_and_reason() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        assert_eq!(error(429, &headers, "").retry_after(), Some(Duration::from_secs(7)));
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        headers.insert(header::RETRY_AFTER, date);
        assert_eq!(error(429, &headers, "").retry_after(), None, "the response has no date");
        let sent = HeaderValue::from_static("Sun, 06 Nov 1994 08:48:07 GMT");
        headers.insert(header::DATE, sent);
        assert_eq!(error(429, &headers, "").retry_after(), Some(Duration::from_secs(90)));
        let challenge = r#"Bearer realm="https://t/",error="insufficient_scope""#;
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        let denied = error(401, &headers, "");
        assert_eq!(denied.to_string(), "denied: requested access to the resource is denied");
        assert!(denied.has(ErrorCode::DENIED) && !denied.has(ErrorCode::UNAUTHORIZED));
    }
}
