//! Dispatch of the requests for the resources of an API version.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderName, Method, header};
use prometheus_client::metrics::counter::Counter;

use crate::auth::{User, is_websocket};
use crate::cluster::Namespaces;
use crate::endpoints::context::{RequestContext, Transport};
use crate::endpoints::endpoint::{Endpoint, RequestScope};
use crate::endpoints::negotiation::{Accept, Media};
use crate::endpoints::request_info::{PathPrefix, RequestInfo, ResourceInfo};
use crate::endpoints::response::ApiResponse;
use crate::endpoints::response_body::ResponseBody;
use crate::endpoints::verb::Verb;
use crate::machinery::body_cost;
use crate::machinery::body_limits;
use crate::machinery::patch;
use crate::meta::{Status, Time};
use crate::registry::actor::{Actor, DryRun};
use crate::registry::admission::notes::AdmissionNotes;
use crate::registry::permission::Permissions;
use crate::registry::pool::{LARGE_BODY, Pool};
use crate::registry::verbs::Scope;
use crate::registry::workload::{MemoryFactor, WorkKind, Workload};
use crate::runtime::{BudgetAccount, Flow, MemoryBudget};
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
    metrics: Arc<Metrics>,
    memory: MemoryBudget,
    /// The pool for large reads. It is separate so that reads do not delay writes.
    reading: Arc<Pool>,
    /// The pool for large writes.
    writing: Arc<Pool>,
}

impl Api {
    /// An API with these resources, in the order of discovery. Its memory has no limit.
    pub fn new(endpoints: Vec<Endpoint>, namespaces: Namespaces, permissions: Permissions) -> Self {
        let metrics = Arc::new(Metrics::new());
        let memory = MemoryBudget::new(u64::MAX, &metrics);
        let pool = || Arc::new(Pool::new(&metrics));
        let (reading, writing) = (pool(), pool());
        Self { endpoints, namespaces, permissions, metrics, memory, reading, writing }
    }

    /// The same API, whose requests share a memory budget and are counted.
    pub fn within(self, memory: MemoryBudget, metrics: Arc<Metrics>) -> Self {
        let pool = || Arc::new(Pool::new(&metrics));
        let (reading, writing) = (pool(), pool());
        Self { memory, metrics, reading, writing, ..self }
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
        let notes = match *request.info.method {
            Method::GET => AdmissionNotes::default(),
            _ => AdmissionNotes::new(),
        };
        let mut response = match self.handle(request, &accept, &notes).await {
            Ok(response) => response,
            Err(status) => ApiResponse::status(&status, accept.error_media()),
        };
        response.warnings.extend(notes.take_warnings());
        response.audit_annotations = notes.take_annotations();
        response
    }

    async fn handle(
        &self,
        request: Request<'_>,
        accept: &Accept<'_>,
        notes: &AdmissionNotes,
    ) -> Result<ApiResponse, Status> {
        let info = &request.info;
        let resource = info.resource().ok_or_else(Status::no_such_path)?;
        let endpoint = self.find(resource)?;
        if resource.prefix == Some(PathPrefix::Watch) && !endpoint.has(Verb::Watch) {
            return Err(Status::no_such_path());
        }
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
        let load = self.workload(request.flow, info.method, scope, representation.media);
        if request.body.len() > LARGE_BODY {
            load.set_large();
        }
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
                options: None,
                notes: notes.clone(),
                load: load.clone(),
                term: None,
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
            if !cx.body.is_empty() {
                body_limits::check_value_count(&cx.body)?;
                let decoded = body_cost::decoded_bytes(content_type.unwrap_or_default(), &cx.body);
                load.reserve_body(decoded).await?;
            }
            let response = handler(cx.clone()).await?.compressed(request.headers);
            charged(response, &load, pool).await
        };
        pool.run(&load, work).await
    }

    /// The workload of a request before its body is decoded.
    fn workload(&self, flow: Flow, method: &Method, scope: RequestScope, media: Media) -> Workload {
        let kind = match (scope, method) {
            (RequestScope::Changes { .. }, _) => WorkKind::Watch,
            (_, &Method::GET) => WorkKind::Read,
            _ => WorkKind::Write,
        };
        let factor = match (kind, method) {
            (WorkKind::Write, &Method::PATCH) => MemoryFactor::Patch,
            (WorkKind::Write, _) => MemoryFactor::Write,
            (WorkKind::Read | WorkKind::Watch, _) if media == Media::Yaml => MemoryFactor::ReadYaml,
            (WorkKind::Read | WorkKind::Watch, _) => MemoryFactor::Read,
        };
        Workload::charged(BudgetAccount { budget: self.memory.clone(), flow }, kind, factor)
    }

    /// The counter of the events of a watch; none for other requests.
    fn events_sent(&self, endpoint: &Endpoint, scope: RequestScope) -> Option<Counter> {
        match scope {
            RequestScope::Changes { .. } => Some(self.metrics.watch_events(endpoint.resource)),
            RequestScope::Object { .. } | RequestScope::Collection { .. } => None,
        }
    }
}

/// A response whose body keeps its memory until it is sent. The rest of what the request has
/// reserved is released when the request ends.
///
/// # Errors
/// 429 for a read if the memory is used up. The response to a write is covered by what the write has
/// reserved, and a refusal would hide that the change is made.
async fn charged(
    mut response: ApiResponse,
    load: &Workload,
    pool: &Arc<Pool>,
) -> Result<ApiResponse, Status> {
    response.body = match response.body {
        ResponseBody::Full(bytes) => {
            if load.kind() == WorkKind::Read {
                load.reserve_memory(bytes.len() as u64).await?;
            }
            ResponseBody::Full(load.charge(bytes))
        }
        ResponseBody::Chunks(chunks) => {
            let charging = load.clone();
            let chunks = chunks.map_ok(move |chunk| charging.charge(chunk)).boxed();
            ResponseBody::Chunks(pool.stream(load, chunks))
        }
        ResponseBody::Events(chunks) => ResponseBody::Events(pool.stream(load, chunks)),
    };
    Ok(response)
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
    // A namespace is cluster-scoped, although authorization sees it as an object of itself.
    let in_namespace = !resource.namespace.is_empty() && resource.resource != "namespaces";
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
    let is_watch = resource.verb == Some(Verb::Watch)
        && *method == Method::GET
        && endpoint.serves(Verb::Watch);
    match has_name {
        true => RequestScope::Object { in_namespace },
        false if is_watch => RequestScope::Changes { in_namespace },
        false => RequestScope::Collection { in_namespace },
    }
}
