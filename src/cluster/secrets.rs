//! The secrets of a namespace, as far as this server may read them.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, Client};

use super::error_message;

/// Where secrets are read.
#[derive(Clone, Default)]
pub struct Secrets(Option<Client>);

/// The secrets of a namespace.
#[derive(Clone, Debug, Default)]
pub struct NamespaceSecrets {
    /// Version of the control plane's store that they were read at; empty where none could be read.
    pub resource_version: String,
    /// The secrets.
    pub items: Vec<Secret>,
}

/// The control plane could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the secrets of the namespace {namespace:?} could not be read: {why}")]
pub struct SecretsUnavailable {
    namespace: String,
    why: String,
}

/// The longest that secrets are asked for.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Secrets {
    /// Without a cluster: there are none.
    pub fn none() -> Self {
        Self(None)
    }

    /// Those of a cluster.
    pub fn of(client: Client) -> Self {
        Self(Some(client))
    }

    /// The secrets of a namespace that can be selected by these labels; none where this server may not read them.
    ///
    /// # Errors
    /// The control plane could not be asked.
    pub async fn list(&self, namespace: &str, labels: &str) -> Result<NamespaceSecrets, SecretsUnavailable> {
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
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => return Ok(NamespaceSecrets::default()),
            Ok(Err(error)) => error_message(&error),
            Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
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
    async fn without_a_cluster_there_are_no_secrets() {
        let secrets = Secrets::none().list("ns", "").await.unwrap();
        assert!(secrets.items.is_empty() && secrets.resource_version.is_empty());
    }
}
