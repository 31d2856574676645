//! Authentication: the user that the credentials of a request prove.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use rustls::pki_types::UnixTime;

use crate::auth::{
    AlwaysAllowPaths, AuthenticationOutcome, Authenticator, InvalidCredential, Rejection, User,
};
use crate::cluster::ReviewError;
use crate::meta::Status;
use crate::server::audit::AuditContext;
use crate::server::listen::Peer;

/// The authentication filter.
pub(crate) struct Authentication {
    /// Verifies credentials.
    pub(crate) authenticator: Authenticator,
    /// True if requests without credentials are those of the anonymous user.
    pub(crate) allows_anonymous: bool,
    /// The paths that are served without authorization.
    pub(crate) always_allow_paths: AlwaysAllowPaths,
}

impl Authentication {
    /// Authenticates a request from a source address.
    ///
    /// # Errors
    /// 401 for invalid credentials, and for none on a path that needs a user. 503 for a token that
    /// could not be reviewed.
    pub(super) async fn authenticate(
        &self,
        request: &mut Request,
        address: IpAddr,
        context: &mut AuditContext,
    ) -> Result<(), Rejection> {
        let certificates = request
            .extensions()
            .get::<Peer>()
            .map(|peer| peer.certificates.clone())
            .unwrap_or_default();
        let (headers, now) = (request.headers(), UnixTime::now());
        let found = self.authenticator.authenticate(headers, &certificates, address, now).await;
        context.warning = found.warning;
        context.is_passed_on = found.via_front_proxy;
        context.user = match found.outcome {
            AuthenticationOutcome::User(user) => Some(user),
            AuthenticationOutcome::Anonymous if self.allows_anonymous => {
                Some(Arc::new(User::anonymous()))
            }
            AuthenticationOutcome::Anonymous
                if self.always_allow_paths.contain(request.uri().path()) =>
            {
                None
            }
            AuthenticationOutcome::Anonymous => {
                context.unauthenticated = Some(InvalidCredential::Missing.into());
                return Err(Status::unauthorized().into());
            }
            AuthenticationOutcome::Invalid(credentials) => {
                context.unauthenticated = Some(credentials);
                return Err(Status::unauthorized().into());
            }
            AuthenticationOutcome::Unavailable(why) => return Err(unreviewed(&why).into()),
        };
        Ok(())
    }

    /// Removes all credentials and claims of identity from a request, so that handlers cannot use
    /// or log them.
    pub(super) fn remove_credentials(&self, request: &mut Request) {
        self.authenticator.strip(request.headers_mut());
    }
}

/// 503 for a token that could not be reviewed. kube-apiserver returns 401, upon which clients
/// discard a token that may be valid. Clients without credentials can see this text, so it gives
/// no details of the control plane.
fn unreviewed(why: &ReviewError) -> Status {
    let cause = match why {
        ReviewError::TooManyPending => "too many token reviews wait for the control plane",
        ReviewError::TimedOut => "the control plane did not answer in time",
        ReviewError::Failed { code: Some(_), .. } => {
            "the control plane does not review tokens for this server"
        }
        ReviewError::Failed { code: None, .. } => "the control plane cannot be reached",
    };
    Status::unavailable(format!("the bearer token could not be reviewed: {cause}; try again later"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Fault;

    #[test]
    fn an_unreviewed_token_is_503_with_its_cause_and_nothing_more() {
        let fault = Fault::Other;
        let failed = |code| ReviewError::Failed { code, fault, text: "10.1.2.3: secret".into() };
        for (why, cause) in [
            (ReviewError::TooManyPending, "too many token reviews wait"),
            (ReviewError::TimedOut, "did not answer in time"),
            (failed(Some(403)), "does not review tokens for this server"),
            (failed(None), "cannot be reached"),
        ] {
            let status = unreviewed(&why);
            assert_eq!((status.code, status.reason.as_str()), (503, "ServiceUnavailable"));
            assert!(
                status.message.contains(cause) && !status.message.contains("secret"),
                "{status}"
            );
            assert!(status.details.is_some_and(|details| details.retry_after_seconds > 0));
        }
    }
}
