//! Limits and timeouts of connections, and their flags.

use std::time::Duration;

/// Default of `--max-connections`. An idle connection costs 45 kB and its allowance for requests
/// 64 KiB at most, so that all connections take less than a third of a container of 768 MiB.
const MAX_CONNECTIONS: usize = 2048;
/// Default of `--max-connections-per-address`: a fifth, so that many clients behind one address
/// work, and one client leaves most of them to others.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 400;
/// Default of `--max-handshakes-per-address`: a tenth of what one core does.
const MAX_HANDSHAKES_PER_ADDRESS: u32 = 200;

/// Flags of the limits on connections.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Limits and overload")]
pub struct ConnectionOptions {
    /// Maximum number of connections; further ones are closed.
    ///
    /// Connections of verified front proxies, such as kube-apiserver, are exempt. An address may
    /// hold a quarter as many connections as are free.
    #[arg(long, value_name = "COUNT", default_value_t = MAX_CONNECTIONS, value_parser = at_least_one)]
    pub max_connections: usize,
    /// Maximum number of connections from one address; further ones are closed.
    ///
    /// IPv6 addresses with the same prefix of 64 bits count as one. Connections of verified front
    /// proxies are exempt.
    #[arg(long, value_name = "COUNT", default_value_t = MAX_CONNECTIONS_PER_ADDRESS, value_parser = at_least_one)]
    pub max_connections_per_address: usize,
    /// Maximum number of TLS handshakes from one address per second, averaged over two seconds.
    ///
    /// Further ones wait, and are closed after 10s. Addresses of verified front proxies are exempt.
    #[arg(long, value_name = "COUNT", default_value_t = MAX_HANDSHAKES_PER_ADDRESS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_handshakes_per_address: u32,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".into()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}")),
    }
}

impl From<ConnectionOptions> for ConnectionLimits {
    /// The limits of these flags; all others have their default.
    fn from(options: ConnectionOptions) -> Self {
        Self {
            connections: options.max_connections,
            connections_per_address: options.max_connections_per_address,
            handshakes_per_address: options.max_handshakes_per_address,
            ..Self::default()
        }
    }
}

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
    /// Limits of clients without a certificate of a trusted CA. A token changes nothing: it is read
    /// with the headers that these limits bound.
    pub unverified: ClientLimits,
    /// Limits of clients with the certificate of a user.
    pub users: ClientLimits,
    /// Limits of front proxies.
    pub front_proxies: ClientLimits,
    /// Maximum number of connections. Those of front proxies are exempt from this limit and the
    /// next two.
    pub connections: usize,
    /// Maximum number of connections from one address, or from one /64 prefix of IPv6.
    pub connections_per_address: usize,
    /// Maximum rate of handshakes from one address per second, averaged over two seconds. Further
    /// ones wait within `handshake`.
    pub handshakes_per_address: u32,
    /// Maximum size of the memory that requests of all clients but front proxies hold before
    /// authentication, beyond the allowance of each connection, in bytes.
    pub request_memory: usize,
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

/// Limits of the connections of a class of clients.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Maximum size of the header lines of an HTTP/1.1 request in bytes, at least 8 KiB.
    pub http1_header_bytes: usize,
    /// Maximum number of header lines of an HTTP/1.1 request.
    pub http1_header_lines: usize,
    /// Maximum size of the header list of an HTTP/2 request (RFC 9113, section 6.5.2) in bytes,
    /// with the URL.
    pub http2_header_bytes: u32,
    /// Maximum number of concurrent streams on an HTTP/2 connection.
    pub streams: u32,
    /// Flow control window of an HTTP/2 stream in bytes.
    pub stream_window: u32,
    /// Flow control window of an HTTP/2 connection in bytes.
    pub connection_window: u32,
}

impl ClientLimits {
    /// Enough for a token of 48 KiB.
    const UNVERIFIED: Self = Self {
        http1_header_bytes: 64 << 10,
        http1_header_lines: 100,
        http2_header_bytes: 128 << 10,
        streams: 100,
        stream_window: 64 << 10,
        connection_window: 1 << 20,
    };
    const USERS: Self = Self {
        http1_header_bytes: 256 << 10,
        http2_header_bytes: 256 << 10,
        streams: 250,
        stream_window: 256 << 10,
        connection_window: 4 << 20,
        ..Self::UNVERIFIED
    };
    const FRONT_PROXIES: Self = Self {
        // As `DefaultMaxHeaderBytes` of Go's net/http.
        http1_header_bytes: 1 << 20,
        // A line for each group of a user. Not for all clients, because hyper allocates room for
        // the maximum number of lines for each request.
        http1_header_lines: 5000,
        http2_header_bytes: 1 << 20,
        streams: 1000,
        // `resourceBody99Percentile` in k8s.io/apiserver/pkg/server/secure_serving.go.
        stream_window: 256 << 10,
        // The proxy of kube-apiserver multiplexes all users over a few connections. In a window of
        // a few streams, unread bodies would block all users.
        connection_window: 16 << 20,
    };
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            handshakes: 512,
            header_read: Duration::from_secs(32),
            idle: Duration::from_secs(90),
            send: Duration::from_secs(60),
            unverified: ClientLimits::UNVERIFIED,
            users: ClientLimits::USERS,
            front_proxies: ClientLimits::FRONT_PROXIES,
            connections: MAX_CONNECTIONS,
            connections_per_address: MAX_CONNECTIONS_PER_ADDRESS,
            handshakes_per_address: MAX_HANDSHAKES_PER_ADDRESS,
            request_memory: 64 << 20,
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
