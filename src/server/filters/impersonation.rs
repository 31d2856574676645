//! Impersonation: execution of a request on behalf of another user.

use std::net::IpAddr;

use http::HeaderMap;

use super::authorization::Authorization;
use crate::auth::{FlowClassifier, Impersonation, Rejection};
use crate::server::audit::AuditContext;

/// Applies the `Impersonate-*` headers of a request, as `WithImpersonation` in
/// k8s.io/apiserver/pkg/endpoints/filters/impersonation.go. They have no effect without a user.
/// Reviews count for the requester.
///
/// # Errors
/// 403 if the user may not impersonate, and the errors of [`Impersonation::read`].
pub(super) async fn apply(
    headers: &HeaderMap,
    authorization: &Authorization,
    flows: &FlowClassifier,
    address: IpAddr,
    context: &mut AuditContext,
) -> Result<(), Rejection> {
    if let Some(user) = &context.user
        && let Some(impersonation) = Impersonation::read(headers)?
    {
        let flow = flows.flow(Some(user), address);
        let authorized = impersonation.authorize(flow, user, &authorization.authorizer);
        context.acting_as = Some(Box::pin(authorized).await?);
    }
    Ok(())
}
