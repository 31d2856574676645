//! The secrets of a namespace, as far as this server may read them.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, Client};

use super::told;

/// Where secrets are read.
#[derive(Clone, Default)]
pub struct Secrets(Option<Client>);

/// The secrets of a namespace.
#[derive(Clone, Debug, Default)]
pub struct SecretsOf {
    /// Version of the control plane's store that they were read at; empty where none could be read.
    pub resource_version: String,
    /// The secrets.
    pub items: Vec<Secret>,
}

/// The control plane could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the secrets of the namespace {namespace:?} could not be read: {why}")]
pub struct Unreadable {
    namespace: String,
    why: String,
}

/// The longest that secrets are asked for.
const PATIENCE: Duration = Duration::from_secs(10);

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
    pub async fn list(&self, namespace: &str, labels: &str) -> Result<SecretsOf, Unreadable> {
        let Some(client) = &self.0 else {
            return Ok(SecretsOf::default());
        };
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let parameters = ListParams::default().labels(labels);
        let why = match tokio::time::timeout(PATIENCE, api.list(&parameters)).await {
            Ok(Ok(list)) => {
                let resource_version = list.metadata.resource_version.unwrap_or_default();
                return Ok(SecretsOf { resource_version, items: list.items });
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => return Ok(SecretsOf::default()),
            Ok(Err(error)) => told(&error),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        Err(Unreadable { namespace: namespace.to_owned(), why })
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
