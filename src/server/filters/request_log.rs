//! The log line of a request.

use std::time::Duration;

use axum::response::Response;
use http::{HeaderValue, Method};

use crate::server::respond::Hidden;

/// Logs a request: a failure with its hidden cause as an error, all others at debug level.
pub(super) fn write(
    response: &Response,
    audit_id: &HeaderValue,
    method: &Method,
    path: &str,
    took: Duration,
) {
    let code = response.status().as_u16();
    let audit_id = audit_id.to_str().unwrap_or_default();
    let took_ms = took.as_secs_f64() * 1e3;
    match response.extensions().get::<Hidden>() {
        Some(Hidden(cause)) => {
            tracing::error!(audit_id, %method, path, code, took_ms, %cause, "request failed")
        }
        None => tracing::debug!(audit_id, %method, path, code, took_ms, "request served"),
    }
}
