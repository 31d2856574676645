//! Authentication, impersonation and authorization.
//!
//! A request is authenticated by the client certificate of its connection (that of a user, or of a
//! front proxy that names the user) or by a bearer token. A request without credentials is
//! anonymous; one with only invalid credentials fails. Authorization is delegated to the control
//! plane. The module knows connections, headers and users, not images.

mod attributes;
mod authenticate;
mod authorize;
mod bearer;
mod ca_bundle;
mod cluster_trust;
#[cfg(test)]
mod fixtures;
mod front_proxy;
mod impersonate;
mod invalid_credential;
mod options;
mod priority;
mod rejection;
mod token_file;
mod token_reviews;
mod trust;
mod trust_controller;
mod user;

pub use attributes::{Attributes, ResourceAction};
pub use authenticate::{AuthenticationOutcome, Authenticator, AuthenticatorResponse};
pub use authorize::{AccessReviews, AlwaysAllowPaths, Authorizer, Decision};
pub use bearer::is_websocket;
pub use ca_bundle::{CaBundle, CaBundleError};
pub use cluster_trust::{
    ClusterTrust, NAME as TRUST_CONFIG_MAP, NAMESPACE as TRUST_NAMESPACE,
    parse as parse_cluster_trust,
};
pub use front_proxy::{FrontProxy, HeaderNames, ProxyRejection};
pub use impersonate::Impersonation;
pub use invalid_credential::{InvalidCredential, InvalidCredentials};
pub use options::{AccessOptionsError, AuthorizationMode, Options};
pub use priority::{FlowClassifier, PriorityOptions};
pub use rejection::Rejection;
pub use token_file::{TokenFile, TokenFileError};
pub use token_reviews::TokenReviews;
pub use trust::{PeerCertificates, Trust};
pub use trust_controller::{
    ClusterLookup, FrontProxyFile, TrustController, TrustFileError, TrustSource, TrustState,
};
pub use user::User;
