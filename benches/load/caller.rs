//! Who asks, and how the server gets to know it.

/// How a client says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// By a bearer token that stands in the server's file. The user may do everything.
    Token,
    /// By a bearer token that only the control plane knows, which also decides what the user may do.
    ReviewedToken,
    /// As kube-apiserver asks on behalf of a user: by the certificate of the connection, with the user in headers. The
    /// control plane decides what the user may do.
    FrontProxy,
}

/// The token in the server's file.
pub(crate) const TOKEN: &str = "token-of-load";
/// The token that the control plane knows.
const REVIEWED_TOKEN: &str = "token-of-developer";
/// The user of that token, who is also the one on whose behalf the front proxy asks.
pub(crate) const DEVELOPER: &str = "developer";
/// The only group of this user, besides the one of everybody.
pub(crate) const DEVELOPERS: &str = "developers";

impl Caller {
    /// The header lines that say it.
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
