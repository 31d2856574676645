//! TLS handshakes, with a deadline and outside the accept loop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// Response to a plain HTTP request, as `(*conn).serve` in Go's net/http/server.go sends it.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// Maximum number of bytes of a plain request to discard. Closing a socket with unread data would
/// reset the connection before the client reads the response.
const MAX_DISCARDED: usize = 64 * 1024;
/// Time from the ClientHello, once a permit is free, to the end of the handshake: a few round trips
/// with retransmissions.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// Acceptor of TLS streams with a limit on concurrent handshakes.
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

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        tokio::time::timeout(self.deadline, self.attempt(stream)).await?
    }

    async fn attempt(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if looks_like_http(first[0]) {
            Box::pin(refuse_plain(stream)).await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP"));
        }
        // Boxed here, so that a silent client does not occupy the memory of a handshake.
        Box::pin(self.handshake(stream)).await
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        // A client needs a permit only after its complete ClientHello, and holds it for a short
        // time.
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let _permit = self.permits.acquire().await.map_err(io::Error::other)?;
        let config = Arc::clone(&self.config.borrow());
        tokio::time::timeout(HANDSHAKE_TIMEOUT, start.into_stream(config)).await?
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
