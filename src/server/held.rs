//! A large answer on its way to a client, which counts as work until it is sent.
//!
//! It goes out in slices, so that the connection takes no more than it can send soon, and the permit of its request is held
//! until the last slice is taken. Slow readers of large answers are thus bounded in number as requests are.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use super::inflight::Permit;

/// Bodies up to this size are sent at once, and each slice of a larger one is as large, in bytes.
const SLICE: usize = 64 << 10;

/// A body and the right to work on its request.
struct Held {
    body: Body,
    /// What the body has given and is not passed on yet.
    rest: Bytes,
    left: u64,
    _permit: Permit,
}

/// The same body; a large one holds the permit until it is sent.
pub(super) fn held(body: Body, permit: Permit) -> Body {
    match body.size_hint().exact() {
        Some(size) if size > SLICE as u64 => {
            Held { body, rest: Bytes::new(), left: size, _permit: permit }.boxed_body()
        }
        _ => body,
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
        self.left = self.left.saturating_sub(size as u64);
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::super::inflight::{InFlight, Options};
    use super::*;
    use crate::telemetry::metrics::Metrics;
    use http::Method;

    #[tokio::test]
    async fn a_large_answer_counts_until_its_last_slice_is_taken() {
        let options = Options { max_requests_inflight: 1, max_mutating_requests_inflight: 1 };
        let limits = InFlight::new(options, &Metrics::new());
        let whole: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        let mut body = held(Body::from(whole.clone()), limits.enter(&Method::GET).unwrap());
        assert_eq!(body.size_hint().exact(), Some(200_000));
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            assert!(limits.enter(&Method::GET).is_none());
            seen.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        drop(body);
        assert_eq!(seen, whole);
        assert!(limits.enter(&Method::GET).is_some());
    }

    #[tokio::test]
    async fn a_small_answer_does_not_count() {
        let options = Options { max_requests_inflight: 1, max_mutating_requests_inflight: 1 };
        let limits = InFlight::new(options, &Metrics::new());
        let _body = held(Body::from("small"), limits.enter(&Method::GET).unwrap());
        assert!(limits.enter(&Method::GET).is_some());
    }
}
