//! A stream that joins small writes, so that many HTTP/2 frames share TLS records and system calls.
//!
//! h2 writes and flushes each DATA frame by itself. Without a buffer, each of a hundred watch events
//! or small responses on a connection would be a TLS record and a system call of its own, which
//! cost several times as much as the frame. So the stream keeps small writes, and a flush does
//! nothing yet. The task of the connection sends them with [`JoinedWrites::send`] each time that it
//! has no more work.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Maximum number of bytes that wait to be sent. The buffer exists only while bytes wait, because
/// idle connections are many, and the allocator keeps buffers of this size at hand.
const MAX_WAITING: usize = 32 << 10;
/// Size of a write that is passed on without a copy, in bytes.
const LARGE_WRITE: usize = 16 << 10;

/// A stream that joins small writes. Clones share it.
pub(super) struct JoinedWrites<T>(Arc<Mutex<Shared<T>>>);

struct Shared<T> {
    stream: T,
    /// Bytes to be sent: those after the first `sent`.
    waiting: Vec<u8>,
    sent: usize,
    /// True if the client did not read fast enough for the last [`JoinedWrites::send`]. Flushes then
    /// wait for it.
    is_behind: bool,
    /// The error of the last [`JoinedWrites::send`].
    error: Option<io::Error>,
}

impl<T> Clone for JoinedWrites<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: AsyncWrite + Unpin> JoinedWrites<T> {
    pub(super) fn new(stream: T) -> Self {
        let (waiting, error) = (Vec::new(), None);
        Self(Arc::new(Mutex::new(Shared { stream, waiting, sent: 0, is_behind: false, error })))
    }

    /// Sends the bytes that wait, as far as the client reads them. The task wakes up to send the
    /// rest. An error is that of the next read, write or flush.
    pub(super) fn send(&self, cx: &mut Context<'_>) {
        let shared = &mut *self.0.lock();
        if shared.error.is_some() {
            return;
        }
        match shared.poll_send(cx) {
            Poll::Ready(Ok(())) => shared.waiting = Vec::new(),
            Poll::Ready(Err(error)) => {
                shared.error = Some(error);
                cx.waker().wake_by_ref();
            }
            Poll::Pending => {}
        }
    }
}

impl<T: AsyncWrite + Unpin> Shared<T> {
    /// Sends all bytes that wait, through the buffers of the stream.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_behind = true;
        ready!(self.poll_pass_on(cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.is_behind = false;
        Poll::Ready(Ok(()))
    }

    /// Passes all bytes that wait on to the stream.
    fn poll_pass_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.waiting.len() {
            let rest = &self.waiting[self.sent..];
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        self.waiting.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    fn check(&mut self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for JoinedWrites<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut shared = self.0.lock();
        if let Some(error) = shared.error.take() {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut shared.stream).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for JoinedWrites<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let shared = &mut *self.0.lock();
        shared.check()?;
        let size = pieces.iter().map(|piece| piece.len()).sum();
        if size >= LARGE_WRITE || shared.waiting.len() + size > MAX_WAITING {
            ready!(shared.poll_pass_on(cx))?;
        }
        if size >= LARGE_WRITE {
            return Pin::new(&mut shared.stream).poll_write_vectored(cx, pieces);
        }
        if shared.waiting.capacity() == 0 {
            shared.waiting.reserve_exact(MAX_WAITING);
        }
        pieces.iter().for_each(|piece| shared.waiting.extend_from_slice(piece));
        Poll::Ready(Ok(size))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &mut *self.0.lock();
        shared.check()?;
        if shared.is_behind { shared.poll_send(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &mut *self.0.lock();
        shared.check()?;
        ready!(shared.poll_pass_on(cx))?;
        Pin::new(&mut shared.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::task::Waker;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// The end of a client: accepts a given number of bytes at a time.
    #[derive(Default)]
    struct ClientEnd {
        writes: Vec<Vec<u8>>,
        /// Maximum size of each of the next writes in bytes; unlimited after the last. 0 blocks.
        takes: VecDeque<usize>,
        is_broken: bool,
    }

    impl AsyncRead for ClientEnd {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for ClientEnd {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.is_broken {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let count = bytes.len().min(self.takes.pop_front().unwrap_or(usize::MAX));
            if count == 0 {
                return Poll::Pending;
            }
            self.writes.push(bytes[..count].to_vec());
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn to_client(takes: &[usize]) -> JoinedWrites<ClientEnd> {
        JoinedWrites::new(ClientEnd { takes: takes.to_vec().into(), ..ClientEnd::default() })
    }

    fn send<T: AsyncWrite + Unpin>(stream: &JoinedWrites<T>) {
        stream.send(&mut Context::from_waker(Waker::noop()));
    }

    fn written(stream: &JoinedWrites<ClientEnd>) -> Vec<Vec<u8>> {
        stream.0.lock().stream.writes.clone()
    }

    async fn is_flushed(stream: &mut JoinedWrites<ClientEnd>) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_flush(cx).is_ready())).await
    }

    #[tokio::test]
    async fn flushed_frames_are_sent_together() {
        let mut stream = to_client(&[]);
        for frame in 0..30_u8 {
            stream.write_all(&[frame; 1000]).await.unwrap();
            stream.flush().await.unwrap();
        }
        assert_eq!(written(&stream), [[0; 0]; 0], "the task of the connection still runs");
        send(&stream);
        assert_eq!(written(&stream).len(), 1);
        assert_eq!(stream.0.lock().waiting.capacity(), 0, "an idle connection keeps no memory");
    }

    #[tokio::test]
    async fn flush_waits_for_a_client_that_is_behind() {
        let mut stream = to_client(&[10, 0, 0]);
        stream.write_all(&[1; 100]).await.unwrap();
        assert!(is_flushed(&mut stream).await);
        send(&stream);
        assert!(!is_flushed(&mut stream).await, "90 bytes are left");
        assert!(is_flushed(&mut stream).await, "the client has read them");
        assert_eq!(written(&stream).concat(), [1; 100]);
    }

    #[tokio::test]
    async fn few_bytes_wait_for_a_client_that_does_not_read() {
        let mut stream = to_client(&[0; 100]);
        let mut accepted = 0;
        let more = [1; 1000];
        while let Poll::Ready(Ok(count)) =
            Pin::new(&mut stream).poll_write(&mut Context::from_waker(Waker::noop()), &more)
        {
            accepted += count;
            assert!(accepted <= MAX_WAITING);
        }
        assert!(accepted > MAX_WAITING / 2);
    }

    #[tokio::test]
    async fn error_of_the_socket_ends_the_next_read() {
        let mut stream = to_client(&[]);
        stream.0.lock().stream.is_broken = true;
        stream.write_all(b"frame").await.unwrap();
        send(&stream);
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn bytes_that_wait_are_sent_before_the_end() {
        let mut stream = to_client(&[]);
        stream.write_all(b"last frame").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(written(&stream).concat(), b"last frame");
    }

    proptest! {
        #[test]
        fn bytes_arrive_in_order_at_any_speed(
            sizes in proptest::collection::vec(1_usize..40_000, 1..20),
            takes in proptest::collection::vec(0_usize..30_000, 0..40),
            sends: u32,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut stream = to_client(&takes);
            let mut expected = Vec::new();
            for (number, size) in sizes.iter().enumerate() {
                let bytes = vec![number as u8; *size];
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let mut cx = Context::from_waker(Waker::noop());
                    if let Poll::Ready(count) = Pin::new(&mut stream).poll_write(&mut cx, rest) {
                        rest = &rest[count.unwrap()..];
                    }
                }
                expected.extend_from_slice(&bytes);
                if sends >> (number % 32) & 1 == 1 {
                    send(&stream);
                }
            }
            runtime.block_on(async {
                while !is_flushed(&mut stream).await {}
                stream.0.lock().is_behind = true;
                while !is_flushed(&mut stream).await {}
            });
            prop_assert_eq!(written(&stream).concat(), expected);
        }
    }
}
