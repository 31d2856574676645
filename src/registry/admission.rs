//! What must hold of the cluster before anything is made in it, whatever it is.

use crate::cluster::State;
use crate::meta::{Cause, ObjectMeta, Resource, Status, field};
use crate::registry::actor::Actor;
use crate::registry::metadata;
use crate::registry::object_ref::ObjectRef;

/// Whether an object may be made in the namespace of the request.
///
/// # Errors
/// 400 where the object names another one; 404 where the namespace is missing, 403 where it is being deleted, 503 where that could not be found out.
pub(crate) async fn may_create(
    actor: &Actor,
    at: &ObjectRef,
    resource: Resource<'_>,
    meta: &ObjectMeta,
) -> Result<(), Status> {
    metadata::check_namespace(at, meta)?;
    let Some(namespace) = at.namespace.as_deref() else {
        return Ok(());
    };
    match actor.namespaces.state(namespace).await {
        Ok(State::Active) => Ok(()),
        Ok(State::Missing) => Err(Status::not_found(Resource { group: "", name: "namespaces" }, namespace)),
        Ok(State::Terminating) => Err(terminating(resource, &meta.name, namespace)),
        Err(unknown) => Err(Status::unavailable(unknown.to_string())),
    }
}

fn terminating(resource: Resource<'_>, name: &str, namespace: &str) -> Status {
    let what = match name {
        "" => resource.to_string(),
        name => format!("{resource} {}", field::quote(name)),
    };
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut status = Status::forbidden(format!("{what} is forbidden: {why}")).about(resource, name);
    status.details.get_or_insert_default().causes.push(Cause {
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
    fn a_namespace_that_ends_is_named_with_its_cause() {
        let status = terminating(Resource { group: "image.openshift.io", name: "imagestreams" }, "x", "lab");
        let why = "unable to create new content in namespace lab because it is being terminated";
        assert_eq!(status.message, format!("imagestreams.image.openshift.io \"x\" is forbidden: {why}"));
        let details = status.details.unwrap();
        assert_eq!((details.name.as_str(), details.causes[0].reason.as_str()), ("x", "NamespaceTerminating"));
    }
}
