//! The audit entry of a request, which is written however the request ends.

use std::borrow::Cow;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;

use axum::extract::Request;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use crate::auth::Attributes;
use crate::endpoints::request_info::RequestInfo;
use crate::server::audit::event::{
    AuditEvent, AuditObjectReference, AuditStage, AuditUser, ResponseStatus,
};
use crate::server::audit::{AuditContext, AuditLog};
use crate::server::listen::Peer;
use crate::server::respond::ReturnedStatus;

/// The entry of one request: the context that filters complete, and the event if there is an audit
/// log.
///
/// When a client disconnects, its request is dropped at its current await, perhaps after its
/// commit. Dropping the entry therefore writes an event, too.
pub(super) struct AuditEntry<'a> {
    /// The facts that authentication and authorization find.
    pub(super) context: AuditContext,
    info: &'a RequestInfo<'a>,
    arrival: Option<Box<Arrival>>,
}

/// The entry of a long-running request whose response has started. Dropping it writes the event of
/// its end.
pub(super) struct StartedEntry {
    context: AuditContext,
    arrived: Option<(Box<Arrival>, ResponseStatus)>,
}

/// The facts about a request when it arrives.
struct Arrival {
    log: Arc<AuditLog>,
    received: Timestamp,
    audit_id: HeaderValue,
    method: Method,
    uri: Uri,
    user_agent: Option<HeaderValue>,
    peer: Option<IpAddr>,
    forwarded_for: Vec<HeaderValue>,
}

/// The longest header value that is written whole, in bytes, as `maxUserAgentLength` in
/// k8s.io/apiserver/pkg/audit/request.go.
const MAX_HEADER_BYTES: usize = 1024;
/// The most addresses of `X-Forwarded-For` that are written: the nearest ones.
const MAX_HOPS: usize = 32;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl<'a> AuditEntry<'a> {
    /// The entry of a request that arrived. There is no event without a log.
    pub(super) fn begin(
        log: Option<&Arc<AuditLog>>,
        audit_id: &HeaderValue,
        request: &Request,
        info: &'a RequestInfo<'a>,
    ) -> Self {
        let arrival = log.map(|log| {
            Box::new(Arrival {
                log: log.clone(),
                received: Timestamp::now(),
                audit_id: audit_id.clone(),
                method: request.method().clone(),
                uri: request.uri().clone(),
                user_agent: request.headers().get(header::USER_AGENT).cloned(),
                peer: request.extensions().get::<Peer>().map(|peer| peer.address.ip()),
                forwarded_for: request.headers().get_all(FORWARDED_FOR).iter().cloned().collect(),
            })
        });
        Self { context: AuditContext::default(), info, arrival }
    }

    /// Writes the event of a complete response.
    pub(super) fn end(mut self, response: &Response) {
        if self.arrival.is_none() {
            return;
        }
        let status = match response.extensions().get::<ReturnedStatus>() {
            Some(ReturnedStatus(status)) => ResponseStatus::of_status(status),
            None => ResponseStatus::of_code(response.status().as_u16()),
        };
        self.write(AuditStage::ResponseComplete, status);
    }

    /// Writes the event of a response that has started and is long-running.
    pub(super) fn start(mut self, response: &Response) -> StartedEntry {
        let status = ResponseStatus::of_code(response.status().as_u16());
        let arrival = self.write(AuditStage::ResponseStarted, status.clone());
        StartedEntry {
            context: mem::take(&mut self.context),
            arrived: arrival.map(|arrival| (arrival, status)),
        }
    }

    /// Writes the one event of this entry and returns the facts for another one.
    fn write(&mut self, stage: AuditStage, status: ResponseStatus) -> Option<Box<Arrival>> {
        let arrival = self.arrival.take()?;
        if self.context.attributes.is_none() {
            self.context.attributes = self.info.attributes().map(Arc::new);
        }
        arrival.write(&self.context, stage, status);
        Some(arrival)
    }
}

impl Drop for StartedEntry {
    fn drop(&mut self) {
        if let Some((arrival, status)) = self.arrived.take() {
            arrival.write(&self.context, AuditStage::ResponseComplete, status);
        }
    }
}

impl Drop for AuditEntry<'_> {
    fn drop(&mut self) {
        let (stage, status) = match thread::panicking() {
            true => (AuditStage::Panic, ResponseStatus::panicked()),
            false => (AuditStage::ResponseComplete, ResponseStatus::abandoned()),
        };
        self.write(stage, status);
    }
}

impl Arrival {
    fn write(&self, context: &AuditContext, stage: AuditStage, status: ResponseStatus) {
        let (verb, object_ref) = match context.attributes.as_deref() {
            Some(Attributes::Resource(action)) => {
                (action.verb.as_str().into(), Some(AuditObjectReference::from(&**action)))
            }
            Some(Attributes::Path { verb, .. }) => (verb.as_str().into(), None),
            None => (self.method.as_str().to_ascii_lowercase().into(), None),
        };
        self.log.write(&AuditEvent {
            audit_id: shortened(&self.audit_id),
            stage,
            request_uri: without_token(self.uri.path_and_query().map_or("", |uri| uri.as_str())),
            verb,
            user: context.user.as_deref().map(AuditUser::from).unwrap_or_default(),
            impersonated_user: context.acting_as.as_deref().map(AuditUser::from),
            source_ips: &self.source_ips(context),
            user_agent: self.user_agent.as_ref().map(shortened).unwrap_or_default(),
            object_ref,
            response_status: Some(status),
            request_received_timestamp: self.received,
            stage_timestamp: Timestamp::now(),
            decision: context.decision.as_ref(),
        });
    }

    /// The addresses of the client and of the proxies in between, the nearest last.
    ///
    /// `X-Forwarded-For` is trusted only from a verified front proxy. The proxy wrote the last
    /// address; the ones before it are claims of its client. `X-Real-Ip` is never trusted, because
    /// no proxy of Kubernetes writes it.
    fn source_ips(&self, context: &AuditContext) -> Vec<IpAddr> {
        let mut hops =
            if context.is_passed_on { addresses(&self.forwarded_for) } else { Vec::new() };
        hops.extend(self.peer.filter(|peer| hops.last() != Some(peer)));
        hops
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

/// The text of a header, truncated if it is too long.
fn shortened(value: &HeaderValue) -> Cow<'_, str> {
    match value.as_bytes() {
        short if short.len() <= MAX_HEADER_BYTES => String::from_utf8_lossy(short),
        long => {
            format!("{}...TRUNCATED", String::from_utf8_lossy(&long[..MAX_HEADER_BYTES])).into()
        }
    }
}

/// The URI without access tokens. OpenShift once accepted a token in the query. This server does
/// not, but a client may still send it.
fn without_token(uri: &str) -> Cow<'_, str> {
    let is_token = |pair: &str| {
        let key = pair.split('=').next().unwrap_or_default();
        percent_decode_str(key).decode_utf8_lossy() == "access_token"
    };
    match uri.split_once('?') {
        Some((path, query)) if query.split(['&', ';']).any(is_token) => {
            let pairs = query.split(['&', ';']).map(|pair| match is_token(pair) {
                true => "access_token=REDACTED",
                false => pair,
            });
            format!("{path}?{}", pairs.collect::<Vec<_>>().join("&")).into()
        }
        _ => uri.into(),
    }
}

#[cfg(test)]
mod tests;
