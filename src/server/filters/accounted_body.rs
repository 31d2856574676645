//! Bodies that count as work until they are sent.
//!
//! A body is sent in slices, so that a connection takes no more than it can send soon. The permit
//! of the request is held until the last slice is taken.
//! This bounds the number of slow readers of large responses, as the number of requests is bounded.
//! A connection of HTTP/1.1 has one response at a time and takes a small one at once. A connection
//! of HTTP/2 leaves each of many responses where it is until its client opens the window, so small
//! ones count there, too.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::Version;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use super::in_flight::Permit;

/// The size of a slice, in bytes.
const SLICE: usize = 64 << 10;

/// A body with the permit of its request.
struct AccountedBody {
    body: Body,
    /// Data of the body that is not passed on yet.
    rest: Bytes,
    left: Option<u64>,
    _permit: Permit,
}

/// Accounts for a body in a response of this HTTP version: one that can stay for long, large or
/// streamed, holds the permit until it is sent.
pub(super) fn account(body: Body, permit: Permit, version: Version) -> Body {
    let at_once = if version == Version::HTTP_2 { 0 } else { SLICE as u64 };
    match body.size_hint().exact() {
        Some(size) if size <= at_once => body,
        left => AccountedBody { body, rest: Bytes::new(), left, _permit: permit }.boxed_body(),
    }
}

impl AccountedBody {
    fn boxed_body(self) -> Body {
        Body::new(self.map_err(axum::BoxError::from))
    }
}

impl HttpBody for AccountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
        let size = self.rest.len().min(SLICE);
        let slice = self.rest.split_to(size);
        self.left = self.left.map(|left| left.saturating_sub(size as u64));
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::super::in_flight::tests::{narrow, permit};
    use super::*;
    use crate::endpoints::request_info::RequestKind;

    #[tokio::test]
    async fn a_large_body_counts_until_its_last_slice_is_taken() {
        let limits = narrow();
        let whole: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        let mut body = account(
            Body::from(whole.clone()),
            permit(&limits, RequestKind::ReadOnly).unwrap(),
            Version::HTTP_11,
        );
        assert_eq!(body.size_hint().exact(), Some(200_000));
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            assert!(permit(&limits, RequestKind::ReadOnly).is_none());
            seen.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        drop(body);
        assert_eq!(seen, whole);
        assert!(permit(&limits, RequestKind::ReadOnly).is_some());
    }

    #[tokio::test]
    async fn a_small_body_counts_on_http_2_only() {
        let limits = narrow();
        for (version, counts) in [(Version::HTTP_11, false), (Version::HTTP_2, true)] {
            let _body = account(
                Body::from("small"),
                permit(&limits, RequestKind::ReadOnly).unwrap(),
                version,
            );
            assert_eq!(permit(&limits, RequestKind::ReadOnly).is_none(), counts);
        }
    }
}
