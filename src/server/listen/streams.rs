//! The exchanges of a connection of HTTP/2, each a task of its own: one whose client does not read its answer in time ends
//! alone, since a proxy sends all its users over one connection.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep};

tokio::task_local! {
    /// How often the exchange has come to something that must be read in time: an answer, or a part of one.
    static SENDING: Cell<u64>;
}

/// Runs exchanges.
#[derive(Clone)]
pub(super) struct Streams {
    /// How long a client may take to read an answer.
    pub(super) send: Duration,
}

/// Takes note that the present exchange begins to send something that must be read in time.
pub(super) fn begin_to_send() {
    // Elsewhere than in an exchange of HTTP/2 nobody needs to know.
    let _ = SENDING.try_with(|sending| sending.set(sending.get() + 1));
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, exchange: F) {
        tokio::spawn(SENDING.scope(Cell::new(0), run(exchange, self.send)));
    }
}

/// Runs an exchange to its end, or until its client has had the time to read what is sent. Dropping it resets the stream.
async fn run(exchange: impl Future<Output = ()>, send: Duration) {
    let mut exchange = pin!(exchange);
    // Most answers are sent when they are made, and need no timer.
    let mut end: Option<Pin<Box<Sleep>>> = None;
    let mut timed = 0;
    poll_fn(|cx| {
        if exchange.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let sending = SENDING.with(Cell::get);
        if sending != timed {
            timed = sending;
            match &mut end {
                Some(end) => end.as_mut().reset(Instant::now() + send),
                None => end = Some(Box::pin(sleep(send))),
            }
        }
        end.as_mut().map_or(Poll::Pending, |end| end.as_mut().poll(cx))
    })
    .await;
}
