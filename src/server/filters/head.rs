//! Responses to HEAD requests.

use axum::body::{Body, HttpBody};
use axum::response::Response;
use http::{Method, header};

/// Removes the body of a response to HEAD and keeps the headers that GET has, with the length of
/// the body. hyper does that on HTTP/1.1 only.
pub(super) fn complete(method: &Method, response: Response) -> Response {
    if method != Method::HEAD {
        return response;
    }
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    Response::from_parts(head, Body::empty())
}
