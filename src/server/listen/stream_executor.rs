//! Tasks of the streams of an HTTP/2 connection.
//!
//! The send timeout ends a single stream, not the connection, because a proxy sends the requests of
//! all its users over one connection.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};

use super::limits::DRAIN_GRACE;
use crate::server::shutdown::{ServerPhase, Shutdown};

tokio::task_local! {
    /// Send of the current stream that the client must read in time.
    static PENDING_SEND: Cell<Option<PendingSend>>;
}

/// A response, or a part of one, that the client must read in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PendingSend {
    kind: SendKind,
    since: Instant,
}

/// Kind of data whose reading is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendKind {
    /// A response, or a part of a streamed response.
    Response,
    /// A watch event, which has less time once the server drains.
    Event,
}

/// Spawns the tasks of streams and enforces the send timeout.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    /// Time to read a response, or one part of a streamed response.
    pub(super) send: Duration,
    /// Phase of the server, which ends watches.
    pub(super) shutdown: Shutdown,
}

/// Starts the send timeout of the current stream.
pub(super) fn send_started(kind: SendKind) {
    set_pending(Some(PendingSend { kind, since: Instant::now() }));
}

/// Stops the send timeout of the current stream: the client has read all events.
pub(super) fn all_events_read() {
    set_pending(None);
}

fn set_pending(send: Option<PendingSend>) {
    // Fails on HTTP/1.1, where `Activity` times the connection.
    let _ = PENDING_SEND.try_with(|current| current.set(send));
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        tokio::spawn(PENDING_SEND.scope(Cell::new(None), self.clone().run(stream)));
    }
}

impl StreamExecutor {
    /// Runs a stream until it ends or its send timeout expires. Dropping it resets the stream.
    async fn run(self, stream: impl Future<Output = ()>) {
        let mut stream = pin!(stream);
        // Created on demand, because most responses are sent at once and need no timer.
        let mut end: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
        let mut scheduled = None;
        poll_fn(|cx| {
            if stream.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let pending = PENDING_SEND.with(Cell::get);
            if pending != scheduled {
                scheduled = pending;
                end = pending.map(|pending| self.timeout_of(pending));
            }
            end.as_mut().map_or(Poll::Pending, |end| end.as_mut().poll(cx))
        })
        .await;
    }

    /// Resolves when the client has had the time to read the data.
    fn timeout_of(
        &self,
        PendingSend { kind, since }: PendingSend,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let late = sleep_until(since + self.send);
        match kind {
            SendKind::Response => Box::pin(late),
            SendKind::Event => {
                let draining = self.shutdown.reached(ServerPhase::Draining);
                Box::pin(async move {
                    tokio::select! {
                        () = late => {}
                        () = async { draining.await; sleep_until(since + DRAIN_GRACE).await } => {}
                    }
                })
            }
        }
    }
}
