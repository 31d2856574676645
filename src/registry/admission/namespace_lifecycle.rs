//! Admission of new objects by the state of their namespace.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::attributes::{
    AdmissionAttributes, AdmissionOperation, AdmissionPhase, AdmissionTarget, WriteOrigin,
    WriteSummary,
};
use super::plugin::AdmissionPlugin;
use crate::cluster::NamespaceState;
use crate::meta::{GroupResource, Status, StatusCause};
use crate::registry::actor::Actor;

/// Refuses writes in namespaces that are missing, and creates in those that are terminating, as the
/// plugin of this name in k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle. Deletions are
/// always allowed.
#[derive(Debug)]
pub struct NamespaceLifecycle;

impl AdmissionPlugin for NamespaceLifecycle {
    fn handles(&self, phase: AdmissionPhase, target: &AdmissionTarget) -> bool {
        let is_checked = match target.operation {
            AdmissionOperation::Create => true,
            // A deleted tag is an update of its stream.
            AdmissionOperation::Update => target.origin == WriteOrigin::Request,
            AdmissionOperation::Delete => false,
        };
        is_checked && phase == AdmissionPhase::Mutate
    }

    fn concerns(&self, write: &WriteSummary<'_>) -> bool {
        !write.namespace.is_empty() && !write.namespaces.is_known_active(write.namespace)
    }

    fn mutate<'a>(
        &'a self,
        attributes: &'a mut AdmissionAttributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            let namespace = attributes.namespace.as_str();
            if namespace.is_empty() {
                return Ok(());
            }
            match actor.namespaces.state(namespace).await {
                Ok(NamespaceState::Active) => Ok(()),
                Ok(NamespaceState::Missing) => {
                    let namespaces = GroupResource { group: "", name: "namespaces" };
                    Err(Status::not_found(namespaces, namespace))
                }
                Ok(NamespaceState::Terminating) => match attributes.target.operation {
                    AdmissionOperation::Create => Err(terminating(attributes)),
                    AdmissionOperation::Update | AdmissionOperation::Delete => Ok(()),
                },
                Err(unknown) => Err(Status::unavailable(unknown.to_string())),
            }
        }
        .boxed()
    }
}

fn terminating(attributes: &AdmissionAttributes) -> Status {
    let namespace = &attributes.namespace;
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let mut status = attributes.forbidden(&why);
    status.details.get_or_insert_default().causes.push(StatusCause {
        reason: "NamespaceTerminating".into(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".into(),
    });
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machinery::group_version::GroupVersion;

    #[test]
    fn terminating_namespace_is_reported_with_a_cause() {
        let api = GroupVersion { group: "g", name: "g/v1", version: "v1", kinds: &["X"] };
        let target = AdmissionTarget {
            operation: AdmissionOperation::Create,
            origin: WriteOrigin::Request,
            resource: GroupResource { group: "image.openshift.io", name: "imagestreams" },
            subresource: "",
            kind: "X",
            api,
        };
        let (namespace, name) = ("lab".to_owned(), "x".to_owned());
        let status =
            terminating(&AdmissionAttributes { target, namespace, name, old: None, new: None });
        let why = "unable to create new content in namespace lab because it is being terminated";
        assert_eq!(
            status.message,
            format!("imagestreams.image.openshift.io \"x\" is forbidden: {why}")
        );
        let details = status.details.unwrap();
        assert_eq!(
            (details.name.as_str(), details.causes[0].reason.as_str()),
            ("x", "NamespaceTerminating")
        );
    }
}
