//! Client identities and the credentials that carry them.

/// Credentials of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Bearer token from the server's token file. The user may do everything.
    Token,
    /// Bearer token that the control plane verifies. The control plane also authorizes the user.
    ReviewedToken,
    /// Front proxy, as kube-apiserver connects on behalf of a user: a client certificate and the
    /// user in headers. The control plane authorizes the user.
    FrontProxy,
    /// Client certificate of a user, which the connection presents.
    #[cfg(feature = "etcd")]
    Certificate,
}

/// Token in the server's token file.
pub(crate) const TOKEN: &str = "token-of-load";
/// Token that the control plane verifies.
const REVIEWED_TOKEN: &str = "token-of-developer";
/// User of that token, and the user that the front proxy names.
pub(crate) const DEVELOPER: &str = "developer";
/// Group of this user, the only one of its token besides `system:authenticated`.
pub(crate) const DEVELOPERS: &str = "developers";
/// Groups that the front proxy names.
const GROUPS: [&str; 4] = [DEVELOPERS, "team-shop", "vpn-users", "system:authenticated"];

impl Caller {
    /// Headers with the credentials.
    pub(crate) fn headers(self) -> Vec<(&'static str, String)> {
        match self {
            Self::Token => vec![("authorization", format!("Bearer {TOKEN}"))],
            Self::ReviewedToken => vec![("authorization", format!("Bearer {REVIEWED_TOKEN}"))],
            #[cfg(feature = "etcd")]
            Self::Certificate => Vec::new(),
            Self::FrontProxy => {
                let groups = GROUPS.map(|group| ("x-remote-group", group.to_owned()));
                [("x-remote-user", DEVELOPER.to_owned())].into_iter().chain(groups).collect()
            }
        }
    }
}
