//! The routes: resources, and the fixed paths beside them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, header};
use tower::ServiceExt;

use super::app::App;
use super::document_handlers::{
    configz, core_resources, core_versions, group, groups, no_such_path, openapi_index, openapi_v2,
    openapi_v3, openapi_v3_group, query_of, resources, version,
};
use super::respond::{self, EventStream};
use super::websocket::Upgrade;
use crate::auth::User;
use crate::endpoints::negotiation::{Accept, Media};
use crate::endpoints::request_info::{RequestInfo, ResourceInfo};
use crate::endpoints::response::ApiResponse;
use crate::endpoints::serve::{self, Api};
use crate::machinery::media_type::MediaRange;
use crate::meta::{Status, Time};
use crate::resources::API;
use crate::runtime::Flow;

const TEXT: &str = "text/plain; charset=utf-8";

/// Passes requests to their handlers.
pub(super) struct Router {
    app: Arc<App>,
    fixed: axum::Router,
}

impl Router {
    /// The routes to these handlers.
    pub(super) fn new(app: App) -> Self {
        let app = Arc::new(app);
        Self { fixed: fixed_paths(app.clone()), app }
    }

    /// The resources.
    pub(super) fn api(&self) -> &Api {
        &self.app.api
    }

    /// The resource that a request is for, if its API is served.
    pub(super) fn resource<'a>(&self, info: &'a RequestInfo<'_>) -> Option<&'a ResourceInfo<'a>> {
        self.find(info).map(|(_, resource)| resource)
    }

    fn find<'a>(&self, info: &'a RequestInfo<'_>) -> Option<(&Api, &'a ResourceInfo<'a>)> {
        if let Some(resource) = info.resource_of(API) {
            return Some((&self.app.api, resource));
        }
        let mut others = self.app.standalone.iter();
        others.find_map(|(version, api)| info.resource_of(*version).map(|found| (api, found)))
    }

    /// Handles an authorized request, with the body of a request for a resource. axum routes the
    /// fixed paths, which need no user.
    pub(super) async fn handle(
        &self,
        info: &RequestInfo<'_>,
        user: Option<&Arc<User>>,
        flow: Flow,
        mut request: Request,
        body: Bytes,
    ) -> Response {
        match self.find(info) {
            Some((api, resource)) => {
                let user = user.cloned().unwrap_or_default();
                let parts = request.into_parts().0;
                handle_resource(api, info, resource, (user, flow), parts, body).await
            }
            None => {
                request.extensions_mut().insert(info.query.clone());
                let handled = Box::pin(self.fixed.clone().oneshot(request));
                handled.await.unwrap_or_else(|never| match never {})
            }
        }
    }
}

/// The routes of paths other than resources.
fn fixed_paths(app: Arc<App>) -> axum::Router {
    axum::Router::new()
        .route("/livez", any(health_checks))
        .route("/livez/{check}", any(health_checks))
        .route("/readyz", any(health_checks))
        .route("/readyz/{check}", any(health_checks))
        .route("/healthz", any(health_checks))
        .route("/healthz/{check}", any(health_checks))
        .route("/metrics", any(metrics))
        .route("/configz", any(configz))
        .route("/debug/pprof/profile", any(cpu_profile))
        .route("/debug/pprof/heap", any(heap_profile))
        .route("/version", any(version))
        .route("/version/", any(version))
        .route("/openapi/v2", any(openapi_v2))
        .route("/openapi/v3", any(openapi_index))
        .route("/openapi/v3/apis/image.openshift.io", any(openapi_v3_group))
        .route("/openapi/v3/apis/image.openshift.io/v1", any(openapi_v3))
        .route("/api", any(core_versions))
        .route("/api/", any(core_versions))
        .route("/api/v1", any(core_resources))
        .route("/api/v1/", any(core_resources))
        .route("/apis", any(groups))
        .route("/apis/", any(groups))
        .route("/apis/image.openshift.io", any(group))
        .route("/apis/image.openshift.io/", any(group))
        .route("/apis/image.openshift.io/v1", any(resources))
        .route("/apis/image.openshift.io/v1/", any(resources))
        .fallback(not_found)
        .with_state(app)
}

async fn handle_resource(
    api: &Api,
    info: &RequestInfo<'_>,
    resource: &ResourceInfo<'_>,
    (user, flow): (Arc<User>, Flow),
    mut parts: Parts,
    body: Bytes,
) -> Response {
    if let Err(status) = resource.check_form() {
        let media = Accept::new(&parts.headers, info.query).error_media();
        return respond::status(&status, media);
    }
    let upgrade = Upgrade::read(&parts.headers, &mut parts.extensions);
    let request =
        serve::Request { user, flow, info: *info, headers: &parts.headers, body, now: Time::now() };
    let mut response = respond::reply(api.serve(request).await);
    if let Some(upgrade) = upgrade.filter(|_| response.extensions().get::<EventStream>().is_some())
    {
        response.extensions_mut().insert(upgrade);
    }
    response
}

async fn not_found(request: Request) -> Response {
    no_such_path(&request)
}

async fn health_checks(State(app): State<Arc<App>>, request: Request) -> Response {
    let path = request.uri().path();
    let query = query_of(&request);
    let Some(report) = app.health.report(path, &query).await else {
        return no_such_path(&request);
    };
    let mut response = respond::text(report.code, report.text, TEXT);
    if path.matches('/').count() == 1 {
        response
            .headers_mut()
            .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

async fn cpu_profile(State(app): State<Arc<App>>, request: Request) -> Response {
    let Some(profiler) = &app.profiler else { return no_such_path(&request) };
    let query = query_of(&request);
    let media = Accept::new(request.headers(), &query).error_media();
    match request.method() {
        &Method::GET => profile(profiler.cpu(&query).await, media),
        _ => profile(Err(Status::method_not_allowed()), media),
    }
}

async fn heap_profile(State(app): State<Arc<App>>, request: Request) -> Response {
    let Some(profiler) = &app.profiler else { return no_such_path(&request) };
    let media = Accept::new(request.headers(), &query_of(&request)).error_media();
    match request.method() {
        &Method::GET => profile(profiler.heap().await, media),
        _ => profile(Err(Status::method_not_allowed()), media),
    }
}

fn profile(made: Result<Vec<u8>, Status>, media: Media) -> Response {
    match made {
        Ok(profile) => respond::reply(ApiResponse::new(200, "application/octet-stream", profile)),
        Err(status) => respond::status(&status, media),
    }
}

async fn metrics(State(app): State<Arc<App>>, request: Request) -> Response {
    if prefers_open_metrics(request.headers()) {
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        return respond::text(200, app.metrics.open_metrics(), content_type);
    }
    respond::text(200, app.metrics.text(), "text/plain; version=0.0.4; charset=utf-8")
}

/// Returns true if `Accept` prefers OpenMetrics to the text format, as `Negotiate` in
/// github.com/prometheus/common/expfmt. The first of several equal media types counts.
fn prefers_open_metrics(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = accept.flat_map(|value| value.split(',')).filter_map(MediaRange::parse);
    let mut best: Option<(f32, bool)> = None;
    for range in ranges {
        let version = range.parameter("version").unwrap_or_default();
        let is_open_metrics = match (range.kind, range.subtype) {
            ("application", "openmetrics-text") if ["", "0.0.1", "1.0.0"].contains(&version) => {
                true
            }
            ("text", "plain") if ["", "0.0.4"].contains(&version) => false,
            ("text" | "*", "*") => false,
            _ => continue,
        };
        if range.quality > best.map_or(0.0, |(quality, _)| quality) {
            best = Some((range.quality, is_open_metrics));
        }
    }
    best.is_some_and(|(_, is_open_metrics)| is_open_metrics)
}
