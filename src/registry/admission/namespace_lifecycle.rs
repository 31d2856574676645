//! Admission of new objects by the state of their namespace.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::attributes::{AdmissionAttributes, AdmissionOperation};
use super::plugin::{AdmissionPlugin, Reservation};
use crate::cluster::NamespaceState;
use crate::meta::{GroupResource, Status, StatusCause, field};
use crate::registry::actor::Actor;

/// Refuses creates in namespaces that are missing or terminating, as the plugin of this name in
/// k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle.
#[derive(Debug)]
pub struct NamespaceLifecycle;

impl AdmissionPlugin for NamespaceLifecycle {
    fn handles(&self, operation: AdmissionOperation) -> bool {
        operation == AdmissionOperation::Create
    }

    fn admit<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>> {
        async move {
            let AdmissionAttributes { resource, namespace, name, .. } = attributes;
            if namespace.is_empty() {
                return Ok(None);
            }
            match actor.namespaces.state(namespace).await {
                Ok(NamespaceState::Active) => Ok(None),
                Ok(NamespaceState::Missing) => {
                    let namespaces = GroupResource { group: "", name: "namespaces" };
                    Err(Status::not_found(namespaces, namespace))
                }
                Ok(NamespaceState::Terminating) => Err(terminating(*resource, name, namespace)),
                Err(unknown) => Err(Status::unavailable(unknown.to_string())),
            }
        }
        .boxed()
    }
}

fn terminating(resource: GroupResource<'_>, name: &str, namespace: &str) -> Status {
    let what = match name {
        "" => resource.to_string(),
        name => format!("{resource} {}", field::quote(name)),
    };
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let mut status = Status::forbidden(format!("{what} is forbidden: {why}")).about(resource, name);
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

    #[test]
    fn terminating_namespace_is_reported_with_a_cause() {
        let status = terminating(
            GroupResource { group: "image.openshift.io", name: "imagestreams" },
            "x",
            "lab",
        );
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
