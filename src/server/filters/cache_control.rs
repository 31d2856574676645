//! The default of `Cache-Control`.

use axum::response::Response;
use http::{HeaderValue, header};

/// Adds `Cache-Control` to a response without it: `no-store`, and `no-cache, private` for OpenAPI
/// (`WithCacheControl` in k8s.io/apiserver/pkg/endpoints/filters/cachecontrol.go).
pub(super) fn set(response: &mut Response, path: &str) {
    let default = if path.starts_with("/openapi/") { "no-cache, private" } else { "no-store" };
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static(default));
}
