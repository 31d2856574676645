//! Refusal of several replicas on an embedded store. Each would have data of its own, or wait for a
//! volume that another one has open.

use std::time::Duration;

use kube::Client;
use tokio::time::timeout;

use super::Options;
use crate::cluster::{desired_replicas, error_message};
use crate::store::Backend;

/// Longest wait for the Deployment.
const PATIENCE: Duration = Duration::from_secs(5);

/// A Deployment with more replicas than its store allows.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", self.fact(), Self::REMEDY)]
pub struct TooManyReplicas {
    namespace: String,
    name: String,
    replicas: i32,
}

impl TooManyReplicas {
    /// The way out.
    pub const REMEDY: &'static str = "scale it to 1, or use --storage-backend=etcd3";

    /// The finding without the way out.
    pub fn fact(&self) -> String {
        let Self { namespace, name, replicas } = self;
        format!(
            "Deployment {namespace}/{name} has {replicas} replicas, but an embedded store can have one"
        )
    }
}

/// Knowledge of the number of replicas.
#[derive(Debug, PartialEq, Eq)]
pub enum ReplicaCheck {
    /// The store allows them, or they are not those of a Deployment.
    Allowed,
    /// The store does not allow them.
    Refused(TooManyReplicas),
    /// The Deployment cannot be read, for this reason.
    Unknown(String),
}

/// Compares the replicas of the Deployment, which has the name of the Service, with the store.
pub async fn check_replicas(options: &Options, control_plane: &Client) -> ReplicaCheck {
    let tls = &options.tls;
    let (Backend::Embedded, Some(name), Some(namespace)) =
        (options.storage.storage_backend, &tls.service_name, &tls.service_namespace)
    else {
        return ReplicaCheck::Allowed;
    };
    let found = timeout(PATIENCE, desired_replicas(control_plane.clone(), namespace, name)).await;
    match found {
        Ok(Ok(Some(replicas))) if replicas > 1 => ReplicaCheck::Refused(TooManyReplicas {
            namespace: namespace.clone(),
            name: name.clone(),
            replicas,
        }),
        Ok(Ok(_)) => ReplicaCheck::Allowed,
        Ok(Err(error)) => ReplicaCheck::Unknown(error_message(&error)),
        Err(_) => ReplicaCheck::Unknown(format!("no response within {} s", PATIENCE.as_secs())),
    }
}

/// Refuses to start beside other replicas with an embedded store.
///
/// # Errors
/// The Deployment has more than one replica.
pub(super) async fn refuse_several(
    options: &Options,
    control_plane: Option<&Client>,
) -> Result<(), TooManyReplicas> {
    let Some(control_plane) = control_plane else { return Ok(()) };
    match check_replicas(options, control_plane).await {
        ReplicaCheck::Allowed => Ok(()),
        ReplicaCheck::Refused(error) => Err(error),
        ReplicaCheck::Unknown(reason) => {
            tracing::debug!(reason, "the replicas of the Deployment are not known");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    const PATH: &str = "/apis/apps/v1/namespaces/images/deployments/server";

    /// A control plane with this response to the request for the Deployment.
    fn control_plane(code: u16, body: Value) -> Client {
        let respond = move |request: Request<Body>| {
            assert_eq!(request.uri().path(), PATH);
            let response =
                Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(response.expect("it is valid")) }
        };
        Client::new(tower::service_fn(respond), "default")
    }

    fn deployment(replicas: i32) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "server"},
            "spec": {"replicas": replicas, "selector": {}, "template": {}},
        })
    }

    fn failure(code: u16) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
            "reason": if code == 404 { "NotFound" } else { "Forbidden" }, "message": "no",
        })
    }

    fn options(backend: Backend) -> Options {
        let mut options = Options::default();
        options.storage.storage_backend = backend;
        options.tls.service_name = Some("server".into());
        options.tls.service_namespace = Some("images".into());
        options
    }

    #[tokio::test]
    async fn several_replicas_on_an_embedded_store_are_refused() {
        let (options, plane) = (options(Backend::Embedded), control_plane(200, deployment(2)));
        let refused = refuse_several(&options, Some(&plane)).await;
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("images/server has 2 replicas"), "{text}");
        assert!(text.contains("--storage-backend=etcd3"), "{text}");
    }

    #[tokio::test]
    async fn one_replica_and_replicas_on_etcd_are_allowed() {
        for replicas in [0, 1] {
            let plane = control_plane(200, deployment(replicas));
            let checked = check_replicas(&options(Backend::Embedded), &plane).await;
            assert_eq!(checked, ReplicaCheck::Allowed);
        }
        let plane = control_plane(200, deployment(3));
        let checked = check_replicas(&options(Backend::Etcd3), &plane).await;
        assert_eq!(checked, ReplicaCheck::Allowed);
    }

    #[tokio::test]
    async fn server_without_a_readable_deployment_starts() {
        let plane = control_plane(404, failure(404));
        let checked = check_replicas(&options(Backend::Embedded), &plane).await;
        assert_eq!(checked, ReplicaCheck::Allowed);
        let plane = control_plane(403, failure(403));
        let checked = check_replicas(&options(Backend::Embedded), &plane).await;
        assert!(matches!(checked, ReplicaCheck::Unknown(_)), "{checked:?}");
        refuse_several(&options(Backend::Embedded), Some(&plane)).await.unwrap();
    }
}
