//! The handlers of documents: discovery, OpenAPI, version and flags.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::app::App;
use super::documents::EtagDocument;
use super::respond;
use crate::endpoints::negotiation::{Accept, Media, SupportedForms};
use crate::endpoints::response::ApiResponse;
use crate::machinery::media_type;
use crate::machinery::query::Query;
use crate::meta::Status;
use crate::meta::protobuf::{API_GROUP, API_GROUP_LIST, API_RESOURCE_LIST, API_VERSIONS};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The query parameters, which the router puts into the extensions of a request.
pub(super) fn query_of(request: &Request) -> Query {
    request.extensions().get::<Query>().cloned().unwrap_or_default()
}

pub(super) async fn version(State(app): State<Arc<App>>, request: Request) -> Response {
    document(&request, |_| {
        Ok(ApiResponse::new(200, "application/json", app.documents.version.clone()))
    })
}

/// The flags of the server, as `handle` in k8s.io/component-base/configz/configz.go.
pub(super) async fn configz(State(app): State<Arc<App>>, request: Request) -> Response {
    document(&request, |_| Ok(ApiResponse::new(200, "application/json", app.configz.clone())))
}

pub(super) async fn group(State(app): State<Arc<App>>, request: Request) -> Response {
    document(&request, |media| ApiResponse::prepared(media, &API_GROUP, &app.documents.group))
}

pub(super) async fn resources(State(app): State<Arc<App>>, request: Request) -> Response {
    document(&request, |media| {
        ApiResponse::prepared(media, &API_RESOURCE_LIST, &app.documents.resources)
    })
}

pub(super) async fn groups(State(app): State<Arc<App>>, request: Request) -> Response {
    if asks_for_aggregated(request.headers()) && request.method() == Method::GET {
        return aggregated(&app.documents.aggregated, request.headers());
    }
    document(&request, |media| ApiResponse::prepared(media, &API_GROUP_LIST, &app.documents.groups))
}

/// `/api`.
pub(super) async fn core_versions(State(app): State<Arc<App>>, request: Request) -> Response {
    let Some(core) = &app.documents.core else { return no_such_path(&request) };
    if asks_for_aggregated(request.headers()) && request.method() == Method::GET {
        return aggregated(&core.aggregated, request.headers());
    }
    document(&request, |media| ApiResponse::prepared(media, &API_VERSIONS, &core.versions))
}

/// `/api/v1`.
pub(super) async fn core_resources(State(app): State<Arc<App>>, request: Request) -> Response {
    let Some(core) = &app.documents.core else { return no_such_path(&request) };
    document(&request, |media| ApiResponse::prepared(media, &API_RESOURCE_LIST, &core.resources))
}

/// 404 for a path that is not served.
pub(super) fn no_such_path(request: &Request) -> Response {
    let accept = Accept::new(request.headers(), &query_of(request)).error_media();
    respond::status(&Status::no_such_path(), accept)
}

/// Aggregated discovery, or 304 if the client has it.
fn aggregated(document: &EtagDocument, headers: &HeaderMap) -> Response {
    let form = DocumentForm { content_type: AGGREGATED, caching: "public", vary: &["Accept"] };
    tagged(document, &form, headers)
}

/// Headers of a document with an entity tag.
struct DocumentForm {
    content_type: &'static str,
    /// `Cache-Control`.
    caching: &'static str,
    /// The values of `Vary`, where the reference sends it.
    vary: &'static [&'static str],
}

/// A document, or 304 if the client has it.
fn tagged(document: &EtagDocument, form: &DocumentForm, request_headers: &HeaderMap) -> Response {
    let EtagDocument { body, tag, .. } = document;
    let mut response = match request_headers.get(header::IF_NONE_MATCH) {
        Some(known) if known == tag => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        _ => respond::reply(ApiResponse::new(200, form.content_type, body.clone())),
    };
    let headers = response.headers_mut();
    for name in form.vary {
        headers.append(header::VARY, HeaderValue::from_static(name));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(form.caching));
    headers.insert(header::ETAG, tag.clone());
    response
}

pub(super) async fn openapi_v2(State(app): State<Arc<App>>, request: Request) -> Response {
    let documents = &app.documents;
    let (document, content_type) = match asks_for_protobuf(request.headers()) {
        true => (
            &documents.openapi_v2_protobuf,
            "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
        ),
        false => (&documents.openapi_v2, "application/json"),
    };
    // The reference compresses this document by `Accept-Encoding`.
    let vary = &["Accept-Encoding", "Accept"];
    openapi(&request, document, &DocumentForm { content_type, caching: MAY_CHANGE, vary })
}

pub(super) async fn openapi_index(State(app): State<Arc<App>>, request: Request) -> Response {
    let form = DocumentForm { content_type: "application/json", caching: MAY_CHANGE, vary: &[] };
    openapi(&request, &app.documents.openapi_index, &form)
}

pub(super) async fn openapi_v3(State(app): State<Arc<App>>, request: Request) -> Response {
    by_hash(&request, &app.documents.openapi_v3)
}

pub(super) async fn openapi_v3_group(State(app): State<Arc<App>>, request: Request) -> Response {
    by_hash(&request, &app.documents.openapi_v3_group)
}

/// A document of OpenAPI version 3. A client that names its hash may cache it for ever. A request
/// with another hash gets the document as well, not a redirect, because kube-apiserver follows
/// none.
fn by_hash(request: &Request, document: &EtagDocument) -> Response {
    let is_this = query_of(request).get("hash") == Some(document.hash.as_str());
    let caching = if is_this { "public, immutable" } else { MAY_CHANGE };
    let form = DocumentForm { content_type: "application/json", caching, vary: &["Accept"] };
    openapi(request, document, &form)
}

/// The `Cache-Control` of documents that a new version of the server may change.
const MAY_CHANGE: &str = "no-cache, private";

fn openapi(request: &Request, document: &EtagDocument, form: &DocumentForm) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => tagged(document, form, request.headers()),
        _ => {
            let accept = Accept::new(request.headers(), &query_of(request)).error_media();
            respond::status(&Status::method_not_allowed(), accept)
        }
    }
}

/// Returns true if protobuf is the first known media type in `Accept`. The media type has an `@`
/// there and a dot in `Content-Type`, as in k8s.io/kube-openapi/pkg/handler.
fn asks_for_protobuf(headers: &HeaderMap) -> bool {
    const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let accept =
        headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut media_types = accept.split(',').map(media_type::essence);
    media_types.find(|media| [PROTOBUF, "application/json", "*/*"].contains(media))
        == Some(PROTOBUF)
}

/// Returns true if aggregated discovery is the first known media type in `Accept`.
fn asks_for_aggregated(headers: &HeaderMap) -> bool {
    let accept =
        headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = accept.split(',').find(|clause| {
        let parameter = |name: &str| {
            clause
                .split(';')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| key.trim() == name)
        };
        let value = |name| parameter(name).map(|(_, value)| value.trim());
        let is_json = ["application/json", "*/*"].contains(&media_type::essence(clause));
        is_json
            && (value("as").is_none()
                || (value("as"), value("v"), value("g"))
                    == (Some("APIGroupDiscoveryList"), Some("v2"), Some("apidiscovery.k8s.io")))
    });
    first.is_some_and(|clause| {
        clause.split(';').any(|parameter| parameter.trim_start().starts_with("as="))
    })
}

/// A document in the negotiated media type. It serves GET only.
fn document(request: &Request, write: impl Fn(Media) -> Result<ApiResponse, Status>) -> Response {
    let query = query_of(request);
    let accept = Accept::new(request.headers(), &query);
    let reply = match *request.method() {
        Method::GET => accept
            .negotiate(SupportedForms::ObjectOnly)
            .and_then(|representation| write(representation.media)),
        _ => Err(Status::method_not_allowed()),
    };
    match reply {
        Ok(reply) => respond::reply(reply),
        Err(status) => respond::status(&status, accept.error_media()),
    }
}
