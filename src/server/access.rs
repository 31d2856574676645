//! Who a request is from, and whether it may go on.

use std::sync::Arc;

use axum::extract::Request;
use rustls::pki_types::UnixTime;

use super::listen::Peer;
use crate::auth::{Attributes, Authenticator, Authorizer, Decision, Identity, Impersonation, OpenPaths, Refusal, User};
use crate::cluster::ReviewError;
use crate::endpoints::request_info::RequestInfo;
use crate::meta::Status;

/// Who may do what here.
pub(super) struct Access {
    /// Who are you.
    pub(super) authenticator: Authenticator,
    /// May you.
    pub(super) authorizer: Arc<Authorizer>,
    /// Whether those who show nothing are a user too.
    pub(super) serves_anonymous: bool,
    /// What everybody may ask for, if they are not.
    pub(super) open: OpenPaths,
}

/// The facts about a request that the filters find, for the audit event and the response.
#[derive(Clone, Debug, Default)]
pub(super) struct AuditContext {
    /// The authenticated user.
    pub(super) user: Option<Arc<User>>,
    /// The impersonated user.
    pub(super) acting_as: Option<Arc<User>>,
    /// True if a verified front proxy names the user, so that its headers can be trusted.
    pub(super) is_passed_on: bool,
    /// The attributes for authorization, if it needed them.
    pub(super) attributes: Option<Arc<Attributes>>,
    /// The decision of authorization.
    pub(super) decision: Option<Decision>,
    /// A warning for the client about its credentials.
    pub(super) warning: Option<&'static str>,
}

impl AuditContext {
    /// The impersonated user, else the authenticated one. None on paths that need no user.
    pub(super) fn effective(&self) -> Option<&Arc<User>> {
        self.acting_as.as_ref().or(self.user.as_ref())
    }
}

impl Access {
    /// Finds out who asks, and as whom, and takes the proofs of it out of the request.
    ///
    /// # Errors
    /// 401 where nobody is known, 503 where that could not be found out, 403 for somebody who may
    /// not act as somebody else.
    pub(super) async fn identify(&self, request: &mut Request, context: &mut AuditContext) -> Result<(), Refusal> {
        let certificates = request.extensions().get::<Peer>().map(|peer| peer.certificates.clone()).unwrap_or_default();
        let headers = request.headers();
        let found = self.authenticator.authenticate(headers, &certificates, UnixTime::now()).await;
        context.warning = found.warning;
        context.is_passed_on = found.is_passed_on;
        context.user = match found.identity {
            Identity::User(user) => Some(user),
            Identity::Anonymous if self.serves_anonymous => Some(Arc::new(User::anonymous())),
            Identity::Anonymous if self.open.contain(request.uri().path()) => None,
            Identity::Anonymous | Identity::Refused => return Err(Status::unauthorized().into()),
            Identity::Unreviewed(why) => return Err(unreviewed(&why).into()),
        };
        if let Some(user) = &context.user
            && let Some(impersonation) = Impersonation::read(request.headers())?
        {
            context.acting_as = Some(Box::pin(impersonation.grant(user, &self.authorizer)).await?);
        }
        self.authenticator.strip(request.headers_mut());
        Ok(())
    }

    /// Authorizes the request as far as that needs no review by the control plane.
    ///
    /// # Errors
    /// 401 without a user, unless the path is open to everybody. 403 for a denied request. 404 for a path that has no
    /// meaning.
    pub(super) fn authorize(
        &self,
        info: &RequestInfo<'_>,
        context: &mut AuditContext,
    ) -> Result<Authorization, Refusal> {
        if let Some(user) = context.effective()
            && self.authorizer.lets_do_everything(user)
        {
            context.decision = Some(Decision::Allowed);
            return Ok(Authorization::Allowed);
        }
        let attributes = Arc::new(info.attributes().ok_or_else(Status::no_such_path)?);
        context.attributes = Some(attributes.clone());
        let Some(user) = context.effective() else {
            // Paths can be open to everybody, resources never.
            return match &*attributes {
                Attributes::Path { path, .. } if self.open.contain(path) => Ok(Authorization::Allowed),
                _ => Err(Status::unauthorized().into()),
            };
        };
        match self.authorizer.known(user, &attributes) {
            Some(decision) => conclude(decision, &user.clone(), &attributes, context).map(|()| Authorization::Allowed),
            None => Ok(Authorization::ReviewNeeded(user.clone(), attributes)),
        }
    }

    /// Completes an authorization with the review that it needs.
    ///
    /// # Errors
    /// 403 for a denied request, 500 if the review fails.
    pub(super) async fn review(&self, authorization: Authorization, context: &mut AuditContext) -> Result<(), Refusal> {
        match authorization {
            Authorization::Allowed => Ok(()),
            Authorization::ReviewNeeded(user, attributes) => {
                let decision = Box::pin(self.authorizer.decide(&user, &attributes)).await;
                conclude(decision.map_err(|why| Refusal::from(&*why))?, &user, &attributes, context)
            }
        }
    }
}

/// 503 for a token that could not be reviewed. A 401, as kube-apiserver has it, would make clients
/// drop a token that may be good. Clients without credentials get to see this, so it tells nothing
/// of the control plane but that it is away.
fn unreviewed(why: &ReviewError) -> Status {
    let cause = match why {
        ReviewError::TooMany => "too many token reviews wait for the control plane",
        ReviewError::TimedOut => "the control plane did not answer in time",
        ReviewError::Failed { code: Some(_), .. } => "the control plane does not review tokens for this server",
        ReviewError::Failed { code: None, .. } => "the control plane cannot be reached",
    };
    Status::unavailable(format!("the bearer token could not be reviewed: {cause}; try again later"))
}

/// The authorization of a request, before the review that it may need.
pub(super) enum Authorization {
    /// The request is allowed.
    Allowed,
    /// The control plane decides by a review.
    ReviewNeeded(Arc<User>, Arc<Attributes>),
}

fn conclude(
    decision: Decision,
    user: &User,
    attributes: &Attributes,
    context: &mut AuditContext,
) -> Result<(), Refusal> {
    context.decision = Some(decision.clone());
    match decision {
        Decision::Allowed => Ok(()),
        Decision::Denied { reason } => Err(attributes.forbidden(user, &reason).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreviewed_token_is_503_with_its_cause_and_nothing_more() {
        let failed = |code| ReviewError::Failed { code, text: "10.1.2.3: secret".into() };
        for (why, cause) in [
            (ReviewError::TooMany, "too many token reviews wait"),
            (ReviewError::TimedOut, "did not answer in time"),
            (failed(Some(403)), "does not review tokens for this server"),
            (failed(None), "cannot be reached"),
        ] {
            let status = unreviewed(&why);
            assert_eq!((status.code, status.reason.as_str()), (503, "ServiceUnavailable"));
            assert!(status.message.contains(cause) && !status.message.contains("secret"), "{status}");
            assert!(status.details.is_some_and(|details| details.retry_after_seconds > 0));
        }
    }
}
