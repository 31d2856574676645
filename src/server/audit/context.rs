//! Facts about a request that the filters collect.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth::{Attributes, Decision, InvalidCredentials, User};
use crate::server::steps::Steps;

/// Facts about a request that the filters collect, for the audit event, the log and the response.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditContext {
    /// The authenticated user.
    pub(crate) user: Option<Arc<User>>,
    /// The impersonated user.
    pub(crate) acting_as: Option<Arc<User>>,
    /// True if a verified front proxy names the user, so that its headers can be trusted.
    pub(crate) is_passed_on: bool,
    /// The attributes for authorization, if it needed them.
    pub(crate) attributes: Option<Arc<Attributes>>,
    /// The decision of authorization.
    pub(crate) decision: Option<Decision>,
    /// Annotations of admission.
    pub(crate) admission: BTreeMap<String, String>,
    /// The reason why authentication found no user.
    pub(crate) unauthenticated: Option<InvalidCredentials>,
    /// The steps that the request has completed.
    pub(crate) steps: Steps,
    /// A warning for the client about its credentials.
    pub(crate) warning: Option<&'static str>,
}

impl AuditContext {
    /// The impersonated user, else the authenticated one. None on paths that need no user.
    pub(crate) fn effective(&self) -> Option<&Arc<User>> {
        self.acting_as.as_ref().or(self.user.as_ref())
    }
}
