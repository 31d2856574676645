//! From answers to HTTP.

use axum::body::{Body, HttpBody};
use axum::response::Response;
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use crate::endpoints::body;
use crate::endpoints::negotiate::Media;
use crate::endpoints::reply::{Encoding, Reply};
use crate::meta::Status;
use crate::meta::field::quote;

/// What went wrong inside, on its way to the log.
#[derive(Clone, Debug)]
pub(super) struct Hidden(pub String);

/// The status that an answer tells, on its way to the audit log.
#[derive(Clone, Debug)]
pub(super) struct Told(pub Box<Status>);

/// Says of an answer that it goes on while nothing happens, so that it is no work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endless;

/// An answer as HTTP.
pub(super) fn reply(reply: Reply) -> Response {
    let mut response = match reply.body {
        body::Body::Whole(bytes) => Response::new(Body::from(bytes)),
        body::Body::Parts(parts) => Response::new(in_parts(parts)),
        body::Body::Events(parts) => {
            let mut response = Response::new(in_parts(parts));
            response.extensions_mut().insert(Endless);
            response
        }
    };
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
    append_warnings(headers, &reply.warnings);
    if reply.code == 403 {
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if let Some(status) = reply.told {
        response.extensions_mut().insert(Told(status));
    }
    match reply.hidden {
        Some(hidden) => hiding(response, hidden),
        None => response,
    }
}

/// A body that is made part by part. Why one is broken off is told here, since the answer has begun as one that went well.
fn in_parts(parts: body::Parts) -> Body {
    let parts = parts.inspect_err(|why| tracing::error!("{why}"));
    // At an error hyper drops what it has not sent yet, the head too. It sends all of it when a
    // body has nothing yet.
    Body::from_stream(parts.or_else(|why| async {
        tokio::task::yield_now().await;
        Err(why)
    }))
}

/// Tells a client what is no error, as far as headers have room for it: where it is too much each text is cut, and of what does not
/// fit the last header gives the number.
fn append_warnings(headers: &mut HeaderMap, texts: &[String]) {
    /// The most headers. Python's client takes 100 headers in all; a warning about credentials may follow as the 80th.
    const MAX_HEADERS: usize = 79;
    /// Characters of all texts together.
    const ROOM: usize = 4096;
    /// Characters of one text where all together are too long.
    const SHORT: usize = 256;
    let length = |text: &str| text.chars().count();
    let longest = if texts.iter().map(|text| length(text)).sum::<usize>() > ROOM { SHORT } else { ROOM };
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

/// Tells a client something that is no error. What cannot stand in a header is left out.
pub(super) fn append_warning(headers: &mut HeaderMap, text: &str) {
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    if let Ok(value) = HeaderValue::try_from(format!("299 - \"{quoted}\"").into_bytes()) {
        headers.append(header::WARNING, value);
    }
}

/// A status as HTTP.
pub(super) fn status(status: &Status, media: Media) -> Response {
    reply(Reply::status(status, media))
}

/// Plain text as HTTP.
pub(super) fn text(code: u16, text: String, content_type: &'static str) -> Response {
    reply(Reply::new(code, content_type, text))
}

/// A 500 in the words of Kubernetes for a request that is not known to be allowed.
pub(super) fn internal(uri: &Uri, why: &str) -> Response {
    let uri = uri.path_and_query().map_or("/", |uri| uri.as_str());
    let text = format!("Internal Server Error: {}: {why}\n", quote(uri));
    let mut response = self::text(500, text, "text/plain; charset=utf-8");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The response to a HEAD request: the headers of the response to GET, the length of its body among them. The library leaves the
/// body out on HTTP/1.1 only.
pub(super) fn without_body(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    Response::from_parts(head, Body::empty())
}

/// The same answer, with what went wrong on its way to the log.
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
    use crate::endpoints::body::Interrupted;

    #[tokio::test]
    async fn a_list_that_is_broken_off_at_once_has_a_head() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let service = hyper::service::service_fn(|_| async {
            let parts = [Ok(Bytes::from_static(b"{\"items\":[")), Err(Interrupted("the second is damaged".into()))];
            Ok::<_, Infallible>(Response::new(in_parts(Box::pin(stream::iter(parts)))))
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let connection = tokio::spawn(connection.into_future());
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(connection.await.unwrap().is_err(), "the connection is broken off");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("{\"items\":["), "{answer:?}");
        assert!(!answer.ends_with("0\r\n\r\n"), "it must not look complete: {answer:?}");
    }
}
