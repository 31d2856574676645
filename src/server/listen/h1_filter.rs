//! A filter between hyper and TLS that counts the bytes of an HTTP/1.1 connection.
//!
//! hyper reads a head up to its maximum size before it passes on a request. The filter counts the
//! bytes while they arrive, and refuses a head for which there is no memory.
//!
//! Closing a socket with unread data resets the connection, and the client may lose a response that
//! it has not read, such as the 429 for a request whose body it is still sending. So the filter
//! discards what arrives after the last response, for a short time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::activity::{Activity, Receiving};
use super::connection_limiter::ConnectionPermit;
use super::head_memory::HeadMemory;

/// Response to a head for which there is no memory.
const TOO_MANY_REQUESTS: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";
/// Maximum number of bytes of the refused head to discard.
const MAX_DISCARDED: usize = 256 << 10;
/// Maximum number of bytes to discard after the last response: more than the largest body.
const MAX_LINGERING_BYTES: usize = 4 << 20;
/// Time for the client to read the last response and to close its end.
const LINGERING: Duration = Duration::from_secs(1);

/// The byte stream of an HTTP/1.1 connection below hyper.
pub(super) struct H1Filter<T> {
    stream: T,
    activity: Arc<Activity>,
    /// None for a front proxy.
    head: Option<Arc<HeadMemory>>,
    /// Counts the connection, also after it has become a WebSocket.
    #[expect(dead_code, reason = "held until it is dropped")]
    permit: ConnectionPermit,
    /// True if hyper has no unsent bytes.
    is_flushed: bool,
    refusal: Option<RefusalProgress>,
    lingering: Option<Lingering>,
}

/// The end of a connection, after its last response.
struct Lingering {
    left: usize,
    end: Pin<Box<Sleep>>,
}

/// Progress of the response to a refused head.
#[derive(Clone, Copy, Debug)]
enum RefusalProgress {
    Sending { sent: usize },
    Closing,
    Discarding { left: usize },
}

/// There is no memory for the head of a request.
#[derive(Debug, thiserror::Error)]
#[error("the headers of requests hold too much memory")]
struct HeadRefused;

impl<T> H1Filter<T> {
    pub(super) fn new(
        stream: T,
        activity: Arc<Activity>,
        head: Option<Arc<HeadMemory>>,
        permit: ConnectionPermit,
    ) -> Self {
        Self { stream, activity, head, permit, is_flushed: true, refusal: None, lingering: None }
    }

    /// Counts bytes from the client. Returns false if there is no memory for them.
    fn received(&mut self, bytes: usize) -> bool {
        let receiving = self.activity.bytes_received();
        let Some(head) = &self.head else { return true };
        match receiving {
            Receiving::Body => return true,
            Receiving::NewHead => head.begin(),
            Receiving::Head => {}
        }
        head.receive(bytes)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> H1Filter<T> {
    /// Sends the response to a refused head, and closes the connection.
    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let stream = Pin::new(&mut self.stream);
            let next = match self.refusal {
                None => return Poll::Ready(Ok(())),
                Some(RefusalProgress::Sending { sent }) if sent < TOO_MANY_REQUESTS.len() => {
                    match ready!(stream.poll_write(cx, &TOO_MANY_REQUESTS[sent..]))? {
                        0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        count => RefusalProgress::Sending { sent: sent + count },
                    }
                }
                Some(RefusalProgress::Sending { .. }) => {
                    ready!(stream.poll_flush(cx))?;
                    RefusalProgress::Closing
                }
                Some(RefusalProgress::Closing) => {
                    ready!(stream.poll_shutdown(cx))?;
                    RefusalProgress::Discarding { left: MAX_DISCARDED }
                }
                Some(RefusalProgress::Discarding { left }) => {
                    let mut scratch = [0; 4096];
                    let mut buffer = ReadBuf::new(&mut scratch);
                    // The header timeout bounds the wait for the client.
                    ready!(stream.poll_read(cx, &mut buffer))?;
                    match left.checked_sub(buffer.filled().len()) {
                        Some(left) if !buffer.filled().is_empty() => {
                            RefusalProgress::Discarding { left }
                        }
                        _ => return Poll::Ready(Err(io::Error::other(HeadRefused))),
                    }
                }
            };
            self.refusal = Some(next);
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for H1Filter<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.refusal.is_some() {
            return this.poll_refuse(cx);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        let received = buffer.filled().len() - before;
        if received == 0 || this.received(received) {
            return Poll::Ready(Ok(()));
        }
        buffer.set_filled(before);
        if !this.is_flushed {
            // The response would be sent ahead of the end of an earlier one.
            return Poll::Ready(Err(io::Error::other(HeadRefused)));
        }
        this.refusal = Some(RefusalProgress::Sending { sent: 0 });
        this.poll_refuse(cx)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for H1Filter<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_flushed = false;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_flushed = false;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.is_flushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, lingering, .. } = &mut *self;
        if lingering.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        }
        let Lingering { left, end } = lingering.get_or_insert_with(|| Lingering {
            left: MAX_LINGERING_BYTES,
            end: Box::pin(sleep(LINGERING)),
        });
        let mut scratch = [0; 4096];
        while end.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            // An error is the end, too: the response was sent.
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            let received = buffer.filled().len();
            if read.is_err() || received == 0 || received >= *left {
                break;
            }
            *left -= received;
        }
        Poll::Ready(Ok(()))
    }
}
