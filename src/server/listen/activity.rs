//! Activity of a connection, by which idle and slow clients are disconnected.
//!
//! hyper starts the header timeout of HTTP/1.1 at the end of the previous request, which would
//! disconnect idle clients early, and has no idle timeout. Requests only update a few atomics; one
//! timer for each connection checks them at intervals.

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

use super::stream_executor::{SendKind, all_events_read, send_started};

/// Activity of a connection. A reader that sees no request in flight also sees the time when the
/// last one ended. Apart from that, fields are independent and may be read at different times.
pub(super) struct Activity {
    start: Instant,
    in_flight: AtomicU32,
    /// Milliseconds from `start` to the last change: the connection became idle, sent bytes, or
    /// began to receive headers.
    since: AtomicU64,
    /// True while headers arrive.
    in_head: AtomicBool,
    /// Milliseconds from `start` to when the current HTTP/1.1 response was made, or its last part
    /// read. `NOT_SENDING` if no response is timed, and on HTTP/2, which times each stream.
    response_since: AtomicU64,
    /// Milliseconds from `start` to the last watch event, until it is read; else `NOT_SENDING`.
    event_since: AtomicU64,
    /// True for HTTP/1.1, which sends one response at a time.
    is_serial: bool,
    /// Waker of the task that waits for the end of a request.
    end: AtomicWaker,
}

const NOT_SENDING: u64 = u64::MAX;

/// Timeouts of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For the headers of a request.
    pub(super) header_read: Duration,
    /// Without requests.
    pub(super) idle: Duration,
    /// For reading a response, or one part of a streamed response.
    pub(super) send: Duration,
    /// For reading a watch event.
    pub(super) watch: Duration,
}

impl Timeouts {
    /// Interval of the checks: a quarter of the smallest timeout.
    pub(super) fn check_interval(self) -> Duration {
        self.header_read.min(self.idle).min(self.send).min(self.watch) / 4
    }
}

/// State of a connection with respect to its timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionState {
    /// No timeout has expired.
    Active,
    /// The client sent no request and read no response for too long.
    Idle,
    /// The headers of a request took too long.
    SlowHeaders,
    /// Reading a response took too long.
    SlowReader,
}

/// The part of a request that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    /// The start of a head.
    NewHead,
    /// The rest of a head.
    Head,
    /// The body.
    Body,
}

impl Activity {
    /// Activity of an HTTP/1.1 connection, which must begin with a request.
    pub(super) fn awaiting_head() -> Arc<Self> {
        Self::new(true)
    }

    /// Activity of an HTTP/2 connection, which may be silent for the idle timeout.
    pub(super) fn idle() -> Arc<Self> {
        Self::new(false)
    }

    fn new(in_head: bool) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            in_flight: AtomicU32::new(0),
            since: AtomicU64::new(0),
            in_head: AtomicBool::new(in_head),
            response_since: AtomicU64::new(NOT_SENDING),
            event_since: AtomicU64::new(NOT_SENDING),
            is_serial: in_head,
            end: AtomicWaker::new(),
        })
    }

    /// Counts a request as in flight until the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        self.in_head.store(false, Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Waits until at most `max` requests are in flight. Only one task at a time may wait.
    pub(super) fn poll_at_most(&self, cx: &mut Context<'_>, max: usize) -> Poll<()> {
        let is_reached =
            || usize::try_from(self.in_flight.load(Acquire)).is_ok_and(|count| count <= max);
        if is_reached() {
            return Poll::Ready(());
        }
        self.end.register(cx.waker());
        // A request may have ended before the waker was registered.
        if is_reached() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// State of the connection under `timeouts`.
    pub(super) fn state(&self, timeouts: Timeouts) -> ConnectionState {
        let Timeouts { header_read, idle, send, watch } = timeouts;
        if self.in_flight.load(Acquire) > 0 {
            let is_slow = self.is_overdue(SendKind::Response, send)
                || self.is_overdue(SendKind::Event, watch);
            return if is_slow { ConnectionState::SlowReader } else { ConnectionState::Active };
        }
        let elapsed = Duration::from_millis(self.now().saturating_sub(self.since.load(Relaxed)));
        match self.in_head.load(Relaxed) {
            true if elapsed >= header_read => ConnectionState::SlowHeaders,
            false if elapsed >= idle => ConnectionState::Idle,
            _ => ConnectionState::Active,
        }
    }

    /// Records bytes from the client of an HTTP/1.1 connection, and returns the part of a request
    /// to which they belong.
    pub(super) fn bytes_received(&self) -> Receiving {
        if self.in_flight.load(Relaxed) > 0 {
            return Receiving::Body;
        }
        if self.in_head.swap(true, Relaxed) {
            return Receiving::Head;
        }
        self.touch();
        Receiving::NewHead
    }

    /// Records bytes of a response that were sent: a slow reader is not idle.
    fn bytes_sent(&self) {
        if self.in_flight.load(Relaxed) == 0 && !self.in_head.load(Relaxed) {
            self.touch();
        }
    }

    /// Records that a response, or a part of it, is ready to be sent.
    fn send_started(&self, kind: SendKind) {
        if self.is_serial {
            self.clock(kind).store(self.now(), Relaxed);
        }
    }

    /// Records that the client has read all watch events.
    fn all_events_read(&self) {
        self.event_since.store(NOT_SENDING, Relaxed);
    }

    fn is_overdue(&self, kind: SendKind, timeout: Duration) -> bool {
        let since = self.clock(kind).load(Relaxed);
        since != NOT_SENDING && Duration::from_millis(self.now().saturating_sub(since)) >= timeout
    }

    fn clock(&self, kind: SendKind) -> &AtomicU64 {
        match kind {
            SendKind::Response => &self.response_since,
            SendKind::Event => &self.event_since,
        }
    }

    fn touch(&self) {
        self.since.store(self.now(), Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A request in flight.
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        // Unconditional, because two requests that end at once cannot tell which is the last.
        self.0.touch();
        self.0.response_since.store(NOT_SENDING, Relaxed);
        self.0.event_since.store(NOT_SENDING, Relaxed);
        self.0.in_flight.fetch_sub(1, Release);
        self.0.end.wake();
    }
}

/// A response body that keeps its request in flight until hyper has taken the last frame. The
/// client may not have read it by then, because a response can be a single frame. From there on
/// [`TrackedData`] records progress.
pub(super) struct TrackedBody<B> {
    body: B,
    deadline: SendDeadline,
    in_flight: InFlight,
}

/// Scope of the send timeout of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendDeadline {
    /// The whole response.
    Response,
    /// Each part of a streamed response, which may take longer as a whole.
    Part,
    /// Each watch event. No timeout runs while there is no event.
    Event,
}

impl<B: Body> TrackedBody<B> {
    /// Starts the send timeout of a response.
    pub(super) fn new(body: B, deadline: SendDeadline, in_flight: InFlight) -> Self {
        let tracked = Self { body, deadline, in_flight };
        if deadline != SendDeadline::Event {
            tracked.send_started(SendKind::Response);
        }
        tracked
    }

    fn send_started(&self, kind: SendKind) {
        self.in_flight.0.send_started(kind);
        send_started(kind);
    }

    fn all_events_read(&self) {
        self.in_flight.0.all_events_read();
        all_events_read();
    }
}

impl<B: Body + Unpin> Body for TrackedBody<B> {
    type Data = TrackedData<B::Data>;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, B::Error>>> {
        // hyper polls for a frame only after it has sent the frames before.
        if self.deadline == SendDeadline::Event {
            self.all_events_read();
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match self.deadline {
            SendDeadline::Response => {}
            SendDeadline::Part => self.send_started(SendKind::Response),
            SendDeadline::Event => self.send_started(SendKind::Event),
        }
        let activity = &self.in_flight.0;
        let tracked = |data| TrackedData { data, activity: Arc::clone(activity) };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(tracked))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of a response that record when the connection sends some of them. Writes to the socket
/// would not do, because on HTTP/2 they include pings.
pub(super) struct TrackedData<D> {
    data: D,
    activity: Arc<Activity>,
}

impl<D: Buf> Buf for TrackedData<D> {
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
            self.activity.bytes_sent();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn state(activity: &Activity, header_read: Duration, idle: Duration) -> ConnectionState {
        activity.state(Timeouts { header_read, idle, send: LONG, watch: LONG })
    }

    #[test]
    fn a_request_in_flight_is_neither_idle_nor_slow() {
        let activity = Activity::awaiting_head();
        assert_eq!(state(&activity, Duration::ZERO, LONG), ConnectionState::SlowHeaders);
        let (first, second) = (activity.enter(), activity.enter());
        activity.bytes_received();
        drop(first);
        assert_eq!(state(&activity, Duration::ZERO, Duration::ZERO), ConnectionState::Active);
        drop(second);
        assert_eq!(state(&activity, LONG, Duration::ZERO), ConnectionState::Idle);
    }

    #[tokio::test]
    async fn poll_at_most_waits_for_the_end_of_a_request() {
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
        let timeouts =
            Timeouts { header_read: LONG, idle: LONG, send: Duration::ZERO, watch: Duration::ZERO };
        for (activity, deadline, state) in [
            (Activity::awaiting_head(), SendDeadline::Response, ConnectionState::SlowReader),
            (Activity::awaiting_head(), SendDeadline::Part, ConnectionState::SlowReader),
            (Activity::awaiting_head(), SendDeadline::Event, ConnectionState::Active),
            (Activity::idle(), SendDeadline::Response, ConnectionState::Active),
        ] {
            let in_flight = activity.enter();
            assert_eq!(activity.state(timeouts), ConnectionState::Active);
            let response = TrackedBody::new(String::from("response"), deadline, in_flight);
            assert_eq!(activity.state(timeouts), state);
            drop(response);
            assert_eq!(activity.state(timeouts), ConnectionState::Active);
        }
    }

    #[tokio::test]
    async fn send_timeout_restarts_with_each_part() {
        for (deadline, restarts) in [(SendDeadline::Part, true), (SendDeadline::Response, false)] {
            let activity = Activity::awaiting_head();
            let mut response =
                TrackedBody::new(String::from("response"), deadline, activity.enter());
            activity.response_since.store(NOT_SENDING, Relaxed);
            poll_fn(|cx| Pin::new(&mut response).poll_frame(cx)).await.unwrap().unwrap();
            assert_eq!(
                activity.response_since.load(Relaxed) != NOT_SENDING,
                restarts,
                "{deadline:?}"
            );
        }
    }

    #[tokio::test]
    async fn watch_deadline_covers_single_events() {
        let timeouts =
            Timeouts { header_read: LONG, idle: LONG, send: LONG, watch: Duration::ZERO };
        let (sender, mut parts) = tokio::sync::mpsc::unbounded_channel();
        let parts = futures_util::stream::poll_fn(move |cx| parts.poll_recv(cx));
        let activity = Activity::awaiting_head();
        let body = http_body_util::StreamBody::new(parts);
        let mut watch = TrackedBody::new(body, SendDeadline::Event, activity.enter());
        for _ in 0..2 {
            sender.send(Ok::<_, io::Error>(Frame::data(&b"event"[..]))).unwrap();
            poll_fn(|cx| Pin::new(&mut watch).poll_frame(cx)).await.unwrap().unwrap();
            assert_eq!(activity.state(timeouts), ConnectionState::SlowReader);
            let next =
                poll_fn(|cx| Poll::Ready(Pin::new(&mut watch).poll_frame(cx).is_pending())).await;
            assert!(next);
            assert_eq!(activity.state(timeouts), ConnectionState::Active);
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
        let mut response = TrackedData { data: &b"response"[..], activity: Arc::clone(&activity) };
        activity.since.store(unset, Relaxed);
        response.advance(0);
        assert_eq!(activity.since.load(Relaxed), unset);
        response.advance(1);
        assert_ne!(activity.since.load(Relaxed), unset);
        assert_eq!(response.chunk(), b"esponse");
    }

    #[test]
    fn bytes_between_requests_start_the_header_timeout() {
        let activity = Activity::idle();
        assert_eq!(state(&activity, Duration::ZERO, LONG), ConnectionState::Active);
        activity.bytes_received();
        assert_eq!(state(&activity, Duration::ZERO, LONG), ConnectionState::SlowHeaders);
        assert_eq!(state(&activity, LONG, Duration::ZERO), ConnectionState::Active);
    }
}
