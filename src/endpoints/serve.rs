//! The one handler of everything below `/apis/<group>/<version>/`: finds the resource and the verb, and runs them.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, header};
use prometheus_client::metrics::counter::Counter;

use crate::auth::{User, is_websocket};
use crate::cluster::Namespaces;
use crate::endpoints::context::{RequestContext, Transport};
use crate::endpoints::endpoint::{Endpoint, RouteOf, Verb};
use crate::endpoints::negotiate::Wanted;
use crate::endpoints::reply::Reply;
use crate::endpoints::target::{Reads, Target};
use crate::machinery::patch;
use crate::machinery::query::Query;
use crate::machinery::values;
use crate::meta::{Status, Time};
use crate::registry::actor::{Actor, DryRun};
use crate::registry::object_ref::ObjectRef;
use crate::registry::permission::Permissions;
use crate::registry::pool::{Pool, Workload};
use crate::registry::verbs::Scope;
use crate::telemetry::metrics::Metrics;

/// A request that is authenticated and authorized, with its body read.
pub struct Request<'a> {
    /// Who asks.
    pub user: Arc<User>,
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// What the path names.
    pub target: Target,
    /// The parameters.
    pub query: Query,
    /// The body.
    pub body: Bytes,
    /// When the request arrived.
    pub now: Time,
}

/// All resources of a group's version.
pub struct Api {
    endpoints: Vec<Endpoint>,
    namespaces: Namespaces,
    permissions: Permissions,
    metrics: Option<Arc<Metrics>>,
    /// Large requests that read. They have places of their own, so as not to hold up those that write.
    reading: Pool,
    /// Large requests that change something.
    writing: Pool,
}

impl Api {
    /// An API with these resources, in the order in which discovery lists them, for objects in these namespaces and users with these
    /// permissions.
    pub fn new(endpoints: Vec<Endpoint>, namespaces: Namespaces, permissions: Permissions) -> Self {
        Self { endpoints, namespaces, permissions, metrics: None, reading: Pool::default(), writing: Pool::default() }
    }

    /// The same, which counts what it tells watchers.
    pub fn counting(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// The resources.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The resource that a target names.
    pub fn find(&self, target: &Target) -> Option<&Endpoint> {
        let is_it =
            |each: &&Endpoint| each.resource == target.resource && each.subresource == target.subresource.as_deref();
        self.endpoints.iter().find(is_it)
    }

    /// Answers a request.
    pub async fn serve(&self, request: Request<'_>) -> Reply {
        let headers = request.headers;
        let wanted = Wanted::new(headers, &request.query);
        match self.answer(request, &wanted).await {
            Ok(reply) => reply,
            Err(status) => Reply::status(&status, wanted.for_errors()),
        }
    }

    async fn answer(&self, request: Request<'_>, wanted: &Wanted<'_>) -> Result<Reply, Status> {
        let endpoint = self.find(&request.target).ok_or_else(Status::no_such_path)?;
        let route = route_of(endpoint, &request);
        let handler = endpoint.route(request.method, route)?;
        let content_type = text(request.headers, header::CONTENT_TYPE);
        if request.method == Method::PATCH {
            patch::check_media_type(content_type.unwrap_or_default())?;
        }
        let representation = match route {
            RouteOf::Changes { .. } => wanted.agree_on_events(endpoint.forms)?,
            // Those of a list are found by the same path as the events.
            RouteOf::Collection { .. } if request.method == Method::GET && endpoint.has(Verb::Watch) => {
                wanted.agree_beside_events(endpoint.forms)?
            }
            RouteOf::Collection { .. } | RouteOf::Object { .. } => wanted.agree(endpoint.forms)?,
        };
        check_parameters(&request, route)?;
        let pool = if *request.method == Method::GET { &self.reading } else { &self.writing };
        let agent = text(request.headers, header::USER_AGENT).filter(|_| request.method != Method::GET);
        let cx = Arc::new(RequestContext {
            actor: Actor {
                user: request.user,
                now: request.now,
                dry_run: DryRun::Off,
                field_manager: String::new(),
                permissions: self.permissions.clone(),
                namespaces: self.namespaces.clone(),
                load: Workload::of_body(request.body.len()),
            },
            at: ObjectRef { namespace: request.target.namespace, name: request.target.name },
            query: request.query,
            content_type: content_type.map(str::to_owned),
            agent: agent.unwrap_or_default().to_owned(),
            body: request.body,
            representation,
            transport: transport(route, request.headers),
            events_sent: self.events_sent(endpoint, route),
        });
        let work = async {
            values::check(&cx.body)?;
            Ok(handler(cx.clone()).await?.compressed(request.headers))
        };
        pool.run(&cx.actor.load, work).await
    }
}

impl Api {
    /// The counter of the events of a resource.
    fn events_sent(&self, endpoint: &Endpoint, route: RouteOf) -> Option<Counter> {
        match (route, &self.metrics) {
            (RouteOf::Changes { .. }, Some(metrics)) => Some(metrics.watch_events(endpoint.resource)),
            _ => None,
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Refuses parameters that cannot be read whatever the resource is.
fn check_parameters(request: &Request<'_>, route: RouteOf) -> Result<(), Status> {
    let Request { method, query, .. } = request;
    match route {
        RouteOf::Object { .. } if *method == Method::GET && query.switch("export") => {
            Err(Status::bad_request("the export parameter, deprecated since v1.14, is no longer supported"))
        }
        RouteOf::Object { .. } => Ok(()),
        // Numbers are read before anything is made of the texts beside them.
        RouteOf::Collection { .. } | RouteOf::Changes { .. } if [Method::GET, Method::DELETE].contains(method) => {
            query.integer("timeoutSeconds")?;
            query.integer("limit").map(drop)
        }
        RouteOf::Collection { .. } | RouteOf::Changes { .. } => Ok(()),
    }
}

/// How events go to the client, if it is events that it asks for.
fn transport(route: RouteOf, headers: &HeaderMap) -> Transport {
    match route {
        RouteOf::Changes { .. } if is_websocket(headers) => Transport::WebSocket,
        _ => Transport::Stream,
    }
}

fn route_of(endpoint: &Endpoint, Request { method, target, query, .. }: &Request<'_>) -> RouteOf {
    let in_namespace = target.namespace.is_some();
    match target.name {
        // One object of a namespace is watched in that, as it was allowed to be.
        Some(_) if target.reads == Reads::Changes && !in_namespace && endpoint.scope == Scope::Namespaced => {
            RouteOf::Object { in_namespace }
        }
        _ if target.reads == Reads::Changes => RouteOf::Changes { in_namespace },
        // What can be listed and not be watched says so in its own words.
        None if *method == Method::GET && target.is_watch(query) && endpoint.has(Verb::Watch) => {
            RouteOf::Changes { in_namespace }
        }
        Some(_) => RouteOf::Object { in_namespace },
        None => RouteOf::Collection { in_namespace },
    }
}
