//! From answers to HTTP.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use crate::meta::Status;
use crate::rest::negotiate::Media;
use crate::rest::reply::{Encoding, Reply};

/// What went wrong inside, on its way to the log.
#[derive(Clone, Debug)]
pub(super) struct Hidden(pub String);

/// An answer as HTTP.
pub(super) fn reply(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if reply.encoding == Encoding::Gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if reply.retry_after > 0 {
        headers.insert(header::RETRY_AFTER, reply.retry_after.into());
    }
    if reply.code == 403 {
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if let Some(hidden) = reply.hidden {
        response.extensions_mut().insert(Hidden(hidden));
    }
    response
}

/// A status as HTTP.
pub(super) fn status(status: &Status, media: Media) -> Response {
    reply(Reply::status(status, media))
}

/// Plain text as HTTP.
pub(super) fn text(code: u16, text: String, content_type: &'static str) -> Response {
    reply(Reply::new(code, content_type, text))
}

/// A failure in plain text, whose cause also goes to the log.
pub(super) fn internal(text: String, why: String) -> Response {
    let mut response = self::text(500, text, "text/plain; charset=utf-8");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.extensions_mut().insert(Hidden(why));
    response
}
