//! The plaintext of a connection of HTTP/2, between h2 and TLS, with three rules that h2 does not have.
//!
//! 1. A request that h2 finds malformed is answered with a status code. h2 resets its stream with PROTOCOL_ERROR, the one
//!    code after which Go's client gives up the connection and repeats the request on a new one (`processResetStream`
//!    in golang.org/x/net/http2). [`Outgoing`] puts a response in front of such a reset, as Go's server does.
//! 2. The resets that a client causes have a rate ([`ResetRate`]). What they leave behind has a limit, beyond which nothing is read.
//! 3. A header name that h2 cannot decode is a fault of its stream, not of the connection ([`LongNames`]).
//!
//! Only frame headers, the codes of resets and the lengths in header blocks of several frames are read. All other bytes pass
//! through as they are, without a copy.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

use super::activity::Activity;
use super::frames::{Frames, PREFACE, RST_STREAM};
use super::long_names::LongNames;
use super::outgoing::Outgoing;
use super::resets::ResetRate;
use super::unanswered::Unanswered;

/// The frames of a client that are read before all that they cause is sent. h2 remembers a reset, say, until then, so
/// that a client that reads nothing would fill the memory with them.
const MOST_OWED: u32 = 1024;

/// The requests that the client has reset and that are still being given up. A client may start
/// requests and reset them faster than that. A front proxy is exempt: Go's client opens more
/// connections while the PING behind its resets is not acknowledged.
const MOST_RESET: usize = 100;

/// A connection of HTTP/2 below h2.
pub(super) struct H2Filter<T, E> {
    stream: T,
    incoming: Incoming,
    outgoing: Outgoing,
    unanswered: Unanswered,
    rate: ResetRate,
    limits: H2Limits,
    /// Returns true if the connection may exceed the rate.
    is_exempt: E,
    is_over: Arc<AtomicBool>,
    activity: Arc<Activity>,
}

/// State of the bytes of the client.
struct Incoming {
    frames: Frames,
    names: LongNames,
    /// The frames since everything was sent.
    owed: u32,
    /// The reader that waits for that.
    waiting: Option<Waker>,
    /// The resets that this turn of the task has not paid for.
    unpaid: u32,
    /// True if the client caused more resets than it may.
    is_excessive: bool,
}

/// The client caused more resets than it may.
#[derive(Debug, thiserror::Error)]
#[error("the client reset streams, or made the server reset them, more often than {per_second} times a second")]
struct TooManyResets {
    per_second: u32,
}

/// The limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct H2Limits {
    /// The streams that are remembered at a time.
    pub(super) streams: usize,
    /// The resets that a client may cause, by the second.
    pub(super) resets: u32,
}

impl<T, E: Fn() -> bool> H2Filter<T, E> {
    /// `is_exempt` returns true if the connection may exceed the limits of resets. It is called only
    /// when that happens.
    pub(super) fn new(stream: T, activity: Arc<Activity>, limits: H2Limits, is_exempt: E) -> Self {
        Self {
            stream,
            incoming: Incoming::new(),
            outgoing: Outgoing::new(),
            unanswered: Unanswered::new(limits.streams),
            rate: ResetRate::new(limits.resets, Instant::now()),
            limits,
            is_exempt,
            is_over: Arc::default(),
            activity,
        }
    }

    /// Tells when the client has closed the connection, h2 has, or it broke.
    pub(super) fn is_over(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_over)
    }

    /// Takes note of bytes of the client, and overwrites header names that are too long.
    fn received(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let payload = self.incoming.frames.payload(bytes);
            if self.incoming.names.pass(&mut bytes[..payload]) > 0 {
                self.unanswered.found_long_name();
            }
            let (passed, head) = self.incoming.frames.advance(bytes);
            bytes = &mut bytes[passed..];
            let Some(head) = head else { return };
            self.incoming.owed += 1;
            self.incoming.names.begin(head);
            self.unanswered.received(head);
            if head.kind == RST_STREAM {
                self.incoming.unpaid += 1;
                self.count_reset();
            }
        }
    }

    fn count_reset(&mut self) {
        let now = Instant::now();
        if self.rate.count(now) {
            return;
        }
        match (self.is_exempt)() {
            true => self.rate.forgive(now),
            false => self.incoming.is_excessive = true,
        }
    }
}

impl Incoming {
    fn new() -> Self {
        Self {
            frames: Frames::after(PREFACE),
            names: LongNames::default(),
            owed: 0,
            waiting: None,
            unpaid: 0,
            is_excessive: false,
        }
    }

    /// Waits while the client has caused enough that is not sent yet.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.owed < MOST_OWED {
            return Poll::Ready(());
        }
        self.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Lets resets run out of the turn of this task: h2 reads all that there is before it hands on a request, so that nobody counts
    /// those that are reset until then.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..std::mem::take(&mut self.unpaid) {
            ready!(coop::poll_proceed(cx)).made_progress();
        }
        Poll::Ready(())
    }

    /// Takes note that everything is sent.
    fn all_is_sent(&mut self) {
        self.owed = 0;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

impl<T: AsyncRead + Unpin, E: Fn() -> bool + Unpin> AsyncRead for H2Filter<T, E> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.incoming.is_excessive {
            this.is_over.store(true, Relaxed);
            return Poll::Ready(Err(io::Error::other(TooManyResets { per_second: this.limits.resets })));
        }
        ready!(this.incoming.poll_sent(cx));
        ready!(this.incoming.poll_turn(cx));
        let most = this.unanswered.count() + MOST_RESET;
        if this.activity.poll_at_most(cx, most).is_pending() && !(this.is_exempt)() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let outcome = ready!(Pin::new(&mut this.stream).poll_read(cx, buffer));
        let received = &mut buffer.filled_mut()[before..];
        if outcome.is_err() || received.is_empty() {
            this.is_over.store(true, Relaxed);
        }
        this.received(received);
        Poll::Ready(outcome)
    }
}

impl<T: AsyncWrite + Unpin, E: Fn() -> bool + Unpin> H2Filter<T, E> {
    /// Sends what was put aside.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.rest().is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, self.outgoing.rest()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.rest_is_sent(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends bytes that pass as they are, if `passing` is all of them or none of the later pieces.
    fn poll_pass(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>], passing: usize) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let all: usize = pieces.iter().map(|piece| piece.len()).sum();
        let first = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
        match pieces {
            [only] => stream.poll_write(cx, &only[..passing]),
            _ if passing == all => stream.poll_write_vectored(cx, pieces),
            _ => stream.poll_write(cx, &first[..passing.min(first.len())]),
        }
    }
}

impl<T: AsyncWrite + Unpin, E: Fn() -> bool + Unpin> AsyncWrite for H2Filter<T, E> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_rest(cx))?;
        let passing = this.outgoing.passing(pieces);
        if passing > 0 {
            let sent = ready!(this.poll_pass(cx, pieces, passing))?;
            this.outgoing.pass(pieces, sent, &mut this.unanswered);
            return Poll::Ready(Ok(sent));
        }
        let (taken, faults) = this.outgoing.take(pieces, &mut this.unanswered);
        if faults > 0 {
            this.count_reset();
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_rest(cx))?;
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.incoming.all_is_sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.is_over.store(true, Relaxed);
        this.outgoing.give_up();
        ready!(this.poll_rest(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
