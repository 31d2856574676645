//! Deleting stored objects: at once, or once their finalizers are gone; one, or all that are selected.

use std::sync::Arc;

use futures_util::future::{self, FutureExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use serde_json::Value;

use super::codec;
use super::cx::Cx;
use super::endpoint::{Delete, DeleteCollection, Scope};
use super::list::{Listing, Objects, Walk};
use super::options::{DryRun, dry_run_fault, refuse};
use super::reply::Written;
use super::rules::{Dependents, Strategy};
use super::stored::Stored;
use super::target::check_path_segment;
use super::update::{Decision, Done, transact};
use crate::meta::protobuf::DELETE_OPTIONS;
use crate::meta::{Details, Kind, ObjectMeta, Status, Time, excerpt, field};

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

impl<T: Kind, S: Strategy<T>> Delete<T> for Stored<T, S> {
    async fn delete(&self, cx: &Cx) -> Result<Written<T>, Status> {
        check_path_segment(cx.name())?;
        let options = options(cx)?;
        match self.remove(cx, cx.name(), &options).await? {
            Deleted::Going(mut object) => {
                self.strategy().present(&mut object);
                let is_cascade = options.orphan_dependents == Some(false);
                Ok(if is_cascade { Written::accepted(*object) } else { Written::object(*object) })
            }
            Deleted::Gone { uid } => Ok(Written::status(Status::success().with_details(Details {
                name: cx.name().into(),
                group: self.resource().group.into(),
                kind: self.resource().name.into(),
                uid,
                ..Details::default()
            }))),
        }
    }
}

impl<T: Kind, S: Strategy<T>> DeleteCollection<T> for Stored<T, S> {
    type Walk = Objects<T, S>;

    async fn delete_collection(self: &Arc<Self>, cx: &Cx, scope: Scope) -> Result<Listing<Objects<T, S>>, Status> {
        let options = options(cx)?;
        let mut listing = self.selected(cx, scope)?;
        // From here on both see what is there now.
        listing.walk.begin().await?;
        let (mut walk, mut left) = (listing.walk.clone().with_little(), listing.most().unwrap_or(usize::MAX));
        loop {
            let names = names(&mut walk, left.min(AT_A_TIME)).await?;
            if names.is_empty() {
                return Ok(listing);
            }
            left -= names.len();
            let removals = names.iter().map(|name| self.remove_if_there(cx, name, &options).boxed());
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

impl<T: Kind, S: Strategy<T>> Stored<T, S> {
    async fn remove_if_there(&self, cx: &Cx, name: &str, options: &DeleteOptions) -> Result<(), Status> {
        match self.remove(cx, name, options).await {
            Err(status) if status.code != 404 => Err(status),
            _ => Ok(()),
        }
    }

    async fn remove(&self, cx: &Cx, name: &str, options: &DeleteOptions) -> Result<Deleted<T>, Status> {
        let key = self.key(cx.namespace(), name);
        let done = transact(self.store(), &cx.load, std::slice::from_ref(&key), |seen| {
            let entry = seen.entry(&key).ok_or_else(|| Status::not_found(self.resource(), name))?;
            let old = match self.decode(entry) {
                Ok(old) => old,
                // What cannot be read must still be possible to remove.
                Err(_) if options.preconditions.is_none() && !is_dry_run(options) => {
                    let gone = Deleted::Gone { uid: String::new() };
                    return Ok(Decision::Write(self.changes(&key, name, None, None)?, gone));
                }
                Err(status) => return Err(status),
            };
            self.check_preconditions(options, old.metadata())?;
            let mut new = old.clone();
            mark(new.metadata_mut(), options, self.strategy().dependents(), cx.now);
            let is_gone = new.metadata().finalizers.is_empty();
            let has_work = (is_gone || new != old) && !is_dry_run(options);
            let changes = match has_work {
                true => self.changes(&key, name, Some(&old), (!is_gone).then_some(&new))?,
                false => Vec::new(),
            };
            let deleted = match is_gone {
                true => Deleted::Gone { uid: old.metadata().uid.clone() },
                false => Deleted::Going(Box::new(new)),
            };
            Ok(if has_work { Decision::Write(changes, deleted) } else { Decision::Keep(deleted) })
        });
        Ok(match done.await? {
            Done::Kept(deleted) => deleted,
            Done::Committed(Deleted::Going(mut object), revision) => {
                object.metadata_mut().resource_version = revision.to_string();
                Deleted::Going(object)
            }
            Done::Committed(gone, revision) => {
                self.note_removal(cx.namespace(), revision);
                gone
            }
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

/// The options of a deletion: from the body, which switches the query off, or else from the query.
///
/// # Errors
/// 400 and 422 for options that cannot be read, or make no sense.
pub fn options(cx: &Cx) -> Result<DeleteOptions, Status> {
    let options = if cx.body.is_empty() { options_of_query(cx)? } else { options_of_body(cx)? };
    let dry_run: Vec<&str> = options.dry_run.iter().flatten().map(String::as_str).collect();
    let faults: field::Errors = propagation_fault(&options).into_iter().chain(dry_run_fault(&dry_run)).collect();
    refuse(KIND, &faults)?;
    Ok(options)
}

const KIND: &str = "DeleteOptions";

fn options_of_query(cx: &Cx) -> Result<DeleteOptions, Status> {
    let text = |name| cx.query.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let dry_run: Vec<String> = cx.query.all("dryRun").map(str::to_owned).collect();
    // As a precondition the resourceVersion of a collection would be that of each object of it; there it is that of the list.
    let resource_version = text("resourceVersion").filter(|_| !cx.name().is_empty());
    let uid = text("uid");
    let has_preconditions = uid.is_some() || resource_version.is_some();
    Ok(DeleteOptions {
        dry_run: Some(dry_run).filter(|values| !values.is_empty()),
        grace_period_seconds: cx.query.integer("gracePeriodSeconds")?,
        orphan_dependents: cx.query.get("orphanDependents").map(|_| cx.query.switch("orphanDependents")),
        preconditions: has_preconditions.then_some(Preconditions { resource_version, uid }),
        propagation_policy: cx.query.get("propagationPolicy").map(str::to_owned),
        ..DeleteOptions::default()
    })
}

fn options_of_body(cx: &Cx) -> Result<DeleteOptions, Status> {
    let value = codec::read_options(cx, &DELETE_OPTIONS)?;
    if let Some(other) = value.get("kind").and_then(Value::as_str).filter(|kind| ![KIND, ""].contains(kind)) {
        let version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let (other, version) = (excerpt::of(other), excerpt::of(version));
        let text = format!("no kind {other:?} is registered for version {version:?} in scheme \"meta.k8s.io\"");
        return Err(Status::bad_request(text));
    }
    codec::from_value(value).map_err(Status::bad_request)
}

fn propagation_fault(options: &DeleteOptions) -> Option<field::Error> {
    const NAME: &str = "propagationPolicy";
    match options.propagation_policy.as_deref()? {
        policy if options.orphan_dependents.is_some() => {
            let rule = "orphanDependents and deletionPropagation cannot be both set";
            Some(field::Error::invalid(NAME, policy, rule))
        }
        "Foreground" | "Background" | "Orphan" => None,
        other => Some(field::Error::unsupported(NAME, other, &["Foreground", "Background", "Orphan", "nil"])),
    }
}

/// Whether anything is deleted.
pub fn dry_run(options: &DeleteOptions) -> DryRun {
    if is_dry_run(options) { DryRun::All } else { DryRun::Off }
}

fn is_dry_run(options: &DeleteOptions) -> bool {
    options.dry_run.as_ref().is_some_and(|values| !values.is_empty())
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
