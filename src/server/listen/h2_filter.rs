//! A filter between h2 and TLS that adds four rules to an HTTP/2 connection.
//!
//! 1. A malformed request gets a response. h2 resets its stream with PROTOCOL_ERROR, the one code
//!    after which Go's client closes the connection and repeats the request on a new one
//!    (`processResetStream` in golang.org/x/net/http2/transport.go). [`Outgoing`] inserts a
//!    response before such a reset, as Go's server does.
//! 2. The resets that a client causes have a rate limit ([`ResetRate`]) and a limit on the work
//!    that they leave behind. The filter stops reading at that limit.
//! 3. A header name that h2 cannot decode is an error of its stream, not of the connection
//!    ([`LongNameScanner`]).
//! 4. Open streams and header blocks are charged ([`StreamMemory`]). A header block that continues
//!    without memory ends the connection, because h2 cannot skip it. Requests behind complete
//!    blocks get a response of their own ([`super::request_gate`]).
//!
//! The filter reads frame headers, reset codes and the lengths in header blocks of several frames.
//! All other bytes pass unchanged and are not copied.

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
use super::frames::{Frames, HEADERS, PREFACE, RST_STREAM};
use super::long_names::LongNameScanner;
use super::open_streams::OpenStreams;
use super::outgoing::Outgoing;
use super::resets::ResetRate;
use super::stream_memory::{FIELD_COST, FREE_HEADERS, StreamMemory};

/// Maximum number of frames to read from a client before a flush. h2 keeps state for a reset until
/// then, so a client that does not read could exhaust the memory.
const MAX_UNFLUSHED: u32 = 1024;

/// Maximum number of reset requests whose handlers have not ended. A client can reset requests
/// faster than they end. Front proxies are exempt, because Go's client opens more connections while
/// the PING after its resets is not acknowledged.
const MAX_PENDING_RESETS: usize = 100;

/// Cost of a request in the cooperative budget of the task, whose size is 128. Requests of a front
/// proxy cost nothing: they are those of many users.
const COST_OF_REQUEST: u32 = 4;

/// The byte stream of an HTTP/2 connection below h2.
pub(super) struct H2Filter<T, E> {
    stream: T,
    incoming: Incoming,
    outgoing: Outgoing,
    open_streams: OpenStreams,
    rate: ResetRate,
    limits: H2Limits,
    /// Returns true if the connection may exceed the rate.
    is_exempt: E,
    is_closed: Arc<AtomicBool>,
    activity: Arc<Activity>,
    /// None for a front proxy.
    memory: Option<StreamMemory>,
}

/// State of the bytes from the client.
struct Incoming {
    frames: Frames,
    names: LongNameScanner,
    /// Number of frames since the last flush.
    unflushed: u32,
    /// Reader that waits for the next flush.
    reader: Option<Waker>,
    /// Work not yet charged to the cooperative budget of the task.
    uncharged: u32,
    /// The limit that the client exceeded.
    excess: Option<Excess>,
}

/// A limit whose excess ends the connection.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Excess {
    #[error("the client caused more than {per_second} stream resets per second")]
    Resets { per_second: u32 },
    #[error("there is no memory for the rest of a header block")]
    Memory,
}

/// Limits of an HTTP/2 connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct H2Limits {
    /// Maximum number of open streams to track.
    pub(super) streams: usize,
    /// Maximum number of resets per second.
    pub(super) resets: u32,
}

impl<T, E: Fn() -> bool> H2Filter<T, E> {
    /// `is_exempt` returns true if the connection may exceed the limits of resets. It is called
    /// only when a limit is reached.
    pub(super) fn new(
        stream: T,
        activity: Arc<Activity>,
        limits: H2Limits,
        memory: Option<StreamMemory>,
        is_exempt: E,
    ) -> Self {
        Self {
            stream,
            incoming: Incoming::new(),
            outgoing: Outgoing::new(),
            open_streams: OpenStreams::new(limits.streams),
            rate: ResetRate::new(limits.resets, Instant::now()),
            limits,
            is_exempt,
            is_closed: Arc::default(),
            activity,
            memory,
        }
    }

    /// Returns a flag that becomes true when either side closes the connection, or it fails.
    pub(super) fn is_closed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_closed)
    }

    /// Tracks bytes from the client, and overwrites header names that are too long.
    fn received(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let payload = self.incoming.frames.payload(bytes);
            if self.incoming.names.pass(&mut bytes[..payload]) > 0 {
                self.open_streams.found_long_name();
            }
            let (passed, head) = self.incoming.frames.advance(bytes);
            bytes = &mut bytes[passed..];
            let Some(head) = head else { return };
            self.incoming.unflushed += 1;
            self.incoming.names.begin(head);
            self.open_streams.received(head);
            if head.kind == HEADERS && self.memory.is_some() {
                self.incoming.uncharged += COST_OF_REQUEST;
            }
            if head.kind == RST_STREAM {
                self.incoming.uncharged += 1;
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
            true => self.rate.clear(now),
            false => {
                let per_second = self.limits.resets;
                self.incoming.excess = Some(Excess::Resets { per_second });
            }
        }
    }

    /// Charges for the open streams.
    fn charge(&mut self) {
        let Some(memory) = &mut self.memory else { return };
        let fields = self.incoming.names.open_fields().saturating_mul(FIELD_COST);
        let header_bytes = self.open_streams.header_bytes().saturating_add(fields);
        let fits = memory.update(self.open_streams.count(), header_bytes);
        if !fits && self.open_streams.has_open_block() && header_bytes > FREE_HEADERS {
            memory.record_refusal();
            self.incoming.excess = Some(Excess::Memory);
        }
    }
}

impl Incoming {
    fn new() -> Self {
        Self {
            frames: Frames::after(PREFACE),
            names: LongNameScanner::default(),
            unflushed: 0,
            reader: None,
            uncharged: 0,
            excess: None,
        }
    }

    /// Waits for a flush if the maximum number of frames is reached.
    fn poll_unflushed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.unflushed < MAX_UNFLUSHED {
            return Poll::Ready(());
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Charges work to the cooperative budget of the task. h2 reads all available frames before it
    /// yields, so a client could keep the thread busy with requests that are reset or refused.
    fn poll_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..std::mem::take(&mut self.uncharged) {
            ready!(coop::poll_proceed(cx)).made_progress();
        }
        Poll::Ready(())
    }

    /// Records a flush.
    fn flushed(&mut self) {
        self.unflushed = 0;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl<T: AsyncRead + Unpin, E: Fn() -> bool + Unpin> AsyncRead for H2Filter<T, E> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(excess) = this.incoming.excess {
            this.is_closed.store(true, Relaxed);
            return Poll::Ready(Err(io::Error::other(excess)));
        }
        ready!(this.incoming.poll_unflushed(cx));
        ready!(this.incoming.poll_budget(cx));
        let max = this.open_streams.count() + MAX_PENDING_RESETS;
        if this.activity.poll_at_most(cx, max).is_pending() && !(this.is_exempt)() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let outcome = ready!(Pin::new(&mut this.stream).poll_read(cx, buffer));
        let received = &mut buffer.filled_mut()[before..];
        if outcome.is_err() || received.is_empty() {
            this.is_closed.store(true, Relaxed);
        }
        this.received(received);
        this.charge();
        Poll::Ready(outcome)
    }
}

impl<T: AsyncWrite + Unpin, E: Fn() -> bool + Unpin> H2Filter<T, E> {
    /// Sends the pending bytes of [`Outgoing`].
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.pending().is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, self.outgoing.pending()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.pending_sent(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the first `passable` bytes, or a part of them, unchanged.
    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
        passable: usize,
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let all: usize = pieces.iter().map(|piece| piece.len()).sum();
        let first = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
        match pieces {
            [only] => stream.poll_write(cx, &only[..passable]),
            _ if passable == all => stream.poll_write_vectored(cx, pieces),
            _ => stream.poll_write(cx, &first[..passable.min(first.len())]),
        }
    }
}

impl<T: AsyncWrite + Unpin, E: Fn() -> bool + Unpin> AsyncWrite for H2Filter<T, E> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_pending(cx))?;
        let passable = this.outgoing.passable(pieces);
        if passable > 0 {
            let sent = ready!(this.poll_pass(cx, pieces, passable))?;
            this.outgoing.pass(pieces, sent, &mut this.open_streams);
            this.charge();
            return Poll::Ready(Ok(sent));
        }
        let (taken, client_errors) = this.outgoing.take(pieces, &mut this.open_streams);
        if client_errors > 0 {
            this.count_reset();
        }
        this.charge();
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_pending(cx))?;
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.incoming.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.is_closed.store(true, Relaxed);
        this.outgoing.release_held();
        ready!(this.poll_pending(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
