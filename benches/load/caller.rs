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
}

/// Token in the server's token file.
pub(crate) const TOKEN: &str = "token-of-load";
/// Token that the control plane verifies.
const REVIEWED_TOKEN: &str = "token-of-developer";
/// User of that token, and the user that the front proxy names.
pub(crate) const DEVELOPER: &str = "developer";
/// Only group of this user besides `system:authenticated`.
pub(crate) const DEVELOPERS: &str = "developers";

impl Caller {
    /// Header lines with the credentials.
    pub(crate) fn fields(self) -> String {
        match self {
            Self::Token => format!("Authorization: Bearer {TOKEN}\r\n"),
            Self::ReviewedToken => format!("Authorization: Bearer {REVIEWED_TOKEN}\r\n"),
            Self::FrontProxy => format!(
                "X-Remote-User: {DEVELOPER}\r\nX-Remote-Group: {DEVELOPERS}\r\nX-Remote-Group: system:authenticated\r\n"
            ),
        }
    }
}
