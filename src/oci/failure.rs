//! Failures of HTTP requests, with the texts of Go's `net` and `net/http`.

use std::error::Error as StdError;
use std::io;

use reqwest::Url;
use rustls::CertificateError;

use super::error::{RegistryError, RequestFailure};
use super::guard::BlockedAddress;
use super::resolver::LookupError;

/// Way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Route {
    /// Connection to the host of the URL.
    Direct,
    /// Connection to a proxy of the environment.
    Proxied,
}

/// Number of trusted root certificates, for the text of a failed verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RootCount {
    /// None at all.
    None,
    /// At least one.
    Some,
}

/// The error of a request to `url`. Its text leaves out the query, which may hold a signature.
pub(super) fn request_error(
    method: &'static str,
    url: &Url,
    cause: RequestFailure,
) -> RegistryError {
    RegistryError::Request { method, url: without_query(url), cause }
}

/// The URL without query, fragment and user.
pub(super) fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Fails for URLs without a host only.
    let _ = (url.set_username(""), url.set_password(None));
    url.into()
}

/// Translates an error of the HTTP client.
pub(super) fn of(
    error: &reqwest::Error,
    url: &Url,
    route: Route,
    roots: RootCount,
) -> RequestFailure {
    if let Some(blocked) = find::<BlockedAddress>(error) {
        return RequestFailure::Blocked(*blocked);
    }
    if let Some(lookup) = find::<LookupError>(error) {
        return RequestFailure::Connect(format!("dial tcp: {lookup}"));
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return RequestFailure::Tls(tls_text(tls, url, roots));
    }
    let dial = match route {
        Route::Direct => format!("dial tcp {}", address(url)),
        Route::Proxied => "proxyconnect tcp".to_owned(),
    };
    match (error.is_connect(), error.is_timeout(), find::<io::Error>(error)) {
        (true, true, _) => RequestFailure::Connect(format!("{dial}: i/o timeout")),
        (false, true, _) => {
            RequestFailure::Timeout("net/http: request canceled (time limit exceeded)")
        }
        (true, _, Some(error)) => RequestFailure::Connect(match io_text(error) {
            Some(text) => format!("{dial}: connect: {text}"),
            None if error.kind() == io::ErrorKind::UnexpectedEof => "EOF".into(),
            None => format!("{dial}: {error}"),
        }),
        (_, _, Some(error)) if io_text(error).is_some() => {
            RequestFailure::Transfer(format!("read: {}", io_text(error).unwrap_or_default()))
        }
        _ if is_incomplete(error) && (error.is_body() || error.is_decode()) => {
            RequestFailure::Transfer("unexpected EOF".into())
        }
        _ if is_incomplete(error) => RequestFailure::Transfer("EOF".into()),
        _ => RequestFailure::Transfer(root_text(error)),
    }
}

/// Returns true if the server closed the connection before the end of the response.
fn is_incomplete(error: &reqwest::Error) -> bool {
    let is_eof = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    find::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message)
        || find::<io::Error>(error).is_some_and(is_eof)
}

/// Host and port of a URL.
fn address(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The first error of a type among the causes. `io::Error` hides the error that it wraps from
/// `source`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn root_text(error: &dyn StdError) -> String {
    let mut last: &dyn StdError = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn io_text(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset by peer",
        io::ErrorKind::HostUnreachable => "no route to host",
        io::ErrorKind::NetworkUnreachable => "network is unreachable",
        io::ErrorKind::BrokenPipe => "broken pipe",
        _ => return None,
    })
}

fn tls_text(error: &rustls::Error, url: &Url, roots: RootCount) -> String {
    let host = url.host_str().unwrap_or_default();
    let invalid = |reason: &str| format!("tls: failed to verify certificate: x509: {reason}");
    match error {
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client".into()
        }
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer if roots == RootCount::None => invalid(
                "certificate signed by unknown authority (the server has no root certificates; \
                 set SSL_CERT_FILE or SSL_CERT_DIR, or add a ca.crt to --registry-ca-dir)",
            ),
            CertificateError::UnknownIssuer => invalid("certificate signed by unknown authority"),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                invalid("certificate has expired or is not yet valid")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                invalid("certificate has expired or is not yet valid")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                invalid(&format!("certificate is not valid for {host}"))
            }
            other => invalid(&other.to_string()),
        },
        other => format!("tls: {other}"),
    }
}
