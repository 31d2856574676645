//! The exchanges of a connection of HTTP/2, each a task of its own: one whose client does not read its answer in time ends
//! alone, since a proxy sends all its users over one connection.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};

use super::LAST_WORDS;
use crate::server::shutdown::{Phase, Shutdown};

tokio::task_local! {
    /// What the exchange sends that must be read in time, if it does.
    static SENDING: Cell<Option<Sending>>;
}

/// Something that must be read in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sending {
    what: Sent,
    since: Instant,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// An answer, or a part of one.
    Answer,
    /// A part of a watch, which nobody waits for once the server ends.
    Watch,
}

/// Runs exchanges.
#[derive(Clone)]
pub(super) struct Streams {
    /// How long a client may take to read an answer.
    pub(super) send: Duration,
    /// When watches are over.
    pub(super) shutdown: Shutdown,
}

/// Takes note that the present exchange begins to send something that must be read in time.
pub(super) fn begin_to_send(what: Sent) {
    note(Some(Sending { what, since: Instant::now() }));
}

/// Takes note that all is read that must be read in time.
pub(super) fn all_is_taken() {
    note(None);
}

fn note(sending: Option<Sending>) {
    // Elsewhere than in an exchange of HTTP/2 nobody needs to know.
    let _ = SENDING.try_with(|present| present.set(sending));
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, exchange: F) {
        tokio::spawn(SENDING.scope(Cell::new(None), self.clone().run(exchange)));
    }
}

impl Streams {
    /// Runs an exchange to its end, or until its client has had the time to read what is sent. Dropping it resets the stream.
    async fn run(self, exchange: impl Future<Output = ()>) {
        let mut exchange = pin!(exchange);
        // Most answers are sent when they are made, and need no timer.
        let mut end: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
        let mut timed = None;
        poll_fn(|cx| {
            if exchange.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let sending = SENDING.with(Cell::get);
            if sending != timed {
                timed = sending;
                end = sending.map(|sending| self.end_of(sending));
            }
            end.as_mut().map_or(Poll::Pending, |end| end.as_mut().poll(cx))
        })
        .await;
    }

    /// Comes when the client has had the time to read what is sent.
    fn end_of(&self, Sending { what, since }: Sending) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let late = sleep_until(since + self.send);
        match what {
            Sent::Answer => Box::pin(late),
            Sent::Watch => {
                let draining = self.shutdown.reached(Phase::Draining);
                Box::pin(async move {
                    tokio::select! {
                        () = late => {}
                        () = async { draining.await; sleep_until(since + LAST_WORDS).await } => {}
                    }
                })
            }
        }
    }
}
