//! A large answer on its way to a client, which counts as work until it is sent.
//!
//! It goes out in slices, so that the connection takes no more than it can send soon, and the permit of its request is held
//! until the last slice is taken, together with its share of the memory for answers. Slow readers of large answers are thus
//! bounded in number as requests are. A connection of HTTP/1.1 takes a small answer at once and has one at a time; one of
//! HTTP/2 leaves each of many where it is until its client makes room, so that small ones count there as well.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::Version;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use super::inflight::Permit;
use super::memory::{SMALL, Share};

/// The size of a slice, in bytes.
const SLICE: usize = SMALL;

/// A body and the right to work on its request.
struct Held {
    body: Body,
    /// What the body has given and is not passed on yet.
    rest: Bytes,
    left: Option<u64>,
    _permit: Permit,
    _share: Share,
}

/// The same body, in an answer of this version; one that may stay for long holds permit and share until it is sent, as one
/// does that is made part by part.
pub(super) fn held(body: Body, permit: Permit, share: Share, version: Version) -> Body {
    let at_once = if version == Version::HTTP_2 { 0 } else { SMALL as u64 };
    match body.size_hint().exact() {
        Some(size) if size <= at_once => body,
        left => Held { body, rest: Bytes::new(), left, _permit: permit, _share: share }.boxed_body(),
    }
}

impl Held {
    fn boxed_body(self) -> Body {
        Body::new(self.map_err(axum::BoxError::from))
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
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
    use super::super::inflight::{InFlight, Options};
    use super::*;
    use crate::endpoints::request_info::RequestKind;
    use crate::server::memory::Memory;
    use crate::telemetry::metrics::Metrics;

    #[tokio::test]
    async fn a_large_answer_counts_until_its_last_slice_is_taken() {
        let options = Options { max_requests_inflight: 1, max_mutating_requests_inflight: 1, max_watches: 1 };
        let limits = InFlight::new(options, &Metrics::new());
        let whole: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        let memory = Memory::new(200_000);
        let share = memory.take(whole.len()).unwrap();
        let mut body =
            held(Body::from(whole.clone()), limits.enter(RequestKind::ReadOnly).unwrap(), share, Version::HTTP_11);
        assert_eq!(body.size_hint().exact(), Some(200_000));
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            assert!(limits.enter(RequestKind::ReadOnly).is_none() && memory.take(100_000).is_none());
            seen.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        drop(body);
        assert_eq!(seen, whole);
        assert!(limits.enter(RequestKind::ReadOnly).is_some() && memory.take(100_000).is_some());
    }

    #[tokio::test]
    async fn a_small_answer_counts_on_http_2_only() {
        let options = Options { max_requests_inflight: 1, max_mutating_requests_inflight: 1, max_watches: 1 };
        let limits = InFlight::new(options, &Metrics::new());
        for (version, counts) in [(Version::HTTP_11, false), (Version::HTTP_2, true)] {
            let share = Memory::new(0).take(5).unwrap();
            let _body = held(Body::from("small"), limits.enter(RequestKind::ReadOnly).unwrap(), share, version);
            assert_eq!(limits.enter(RequestKind::ReadOnly).is_none(), counts);
        }
    }
}
