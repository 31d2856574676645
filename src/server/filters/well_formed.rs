//! The rules of HTTP that hyper does not check.

use axum::extract::Request;
use http::{HeaderValue, Uri, Version, header};

use crate::meta::Status;

/// The longest path with its query, in bytes. The limit of the crate `http` is 65,534 bytes; a
/// request beyond it cannot be answered with a status.
const MAX_URL_BYTES: usize = 60 << 10;

/// Checks the length of the URL and the `Host` header.
///
/// # Errors
/// 414 for a URL over the limit. 400 for a request of HTTP/1.1 without exactly one valid `Host`
/// (RFC 9112, section 3.2; `readRequest` in Go's net/http/server.go).
pub(super) fn check(request: &Request) -> Result<(), Status> {
    let length = length(request.uri());
    if length > MAX_URL_BYTES {
        let text = format!(
            "the URL has {length} bytes, the limit is {MAX_URL_BYTES}: use a shorter name, selector or query"
        );
        return Err(Status::failure(414, "RequestURITooLong", text));
    }
    if request.version() != Version::HTTP_11 {
        return Ok(());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Err(Status::bad_request("missing required Host header")),
        (Some(_), Some(_)) => Err(Status::bad_request("too many Host headers")),
        (Some(host), None) if !is_host(host) => Err(Status::bad_request("malformed Host header")),
        _ => Ok(()),
    }
}

fn length(uri: &Uri) -> usize {
    uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// Returns true for a valid `Host`, also an empty one (`ValidHostHeader` in
/// golang.org/x/net/http/httpguts).
fn is_host(host: &HeaderValue) -> bool {
    // `$` to `.` are the characters $%&'()*+,-. in a row; ranges compare each byte in a few
    // instructions.
    let is_allowed = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'$'..=b'.' | b':' | b';' | b'=' | b'[' | b']' | b'_' | b'~')
    };
    host.as_bytes().iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn code(url: &str, version: Version, hosts: &[&str]) -> u16 {
        let mut request = Request::builder().uri(url).version(version);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        check(&request.body(Body::empty()).unwrap()).map_or_else(|status| status.code, |()| 200)
    }

    #[test]
    fn a_request_of_http_1_1_has_one_readable_host() {
        for (version, hosts, wanted) in [
            (Version::HTTP_11, &["a.example:8443"][..], 200),
            (Version::HTTP_11, &["[::1]:8443"], 200),
            (Version::HTTP_11, &[""], 200),
            (Version::HTTP_11, &[], 400),
            (Version::HTTP_11, &["a", "a"], 400),
            (Version::HTTP_11, &["a b"], 400),
            (Version::HTTP_11, &["user@a"], 400),
            (Version::HTTP_11, &["a/b"], 400),
            (Version::HTTP_10, &[], 200),
            (Version::HTTP_2, &[], 200),
        ] {
            assert_eq!(code("/", version, hosts), wanted, "{version:?} {hosts:?}");
        }
    }

    #[test]
    fn a_url_has_a_limit() {
        for (more, wanted) in [(0, 200), (1, 414)] {
            let url = format!("/?{}", "x".repeat(MAX_URL_BYTES - 2 + more));
            assert_eq!(code(&url, Version::HTTP_2, &[]), wanted);
        }
    }
}
