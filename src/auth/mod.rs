//! Who are you, may you.
//!
//! Knows connections, headers and users; knows nothing of resources. A request is authenticated by the certificate of its
//! connection or by a bearer token; whoever presents nothing is anonymous, whoever presents something wrong is refused.

mod authorize;
mod client_cert;
mod tokens;

use std::sync::Arc;

use http::{HeaderMap, header};
use rustls_pki_types::CertificateDer;

pub use authorize::Authorizer;
pub use client_cert::{ClientCa, ClientCaError};
pub use tokens::{TokenFile, TokenFileError};

/// A user as authentication found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Name of the user.
    pub name: String,
    /// Identifier of the user, where the source has one.
    pub uid: String,
    /// Groups of the user.
    pub groups: Vec<String>,
}

impl User {
    const AUTHENTICATED: &'static str = "system:authenticated";

    /// A user that was authenticated, with the group that all of those have.
    fn authenticated(name: String, uid: String, mut groups: Vec<String>) -> Arc<Self> {
        if !groups.iter().any(|group| group == Self::AUTHENTICATED) {
            groups.push(Self::AUTHENTICATED.into());
        }
        Arc::new(Self { name, uid, groups })
    }
}

/// What the credentials of a request prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A known user.
    User(Arc<User>),
    /// There are no credentials.
    Anonymous,
    /// There are credentials, and none of them is good.
    Refused,
}

/// The ways in which users prove who they are.
#[derive(Debug, Default)]
pub struct Authenticator {
    /// Bearer tokens from a file.
    pub tokens: Option<TokenFile>,
    /// The authority that signs client certificates.
    pub client_ca: Option<ClientCa>,
}

impl Authenticator {
    /// Judges the credentials of a request. The first that is good counts; one that is bad is worse than none.
    pub fn authenticate(&self, headers: &HeaderMap, certificates: &[CertificateDer<'static>]) -> Identity {
        let by_certificate = match &self.client_ca {
            Some(ca) if !certificates.is_empty() => ca.user(certificates).map_or(Identity::Refused, Identity::User),
            None if !certificates.is_empty() => Identity::Refused,
            _ => Identity::Anonymous,
        };
        if matches!(by_certificate, Identity::User(_)) {
            return by_certificate;
        }
        match (bearer(headers), &self.tokens) {
            (None, _) => by_certificate,
            (Some(token), Some(tokens)) => tokens.user(token).map_or(Identity::Refused, Identity::User),
            (Some(_), None) => Identity::Refused,
        }
    }
}

/// The bearer token of a request. Another scheme, an empty token and one behind two spaces count as none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, token) = value.split_once(' ')?;
    let token = token.split(' ').next().unwrap_or_default();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn authenticate(authorization: Option<&str>) -> Identity {
        let tokens = TokenFile::parse("secret,admin,1,\"a,b\"\n".as_bytes()).unwrap();
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        Authenticator { tokens: Some(tokens), client_ca: None }.authenticate(&headers, &[])
    }

    #[test]
    fn a_good_token_is_its_user_and_a_bad_one_is_refused() {
        let admin = Identity::User(User::authenticated("admin".into(), "1".into(), vec!["a".into(), "b".into()]));
        assert_eq!(authenticate(Some("Bearer secret")), admin);
        assert_eq!(authenticate(Some("bearer secret")), admin);
        assert_eq!(authenticate(Some("Bearer secre")), Identity::Refused);
    }

    #[test]
    fn what_is_no_bearer_token_counts_as_nothing() {
        for value in [None, Some("Basic x"), Some("Bearer"), Some("Bearer "), Some("Bearer  secret")] {
            assert_eq!(authenticate(value), Identity::Anonymous, "{value:?}");
        }
    }

    #[test]
    fn a_certificate_that_nobody_can_judge_is_refused() {
        let identity = Authenticator::default().authenticate(&HeaderMap::new(), &[CertificateDer::from(vec![1])]);
        assert_eq!(identity, Identity::Refused);
    }
}
