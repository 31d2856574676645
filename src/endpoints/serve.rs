//! Dispatch of the requests for the resources of an API version.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, header};
use prometheus_client::metrics::counter::Counter;

use crate::auth::{User, is_websocket};
use crate::cluster::Namespaces;
use crate::endpoints::context::{RequestContext, Transport};
use crate::endpoints::endpoint::{Endpoint, RequestScope};
use crate::endpoints::negotiation::Accept;
use crate::endpoints::request_info::{PathPrefix, RequestInfo, ResourceInfo};
use crate::endpoints::response::ApiResponse;
use crate::endpoints::verb::Verb;
use crate::machinery::body_limits;
use crate::machinery::patch;
use crate::meta::{Status, Time};
use crate::registry::actor::{Actor, DryRun};
use crate::registry::permission::Permissions;
use crate::registry::pool::{Pool, Workload};
use crate::registry::verbs::Scope;
use crate::runtime::Flow;
use crate::telemetry::metrics::Metrics;

/// A request that is authenticated and authorized, with its body read.
pub struct Request<'a> {
    /// The user on whose behalf the request is executed.
    pub user: Arc<User>,
    /// The flow of the user, for limits that users share.
    pub flow: Flow,
    /// Verb, object and parameters, as they were authorized.
    pub info: RequestInfo<'a>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The time of the request.
    pub now: Time,
}

/// The resources of an API version.
pub struct Api {
    endpoints: Vec<Endpoint>,
    namespaces: Namespaces,
    permissions: Permissions,
    metrics: Option<Arc<Metrics>>,
    /// The pool for large reads. It is separate so that reads do not delay writes.
    reading: Pool,
    /// The pool for large writes.
    writing: Pool,
}

impl Api {
    /// An API with these resources, in the order of discovery.
    pub fn new(endpoints: Vec<Endpoint>, namespaces: Namespaces, permissions: Permissions) -> Self {
        Self {
            endpoints,
            namespaces,
            permissions,
            metrics: None,
            reading: Pool::default(),
            writing: Pool::default(),
        }
    }

    /// Adds metrics, which count watch events.
    pub fn counting(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// The resources.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The endpoint of a resource.
    ///
    /// # Errors
    /// 404 for unknown resources; the errors of [`ResourceInfo::check_form`].
    pub fn find(&self, resource: &ResourceInfo<'_>) -> Result<&Endpoint, Status> {
        resource.check_form()?;
        let matches = |each: &&Endpoint| {
            each.resource == resource.resource
                && each.subresource.unwrap_or_default() == resource.subresource
        };
        self.endpoints.iter().find(matches).ok_or_else(Status::no_such_path)
    }

    /// Executes a request.
    pub async fn serve(&self, request: Request<'_>) -> ApiResponse {
        let headers = request.headers;
        let accept = Accept::new(headers, request.info.query);
        match self.handle(request, &accept).await {
            Ok(response) => response,
            Err(status) => ApiResponse::status(&status, accept.error_media()),
        }
    }

    async fn handle(
        &self,
        request: Request<'_>,
        accept: &Accept<'_>,
    ) -> Result<ApiResponse, Status> {
        let info = &request.info;
        let resource = info.resource().ok_or_else(Status::no_such_path)?;
        let endpoint = self.find(resource)?;
        let scope = scope_of(endpoint, info.method, resource);
        let handler = endpoint.route(info.method, scope)?;
        let content_type = text(request.headers, header::CONTENT_TYPE);
        if info.method == Method::PATCH {
            patch::check_media_type(content_type.unwrap_or_default())?;
        }
        let representation = match scope {
            RequestScope::Changes { .. } => accept.negotiate_watch(endpoint.forms)?,
            // The router finds lists and watches at the same path.
            RequestScope::Collection { .. }
                if info.method == Method::GET && endpoint.has(Verb::Watch) =>
            {
                accept.negotiate_list(endpoint.forms)?
            }
            RequestScope::Collection { .. } | RequestScope::Object { .. } => {
                accept.negotiate(endpoint.forms)?
            }
        };
        check_parameters(info, scope)?;
        let pool = if info.method == Method::GET { &self.reading } else { &self.writing };
        let agent =
            text(request.headers, header::USER_AGENT).filter(|_| info.method != Method::GET);
        let cx = Arc::new(RequestContext {
            actor: Actor {
                user: request.user,
                now: request.now,
                dry_run: DryRun::Off,
                field_manager: String::new(),
                permissions: self.permissions.for_flow(request.flow),
                namespaces: self.namespaces.clone(),
                load: Workload::of_body(request.body.len()),
            },
            at: resource.object_ref(),
            query: info.query.clone(),
            content_type: content_type.map(str::to_owned),
            agent: agent.unwrap_or_default().to_owned(),
            body: request.body,
            representation,
            transport: transport(scope, request.headers),
            events_sent: self.events_sent(endpoint, scope),
        });
        let work = async {
            body_limits::check_value_count(&cx.body)?;
            Ok(handler(cx.clone()).await?.compressed(request.headers))
        };
        pool.run(&cx.actor.load, work).await
    }

    /// The counter of the events of a watch; none for other requests.
    fn events_sent(&self, endpoint: &Endpoint, scope: RequestScope) -> Option<Counter> {
        match (scope, &self.metrics) {
            (RequestScope::Changes { .. }, Some(metrics)) => {
                Some(metrics.watch_events(endpoint.resource))
            }
            _ => None,
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Checks the parameters that every resource reads.
///
/// # Errors
/// 400 for an invalid number and for `export`.
fn check_parameters(info: &RequestInfo<'_>, scope: RequestScope) -> Result<(), Status> {
    let RequestInfo { method, query, .. } = info;
    match scope {
        RequestScope::Object { .. } if **method == Method::GET && query.switch("export") => {
            Err(Status::bad_request(
                "the export parameter, deprecated since v1.14, is no longer supported",
            ))
        }
        RequestScope::Object { .. } => Ok(()),
        // kube-apiserver decodes numbers before it parses selectors.
        RequestScope::Collection { .. } | RequestScope::Changes { .. }
            if [Method::GET, Method::DELETE].contains(method) =>
        {
            query.integer("timeoutSeconds")?;
            query.integer("limit").map(drop)
        }
        RequestScope::Collection { .. } | RequestScope::Changes { .. } => Ok(()),
    }
}

/// The transport of the events of a watch.
fn transport(scope: RequestScope, headers: &HeaderMap) -> Transport {
    match scope {
        RequestScope::Changes { .. } if is_websocket(headers) => Transport::WebSocket,
        _ => Transport::Stream,
    }
}

fn scope_of(endpoint: &Endpoint, method: &Method, resource: &ResourceInfo<'_>) -> RequestScope {
    let in_namespace = !resource.namespace.is_empty();
    let has_name = !resource.name.is_empty();
    if resource.prefix == Some(PathPrefix::Watch) {
        // The path must name the namespace for which the watch was authorized.
        let misses_namespace = has_name && !in_namespace && endpoint.scope == Scope::Namespaced;
        return match misses_namespace {
            true => RequestScope::Object { in_namespace },
            false => RequestScope::Changes { in_namespace },
        };
    }
    // A resource without watches handles them as lists, which fail with its own error.
    let is_watch =
        resource.verb == Some(Verb::Watch) && *method == Method::GET && endpoint.has(Verb::Watch);
    match has_name {
        true => RequestScope::Object { in_namespace },
        false if is_watch => RequestScope::Changes { in_namespace },
        false => RequestScope::Collection { in_namespace },
    }
}
