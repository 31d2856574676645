//! Authorization: the decision about the request of a user.

use std::sync::Arc;

use crate::auth::{
    AlwaysAllowPaths, Attributes, Authorizer, Decision, InvalidCredential, Rejection, User,
};
use crate::endpoints::request_info::RequestInfo;
use crate::meta::Status;
use crate::runtime::Flow;
use crate::server::audit::AuditContext;

/// The authorization filter.
pub(crate) struct Authorization {
    /// Decides what users may do.
    pub(crate) authorizer: Arc<Authorizer>,
    /// The paths that are served without authorization.
    pub(crate) always_allow_paths: AlwaysAllowPaths,
}

/// A review by the control plane that an authorization needs.
pub(super) struct PendingReview {
    user: Arc<User>,
    attributes: Arc<Attributes>,
}

impl Authorization {
    /// Authorizes a request as far as that needs no review by the control plane.
    ///
    /// # Errors
    /// 401 without a user, unless the path needs no user. 403 for a denied request. 404 for
    /// a path that cannot be classified.
    pub(super) fn authorize(
        &self,
        info: &RequestInfo<'_>,
        context: &mut AuditContext,
    ) -> Result<Option<PendingReview>, Rejection> {
        if let Some(user) = context.effective()
            && self.authorizer.allows_everything(user)
        {
            context.decision = Some(Decision::Allowed);
            return Ok(None);
        }
        let attributes = Arc::new(info.attributes().ok_or_else(Status::no_such_path)?);
        context.attributes = Some(attributes.clone());
        let Some(user) = context.effective().cloned() else {
            // Paths can be open without a user, resources cannot.
            return match &*attributes {
                Attributes::Path { path, .. } if self.always_allow_paths.contain(path) => Ok(None),
                _ => {
                    context.unauthenticated = Some(InvalidCredential::Missing.into());
                    Err(Status::unauthorized().into())
                }
            };
        };
        match self.authorizer.decide_locally(&user, &attributes) {
            Some(decision) => conclude(decision, &user, &attributes, context).map(|()| None),
            None => Ok(Some(PendingReview { user, attributes })),
        }
    }

    /// Completes an authorization with the review that it needs, which counts for the flow.
    ///
    /// # Errors
    /// 403 for a denied request, 429 if too many reviews of the flow wait, 500 if the review fails.
    pub(super) async fn complete(
        &self,
        review: PendingReview,
        flow: Flow,
        context: &mut AuditContext,
    ) -> Result<(), Rejection> {
        let PendingReview { user, attributes } = review;
        let decision = Box::pin(self.authorizer.authorize(flow, &user, &attributes)).await;
        conclude(decision.map_err(|why| Rejection::from(&*why))?, &user, &attributes, context)
    }
}

fn conclude(
    decision: Decision,
    user: &User,
    attributes: &Attributes,
    context: &mut AuditContext,
) -> Result<(), Rejection> {
    context.decision = Some(decision.clone());
    match decision {
        Decision::Allowed => Ok(()),
        Decision::Denied { reason } => Err(attributes.forbidden(user, &reason).into()),
    }
}
