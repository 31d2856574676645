//! The facts about a request that filters find on its way.

use std::sync::Arc;

use crate::auth::{Attributes, Decision, User};

/// The facts about a request that filters find, for the audit event and the response.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct AuditContext {
    /// The authenticated user.
    pub(in crate::server) user: Option<Arc<User>>,
    /// The impersonated user.
    pub(in crate::server) acting_as: Option<Arc<User>>,
    /// True if a verified front proxy names the user, so that its headers can be trusted.
    pub(in crate::server) is_passed_on: bool,
    /// The attributes for authorization, if it needed them.
    pub(in crate::server) attributes: Option<Arc<Attributes>>,
    /// The decision of authorization.
    pub(in crate::server) decision: Option<Decision>,
    /// A warning for the client about its credentials.
    pub(in crate::server) warning: Option<&'static str>,
}

impl AuditContext {
    /// The impersonated user, else the authenticated one. None on paths that need no user.
    pub(in crate::server) fn effective(&self) -> Option<&Arc<User>> {
        self.acting_as.as_ref().or(self.user.as_ref())
    }
}
