//! What a connection is doing, so that it can be ended when it does too little: hyper times the headers of HTTP/1.1 from
//! the end of the request before, which would cut idle clients off early, and it knows no idle timeout at all.
//!
//! Requests only move a few atomics; one timer a connection looks at them now and then.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Buf;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::streams::{Sent, all_is_taken, begin_to_send};

/// What a connection is doing. Whoever sees no request in flight also sees when the last one ended; other than that each
/// field has its meaning alone, a mix of two moments does no harm.
pub(super) struct Activity {
    start: Instant,
    in_flight: AtomicU32,
    /// Milliseconds from `start` to when it last fell idle, took bytes, or began to send headers.
    since: AtomicU64,
    /// Whether the client is sending headers, as opposed to nothing.
    in_head: AtomicBool,
    /// Milliseconds from `start` to when the present answer of HTTP/1.1 was made, or its last part taken; `NOT_SENDING` where
    /// there is none that is timed, and on HTTP/2, where each of many has a time of its own.
    sending: AtomicU64,
    /// The same for a part of a watch that is not taken yet.
    telling: AtomicU64,
    /// Whether there is one answer at a time, as on HTTP/1.1.
    is_serial: bool,
    /// Waker of the task that waits for the end of a request.
    end: AtomicWaker,
}

const NOT_SENDING: u64 = u64::MAX;

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For the headers of a request.
    pub(super) header_read: Duration,
    /// Without requests.
    pub(super) idle: Duration,
    /// To read an answer, or a part of one that is made while it is sent.
    pub(super) send: Duration,
    /// To take a part of a watch.
    pub(super) watch: Duration,
}

impl Patience {
    /// How often to look.
    pub(super) fn grain(self) -> Duration {
        self.header_read.min(self.idle).min(self.send).min(self.watch) / 4
    }
}

/// The state of a connection, judged by its timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may go on.
    Fine,
    /// No request for too long, and nothing taken of the answers.
    Idle,
    /// Headers took too long.
    SlowHeaders,
    /// Reading an answer takes too long.
    SlowReader,
}

impl Activity {
    /// A connection of HTTP/1.1, of which the first request is awaited.
    pub(super) fn awaiting_head() -> Arc<Self> {
        Self::new(true)
    }

    /// A connection of HTTP/2, which may stay silent for the idle time.
    pub(super) fn idle() -> Arc<Self> {
        Self::new(false)
    }

    fn new(in_head: bool) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            in_flight: AtomicU32::new(0),
            since: AtomicU64::new(0),
            in_head: AtomicBool::new(in_head),
            sending: AtomicU64::new(NOT_SENDING),
            telling: AtomicU64::new(NOT_SENDING),
            is_serial: in_head,
            end: AtomicWaker::new(),
        })
    }

    /// Counts a request, until the result is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        self.in_head.store(false, Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Waits until at most this many requests are in flight. One task at a time may wait.
    pub(super) fn poll_at_most(&self, cx: &mut Context<'_>, most: usize) -> Poll<()> {
        let is_reached = || usize::try_from(self.in_flight.load(Acquire)).is_ok_and(|count| count <= most);
        if is_reached() {
            return Poll::Ready(());
        }
        self.end.register(cx.waker());
        // The end may have come before the waker did.
        if is_reached() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes note of bytes from the client.
    fn heard(&self) {
        if self.in_flight.load(Relaxed) == 0 && !self.in_head.swap(true, Relaxed) {
            self.mark();
        }
    }

    /// Takes note of bytes of an answer that went out: who reads slowly is not idle.
    fn told(&self) {
        if self.in_flight.load(Relaxed) == 0 && !self.in_head.load(Relaxed) {
            self.mark();
        }
    }

    /// Takes note that an answer is there to be sent, or more of it.
    fn begin_to_send(&self, what: Sent) {
        if self.is_serial {
            self.clock(what).store(self.now(), Relaxed);
        }
    }

    /// Takes note that all is taken that there is of a watch.
    fn all_is_taken(&self) {
        self.telling.store(NOT_SENDING, Relaxed);
    }

    fn is_sent_for(&self, what: Sent, longest: Duration) -> bool {
        let since = self.clock(what).load(Relaxed);
        since != NOT_SENDING && Duration::from_millis(self.now().saturating_sub(since)) >= longest
    }

    fn clock(&self, what: Sent) -> &AtomicU64 {
        match what {
            Sent::Answer => &self.sending,
            Sent::Watch => &self.telling,
        }
    }

    fn mark(&self) {
        self.since.store(self.now(), Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn judge(&self, patience: Patience) -> Verdict {
        let Patience { header_read, idle, send, watch } = patience;
        if self.in_flight.load(Acquire) > 0 {
            let is_slow = self.is_sent_for(Sent::Answer, send) || self.is_sent_for(Sent::Watch, watch);
            return if is_slow { Verdict::SlowReader } else { Verdict::Fine };
        }
        let past = Duration::from_millis(self.now().saturating_sub(self.since.load(Relaxed)));
        match self.in_head.load(Relaxed) {
            true if past >= header_read => Verdict::SlowHeaders,
            false if past >= idle => Verdict::Idle,
            _ => Verdict::Fine,
        }
    }
}

/// A request that is being answered.
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        // Always, since of two that end at once neither knows that it is the last.
        self.0.mark();
        self.0.sending.store(NOT_SENDING, Relaxed);
        self.0.telling.store(NOT_SENDING, Relaxed);
        self.0.in_flight.fetch_sub(1, Release);
        self.0.end.wake();
    }
}

/// A body that keeps its request in flight until hyper has taken the last of it. The client may be far from having it
/// by then, as an answer can be a single frame; from there on [`Taken`] tells that it moves.
pub(super) struct Counted<B> {
    body: B,
    pace: Pace,
    in_flight: InFlight,
}

/// In which time a client must read an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// All of it in the time for answers.
    Whole,
    /// Each part in the time for answers: all of it is made while it is read, and may take longer.
    Parts,
    /// Each part in the time for answers, which stands still while there is none: it watches.
    Events,
}

impl<B: Body> Counted<B> {
    /// The body of an answer. From now on the time runs in which the client must read it.
    pub(super) fn new(body: B, pace: Pace, in_flight: InFlight) -> Self {
        let counted = Self { body, pace, in_flight };
        if pace != Pace::Events {
            counted.begin_to_send(Sent::Answer);
        }
        counted
    }

    fn begin_to_send(&self, what: Sent) {
        self.in_flight.0.begin_to_send(what);
        begin_to_send(what);
    }

    fn all_is_taken(&self) {
        self.in_flight.0.all_is_taken();
        all_is_taken();
    }
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = Taken<B::Data>;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, B::Error>>> {
        // Who asks for a part has taken those before.
        if self.pace == Pace::Events {
            self.all_is_taken();
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match self.pace {
            Pace::Whole => {}
            Pace::Parts => self.begin_to_send(Sent::Answer),
            Pace::Events => self.begin_to_send(Sent::Watch),
        }
        let activity = &self.in_flight.0;
        let taken = |data| Taken { data, activity: Arc::clone(activity) };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(taken))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of an answer that tell when the connection takes some of them. Writes to the socket would tell less: those of
/// HTTP/2 are also pings, which go on while nothing else does.
pub(super) struct Taken<D> {
    data: D,
    activity: Arc<Activity>,
}

impl<D: Buf> Buf for Taken<D> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [io::IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
        if count > 0 {
            self.activity.told();
        }
    }
}

/// A stream that tells when bytes arrive.
pub(super) struct Heard<T> {
    pub(super) stream: T,
    pub(super) activity: Arc<Activity>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Heard<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.activity.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Heard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn judge(activity: &Activity, header_read: Duration, idle: Duration) -> Verdict {
        activity.judge(Patience { header_read, idle, send: LONG, watch: LONG })
    }

    #[test]
    fn a_request_in_flight_is_neither_idle_nor_slow() {
        let activity = Activity::awaiting_head();
        assert_eq!(judge(&activity, Duration::ZERO, LONG), Verdict::SlowHeaders);
        let (first, second) = (activity.enter(), activity.enter());
        activity.heard();
        drop(first);
        assert_eq!(judge(&activity, Duration::ZERO, Duration::ZERO), Verdict::Fine);
        drop(second);
        assert_eq!(judge(&activity, LONG, Duration::ZERO), Verdict::Idle);
    }

    #[tokio::test]
    async fn the_end_of_a_request_is_awaited() {
        let activity = Activity::idle();
        let (_first, second) = (activity.enter(), activity.enter());
        let waiting = tokio::spawn({
            let activity = Arc::clone(&activity);
            async move { poll_fn(|cx| activity.poll_at_most(cx, 1)).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }

    #[test]
    fn http1_response_must_be_read_in_time_except_watches() {
        let patience = Patience { header_read: LONG, idle: LONG, send: Duration::ZERO, watch: Duration::ZERO };
        for (activity, pace, verdict) in [
            (Activity::awaiting_head(), Pace::Whole, Verdict::SlowReader),
            (Activity::awaiting_head(), Pace::Parts, Verdict::SlowReader),
            (Activity::awaiting_head(), Pace::Events, Verdict::Fine),
            (Activity::idle(), Pace::Whole, Verdict::Fine),
        ] {
            let answering = activity.enter();
            assert_eq!(activity.judge(patience), Verdict::Fine);
            let answer = Counted::new(String::from("answer"), pace, answering);
            assert_eq!(activity.judge(patience), verdict);
            drop(answer);
            assert_eq!(activity.judge(patience), Verdict::Fine);
        }
    }

    #[tokio::test]
    async fn the_time_to_read_begins_anew_with_each_part_that_is_taken() {
        for (pace, begins) in [(Pace::Parts, true), (Pace::Whole, false)] {
            let activity = Activity::awaiting_head();
            let mut answer = Counted::new(String::from("answer"), pace, activity.enter());
            activity.sending.store(NOT_SENDING, Relaxed);
            poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).await.unwrap().unwrap();
            assert_eq!(activity.sending.load(Relaxed) != NOT_SENDING, begins, "{pace:?}");
        }
    }

    #[tokio::test]
    async fn watch_deadline_covers_single_events() {
        let patience = Patience { header_read: LONG, idle: LONG, send: LONG, watch: Duration::ZERO };
        let (sender, mut parts) = tokio::sync::mpsc::unbounded_channel();
        let parts = futures_util::stream::poll_fn(move |cx| parts.poll_recv(cx));
        let activity = Activity::awaiting_head();
        let body = http_body_util::StreamBody::new(parts);
        let mut watch = Counted::new(body, Pace::Events, activity.enter());
        for _ in 0..2 {
            sender.send(Ok::<_, io::Error>(Frame::data(&b"event"[..]))).unwrap();
            poll_fn(|cx| Pin::new(&mut watch).poll_frame(cx)).await.unwrap().unwrap();
            assert_eq!(activity.judge(patience), Verdict::SlowReader);
            let next = poll_fn(|cx| Poll::Ready(Pin::new(&mut watch).poll_frame(cx).is_pending())).await;
            assert!(next);
            assert_eq!(activity.judge(patience), Verdict::Fine);
        }
    }

    #[test]
    fn idle_time_restarts_with_activity() {
        let activity = Activity::idle();
        let unset = u64::MAX;
        let (first, second) = (activity.enter(), activity.enter());
        for end in [first, second] {
            activity.since.store(unset, Relaxed);
            drop(end);
            assert_ne!(activity.since.load(Relaxed), unset);
        }
        let mut answer = Taken { data: &b"answer"[..], activity: Arc::clone(&activity) };
        activity.since.store(unset, Relaxed);
        answer.advance(0);
        assert_eq!(activity.since.load(Relaxed), unset);
        answer.advance(1);
        assert_ne!(activity.since.load(Relaxed), unset);
        assert_eq!(answer.chunk(), b"nswer");
    }

    #[test]
    fn bytes_between_requests_begin_the_time_of_headers() {
        let activity = Activity::idle();
        assert_eq!(judge(&activity, Duration::ZERO, LONG), Verdict::Fine);
        activity.heard();
        assert_eq!(judge(&activity, Duration::ZERO, LONG), Verdict::SlowHeaders);
        assert_eq!(judge(&activity, LONG, Duration::ZERO), Verdict::Fine);
    }
}
