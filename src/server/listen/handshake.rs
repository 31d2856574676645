//! TLS handshakes, with a deadline and outside the accept loop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection_limiter::ConnectionPermit;
use crate::telemetry::connection_metrics::ConnectionRefusal;

/// Response to a plain HTTP request, as `(*conn).serve` in Go's net/http/server.go sends it.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// Maximum number of bytes of a plain request to discard. Closing a socket with unread data would
/// reset the connection before the client reads the response.
const MAX_DISCARDED: usize = 64 * 1024;
/// Time from the ClientHello, once a permit is free, to the end of the handshake: a few round trips
/// with retransmissions.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// Reason why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The client did not complete the handshake.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// The address of the client starts too many handshakes.
    #[error(transparent)]
    Refused(#[from] ConnectionRefusal),
}

/// Acceptor of TLS streams with limits on the rate of handshakes and on concurrent ones.
pub(super) struct Handshakes {
    config: watch::Receiver<Arc<ServerConfig>>,
    permits: Semaphore,
    deadline: Duration,
}

impl Handshakes {
    pub(super) fn new(
        config: watch::Receiver<Arc<ServerConfig>>,
        max: usize,
        deadline: Duration,
    ) -> Self {
        Self { config, permits: Semaphore::new(max.min(Semaphore::MAX_PERMITS)), deadline }
    }

    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        permit: &ConnectionPermit,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let end = Instant::now() + self.deadline;
        timeout_at(end, self.attempt(stream, permit, end)).await.map_err(io::Error::from)?
    }

    async fn attempt(
        &self,
        stream: TcpStream,
        permit: &ConnectionPermit,
        end: Instant,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if looks_like_http(first[0]) {
            Box::pin(refuse_plain(stream)).await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP").into());
        }
        // Boxed here, so that a silent client does not occupy the memory of a handshake.
        Box::pin(self.handshake(stream, permit, end)).await
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        permit: &ConnectionPermit,
        end: Instant,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        // Before its complete ClientHello, a client causes next to no work.
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let now = Instant::now();
        let delay = permit.book_handshake(end.saturating_duration_since(now), now.into_std())?;
        if delay > Duration::ZERO {
            sleep(delay).await;
        }
        // Other clients cannot delay a front proxy whose address is known.
        let _slot = match permit.is_exempt() {
            true => None,
            false => Some(self.permits.acquire().await.map_err(io::Error::other)?),
        };
        let config = Arc::clone(&self.config.borrow());
        let stream = timeout(HANDSHAKE_TIMEOUT, start.into_stream(config)).await;
        Ok(stream.map_err(io::Error::from)??)
    }
}

/// Returns true for a capital letter, which begins an HTTP method. TLS records begin with a small
/// number.
fn looks_like_http(first: u8) -> bool {
    first.is_ascii_uppercase()
}

async fn refuse_plain(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN_HTTP).await?;
    stream.shutdown().await?;
    let mut remaining = MAX_DISCARDED;
    let mut scratch = [0; 4096];
    while remaining > 0 {
        stream.readable().await?;
        match stream.try_read(&mut scratch) {
            Ok(0) => break,
            Ok(read) => remaining = remaining.saturating_sub(read),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
