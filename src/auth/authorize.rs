//! May you: the one decision that exists without a cluster.

use super::Identity;

/// Decides what users may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorizer {
    /// Every authenticated user may do everything, nobody else anything.
    AlwaysAllow,
}

/// Paths that answer to everybody whose credentials are not wrong.
const ALWAYS_ALLOWED: [&str; 3] = ["/healthz", "/livez", "/readyz"];

impl Authorizer {
    /// Whether an identity may ask for a path.
    pub fn allows(self, identity: &Identity, path: &str) -> bool {
        match (self, identity) {
            (_, Identity::Refused) => false,
            (Self::AlwaysAllow, Identity::User(_)) => true,
            (Self::AlwaysAllow, Identity::Anonymous) => ALWAYS_ALLOWED.contains(&path),
        }
    }
}
