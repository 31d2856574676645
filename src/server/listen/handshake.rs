//! From an accepted socket to a TLS stream, within a deadline and away from the accept loop.

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

/// The answer of Go's servers, which people search for.
const PLAIN_HTTP: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// How much of a plain request is read away so that closing does not reset the connection before the answer is seen.
const PLAIN_READ_AWAY: usize = 64 * 1024;
/// From the ClientHello to the end of the handshake, once it is its turn: a few round trips, lost packets included.
const REST: Duration = Duration::from_secs(2);

/// Makes TLS streams, so many at a time.
pub(super) struct Handshakes {
    config: watch::Receiver<Arc<ServerConfig>>,
    permits: Semaphore,
    deadline: Duration,
}

impl Handshakes {
    pub(super) fn new(config: watch::Receiver<Arc<ServerConfig>>, at_a_time: usize, deadline: Duration) -> Self {
        Self { config, permits: Semaphore::new(at_a_time.min(Semaphore::MAX_PERMITS)), deadline }
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
        // What this takes, nobody is given who says nothing.
        Box::pin(self.shake_hands(stream)).await
    }

    async fn shake_hands(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        // Whoever has not sent a whole ClientHello holds no permit, and who stalls after it not for long.
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let _permit = self.permits.acquire().await.map_err(io::Error::other)?;
        let config = Arc::clone(&self.config.borrow());
        tokio::time::timeout(REST, start.into_stream(config)).await?
    }
}

/// HTTP methods are capital letters, records of TLS begin with a small number.
fn looks_like_http(first: u8) -> bool {
    first.is_ascii_uppercase()
}

async fn refuse_plain(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN_HTTP).await?;
    stream.shutdown().await?;
    let mut left = PLAIN_READ_AWAY;
    let mut scratch = [0; 4096];
    while left > 0 {
        stream.readable().await?;
        match stream.try_read(&mut scratch) {
            Ok(0) => break,
            Ok(read) => left = left.saturating_sub(read),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
