//! The Deployment of this server.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};

/// The replicas that a Deployment asks for; `None` if there is no such Deployment.
///
/// # Errors
/// The Deployment cannot be read.
pub async fn desired_replicas(
    client: Client,
    namespace: &str,
    name: &str,
) -> Result<Option<i32>, kube::Error> {
    let found = Api::<Deployment>::namespaced(client, namespace).get_opt(name).await?;
    Ok(found.map(|found| found.spec.replicas.unwrap_or(1)))
}
