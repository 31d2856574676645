//! One request, as far as handlers may know it.

use std::sync::Arc;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;

use super::negotiate::Representation;
use super::permission::Permissions;
use super::pool::Workload;
use super::query::Query;
use super::target::Target;
use crate::auth::User;
use crate::cluster::Namespaces;
use crate::meta::Time;

/// How the events of a watch go to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One behind the other, as the body of an answer.
    Stream,
    /// Each a message of its own.
    WebSocket,
}

/// A request after authentication, routing and negotiation. Credentials are not in it.
#[derive(Clone, Debug)]
pub struct Cx {
    /// Who asks.
    pub user: Arc<User>,
    /// What the path names.
    pub target: Target,
    /// The parameters.
    pub query: Query,
    /// The media type of the body, as the client wrote it.
    pub content_type: Option<String>,
    /// The program that asks, in its own words; empty where the request changes nothing.
    pub agent: String,
    /// The body; empty for methods that have none.
    pub body: Bytes,
    /// The size of the work, and where it is done.
    pub load: Workload,
    /// How the answer is written.
    pub representation: Representation,
    /// How the events of a watch go to the client.
    pub transport: Transport,
    /// Counts the events of a watch that are sent; none for all other requests.
    pub events_sent: Option<Counter>,
    /// When the request arrived.
    pub now: Time,
    /// Which namespaces there are.
    pub namespaces: Namespaces,
    /// What else the user may do.
    pub permissions: Permissions,
}

impl Cx {
    /// The name in the path; empty for collections.
    pub fn name(&self) -> &str {
        self.target.name.as_deref().unwrap_or_default()
    }

    /// The namespace in the path; empty for objects of the cluster and for all namespaces.
    pub fn namespace(&self) -> &str {
        self.target.namespace.as_deref().unwrap_or_default()
    }
}
