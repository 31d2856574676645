//! Admission of owner references by the permissions of the user.

use std::collections::HashMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::attributes::{
    AdmissionAttributes, AdmissionOperation, AdmissionPhase, AdmissionTarget, WriteOrigin,
    WriteSummary,
};
use super::plugin::{AdmissionPlugin, Reservation};
use crate::auth::ResourceAction;
use crate::cluster::{KindError, KindResources, KindScope};
use crate::meta::{ObjectMeta, OwnerReference, Status};
use crate::registry::actor::Actor;
use crate::registry::permission::Permission;

/// Refuses changes of owner references by users who cannot delete the object, and
/// `blockOwnerDeletion` by users who cannot set finalizers of the owner. As the plugin of this name
/// in k8s.io/kubernetes/plugin/pkg/admission/gc/gc_admission.go.
pub struct OwnerReferencesPermissionEnforcement {
    kinds: KindResources,
}

impl OwnerReferencesPermissionEnforcement {
    /// The plugin of a cluster with these kinds.
    pub fn new(kinds: KindResources) -> Self {
        Self { kinds }
    }

    async fn check(&self, attributes: &AdmissionAttributes, actor: &Actor) -> Result<(), Status> {
        let old = owners_of(attributes.old.as_deref().map(|old| old.metadata()));
        let new = owners_of(attributes.new.as_deref().map(|new| new.metadata()));
        if old == new {
            return Ok(());
        }
        // Who creates an object could as well not create it, so it may have any owner.
        if attributes.target.operation == AdmissionOperation::Update {
            let why = "cannot set an ownerRef on a resource you can't delete";
            require(actor, attributes, deletion(attributes), why).await?;
        }
        let blocking = newly_blocking(old, new);
        if blocking.is_empty() || may_finalize_anything(actor).await {
            return Ok(());
        }
        for owner in blocking {
            self.check_owner(attributes, actor, owner).await?;
        }
        Ok(())
    }

    async fn check_owner(
        &self,
        attributes: &AdmissionAttributes,
        actor: &Actor,
        owner: &OwnerReference,
    ) -> Result<(), Status> {
        let OwnerReference { api_version, kind, name, .. } = owner;
        let resources = match self.kinds.of(api_version, kind).await {
            Ok(resources) => resources,
            Err(KindError::Unavailable { why, .. }) => {
                let text = format!(
                    "the owners of {} cannot be checked: the resources of {api_version} are not known; try again later",
                    attributes.target.resource
                );
                return Err(Status { hidden: Some(why), ..Status::unavailable(text) });
            }
            Err(unknown) => {
                return Err(attributes.forbidden(&format!(
                    "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion \
                     {api_version} Kind {kind}: {unknown}"
                )));
            }
        };
        for resource in resources {
            let namespace = match resource.scope {
                KindScope::Namespaced => attributes.namespace.clone(),
                KindScope::Cluster => String::new(),
            };
            let action = ResourceAction {
                verb: "update".into(),
                group: resource.group,
                version: resource.version,
                resource: resource.resource,
                subresource: "finalizers".into(),
                namespace,
                name: name.clone(),
                ..ResourceAction::default()
            };
            let why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set \
                       finalizers on";
            require(actor, attributes, action, why).await?;
        }
        Ok(())
    }
}

impl AdmissionPlugin for OwnerReferencesPermissionEnforcement {
    fn handles(&self, phase: AdmissionPhase, target: &AdmissionTarget) -> bool {
        phase == AdmissionPhase::Validate
            && target.origin == WriteOrigin::Request
            && target.operation != AdmissionOperation::Delete
    }

    fn concerns(&self, write: &WriteSummary<'_>) -> bool {
        owners_of(write.old) != owners_of(write.new)
    }

    fn validate<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>> {
        async move { self.check(attributes, actor).await.map(|()| None) }.boxed()
    }
}

fn owners_of(meta: Option<&ObjectMeta>) -> &[OwnerReference] {
    meta.map_or(&[], |meta| &meta.owner_references)
}

/// The references that block the deletion of their owner, and did not before.
fn newly_blocking<'a>(
    old: &[OwnerReference],
    new: &'a [OwnerReference],
) -> Vec<&'a OwnerReference> {
    let is_blocking = |owner: &OwnerReference| owner.block_owner_deletion == Some(true);
    let before: HashMap<&str, bool> =
        old.iter().map(|owner| (owner.uid.as_str(), is_blocking(owner))).collect();
    let is_new = |owner: &&OwnerReference| before.get(owner.uid.as_str()) != Some(&true);
    new.iter().filter(|owner| is_blocking(owner)).filter(is_new).collect()
}

/// Returns true if one review shows that no owner needs to be reviewed.
async fn may_finalize_anything(actor: &Actor) -> bool {
    let any = || "*".to_owned();
    let action = ResourceAction {
        verb: "update".into(),
        group: any(),
        version: any(),
        resource: any(),
        subresource: "finalizers".into(),
        name: any(),
        ..ResourceAction::default()
    };
    actor.permissions.check(&actor.user, action).await == Permission::Allowed
}

/// The deletion of the written object.
fn deletion(attributes: &AdmissionAttributes) -> ResourceAction {
    let AdmissionTarget { resource, subresource, api, .. } = attributes.target;
    ResourceAction {
        verb: "delete".into(),
        group: resource.group.into(),
        version: api.version.into(),
        resource: resource.name.into(),
        subresource: subresource.into(),
        namespace: attributes.namespace.clone(),
        name: attributes.name.clone(),
        ..ResourceAction::default()
    }
}

async fn require(
    actor: &Actor,
    attributes: &AdmissionAttributes,
    action: ResourceAction,
    why: &str,
) -> Result<(), Status> {
    match actor.permissions.check(&actor.user, action).await {
        Permission::Allowed => Ok(()),
        // Go formats the missing error like this.
        Permission::Denied { reason } => {
            Err(attributes.forbidden(&format!("{why}: {reason}, <nil>")))
        }
        Permission::Unknown { why } => {
            let text = "your permissions could not be checked: try again later";
            Err(Status { hidden: Some(why), ..Status::unavailable(text) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: &str, block: Option<bool>) -> OwnerReference {
        OwnerReference { uid: uid.into(), block_owner_deletion: block, ..Default::default() }
    }

    #[test]
    fn references_that_begin_to_block_are_found() {
        let old = [owner("kept", Some(true)), owner("changed", None), owner("gone", Some(true))];
        let new = [
            owner("kept", Some(true)),
            owner("changed", Some(true)),
            owner("new", Some(true)),
            owner("free", Some(false)),
        ];
        let found = newly_blocking(&old, &new);
        let uids: Vec<&str> = found.iter().map(|owner| owner.uid.as_str()).collect();
        assert_eq!(uids, ["changed", "new"]);
    }
}
