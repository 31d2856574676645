//! Secrets of namespaces.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::ListParams;
use kube::{Api, Client};

use super::error_message;

/// Source of Secrets.
#[derive(Clone, Default)]
pub struct Secrets(Option<Client>);

/// Secrets of a namespace.
#[derive(Clone, Debug, Default)]
pub struct NamespaceSecrets {
    /// resourceVersion of the list; empty without permission or cluster.
    pub resource_version: String,
    /// Secrets of the list.
    pub items: Vec<Secret>,
}

/// Failed request for Secrets.
#[derive(Debug, thiserror::Error)]
#[error("cannot list the secrets of the namespace {namespace:?}: {why}")]
pub struct SecretsUnavailable {
    namespace: String,
    why: String,
}

/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Secrets {
    /// No Secrets, without a cluster.
    pub fn none() -> Self {
        Self(None)
    }

    /// Secrets of a cluster.
    pub fn of(client: Client) -> Self {
        Self(Some(client))
    }

    /// Returns true without a cluster.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the names of the imagePullSecrets of the service account `default` of a namespace.
    /// Empty without the service account, and if this server has no permission.
    ///
    /// # Errors
    /// The request failed.
    pub async fn default_pull_secrets(
        &self,
        namespace: &str,
    ) -> Result<Vec<String>, SecretsUnavailable> {
        let Some(client) = &self.0 else {
            return Ok(Vec::new());
        };
        let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let why = match tokio::time::timeout(TIMEOUT, api.get_opt("default")).await {
            Ok(Ok(account)) => {
                let references = account.and_then(|account| account.image_pull_secrets);
                let references = references.unwrap_or_default().into_iter();
                return Ok(references.map(|reference| reference.name).collect());
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => return Ok(Vec::new()),
            Ok(Err(error)) => error_message(&error),
            Err(_) => format!("no response within {} s", TIMEOUT.as_secs()),
        };
        Err(SecretsUnavailable { namespace: namespace.to_owned(), why })
    }

    /// Lists the Secrets of a namespace by a label selector. The list is empty if this server has
    /// no permission.
    ///
    /// # Errors
    /// The request failed.
    pub async fn list(
        &self,
        namespace: &str,
        labels: &str,
    ) -> Result<NamespaceSecrets, SecretsUnavailable> {
        let Some(client) = &self.0 else {
            return Ok(NamespaceSecrets::default());
        };
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let parameters = ListParams::default().labels(labels);
        let why = match tokio::time::timeout(TIMEOUT, api.list(&parameters)).await {
            Ok(Ok(list)) => {
                let resource_version = list.metadata.resource_version.unwrap_or_default();
                return Ok(NamespaceSecrets { resource_version, items: list.items });
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                return Ok(NamespaceSecrets::default());
            }
            Ok(Err(error)) => error_message(&error),
            Err(_) => format!("no response within {} s", TIMEOUT.as_secs()),
        };
        Err(SecretsUnavailable { namespace: namespace.to_owned(), why })
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn secrets_are_empty_without_a_cluster() {
        let secrets = Secrets::none().list("ns", "").await.unwrap();
        assert!(secrets.items.is_empty() && secrets.resource_version.is_empty());
    }
}
