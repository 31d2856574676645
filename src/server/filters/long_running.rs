//! Long-running requests: watches, whose responses last as long as their clients listen.
//!
//! A long-running request has a limit of its own, ends between two events when the
//! server drains, and is recorded in metrics and audit log when it is over.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::audit::StartedEntry;
use crate::server::shutdown::{ServerPhase, Shutdown};
use crate::telemetry::metrics::{Metrics, RequestLabels};

/// A long-running request. Its end is recorded on drop.
pub(super) struct LongRunning {
    /// The metrics of requests.
    pub(super) metrics: Arc<Metrics>,
    /// The labels of the request.
    pub(super) labels: RequestLabels,
    /// The status code of the response.
    pub(super) code: u16,
    /// The time of the request.
    pub(super) received: Instant,
    /// The audit event of the end, which is written on drop.
    pub(super) _audit: StartedEntry,
}

impl Drop for LongRunning {
    fn drop(&mut self) {
        self.metrics.record_response(&self.labels, self.code, self.received.elapsed());
    }
}

/// Holds the permits of a long-running response until it is over. It ends when the server drains.
pub(super) fn hold(
    response: Response,
    permits: impl Send + Unpin + 'static,
    shutdown: &Shutdown,
) -> Response {
    let drained = shutdown.reached(ServerPhase::Draining);
    response.map(|body| keep(until(body, drained), permits))
}

/// Records the end of a long-running request when its response is over.
pub(super) fn observe(response: Response, request: LongRunning) -> Response {
    response.map(|body| keep(body, request))
}

/// The same body, which ends early when `end` completes.
fn until(body: Body, end: impl Future<Output = ()> + Send + 'static) -> Body {
    Body::from_stream(body.into_data_stream().take_until(end))
}

/// The same body, which keeps a value until it ends or its client goes away.
fn keep(body: Body, kept: impl Send + Unpin + 'static) -> Body {
    Body::from_stream(Keeping { parts: body.into_data_stream(), _kept: kept })
}

struct Keeping<K> {
    parts: BodyDataStream,
    _kept: K,
}

impl<K: Unpin> Stream for Keeping<K> {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.parts.poll_next_unpin(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn finished_body_releases_what_it_holds() {
        let kept = Arc::new(());
        let endless =
            futures_util::stream::once(async { Ok::<_, std::io::Error>(Bytes::from("part")) })
                .chain(futures_util::stream::pending());
        let (sender, end) = tokio::sync::oneshot::channel::<()>();
        let body = until(Body::from_stream(endless), async { drop(end.await) });
        let mut body = keep(body, kept.clone());
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "part");
        assert_eq!(Arc::strong_count(&kept), 2);
        sender.send(()).unwrap();
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
