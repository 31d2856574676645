//! The end of connections of clients on HTTP/1.1 once shutdown was requested.

use axum::response::Response;
use http::{HeaderValue, Version, header};

use crate::server::shutdown::{ServerPhase, Shutdown};

/// Ends the connection of a client on HTTP/1.1 with this response once shutdown was requested. The
/// next request goes to another replica, instead of into a connection that is about to be closed.
/// On HTTP/2, GOAWAY tells the client which requests to send again. Those that arrive before it are
/// served.
pub(super) fn end_connection(shutdown: &Shutdown, version: Version, response: &mut Response) {
    if version <= Version::HTTP_11 && shutdown.phase() >= ServerPhase::Stopping {
        let connection = response.headers_mut().entry(header::CONNECTION);
        connection.or_insert(HeaderValue::from_static("close"));
    }
}
