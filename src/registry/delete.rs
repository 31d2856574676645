//! Deletes of stored objects and of collections.

use std::sync::Arc;

use futures_util::future::{self, FutureExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;

use crate::meta::{Kind, ObjectMeta, Status, StatusDetails, Time, excerpt};
use crate::registry::actor::{Actor, DryRun};
use crate::registry::admission::attributes::{
    AdmissionOperation, AdmissionPhase, AdmissionStep, WriteOrigin,
};
use crate::registry::admission::chain::Admitted;
use crate::registry::guaranteed_update::{UpdateDecision, UpdateOutcome};
use crate::registry::list::object_stream::{ListPage, ObjectStream};
use crate::registry::list::stored_objects::StoredObjects;
use crate::registry::object_change::ObjectChange;
use crate::registry::object_ref::{ObjectRef, check_path_segment};
use crate::registry::object_store::ObjectStore;
use crate::registry::options::ListOptions;
use crate::registry::outcome::Written;
use crate::registry::read_set::ReadSet;
use crate::registry::strategy::{GarbageCollection, Strategy};
use crate::registry::unreadable::{ObjectState, ignores_read_errors, not_unreadable};
use crate::registry::verbs::{Delete, DeleteCollection, Scope};
use crate::store::Key;

/// Finalizer that the garbage collector removes after it has orphaned the dependents.
const ORPHAN: &str = "orphan";
/// Finalizer that the garbage collector removes after it has deleted the dependents.
const FOREGROUND: &str = "foregroundDeletion";
/// The maximum number of concurrent deletes of a collection.
const MAX_CONCURRENT_DELETES: usize = 32;

/// The result of a delete.
enum Deletion<T> {
    /// The object is removed. `uid` is empty if the object could not be decoded.
    Removed { uid: String },
    /// The object waits for its finalizers.
    Terminating(Box<T>),
}

impl<T: Kind, S: Strategy<T>> Delete<T> for ObjectStore<T, S> {
    async fn delete(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        options: &DeleteOptions,
    ) -> Result<Written<T>, Status> {
        check_path_segment(at.name())?;
        if ignores_read_errors(options) {
            self.require_unsafe_delete(actor, at.namespace(), at.name()).await?;
        }
        let named = (at.namespace(), at.name());
        match self.remove(actor, named, at.name(), options).await? {
            Deletion::Terminating(mut object) => {
                self.strategy().decorate(&mut object);
                let is_cascade = options.orphan_dependents == Some(false);
                Ok(if is_cascade { Written::accepted(*object) } else { Written::updated(*object) })
            }
            Deletion::Removed { uid } => {
                Ok(Written::status(Status::success().with_details(StatusDetails {
                    name: at.name().into(),
                    group: self.resource().group.into(),
                    kind: self.resource().name.into(),
                    uid,
                    ..StatusDetails::default()
                })))
            }
        }
    }
}

impl<T: Kind, S: Strategy<T>> DeleteCollection<T> for ObjectStore<T, S> {
    type Objects = StoredObjects<T, S>;

    async fn delete_collection(
        self: &Arc<Self>,
        actor: &Actor,
        at: &ObjectRef,
        scope: Scope,
        options: &DeleteOptions,
        list: &ListOptions,
    ) -> Result<ListPage<StoredObjects<T, S>>, Status> {
        let mut page = self.selected(&actor.load, at, scope, list)?;
        // Both streams must read the same revision.
        page.objects.fix_revision().await?;
        let (mut objects, mut remaining) =
            (page.objects.clone().metadata_only(), page.max_objects().unwrap_or(usize::MAX));
        loop {
            let names = next_names(&mut objects, remaining.min(MAX_CONCURRENT_DELETES)).await?;
            if names.is_empty() {
                return Ok(page);
            }
            remaining -= names.len();
            let removals =
                names.iter().map(|name| self.remove_if_exists(actor, at, name, options).boxed());
            future::try_join_all(removals).await?;
        }
    }
}

/// The names of the next objects, at most `max`.
async fn next_names<T: Kind, S: Strategy<T>>(
    objects: &mut StoredObjects<T, S>,
    max: usize,
) -> Result<Vec<String>, Status> {
    let mut names = Vec::new();
    while names.len() < max
        && let Some(object) = objects.next().await?
    {
        names.push(object.metadata().name.clone());
    }
    Ok(names)
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    async fn remove_if_exists(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<(), Status> {
        // Webhooks get no name, as the request has none.
        match self.remove(actor, (at.namespace(), name), "", options).await {
            Err(status) if status.code != 404 => Err(status),
            _ => Ok(()),
        }
    }

    async fn remove(
        &self,
        actor: &Actor,
        (namespace, name): (&str, &str),
        requested_name: &str,
        options: &DeleteOptions,
    ) -> Result<Deletion<T>, Status> {
        let key = self.key(namespace, name);
        let attempt = |read_set: &ReadSet, admitted: &Admitted| match (
            self.state(read_set, &key),
            ignores_read_errors(options),
        ) {
            (ObjectState::Unreadable(_), true) => {
                let change = self.change_unreadable(&key, (namespace, name), None)?;
                Ok(write_unlimited(change, Deletion::Removed { uid: String::new() }))
            }
            (_, true) => Err(not_unreadable(self.resource(), name)),
            (ObjectState::Unreadable(status), false) => Err(*status),
            (ObjectState::Missing, false) => Err(Status::not_found(self.resource(), name)),
            (ObjectState::Readable(old), false) => {
                if let Some(step) =
                    self.deletion_step((namespace, requested_name), &old, admitted, options)?
                {
                    return Ok(UpdateDecision::Admit(vec![*step]));
                }
                self.decide_removal(actor, &key, (namespace, name), options, &old)
            }
        };
        let done = self.storage().guaranteed_update(actor, std::slice::from_ref(&key), attempt);
        Ok(match done.await? {
            UpdateOutcome::Committed(Deletion::Terminating(mut object), revision) => {
                object.metadata_mut().resource_version = revision.to_string();
                Deletion::Terminating(object)
            }
            UpdateOutcome::Unchanged(deleted) | UpdateOutcome::Committed(deleted, _) => deleted,
        })
    }

    /// The run of the admission chain that a deletion needs next. The name is empty if the request
    /// names a collection.
    fn deletion_step(
        &self,
        namespaced_name: (&str, &str),
        old: &T,
        admitted: &Admitted,
        options: &DeleteOptions,
    ) -> Result<Option<Box<AdmissionStep>>, Status> {
        self.check_preconditions(options, old.metadata())?;
        let target = self.admission_target(AdmissionOperation::Delete, WriteOrigin::Request, "");
        let phases = [AdmissionPhase::Mutate, AdmissionPhase::Validate];
        Ok(phases.into_iter().find_map(|phase| {
            self.admission_step(admitted, (phase, target), namespaced_name, Some(old), None)
        }))
    }

    fn decide_removal(
        &self,
        actor: &Actor,
        key: &Key,
        namespaced_name: (&str, &str),
        options: &DeleteOptions,
        old: &T,
    ) -> Result<UpdateDecision<Deletion<T>>, Status> {
        let mut new = old.clone();
        begin_deletion(
            new.metadata_mut(),
            options,
            self.strategy().garbage_collection(),
            actor.now,
        );
        let is_removed = new.metadata().finalizers.is_empty();
        let has_work = (is_removed || new != *old) && actor.dry_run == DryRun::Off;
        let change = match has_work {
            true => {
                Some(self.change(key, namespaced_name, Some(old), (!is_removed).then_some(&new))?)
            }
            false => None,
        };
        let deleted = match is_removed {
            true => Deletion::Removed { uid: old.metadata().uid.clone() },
            false => Deletion::Terminating(Box::new(new)),
        };
        Ok(match change {
            Some(change) => write_unlimited(change, deleted),
            None => UpdateDecision::Keep(deleted),
        })
    }

    fn check_preconditions(
        &self,
        options: &DeleteOptions,
        meta: &ObjectMeta,
    ) -> Result<(), Status> {
        let Some(required) = &options.preconditions else {
            return Ok(());
        };
        if let Some(uid) = required.uid.as_ref().filter(|uid| **uid != meta.uid) {
            let why = format!(
                "the UID in the precondition ({}) does not match the UID in record ({}). The object might have been \
                 deleted and then recreated",
                excerpt::of(uid),
                meta.uid
            );
            return Err(Status::conflict(self.kind(), &meta.name, &why));
        }
        if let Some(version) =
            required.resource_version.as_ref().filter(|version| **version != meta.resource_version)
        {
            let why = format!(
                "the ResourceVersion in the precondition ({}) does not match the ResourceVersion in record ({}). The \
                 object might have been modified",
                excerpt::of(version),
                meta.resource_version
            );
            return Err(Status::conflict(self.kind(), &meta.name, &why));
        }
        Ok(())
    }
}

/// A change that no limit on stored bytes refuses.
fn write_unlimited<R>(change: ObjectChange, result: R) -> UpdateDecision<R> {
    let charge = change.charge.clone().unlimited();
    UpdateDecision::Write(vec![ObjectChange { charge, ..change }], result)
}

/// Sets the finalizers that the delete options request, and the deletion timestamp if any
/// finalizer remains; as `BeforeDelete` in k8s.io/apiserver/pkg/registry/rest/delete.go.
fn begin_deletion(
    meta: &mut ObjectMeta,
    options: &DeleteOptions,
    dependents: GarbageCollection,
    now: Time,
) {
    let required = match dependents {
        GarbageCollection::Unsupported => None,
        GarbageCollection::Supported => finalizer(meta, options),
    };
    meta.finalizers.retain(|each| {
        Some(each.as_str()) == required || ![ORPHAN, FOREGROUND].contains(&each.as_str())
    });
    if let Some(required) =
        required.filter(|required| !meta.finalizers.iter().any(|each| each == required))
    {
        meta.finalizers.push(required.into());
    }
    if meta.finalizers.is_empty() || meta.deletion_timestamp.is_some() {
        return;
    }
    meta.deletion_timestamp = Some(now);
    meta.deletion_grace_period_seconds = Some(0);
    if meta.generation > 0 {
        meta.generation += 1;
    }
}

/// The finalizer for the requested propagation policy, as `deletionFinalizersForGarbageCollection`
/// in k8s.io/apiserver/pkg/registry/generic/registry/store.go.
fn finalizer(meta: &ObjectMeta, options: &DeleteOptions) -> Option<&'static str> {
    match (options.orphan_dependents, options.propagation_policy.as_deref()) {
        (Some(true), _) | (None, Some("Orphan")) => Some(ORPHAN),
        (None, Some("Foreground")) => Some(FOREGROUND),
        (Some(false), _) | (None, Some(_)) => None,
        (None, None) => {
            let mut kept = meta.finalizers.iter();
            kept.find_map(|each| [ORPHAN, FOREGROUND].into_iter().find(|known| each == known))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(
        finalizers: &[&str],
        options: DeleteOptions,
        dependents: GarbageCollection,
    ) -> ObjectMeta {
        let finalizers = finalizers.iter().map(|each| (*each).to_owned()).collect();
        let mut meta = ObjectMeta { generation: 3, finalizers, ..ObjectMeta::default() };
        begin_deletion(&mut meta, &options, dependents, Time::from_unix_seconds(7));
        meta
    }

    fn policy(policy: &str) -> DeleteOptions {
        DeleteOptions { propagation_policy: Some(policy.into()), ..DeleteOptions::default() }
    }

    #[test]
    fn only_objects_with_finalizers_begin_terminating() {
        let meta = begin(&["a/b"], DeleteOptions::default(), GarbageCollection::Supported);
        assert_eq!(
            (meta.deletion_timestamp, meta.generation),
            (Some(Time::from_unix_seconds(7)), 4)
        );
        assert_eq!(meta.deletion_grace_period_seconds, Some(0));
        let meta = begin(&[], DeleteOptions::default(), GarbageCollection::Supported);
        assert_eq!((meta.deletion_timestamp, meta.generation), (None, 3));
    }

    #[test]
    fn propagation_policy_selects_the_finalizer() {
        let finalizers =
            |before: &[&str], options, dependents| begin(before, options, dependents).finalizers;
        assert_eq!(finalizers(&[], policy("Orphan"), GarbageCollection::Supported), [ORPHAN]);
        assert_eq!(
            finalizers(&["a/b"], policy("Foreground"), GarbageCollection::Supported),
            ["a/b", FOREGROUND]
        );
        assert_eq!(
            finalizers(&["a/b", ORPHAN], policy("Background"), GarbageCollection::Supported),
            ["a/b"]
        );
        assert_eq!(
            finalizers(&[ORPHAN], DeleteOptions::default(), GarbageCollection::Supported),
            [ORPHAN]
        );
        assert_eq!(
            finalizers(&[ORPHAN], policy("Orphan"), GarbageCollection::Unsupported),
            [""; 0]
        );
        let orphan = DeleteOptions { orphan_dependents: Some(true), ..DeleteOptions::default() };
        assert_eq!(finalizers(&[FOREGROUND], orphan, GarbageCollection::Supported), [ORPHAN]);
    }
}
