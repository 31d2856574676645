//! The context of a request for a resource.

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;

use super::negotiation::Representation;
use crate::machinery::query::Query;
use crate::registry::actor::Actor;
use crate::registry::object_ref::ObjectRef;

/// The transport of the events of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A response body with a sequence of events.
    Stream,
    /// A WebSocket with one message for each event.
    WebSocket,
}

/// A request after authentication, routing and negotiation. It holds no credentials.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The actor for the registry.
    pub actor: Actor,
    /// The object or collection in the path.
    pub at: ObjectRef,
    /// The query parameters.
    pub query: Query,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The `User-Agent` header; empty for GET.
    pub agent: String,
    /// The body; empty for methods without a body.
    pub body: Bytes,
    /// The representation of the response.
    pub representation: Representation,
    /// The transport of the events of a watch.
    pub transport: Transport,
    /// The counter of sent watch events; none for other requests.
    pub events_sent: Option<Counter>,
}
