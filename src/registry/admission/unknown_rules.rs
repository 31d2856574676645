//! `--unknown-admission-rules`: the treatment of writes while rules of the cluster are unknown.

use std::time::Duration;

use clap::ValueEnum;

use super::attributes::AdmissionAttributes;
use crate::cluster::ClusterRules;
use crate::meta::Status;
use crate::registry::actor::Actor;

/// The treatment of writes while rules of the cluster are unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UnknownRules {
    /// They wait for a short time, and are then refused.
    #[default]
    Deny,
    /// They go on, with a warning.
    Warn,
}

/// The time for which a write waits for rules, as `WaitForReady` in
/// k8s.io/apiserver/pkg/admission/handler.go.
const WAIT: Duration = Duration::from_secs(10);

impl UnknownRules {
    /// Waits until rules are known. Returns false if the write goes on without them. `what` names
    /// them in the plural.
    ///
    /// # Errors
    /// 403 while they are unknown.
    pub async fn wait_for<R: Clone + Send + Sync + 'static>(
        self,
        rules: &ClusterRules<R>,
        what: &str,
        attributes: &AdmissionAttributes,
        actor: &Actor,
    ) -> Result<bool, Status> {
        let wait = match self {
            Self::Deny => WAIT,
            Self::Warn => Duration::ZERO,
        };
        match (rules.known(wait).await, self) {
            (Ok(()), _) => Ok(true),
            (Err(unknown), Self::Deny) => Err(attributes.forbidden(&unknown.to_string())),
            (Err(_), Self::Warn) => {
                actor.notes.warn(&format!(
                    "the {what} of the cluster are not known to this server: this request was not checked with them"
                ));
                Ok(false)
            }
        }
    }
}
