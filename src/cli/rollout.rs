//! `await-rollout`: waits until a Deployment is rolled out. The Helm chart runs it in a Job before it
//! registers the server, because an APIService without a ready server breaks discovery.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use kube::Api;
use tokio::time::{Instant, sleep_until};

use super::stdout::print_line;
use crate::cluster::{self, error_message};
use crate::meta::duration;

/// Flags of `await-rollout`.
#[derive(Debug, Args)]
pub(super) struct AwaitRolloutCommand {
    /// Name of the Deployment.
    #[arg(value_name = "DEPLOYMENT")]
    deployment: String,
    /// Namespace of the Deployment.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: String,
    /// Time for the rollout.
    #[arg(long, value_name = "DURATION", default_value = "4m", value_parser = duration::positive)]
    timeout: Duration,
    /// Kubeconfig file of the control plane; the ServiceAccount of the pod if not set.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// State of a rollout.
#[derive(Debug, PartialEq, Eq)]
enum Rollout {
    /// All replicas run the current template and are available.
    Complete,
    /// The rollout goes on, for this reason.
    Waiting(String),
    /// The Deployment has exceeded its `progressDeadlineSeconds`.
    Failed,
}

/// Interval of the requests.
const INTERVAL: Duration = Duration::from_secs(1);

impl AwaitRolloutCommand {
    /// Waits for the rollout, and prints each new state.
    ///
    /// # Errors
    /// The last state of a rollout that failed or took too long, or a control plane that refuses the
    /// requests.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let Self { deployment: name, namespace, timeout, kubeconfig } = self;
        let options = cluster::Options { kubeconfig, ..cluster::Options::default() };
        let (clients, _) = options
            .connect(true)
            .await?
            .context("no control plane: set --kubeconfig, or run the command in a pod")?;
        let api = Api::<Deployment>::namespaced(clients.general, &namespace);
        let end = Instant::now() + timeout;
        let mut printed = String::new();
        loop {
            let reason = match observe(&api, &name).await? {
                Rollout::Complete => {
                    print_line(format_args!("deployment {namespace}/{name} is rolled out"));
                    return Ok(());
                }
                Rollout::Failed => bail!(
                    "deployment {namespace}/{name} exceeded its progress deadline: \
                     `kubectl -n {namespace} describe pods` shows why its pods are not ready"
                ),
                Rollout::Waiting(reason) => reason,
            };
            if Instant::now() + INTERVAL > end {
                bail!(
                    "deployment {namespace}/{name} is not rolled out after {timeout:?}: {reason}; \
                     `kubectl -n {namespace} describe pods` shows why its pods are not ready"
                );
            }
            if printed != reason {
                print_line(format_args!("waiting for deployment {namespace}/{name}: {reason}"));
                printed = reason;
            }
            sleep_until(Instant::now() + INTERVAL).await;
        }
    }
}

/// Reads the Deployment. A control plane that does not respond is a reason to wait.
async fn observe(api: &Api<Deployment>, name: &str) -> anyhow::Result<Rollout> {
    match api.get_opt(name).await {
        Ok(Some(deployment)) => Ok(rollout_of(&deployment)),
        Ok(None) => Ok(Rollout::Waiting("it does not exist".to_owned())),
        Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => bail!(
            "cannot read the Deployment: {}; grant get on deployments.apps/{name} with a Role",
            status.message
        ),
        Err(error) => Ok(Rollout::Waiting(error_message(&error))),
    }
}

/// State by the rules of `kubectl rollout status` (`DeploymentStatusViewer.Status` in
/// k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go).
fn rollout_of(deployment: &Deployment) -> Rollout {
    let status = deployment.status.clone().unwrap_or_default();
    if deployment.metadata.generation > status.observed_generation {
        return Rollout::Waiting("its controller has not seen the latest change".to_owned());
    }
    let conditions = status.conditions.unwrap_or_default();
    let has_failed = |each: &DeploymentCondition| {
        each.type_.as_deref() == Some("Progressing")
            && each.reason.as_deref() == Some("ProgressDeadlineExceeded")
    };
    if conditions.iter().any(has_failed) {
        return Rollout::Failed;
    }
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or(0);
    let (all, available) = (status.replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
    if updated < wanted {
        Rollout::Waiting(format!("{updated} of {wanted} replicas are updated"))
    } else if all > updated {
        Rollout::Waiting(format!("{} old replicas must end", all - updated))
    } else if available < updated {
        Rollout::Waiting(format!("{available} of {updated} updated replicas are available"))
    } else {
        Rollout::Complete
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rollout(status: Value) -> Rollout {
        let object = json!({"metadata": {"generation": 2}, "spec": {"replicas": 1, "selector": {}, "template": {}}, "status": status});
        rollout_of(&serde_json::from_value(object).expect("the object is a Deployment"))
    }

    #[test]
    fn rollout_is_complete_when_new_replicas_are_available() {
        let seen = |more: Value| {
            let mut status = json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
            for (key, value) in more.as_object().expect("the fields are an object") {
                status[key] = value.clone();
            }
            rollout(status)
        };
        assert_eq!(seen(json!({})), Rollout::Complete);
        for (change, reason) in [
            (json!({"observedGeneration": 1}), "its controller has not seen the latest change"),
            (json!({"updatedReplicas": 0}), "0 of 1 replicas are updated"),
            (json!({"replicas": 2}), "1 old replicas must end"),
            (json!({"availableReplicas": 0}), "0 of 1 updated replicas are available"),
        ] {
            assert_eq!(seen(change), Rollout::Waiting(reason.to_owned()));
        }
        let exceeded = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
        assert_eq!(seen(json!({"conditions": exceeded, "availableReplicas": 0})), Rollout::Failed);
        assert_eq!(
            rollout(Value::Null),
            Rollout::Waiting("its controller has not seen the latest change".to_owned())
        );
    }
}
