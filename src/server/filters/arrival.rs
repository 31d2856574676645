//! Facts about a request for audit events and the log, which need them when the request is gone.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::extract::Request;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use percent_encoding::percent_decode_str;

use crate::server::audit::AuditContext;
use crate::server::listen::Peer;

/// Facts about a request when it arrives.
pub(super) struct Arrival {
    /// The method.
    pub(super) method: Method,
    uri: Uri,
    user_agent: Option<HeaderValue>,
    peer: Option<IpAddr>,
    forwarded_for: Vec<HeaderValue>,
}

/// The longest header value that is written whole, in bytes, as `maxUserAgentLength` in
/// k8s.io/apiserver/pkg/audit/request.go.
pub(super) const MAX_HEADER_BYTES: usize = 1024;
/// The most addresses of `X-Forwarded-For` that are written: the nearest ones.
pub(super) const MAX_HOPS: usize = 32;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl Arrival {
    /// The facts about a request.
    pub(super) fn of(request: &Request) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            user_agent: request.headers().get(header::USER_AGENT).cloned(),
            peer: request.extensions().get::<Peer>().map(|peer| peer.address.ip()),
            forwarded_for: request.headers().get_all(FORWARDED_FOR).iter().cloned().collect(),
        }
    }

    /// Path and query, without access tokens.
    pub(super) fn uri(&self) -> Cow<'_, str> {
        without_token(self.uri.path_and_query().map_or("", |uri| uri.as_str()))
    }

    /// The header `User-Agent`; empty without one.
    pub(super) fn user_agent(&self) -> Cow<'_, str> {
        self.user_agent.as_ref().map(shortened).unwrap_or_default()
    }

    /// The addresses of the client and of the proxies in between, the nearest last.
    ///
    /// `X-Forwarded-For` is trusted only from a verified front proxy. The proxy wrote the last
    /// address; the ones before it are claims of its client. `X-Real-Ip` is never trusted, because
    /// no proxy of Kubernetes writes it.
    pub(super) fn source_ips(&self, by: ForwardedBy) -> Vec<IpAddr> {
        let mut hops = match by {
            ForwardedBy::FrontProxy => addresses(&self.forwarded_for),
            ForwardedBy::Client => Vec::new(),
        };
        hops.extend(self.peer.filter(|peer| hops.last() != Some(peer)));
        hops
    }
}

/// The sender of the header `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForwardedBy {
    /// A verified front proxy.
    FrontProxy,
    /// Any client.
    Client,
}

impl ForwardedBy {
    /// The sender that authentication found.
    pub(super) fn of(context: &AuditContext) -> Self {
        if context.is_passed_on { Self::FrontProxy } else { Self::Client }
    }
}

/// The text of a header, truncated if it is too long.
pub(super) fn shortened(value: &HeaderValue) -> Cow<'_, str> {
    match value.as_bytes() {
        short if short.len() <= MAX_HEADER_BYTES => String::from_utf8_lossy(short),
        long => {
            format!("{}...TRUNCATED", String::from_utf8_lossy(&long[..MAX_HEADER_BYTES])).into()
        }
    }
}

/// The valid addresses of the header.
fn addresses(forwarded_for: &[HeaderValue]) -> Vec<IpAddr> {
    let lines = forwarded_for.iter().filter_map(|line| line.to_str().ok());
    let hops =
        lines.flat_map(|line| line.split(',')).filter_map(|hop| hop.trim().parse::<IpAddr>().ok());
    let mut hops: Vec<IpAddr> = hops.map(|address| address.to_canonical()).collect();
    hops.drain(..hops.len().saturating_sub(MAX_HOPS));
    hops
}

/// Parameters that hold tokens. OpenShift once accepted a token in the query. This server does not,
/// but a client may still send it.
const TOKENS: [&str; 3] = ["access_token", "id_token", "token"];

/// The URI without tokens.
fn without_token(uri: &str) -> Cow<'_, str> {
    let is_token = |pair: &str| {
        let key = pair.split('=').next().unwrap_or_default();
        TOKENS.contains(&&*percent_decode_str(key).decode_utf8_lossy())
    };
    match uri.split_once('?') {
        Some((path, query)) if query.split(['&', ';']).any(is_token) => {
            let pairs = query.split(['&', ';']).map(|pair| match is_token(pair) {
                true => format!("{}=REDACTED", pair.split('=').next().unwrap_or_default()),
                false => pair.to_owned(),
            });
            format!("{path}?{}", pairs.collect::<Vec<_>>().join("&")).into()
        }
        _ => uri.into(),
    }
}
