//! Refusal of new requests while the server drains.

use axum::extract::Request;

use crate::meta::Status;
use crate::server::health;
use crate::server::shutdown::{ServerPhase, Shutdown};

/// Refuses requests other than health checks while the server drains.
///
/// # Errors
/// 503 while the server drains.
pub(super) fn check(shutdown: &Shutdown, request: &Request) -> Result<(), Status> {
    match shutdown.phase() >= ServerPhase::Draining && !health::is_health_path(request.uri().path())
    {
        true => Err(Status::unavailable("apiserver is shutting down")),
        false => Ok(()),
    }
}
