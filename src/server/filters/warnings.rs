//! Warnings about the credentials of a request.

use axum::response::Response;

use crate::server::audit::AuditContext;
use crate::server::respond;

/// Adds the warning about credentials to a response.
pub(super) fn add(response: &mut Response, context: &AuditContext) {
    if let Some(warning) = context.warning {
        respond::append_warning(response.headers_mut(), warning);
    }
}
