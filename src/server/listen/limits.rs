//! Limits and timeouts of connections.

use std::time::Duration;

/// Limits of a connection, most of which apply before the client is authenticated. The defaults are
/// those of kube-apiserver where it has them.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Time from the accepted connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// Maximum number of handshakes in progress; further ones wait within `handshake`. A connection
    /// counts once its ClientHello is complete. Before that, file descriptors and the buffer limits
    /// of rustls bound its cost.
    pub handshakes: usize,
    /// Time from the first byte of an HTTP/1.1 request to the end of its headers; for the first
    /// request, from the handshake. Checked at intervals of a quarter of the smallest timeout.
    pub header_read: Duration,
    /// Time after which a connection without requests is closed. Reading a response counts as
    /// activity.
    pub idle: Duration,
    /// Time to read a response of known size, or one part of a streamed response. Exceeding it ends
    /// the response.
    pub send: Duration,
    /// Maximum size of the headers of a request in bytes, at least 8 KiB. Larger ones get 431.
    pub header_bytes: u32,
    /// Maximum number of header lines in an HTTP/1.1 request from a front proxy, which sends each
    /// group of a user in a line of its own. Other clients may send 100.
    pub header_lines: usize,
    /// Maximum number of concurrent streams on an HTTP/2 connection.
    pub streams: u32,
    /// Maximum rate of HTTP/2 stream resets per second, averaged over ten seconds, that a client
    /// other than a front proxy may cause. Exceeding it closes the connection.
    pub resets: u32,
    /// Interval between HTTP/2 pings.
    pub ping_interval: Duration,
    /// Time to acknowledge a ping.
    pub ping_timeout: Duration,
    /// Time to finish requests in flight once the server drains.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            handshakes: 512,
            header_read: Duration::from_secs(32),
            idle: Duration::from_secs(90),
            send: Duration::from_secs(60),
            header_bytes: 1 << 20,
            header_lines: 5000,
            streams: 1000,
            resets: 1000,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(15),
            drain: Duration::from_secs(60),
        }
    }
}

/// Idle time allowed while the server drains, for connections without a request in flight and for
/// watches. It covers the bursts in which the operating system of a slow reader frees its receive
/// buffer, and is far below the grace period of a pod.
pub(super) const DRAIN_GRACE: Duration = Duration::from_secs(5);
