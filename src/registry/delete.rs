//! Deleting stored objects: at once, or once their finalizers are gone; one, or all that are selected.

use std::sync::Arc;

use futures_util::future::{self, FutureExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;

use crate::meta::{Kind, ObjectMeta, Status, StatusDetails, Time, excerpt};
use crate::registry::actor::Actor;
use crate::registry::actor::DryRun;
use crate::registry::admission::Admitted;
use crate::registry::guaranteed_update::{Decision, Done, Seen};
use crate::registry::list::{Listing, Objects, Walk};
use crate::registry::object_ref::ObjectRef;
use crate::registry::object_ref::check_path_segment;
use crate::registry::object_store::ObjectStore;
use crate::registry::options::ListOptions;
use crate::registry::outcome::Written;
use crate::registry::strategy::{Dependents, Strategy};
use crate::registry::verbs::{Delete, DeleteCollection, Scope};
use crate::store::Entry;

/// Kept until the garbage collector has let go of the dependents.
const ORPHAN: &str = "orphan";
/// Kept until the garbage collector has deleted the dependents.
const FOREGROUND: &str = "foregroundDeletion";
/// How many objects of a collection are deleted at a time.
const AT_A_TIME: usize = 32;

/// What became of an object that was to be deleted.
enum Deleted<T> {
    /// It is gone. The UID is not known of one that could not be read.
    Gone { uid: String },
    /// It goes once its finalizers have.
    Going(Box<T>),
}

impl<T: Kind, S: Strategy<T>> Delete<T> for ObjectStore<T, S> {
    async fn delete(&self, actor: &Actor, at: &ObjectRef, options: &DeleteOptions) -> Result<Written<T>, Status> {
        check_path_segment(at.name())?;
        match self.remove(actor, at.namespace(), at.name(), options).await? {
            Deleted::Going(mut object) => {
                self.strategy().decorate(&mut object);
                let is_cascade = options.orphan_dependents == Some(false);
                Ok(if is_cascade { Written::accepted(*object) } else { Written::updated(*object) })
            }
            Deleted::Gone { uid } => Ok(Written::status(Status::success().with_details(StatusDetails {
                name: at.name().into(),
                group: self.resource().group.into(),
                kind: self.resource().name.into(),
                uid,
                ..StatusDetails::default()
            }))),
        }
    }
}

impl<T: Kind, S: Strategy<T>> DeleteCollection<T> for ObjectStore<T, S> {
    type Walk = Objects<T, S>;

    async fn delete_collection(
        self: &Arc<Self>,
        actor: &Actor,
        at: &ObjectRef,
        scope: Scope,
        options: &DeleteOptions,
        list: &ListOptions,
    ) -> Result<Listing<Objects<T, S>>, Status> {
        let mut listing = self.selected(at, scope, list)?;
        // From here on both see what is there now.
        listing.walk.begin().await?;
        let (mut walk, mut left) = (listing.walk.clone().with_little(), listing.most().unwrap_or(usize::MAX));
        loop {
            let names = names(&mut walk, left.min(AT_A_TIME)).await?;
            if names.is_empty() {
                return Ok(listing);
            }
            left -= names.len();
            let removals = names.iter().map(|name| self.remove_if_there(actor, at, name, options).boxed());
            future::try_join_all(removals).await?;
        }
    }
}

/// The names of the next objects, so many at most.
async fn names<T: Kind, S: Strategy<T>>(walk: &mut Objects<T, S>, most: usize) -> Result<Vec<String>, Status> {
    let mut names = Vec::new();
    while names.len() < most
        && let Some(object) = walk.next().await?
    {
        names.push(object.metadata().name.clone());
    }
    Ok(names)
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    async fn remove_if_there(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<(), Status> {
        match self.remove(actor, at.namespace(), name, options).await {
            Err(status) if status.code != 404 => Err(status),
            _ => Ok(()),
        }
    }

    async fn remove(
        &self,
        actor: &Actor,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted<T>, Status> {
        let key = self.key(namespace, name);
        let attempt = |seen: &Seen, admitted: &Admitted| {
            let entry = seen.entry(&key).ok_or_else(|| Status::not_found(self.resource(), name))?;
            self.decide_removal(actor, (namespace, name), options, entry, admitted)
        };
        let done = self.storage().guaranteed_update(actor, std::slice::from_ref(&key), attempt);
        Ok(match done.await? {
            Done::Committed(Deleted::Going(mut object), revision) => {
                object.metadata_mut().resource_version = revision.to_string();
                Deleted::Going(object)
            }
            Done::Kept(deleted) | Done::Committed(deleted, _) => deleted,
        })
    }

    fn decide_removal(
        &self,
        actor: &Actor,
        place: (&str, &str),
        options: &DeleteOptions,
        entry: &Entry,
        admitted: &Admitted,
    ) -> Result<Decision<Deleted<T>>, Status> {
        let old = match self.decode(entry) {
            Ok(old) => old,
            // An object that cannot be read can still be removed.
            Err(_) if options.preconditions.is_none() && actor.dry_run == DryRun::Off => {
                let change = self.change(&entry.key, place, None, None)?;
                return Ok(Decision::Write(vec![change], Deleted::Gone { uid: String::new() }));
            }
            Err(status) => return Err(status),
        };
        self.check_preconditions(options, old.metadata())?;
        if let Some(attributes) = self.to_admit(admitted, place, Some(&old), None) {
            return Ok(Decision::Admit(attributes));
        }
        let mut new = old.clone();
        mark(new.metadata_mut(), options, self.strategy().dependents(), actor.now);
        let is_gone = new.metadata().finalizers.is_empty();
        let has_work = (is_gone || new != old) && actor.dry_run == DryRun::Off;
        let change = match has_work {
            true => Some(self.change(&entry.key, place, Some(&old), (!is_gone).then_some(&new))?),
            false => None,
        };
        let deleted = match is_gone {
            true => Deleted::Gone { uid: old.metadata().uid.clone() },
            false => Deleted::Going(Box::new(new)),
        };
        Ok(match change {
            Some(change) => Decision::Write(vec![change], deleted),
            None => Decision::Keep(deleted),
        })
    }

    fn check_preconditions(&self, options: &DeleteOptions, meta: &ObjectMeta) -> Result<(), Status> {
        let Some(wanted) = &options.preconditions else {
            return Ok(());
        };
        if let Some(uid) = wanted.uid.as_ref().filter(|uid| **uid != meta.uid) {
            let why = format!(
                "the UID in the precondition ({}) does not match the UID in record ({}). The object might have been \
                 deleted and then recreated",
                excerpt::of(uid),
                meta.uid
            );
            return Err(Status::conflict(self.kind(), &meta.name, &why));
        }
        if let Some(version) = wanted.resource_version.as_ref().filter(|version| **version != meta.resource_version) {
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

/// Gives an object the finalizers that its deletion asks for, and marks one that has any as being deleted.
fn mark(meta: &mut ObjectMeta, options: &DeleteOptions, dependents: Dependents, now: Time) {
    let wanted = match dependents {
        Dependents::None => None,
        Dependents::Collected => finalizer(meta, options),
    };
    meta.finalizers.retain(|each| Some(each.as_str()) == wanted || ![ORPHAN, FOREGROUND].contains(&each.as_str()));
    if let Some(wanted) = wanted.filter(|wanted| !meta.finalizers.iter().any(|each| each == wanted)) {
        meta.finalizers.push(wanted.into());
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

/// The finalizer by which the garbage collector learns what to do with the dependents, if it must wait for that.
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

    fn marked(finalizers: &[&str], options: DeleteOptions, dependents: Dependents) -> ObjectMeta {
        let finalizers = finalizers.iter().map(|each| (*each).to_owned()).collect();
        let mut meta = ObjectMeta { generation: 3, finalizers, ..ObjectMeta::default() };
        mark(&mut meta, &options, dependents, Time::from_unix_seconds(7));
        meta
    }

    fn policy(policy: &str) -> DeleteOptions {
        DeleteOptions { propagation_policy: Some(policy.into()), ..DeleteOptions::default() }
    }

    #[test]
    fn an_object_with_finalizers_is_marked_and_one_without_is_not() {
        let meta = marked(&["a/b"], DeleteOptions::default(), Dependents::Collected);
        assert_eq!((meta.deletion_timestamp, meta.generation), (Some(Time::from_unix_seconds(7)), 4));
        assert_eq!(meta.deletion_grace_period_seconds, Some(0));
        let meta = marked(&[], DeleteOptions::default(), Dependents::Collected);
        assert_eq!((meta.deletion_timestamp, meta.generation), (None, 3));
    }

    #[test]
    fn what_becomes_of_dependents_is_a_finalizer() {
        let finalizers = |before: &[&str], options, dependents| marked(before, options, dependents).finalizers;
        assert_eq!(finalizers(&[], policy("Orphan"), Dependents::Collected), [ORPHAN]);
        assert_eq!(finalizers(&["a/b"], policy("Foreground"), Dependents::Collected), ["a/b", FOREGROUND]);
        assert_eq!(finalizers(&["a/b", ORPHAN], policy("Background"), Dependents::Collected), ["a/b"]);
        assert_eq!(finalizers(&[ORPHAN], DeleteOptions::default(), Dependents::Collected), [ORPHAN]);
        assert_eq!(finalizers(&[ORPHAN], policy("Orphan"), Dependents::None), [""; 0]);
        let orphan = DeleteOptions { orphan_dependents: Some(true), ..DeleteOptions::default() };
        assert_eq!(finalizers(&[FOREGROUND], orphan, Dependents::Collected), [ORPHAN]);
    }
}
