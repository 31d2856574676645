//! The conversion of replies to HTTP responses.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use crate::endpoints::negotiation::Media;
use crate::endpoints::response::{ApiResponse, ContentEncoding};
use crate::endpoints::response_body::{BodyStream, ResponseBody};
use crate::meta::Status;
use crate::meta::field::quote;

/// The hidden cause of a failure, for the log. An extension of responses.
#[derive(Clone, Debug)]
pub(super) struct Hidden(pub String);

/// The status in a response, for the audit log. An extension of responses.
#[derive(Clone, Debug)]
pub(super) struct ReturnedStatus(pub Box<Status>);

/// The annotations of admission, for the audit log. An extension of responses.
#[derive(Clone, Debug)]
pub(super) struct AdmissionAnnotations(pub BTreeMap<String, String>);

/// Marks a response as a stream of events. An extension of responses.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventStream;

/// The response for a reply.
pub(super) fn reply(reply: ApiResponse) -> Response {
    let mut response = match reply.body {
        ResponseBody::Full(bytes) => Response::new(Body::from(bytes)),
        ResponseBody::Chunks(parts) => Response::new(in_parts(parts)),
        ResponseBody::Events(parts) => {
            let mut response = Response::new(in_parts(parts));
            response.extensions_mut().insert(EventStream);
            response
        }
    };
    *response.status_mut() =
        StatusCode::from_u16(reply.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    if reply.encoding == ContentEncoding::Gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if reply.retry_after > 0 {
        headers.insert(header::RETRY_AFTER, reply.retry_after.into());
    }
    append_warnings(headers, &reply.warnings);
    if reply.code == 403 {
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if let Some(status) = reply.status {
        response.extensions_mut().insert(ReturnedStatus(status));
    }
    if !reply.audit_annotations.is_empty() {
        response.extensions_mut().insert(AdmissionAnnotations(reply.audit_annotations));
    }
    match reply.hidden {
        Some(hidden) => hiding(response, hidden),
        None => response,
    }
}

/// A body that is sent in parts. Its error is logged here, because the response has already begun
/// with a code of success.
fn in_parts(parts: BodyStream) -> Body {
    let parts =
        parts.inspect_err(|why| tracing::error!(%why, "a response failed while it was sent"));
    // hyper drops unsent data when a body fails, even the head. It sends them when a body is
    // pending.
    Body::from_stream(parts.or_else(|why| async {
        tokio::task::yield_now().await;
        Err(why)
    }))
}

/// Adds warnings as headers. If they are too long, each text is cut, and the last header gives the
/// number of those that are missing.
fn append_warnings(headers: &mut HeaderMap, texts: &[String]) {
    /// The most headers. Python's client accepts 100 headers in all; a warning about credentials
    /// may follow as the 80th.
    const MAX_HEADERS: usize = 79;
    /// Characters of all texts.
    const ROOM: usize = 4096;
    /// Characters of one text if all of them are too long.
    const SHORT: usize = 256;
    let length = |text: &str| text.chars().count();
    let longest =
        if texts.iter().map(|text| length(text)).sum::<usize>() > ROOM { SHORT } else { ROOM };
    let mut left = ROOM;
    let mut shown = 0;
    let most = if texts.len() > MAX_HEADERS { MAX_HEADERS - 1 } else { texts.len() };
    for text in &texts[..most] {
        let text: String = text.chars().take(longest).collect();
        let Some(rest) = left.checked_sub(length(&text)) else {
            break;
        };
        left = rest;
        append_warning(headers, &text);
        shown += 1;
    }
    let more = texts.len() - shown;
    if more > 0 {
        append_warning(headers, &format!("{more} more warnings are not shown"));
    }
}

/// Adds a warning as a header. A text that no header can hold is left out.
pub(super) fn append_warning(headers: &mut HeaderMap, text: &str) {
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    if let Ok(value) = HeaderValue::try_from(format!("299 - \"{quoted}\"").into_bytes()) {
        headers.append(header::WARNING, value);
    }
}

/// The response with a status.
pub(super) fn status(status: &Status, media: Media) -> Response {
    reply(ApiResponse::status(status, media))
}

/// The response with a text.
pub(super) fn text(code: u16, text: String, content_type: &'static str) -> Response {
    reply(ApiResponse::new(code, content_type, text))
}

/// The 500 for a request that could not be authorized, as `InternalError` in
/// k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go.
pub(super) fn internal(uri: &Uri, why: &str) -> Response {
    let uri = uri.path_and_query().map_or("/", |uri| uri.as_str());
    let text = format!("Internal Server Error: {}: {why}\n", quote(uri));
    let mut response = self::text(500, text, "text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The same response with a hidden cause for the log.
pub(super) fn hiding(mut response: Response, why: String) -> Response {
    response.extensions_mut().insert(Hidden(why));
    response
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::stream;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::endpoints::response_body::Interrupted;

    #[tokio::test]
    async fn a_list_that_fails_at_once_has_a_head() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let service = hyper::service::service_fn(|_| async {
            let parts = [
                Ok(Bytes::from_static(b"{\"items\":[")),
                Err(Interrupted("the second is damaged".into())),
            ];
            Ok::<_, Infallible>(Response::new(in_parts(Box::pin(stream::iter(parts)))))
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(server), service);
        let connection = tokio::spawn(connection.into_future());
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(connection.await.unwrap().is_err(), "the connection is broken off");
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("{\"items\":["),
            "{answer:?}"
        );
        assert!(!answer.ends_with("0\r\n\r\n"), "it must not look complete: {answer:?}");
    }
}
