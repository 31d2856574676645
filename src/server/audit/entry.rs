//! The entry that a request leaves in the audit log, however it ends.

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

use super::AuditLog;
use super::event::{Event, ObjectRef, Person, ResponseStatus, Stage};
use crate::auth::Attributes;
use crate::endpoints::request_info::RequestInfo;
use crate::server::access::AuditContext;
use crate::server::listen::Peer;
use crate::server::respond;

/// The entry of one request: the context that filters complete, and the event if there is an audit
/// log.
///
/// When a client goes away, its request is dropped wherever it is, maybe after its commit. Dropping
/// the entry therefore writes an event, too.
pub(in crate::server) struct Entry<'a> {
    /// The facts that authentication and authorization find.
    pub(in crate::server) context: AuditContext,
    info: &'a RequestInfo<'a>,
    arrival: Option<Box<Arrival>>,
}

/// The entry of a long-running request whose response has started. Dropping it writes the event of
/// its end.
pub(in crate::server) struct StartedEntry {
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

/// The longest header value that is told whole, in bytes. Kubernetes cuts user agents here.
const LONGEST: usize = 1024;
/// The most addresses of `X-Forwarded-For` that are told, the nearest.
const MOST_HOPS: usize = 32;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl<'a> Entry<'a> {
    /// The entry of a request that arrived. There is no event without a log.
    pub(in crate::server) fn begin(
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
    pub(in crate::server) fn end(mut self, response: &Response) {
        let status = match response.extensions().get::<respond::Told>() {
            Some(respond::Told(status)) => ResponseStatus::told(status),
            None => ResponseStatus::of(response.status().as_u16()),
        };
        self.write(Stage::ResponseComplete, status);
    }

    /// Writes the event of a response that has started and is long-running.
    pub(in crate::server) fn start(mut self, response: &Response) -> StartedEntry {
        let status = ResponseStatus::of(response.status().as_u16());
        let arrival = self.write(Stage::ResponseStarted, status.clone());
        StartedEntry { context: mem::take(&mut self.context), arrived: arrival.map(|arrival| (arrival, status)) }
    }

    /// Writes the one event of this entry and returns the facts for another one.
    fn write(&mut self, stage: Stage, status: ResponseStatus) -> Option<Box<Arrival>> {
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
            arrival.write(&self.context, Stage::ResponseComplete, status);
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let (stage, status) = match thread::panicking() {
            true => (Stage::Panic, ResponseStatus::panicked()),
            false => (Stage::ResponseComplete, ResponseStatus::abandoned()),
        };
        self.write(stage, status);
    }
}

impl Arrival {
    fn write(&self, context: &AuditContext, stage: Stage, status: ResponseStatus) {
        let (verb, object_ref) = match context.attributes.as_deref() {
            Some(Attributes::Resource(action)) => (action.verb.as_str().into(), Some(ObjectRef::from(&**action))),
            Some(Attributes::Path { verb, .. }) => (verb.as_str().into(), None),
            None => (self.method.as_str().to_ascii_lowercase().into(), None),
        };
        self.log.write(&Event {
            audit_id: shortened(&self.audit_id),
            stage,
            request_uri: without_token(self.uri.path_and_query().map_or("", |uri| uri.as_str())),
            verb,
            user: context.user.as_deref().map(Person::from).unwrap_or_default(),
            impersonated_user: context.acting_as.as_deref().map(Person::from),
            source_ips: &self.source_ips(context),
            user_agent: self.user_agent.as_ref().map(shortened).unwrap_or_default(),
            object_ref,
            response_status: Some(status),
            request_received_timestamp: self.received,
            stage_timestamp: Timestamp::now(),
            decision: context.decision.as_ref(),
        });
    }

    /// Where the request came from, the nearest last.
    ///
    /// `X-Forwarded-For` is believed of a front proxy that proved to be one, and of nobody else: the proxy wrote the last
    /// address, those before it are what its client said, as readers of audit logs know. `X-Real-Ip` is never believed,
    /// for no proxy of Kubernetes writes it.
    fn source_ips(&self, context: &AuditContext) -> Vec<IpAddr> {
        let mut hops = if context.is_passed_on { addresses(&self.forwarded_for) } else { Vec::new() };
        hops.extend(self.peer.filter(|peer| hops.last() != Some(peer)));
        hops
    }
}

/// The addresses of the header. What is no address is left out.
fn addresses(forwarded_for: &[HeaderValue]) -> Vec<IpAddr> {
    let lines = forwarded_for.iter().filter_map(|line| line.to_str().ok());
    let hops = lines.flat_map(|line| line.split(',')).filter_map(|hop| hop.trim().parse::<IpAddr>().ok());
    let mut hops: Vec<IpAddr> = hops.map(|address| address.to_canonical()).collect();
    hops.drain(..hops.len().saturating_sub(MOST_HOPS));
    hops
}

/// The text of a header, cut where it is too long.
fn shortened(value: &HeaderValue) -> Cow<'_, str> {
    match value.as_bytes() {
        short if short.len() <= LONGEST => String::from_utf8_lossy(short),
        long => format!("{}...TRUNCATED", String::from_utf8_lossy(&long[..LONGEST])).into(),
    }
}

/// Clients of OpenShift could once authenticate by a token in the query. This server does not take it, but a client may
/// still send it.
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
