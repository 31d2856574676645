//! The settings of HTTP/1.1 and HTTP/2 for each class of clients.

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;

use super::client_class::ClientClass;
use super::limits::{ClientLimits, ConnectionLimits};
use super::stream_executor::StreamExecutor;
use crate::server::shutdown::Shutdown;

/// Longest URL that hyper and the crate `http` accept, with the rest of a request line, in bytes.
const MAX_REQUEST_LINE: usize = 64 << 10;
/// Maximum size of a header list that h2 decodes, for all clients, in bytes. h2 ends a connection
/// after a number of CONTINUATION frames that it derives from this size, so a smaller one would end
/// connections for which a response with 431 suffices. The memory is charged all the same.
const MAX_HEADER_LIST: u32 = 1 << 20;
/// Maximum number of header lines of an HTTP/1.1 request that hyper accepts by default
/// (`DEFAULT_MAX_HEADERS` in hyper/src/proto/h1/role.rs).
const DEFAULT_HEADER_LINES: usize = 100;
/// Minimum of the buffer size that hyper accepts, in bytes.
const MIN_BUFFER: usize = 8 << 10;

/// The settings of each class.
pub(super) struct ProtocolsByClass {
    unverified: Protocols,
    users: Protocols,
    front_proxies: Protocols,
}

/// The settings of a class.
pub(super) struct Protocols {
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<StreamExecutor>,
    /// Maximum size of the header lines of an HTTP/1.1 request, which the request line does not
    /// count towards.
    pub(super) http1_header_bytes: usize,
    /// Maximum size of the header list of an HTTP/2 request.
    pub(super) http2_header_bytes: usize,
    /// Maximum number of HTTP/2 streams to track.
    pub(super) tracked_streams: usize,
}

impl ProtocolsByClass {
    pub(super) fn new(limits: &ConnectionLimits, shutdown: &Shutdown) -> Self {
        let of = |class: &ClientLimits| Protocols::new(class, limits, shutdown);
        Self {
            unverified: of(&limits.unverified),
            users: of(&limits.users),
            front_proxies: of(&limits.front_proxies),
        }
    }

    pub(super) fn of(&self, class: ClientClass) -> &Protocols {
        match class {
            ClientClass::Unverified => &self.unverified,
            ClientClass::User => &self.users,
            ClientClass::FrontProxy => &self.front_proxies,
        }
    }
}

impl Protocols {
    fn new(class: &ClientLimits, limits: &ConnectionLimits, shutdown: &Shutdown) -> Self {
        let head_bytes = class.http1_header_bytes.saturating_add(MAX_REQUEST_LINE).max(MIN_BUFFER);
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // `Activity` times the headers, without a timer for each request.
            .header_read_timeout(None)
            // The buffer size alone is not an exact limit: its last read may exceed it and complete
            // the headers.
            .max_buf_size(head_bytes)
            .max_header_size(head_bytes);
        // hyper fills room for a given number of lines before it parses a request, but not for its
        // default number.
        if class.http1_header_lines != DEFAULT_HEADER_LINES {
            http1.max_headers(class.http1_header_lines);
        }
        let executor = StreamExecutor { send: limits.send, shutdown: shutdown.clone() };
        let mut http2 = http2::Builder::new(executor);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(class.streams)
            .max_header_list_size(MAX_HEADER_LIST.max(class.http2_header_bytes))
            // `H2Filter` limits the rate of resets instead of their number.
            .max_pending_accept_reset_streams(usize::MAX)
            .max_local_error_reset_streams(None)
            .initial_stream_window_size(class.stream_window)
            .initial_connection_window_size(class.connection_window)
            .keep_alive_interval(limits.ping_interval)
            .keep_alive_timeout(limits.ping_timeout);
        // Twice as many, because h2 removes a reset stream slightly later than the filter.
        let streams = usize::try_from(class.streams).unwrap_or(usize::MAX);
        Self {
            http1,
            http2,
            http1_header_bytes: class.http1_header_bytes,
            http2_header_bytes: usize::try_from(class.http2_header_bytes).unwrap_or(usize::MAX),
            tracked_streams: streams.saturating_mul(2),
        }
    }
}
