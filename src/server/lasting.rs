//! An answer that goes on for as long as its client listens: a watch. It has a place of its own among those that the server
//! takes on, ends where it is when the server drains, and is told of in metrics and audit log when it is over.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::audit::StartedEntry;
use crate::telemetry::metrics::{Metrics, RequestLabels};

/// The same body, which is over when `end` comes, whatever is left of it.
pub(super) fn until(body: Body, end: impl Future<Output = ()> + Send + 'static) -> Body {
    Body::from_stream(body.into_data_stream().take_until(end))
}

/// The same body, with something that is kept until it is over or its client goes away.
pub(super) fn keeping(body: Body, kept: impl Send + Unpin + 'static) -> Body {
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

/// What is told of a request whose answer goes on, once that is over.
pub(super) struct Story {
    /// Where it is counted.
    pub(super) metrics: Arc<Metrics>,
    /// What the request was.
    pub(super) labels: RequestLabels,
    /// How it was answered.
    pub(super) code: u16,
    /// When it arrived.
    pub(super) start: Instant,
    /// Its event in the audit log, which is written when this is dropped.
    pub(super) _event: StartedEntry,
}

impl Drop for Story {
    fn drop(&mut self) {
        self.metrics.answered(&self.labels, self.code, self.start.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn finished_body_releases_what_it_holds() {
        let kept = Arc::new(());
        let endless = futures_util::stream::once(async { Ok::<_, std::io::Error>(Bytes::from("part")) })
            .chain(futures_util::stream::pending());
        let (sender, end) = tokio::sync::oneshot::channel::<()>();
        let body = until(Body::from_stream(endless), async { drop(end.await) });
        let mut body = keeping(body, kept.clone());
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "part");
        assert_eq!(Arc::strong_count(&kept), 2);
        sender.send(()).unwrap();
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
