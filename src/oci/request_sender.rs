//! `RequestSender`: the party on whose behalf requests are sent.

use std::sync::Arc;

use super::credential::Credential;

/// A namespace, with the credential that it uses for a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RequestSender {
    /// Namespace, whose requests take turns with those of others. Empty for the server itself.
    pub(super) namespace: Arc<str>,
    pub(super) credential: Option<Credential>,
}

impl RequestSender {
    /// Returns the name of the credential; none without one.
    pub(super) fn credential_name(&self) -> Option<String> {
        self.credential.as_ref().map(Credential::name)
    }
}
