//! Who a request is from, and whether it may go on.

use std::sync::Arc;

use axum::extract::Request;
use rustls::pki_types::UnixTime;

use super::listen::Peer;
use crate::auth::{Attributes, Authenticator, Authorizer, Decision, Identity, OpenPaths, Refusal, User, Wish};
use crate::cluster::ReviewError;
use crate::endpoints::request_info;
use crate::machinery::query::Query;
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

/// What became known of a request on its way, whatever its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    /// Who asks.
    pub(super) user: Option<Arc<User>>,
    /// As whom.
    pub(super) acting_as: Option<Arc<User>>,
    /// Whether a front proxy says so, whose headers may be believed.
    pub(super) is_passed_on: bool,
    /// What is asked for, where somebody had to know it.
    pub(super) attributes: Option<Arc<Attributes>>,
    /// What was decided.
    pub(super) decision: Option<Decision>,
    /// What the client should hear about its credentials.
    pub(super) warning: Option<&'static str>,
}

impl Trail {
    /// The user on whose behalf everything is done; none on paths that are open to those who are nobody.
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
    pub(super) async fn identify(&self, request: &mut Request, trail: &mut Trail) -> Result<(), Refusal> {
        let certificates = request.extensions().get::<Peer>().map(|peer| peer.certificates.clone()).unwrap_or_default();
        let headers = request.headers();
        let found = self.authenticator.authenticate(headers, &certificates, UnixTime::now()).await;
        trail.warning = found.warning;
        trail.is_passed_on = found.is_passed_on;
        trail.user = match found.identity {
            Identity::User(user) => Some(user),
            Identity::Anonymous if self.serves_anonymous => Some(Arc::new(User::anonymous())),
            Identity::Anonymous if self.open.contain(request.uri().path()) => None,
            Identity::Anonymous | Identity::Refused => return Err(Status::unauthorized().into()),
            Identity::Unreviewed(why) => return Err(unreviewed(&why).into()),
        };
        if let Some(user) = &trail.user
            && let Some(wish) = Wish::read(request.headers())?
        {
            trail.acting_as = Some(Box::pin(wish.grant(user, &self.authorizer)).await?);
        }
        self.authenticator.strip(request.headers_mut());
        Ok(())
    }

    /// What is known at once of whether the request may go on: nothing, where somebody must be asked.
    ///
    /// # Errors
    /// 401 for nobody, where it is not a path that is open to everybody; 404 for a path that means nothing.
    pub(super) fn judge(&self, request: &Request, query: &Query, trail: &mut Trail) -> Result<Judged, Refusal> {
        if let Some(user) = trail.effective()
            && self.authorizer.lets_do_everything(user)
        {
            trail.decision = Some(Decision::Allowed);
            return Ok(Judged::Known);
        }
        let attributes = request_info::attributes(request.method(), request.uri().path(), query);
        let attributes = Arc::new(attributes.ok_or_else(Status::no_such_path)?);
        trail.attributes = Some(attributes.clone());
        let Some(user) = trail.effective() else {
            // Paths can be open to everybody, resources never.
            return match &*attributes {
                Attributes::Path { path, .. } if self.open.contain(path) => Ok(Judged::Known),
                _ => Err(Status::unauthorized().into()),
            };
        };
        match self.authorizer.known(user, &attributes) {
            Some(decision) => conclude(decision, &user.clone(), &attributes, trail).map(|()| Judged::Known),
            None => Ok(Judged::ToBeAsked(user.clone(), attributes)),
        }
    }

    /// Asks whether the user may do what the request asks for.
    ///
    /// # Errors
    /// 403, or 500 where it could not be found out.
    pub(super) async fn ask(&self, judged: Judged, trail: &mut Trail) -> Result<(), Refusal> {
        match judged {
            Judged::Known => Ok(()),
            Judged::ToBeAsked(user, attributes) => {
                let decision = Box::pin(self.authorizer.decide(&user, &attributes)).await;
                conclude(decision.map_err(|why| Refusal::from(&*why))?, &user, &attributes, trail)
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

/// Whether a request may go on.
pub(super) enum Judged {
    /// It may.
    Known,
    /// The control plane must be asked whether the user may do this.
    ToBeAsked(Arc<User>, Arc<Attributes>),
}

fn conclude(decision: Decision, user: &User, attributes: &Attributes, trail: &mut Trail) -> Result<(), Refusal> {
    trail.decision = Some(decision.clone());
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
