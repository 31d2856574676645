//! Who are you, may you.
//!
//! Knows connections, headers and users; knows nothing of images. A request is authenticated by the certificate of its
//! connection (a user's, or that of a front proxy which names the user) or by a bearer token. Whoever shows nothing is
//! anonymous, whoever shows only something wrong is refused. What users may do is asked of the control plane.

mod attributes;
mod authenticate;
mod authority;
mod authorize;
mod bearer;
mod cluster_trust;
#[cfg(test)]
mod fixtures;
mod front_proxy;
mod impersonate;
mod options;
mod refusal;
mod token_review;
mod tokens;
mod trust;
mod trust_source;
mod user;

pub use attributes::{Attributes, ResourceAction};
pub use authenticate::{Authenticated, Authenticator, Identity};
pub use authority::{Authority, AuthorityError};
pub use authorize::{AccessReviews, Authorizer, Decision, OpenPaths};
pub use bearer::is_websocket;
pub use cluster_trust::{NAME as TRUST_CONFIG_MAP, NAMESPACE as TRUST_NAMESPACE, Said, read as read_cluster_trust};
pub use front_proxy::{FrontProxy, HeaderNames, ProxyFault};
pub use impersonate::Impersonation;
pub use options::{AccessError, Mode, Options};
pub use refusal::Refusal;
pub use token_review::TokenReviews;
pub use tokens::{TokenFile, TokenFileError};
pub use trust::{PeerCertificates, Trust};
pub use trust_source::{FrontProxyFile, Lookup, TrustFileError, TrustKeeper, TrustSource, Trusted};
pub use user::User;
