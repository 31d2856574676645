//! Which path is answered by what. Everything goes through [`app::guard`] first.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tower::Service;

use super::app::{self, App, Asked};
use super::documents::Tagged;
use super::memory::{Memory, Share};
use super::respond;
use super::websocket;
use crate::auth::User;
use crate::endpoints::codec::MAX_BODY_BYTES;
use crate::endpoints::negotiate::{Forms, Media, Wanted};
use crate::endpoints::reply::Reply;
use crate::endpoints::request_info::{RequestInfo, RequestKind, ResourceInfo};
use crate::endpoints::serve;
use crate::machinery::query::Query;
use crate::meta::protobuf::{API_GROUP, API_GROUP_LIST, API_RESOURCE_LIST};
use crate::meta::{Status, Time};

const TEXT: &str = "text/plain; charset=utf-8";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The service that answers every request.
///
/// Resources are answered by [`resource`] without a detour; axum serves the fixed paths.
pub(super) fn service(
    app: Arc<App>,
) -> impl Service<hyper::Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send {
    let fixed = fixed_paths(app.clone());
    tower::service_fn(move |request: hyper::Request<Incoming>| {
        let (app, fixed) = (app.clone(), fixed.clone());
        async move { Ok(app::guard(&app, fixed, request.map(Body::new)).await) }
    })
}

/// The paths that are no resources.
fn fixed_paths(app: Arc<App>) -> Router {
    Router::new()
        .route("/livez", any(health))
        .route("/livez/{check}", any(health))
        .route("/readyz", any(health))
        .route("/readyz/{check}", any(health))
        .route("/healthz", any(health))
        .route("/healthz/{check}", any(health))
        .route("/metrics", any(metrics))
        .route("/version", any(version))
        .route("/version/", any(version))
        .route("/openapi/v2", any(openapi_v2))
        .route("/openapi/v3", any(openapi_index))
        .route("/openapi/v3/apis/image.openshift.io", any(openapi_v3_group))
        .route("/openapi/v3/apis/image.openshift.io/v1", any(openapi_v3))
        .route("/apis", any(groups))
        .route("/apis/", any(groups))
        .route("/apis/image.openshift.io", any(group))
        .route("/apis/image.openshift.io/", any(group))
        .route("/apis/image.openshift.io/v1", any(resources))
        .route("/apis/image.openshift.io/v1/", any(resources))
        .fallback(nowhere)
        .with_state(app)
}

/// A path that does not exist.
async fn nowhere(request: Request) -> Response {
    respond::status(&Status::no_such_path(), Wanted::new(request.headers(), &query_of(&request)).for_errors())
}

/// The parameters, as the guard read them.
fn query_of(request: &Request) -> Query {
    request.extensions().get::<Asked>().map(|asked| asked.query.clone()).unwrap_or_default()
}

/// Executes a request for a resource.
pub(super) async fn resource(
    app: &App,
    user: Option<Arc<User>>,
    info: &RequestInfo<'_>,
    resource: &ResourceInfo<'_>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let upgrade = websocket::Upgrade::read(&parts.headers, &mut parts.extensions);
    let fail = |status: &Status| respond::status(status, Wanted::new(&parts.headers, info.query).for_errors());
    if let Err(status) = resource.check_form() {
        return fail(&status);
    }
    let read = match info.kind() {
        RequestKind::Mutating => {
            Box::pin(read(&app.bodies, &parts.headers, body)).await.map(|(body, share)| (body, Some(share)))
        }
        RequestKind::ReadOnly => Ok((Bytes::new(), None)),
    };
    // The share is held until the body is no longer needed.
    let (body, _share) = match read {
        Ok(read) => read,
        Err(status) => return fail(&status),
    };
    let request = serve::Request {
        user: user.unwrap_or_else(|| Arc::new(User::default())),
        info: *info,
        headers: &parts.headers,
        body,
        now: Time::now(),
    };
    let mut response = respond::reply(app.api.serve(request).await);
    if let Some(upgrade) = upgrade.filter(|_| response.extensions().get::<respond::Endless>().is_some()) {
        response.extensions_mut().insert(upgrade);
    }
    response
}

/// The whole body, unless it is too large, or others have taken the memory for bodies.
async fn read(memory: &Arc<Memory>, headers: &HeaderMap, mut body: Body) -> Result<(Bytes, Share), Status> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        if !headers.contains_key(header::EXPECT) {
            discard(&mut body).await;
        }
        return Err(Status::request_too_large(MAX_BODY_BYTES));
    }
    let share = memory.take(announced.unwrap_or(MAX_BODY_BYTES)).ok_or_else(Status::too_many_requests)?;
    match Limited::new(&mut body, MAX_BODY_BYTES).collect().await {
        Ok(whole) => Ok((whole.to_bytes(), share)),
        Err(why) if why.is::<LengthLimitError>() => {
            discard(&mut body).await;
            Err(Status::request_too_large(MAX_BODY_BYTES))
        }
        Err(why) => Err(Status::bad_request(format!("the body of the request could not be read: {why}"))),
    }
}

/// Reads on where a body is too large, so that a client that writes before it reads gets to see the answer.
///
/// Only so far: who sends even more loses the connection.
async fn discard(body: &mut Body) {
    const MOST: usize = 16 << 20;
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > MOST {
            return;
        }
    }
}

async fn health(State(app): State<Arc<App>>, request: Request) -> Response {
    let path = request.uri().path();
    let query = query_of(&request);
    let Some(report) = app.health.report(path, &query).await else {
        return respond::status(&Status::no_such_path(), Wanted::new(request.headers(), &query).for_errors());
    };
    let mut response = respond::text(report.code, report.text, TEXT);
    if path.matches('/').count() == 1 {
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    respond::text(200, app.metrics.text(), "application/openmetrics-text; version=1.0.0; charset=utf-8")
}

async fn version(State(app): State<Arc<App>>, request: Request) -> Response {
    document(&request, |_| Ok(Reply::new(200, "application/json", app.documents.version.clone())))
}

async fn group(State(app): State<Arc<App>>, request: Request) -> Response {
    document(&request, |media| Reply::prepared(media, &API_GROUP, &app.documents.group))
}

async fn resources(State(app): State<Arc<App>>, request: Request) -> Response {
    document(&request, |media| Reply::prepared(media, &API_RESOURCE_LIST, &app.documents.resources))
}

async fn groups(State(app): State<Arc<App>>, request: Request) -> Response {
    if asks_for_aggregated(request.headers()) && request.method() == Method::GET {
        return aggregated(&app, request.headers());
    }
    let mut response = document(&request, |media| Reply::prepared(media, &API_GROUP_LIST, &app.documents.groups));
    // What is refused is refused in one form, and the reference does not speak of others.
    if response.status().is_success() {
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    }
    response
}

/// Everything about discovery in one document, or 304 for who has it already.
fn aggregated(app: &App, headers: &HeaderMap) -> Response {
    tagged(&app.documents.aggregated, AGGREGATED, "public", headers)
}

/// A document, or 304 for who has it already.
fn tagged(document: &Tagged, content_type: &'static str, caching: &'static str, asked: &HeaderMap) -> Response {
    let Tagged { body, tag, .. } = document;
    let mut response = match asked.get(header::IF_NONE_MATCH) {
        Some(known) if known == tag => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        _ => respond::reply(Reply::new(200, content_type, body.clone())),
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::ETAG, tag.clone());
    response
}

async fn openapi_v2(State(app): State<Arc<App>>, request: Request) -> Response {
    let documents = &app.documents;
    let (document, content_type) = match asks_for_protobuf(request.headers()) {
        true => (&documents.openapi_v2_protobuf, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"),
        false => (&documents.openapi_v2, "application/json"),
    };
    openapi(&request, document, content_type, MAY_CHANGE)
}

async fn openapi_index(State(app): State<Arc<App>>, request: Request) -> Response {
    openapi(&request, &app.documents.openapi_index, "application/json", MAY_CHANGE)
}

async fn openapi_v3(State(app): State<Arc<App>>, request: Request) -> Response {
    by_hash(&request, &app.documents.openapi_v3)
}

async fn openapi_v3_group(State(app): State<Arc<App>>, request: Request) -> Response {
    by_hash(&request, &app.documents.openapi_v3_group)
}

/// A document of version 3. One that was asked for by its hash never changes; by another hash it is sent all the same, since
/// kube-apiserver follows no redirection.
fn by_hash(request: &Request, document: &Tagged) -> Response {
    let is_this = query_of(request).get("hash") == Some(document.hash.as_str());
    openapi(request, document, "application/json", if is_this { "public, immutable" } else { MAY_CHANGE })
}

/// How long documents are good for that may change.
const MAY_CHANGE: &str = "no-cache, private";

fn openapi(request: &Request, document: &Tagged, content_type: &'static str, caching: &'static str) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => tagged(document, content_type, caching, request.headers()),
        _ => {
            let wanted = Wanted::new(request.headers(), &query_of(request)).for_errors();
            respond::status(&Status::method_not_allowed(), wanted)
        }
    }
}

/// Whether the first clause that this server can meet is OpenAPI as protobuf. What it is asked by has an `@` where what it is
/// sent as has a dot.
fn asks_for_protobuf(headers: &HeaderMap) -> bool {
    const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut asked = accept.split(',').filter_map(|clause| clause.split(';').next()).map(str::trim);
    asked.find(|media| [PROTOBUF, "application/json", "*/*"].contains(media)) == Some(PROTOBUF)
}

/// Whether the first clause that this server can meet is the one document of discovery.
fn asks_for_aggregated(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = accept.split(',').find(|clause| {
        let parameter =
            |name: &str| clause.split(';').filter_map(|pair| pair.split_once('=')).find(|(key, _)| key.trim() == name);
        let value = |name| parameter(name).map(|(_, value)| value.trim());
        let is_json = ["application/json", "*/*"].contains(&clause.split(';').next().unwrap_or_default().trim());
        is_json
            && (value("as").is_none()
                || (value("as"), value("v"), value("g"))
                    == (Some("APIGroupDiscoveryList"), Some("v2"), Some("apidiscovery.k8s.io")))
    });
    first.is_some_and(|clause| clause.split(';').any(|parameter| parameter.trim_start().starts_with("as=")))
}

/// A document that can only be read.
fn document(request: &Request, write: impl Fn(Media) -> Result<Reply, Status>) -> Response {
    let query = query_of(request);
    let wanted = Wanted::new(request.headers(), &query);
    let answer = match *request.method() {
        Method::GET => wanted.agree(Forms::ObjectOnly).and_then(|representation| write(representation.media)),
        _ => Err(Status::method_not_allowed()),
    };
    match answer {
        Ok(reply) => respond::reply(reply),
        Err(status) => respond::status(&status, wanted.for_errors()),
    }
}
