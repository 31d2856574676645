//! Writing stored objects: one path for what is made, replaced, patched and applied, and for what other resources edit.

use futures_util::{StreamExt, stream};

use crate::auth::ResourceAction;
use crate::machinery::managed::Manager;
use crate::meta::{Kind, ObjectMeta, Status, field};
use crate::registry::actor::Actor;
use crate::registry::actor::DryRun;
use crate::registry::admission;
use crate::registry::guaranteed_update::{Decision, Done, Seen, guaranteed_update};
use crate::registry::metadata;
use crate::registry::object_ref::ObjectRef;
use crate::registry::object_store::ObjectStore;
use crate::registry::permission::Permission;
use crate::registry::quota::Place;
use crate::registry::strategy::{Need, Other, Others, Strategy, UpdateStrategy};
use crate::store::{Entry, Key, Revision};

/// Access reviews that one write may need. The reference asks for any number.
const MOST_REVIEWS: usize = 100;
/// Access reviews of one write that are under way at a time.
const REVIEWS_AT_A_TIME: usize = 8;
/// Other objects that one write may refer to.
const MOST_NEEDS: usize = 1000;

/// How a request writes.
pub struct Path<'a, T> {
    /// The rules of the path that it takes.
    pub rules: &'a dyn UpdateStrategy<T>,
    /// Whether anything is written.
    pub dry_run: DryRun,
    /// What it takes to make an object where there is none.
    pub making: Making,
}

/// Whether a write makes an object where there is none, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Making {
    /// That is all it does: where there is one it is refused. The request was found to be allowed to.
    Only,
    /// It takes nothing more than what the request is allowed to do.
    Free,
    /// The user must be allowed to make it.
    Permitted,
}

/// What became of a write.
#[derive(Clone, Debug)]
pub struct Settled<T, X> {
    /// The object as it is stored, or would be in a dry run.
    pub object: T,
    /// What happened to it.
    pub effect: Effect,
    /// What else the edit told.
    pub told: X,
}

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is made.
    Made,
    /// It is changed.
    Changed,
    /// It is what was wanted already.
    Kept,
    /// It waited for its last finalizer to go, and is removed.
    Removed,
}

/// How far a write has come when the loop ends.
enum Step<T, X> {
    Settled(Settled<T, X>),
    /// Whether the user may look at these is to be found out.
    Ask(Vec<Need>),
    /// An object is to be made, which must be allowed first.
    Make(Box<ObjectMeta>),
}

/// What is found out on the way, and holds for all attempts.
#[derive(Default)]
struct Found {
    /// The place for an object that is to be made.
    place: Option<Place>,
    verdicts: Vec<(Need, Permission)>,
}

/// One write, whatever the number of attempts.
struct Task<'a, T, E> {
    actor: &'a Actor,
    name: &'a str,
    key: Key,
    path: Path<'a, T>,
    edit: E,
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// Puts what `edit` wants in the place of what is there under a name; it is handed nothing where nothing is there. An object
    /// that it makes must be [prepared](metadata::prepare_create).
    ///
    /// Whatever else is written at the same time, `edit` is asked again with it until it gets through.
    ///
    /// # Errors
    /// What `edit` refuses, and what the rules do; 403 and 404 where an object may not be made; failures of the store.
    pub async fn write<X: Send>(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        name: &str,
        path: Path<'_, T>,
        edit: impl Fn(Option<&T>) -> Result<(T, X), Status> + Send + Sync,
    ) -> Result<Settled<T, X>, Status> {
        let task = Task { actor, name, key: self.key(at.namespace(), name), path, edit };
        let mut found = Found::default();
        if task.path.making == Making::Only {
            found.place = Some(self.place(at.namespace(), name).await?);
        }
        loop {
            let attempt = |seen: &Seen| self.attempt(&task, &mut found, seen);
            let (step, revision) =
                match guaranteed_update(self.store(), &actor.load, std::slice::from_ref(&task.key), attempt).await? {
                    Done::Kept(step) => (step, None),
                    Done::Committed(step, revision) => (step, Some(revision)),
                };
            match step {
                Step::Ask(needs) => found.ask(actor, needs).await,
                Step::Make(meta) => found.place = Some(self.permit(actor, at, &task.path, &meta).await?),
                Step::Settled(settled) => return Ok(self.conclude(at, settled, revision, found)),
            }
        }
    }

    /// Lets an object be made, if it may.
    async fn permit(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        path: &Path<'_, T>,
        meta: &ObjectMeta,
    ) -> Result<Place, Status> {
        if path.making == Making::Permitted {
            actor.permissions.demand(&actor.user, self.creation(at, &meta.name)).await?;
        }
        admission::may_create(actor, at, self.resource(), meta).await?;
        self.place(at.namespace(), &meta.name).await
    }

    /// Takes note of what was written, if anything was.
    fn conclude<X>(
        &self,
        at: &ObjectRef,
        mut settled: Settled<T, X>,
        revision: Option<Revision>,
        found: Found,
    ) -> Settled<T, X> {
        let Some(revision) = revision else {
            return settled;
        };
        settled.object.metadata_mut().resource_version = revision.to_string();
        match (settled.effect, found.place) {
            (Effect::Made, Some(place)) => place.filled(revision),
            (Effect::Removed, _) => self.note_removal(at.namespace(), revision),
            _ => {}
        }
        settled
    }

    /// One attempt: what is to become of what was seen.
    fn attempt<X, E>(
        &self,
        task: &Task<'_, T, E>,
        found: &mut Found,
        seen: &Seen,
    ) -> Result<Decision<Step<T, X>>, Status>
    where
        E: Fn(Option<&T>) -> Result<(T, X), Status>,
    {
        if let Some(place) = &mut found.place {
            place.refused();
        }
        let stored = seen.entry(&task.key);
        // What is to be made is judged before it is said that there is something already.
        let old = match task.path.making {
            Making::Only => None,
            Making::Free | Making::Permitted => stored.map(|entry| self.decode(entry)).transpose()?,
        };
        let (mut new, told) = (task.edit)(old.as_ref())?;
        if old.is_none() && found.place.is_none() {
            return Ok(Decision::Keep(Step::Make(Box::new(new.metadata().clone()))));
        }
        let rules = task.path.rules;
        if let Some(old) = &old {
            metadata::prepare_update(old.metadata(), new.metadata_mut());
        }
        self.refuse(&new, &self.strategy().limits(old.as_ref(), &new))?;
        rules.prepare(old.as_ref(), &mut new);
        let needs = rules.needs(old.as_ref(), &new);
        self.check_needs(task.name, &needs)?;
        let others = match self.others(needs, &found.verdicts, seen)? {
            Known::All(others) => others,
            Known::Ask(needs) => return Ok(Decision::Keep(Step::Ask(needs))),
            Known::Read(keys) => return Ok(Decision::Read(keys)),
        };
        let settled = rules.validate(old.as_ref(), &mut new, &others, task.actor.now);
        let faults = match &old {
            None => self.faults_of_new(&new, settled),
            Some(old) => metadata::faults_of_changed(old.metadata(), new.metadata(), rules.duplicate_errors(), settled),
        };
        self.refuse(&new, &faults)?;
        if let Some(entry) = stored.filter(|_| task.path.making == Making::Only) {
            return Err(self.exists(task.name, entry));
        }
        let effect = effect(old.as_ref(), &mut new);
        if effect == Effect::Kept {
            return Ok(Decision::Keep(Step::Settled(Settled { object: new, effect, told })));
        }
        let kept = (effect != Effect::Removed).then_some(&new);
        let changes = self.changes(&task.key, task.name, old.as_ref(), kept)?;
        let step = Step::Settled(Settled { object: new, effect, told });
        if task.path.dry_run == DryRun::All {
            return Ok(Decision::Keep(step));
        }
        if let Some(place) = &mut found.place {
            place.ask();
        }
        Ok(Decision::Write(changes, step))
    }

    /// Refuses a write that refers to too many other objects, before any of them is read or asked for.
    fn check_needs(&self, name: &str, needs: &[Need]) -> Result<(), Status> {
        let reviews = needs.iter().filter(|need| need.permission.is_some()).count();
        let text = if reviews > MOST_REVIEWS {
            format!(
                "it refers to {reviews} objects of other namespaces, each of which needs an access review, and one write \
                 may need at most {MOST_REVIEWS}: split it into several writes"
            )
        } else if needs.len() > MOST_NEEDS {
            format!(
                "it refers to {} other objects, and one write may refer to at most {MOST_NEEDS}: split it into several \
                 writes",
                needs.len()
            )
        } else {
            return Ok(());
        };
        let text = format!("{} {} cannot be written: {text}", self.resource(), field::quote(name));
        Err(Status::failure(422, "Invalid", text).about(self.resource(), name))
    }

    /// What is known of the objects that are needed.
    fn others(&self, needs: Vec<Need>, verdicts: &[(Need, Permission)], seen: &Seen) -> Result<Known<T>, Status> {
        let (mut ask, mut read, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for need in needs {
            let verdict = verdicts.iter().find(|(asked, _)| *asked == need).map(|(_, verdict)| verdict);
            match (&need.permission, verdict) {
                (Some(_), None) => ask.push(need),
                (None, _) | (Some(_), Some(Permission::Allowed)) => {
                    let key = self.key(&need.namespace, &need.name);
                    match seen.entry(&key) {
                        Some(entry) => others.push((need, Other::Found(self.decode(entry)?.into()))),
                        None if seen.has(&key) => others.push((need, Other::Missing)),
                        None => read.push(key),
                    }
                }
                (Some(_), Some(refusal)) => others.push((need, Other::Hidden(refusal.clone()))),
            }
        }
        Ok(match (ask.is_empty(), read.is_empty()) {
            (false, _) => Known::Ask(ask),
            (true, false) => Known::Read(read),
            (true, true) => Known::All(Others(others)),
        })
    }

    fn creation(&self, at: &ObjectRef, name: &str) -> ResourceAction {
        ResourceAction {
            verb: "create".into(),
            group: self.api().group.into(),
            version: self.api().version.into(),
            resource: self.resource().name.into(),
            namespace: at.namespace().into(),
            name: name.into(),
            ..ResourceAction::default()
        }
    }

    fn exists(&self, name: &str, entry: &Entry) -> Status {
        let mut status = Status::already_exists(self.resource(), name);
        if self.decode(entry).is_ok_and(|old| old.metadata().deletion_timestamp.is_some()) {
            status.message.insert_str(0, "object is being deleted: ");
        }
        status
    }

    /// Who writes through a path.
    pub fn writer(&self, actor: &Actor, rules: &dyn UpdateStrategy<T>) -> Manager {
        let (subresource, ignored) = (rules.subresource(), rules.ignored());
        Manager { subresource, ignored, ..actor.manager(self.api()) }
    }
}

impl Found {
    /// Finds out whether the user may look at these.
    async fn ask(&mut self, actor: &Actor, needs: Vec<Need>) {
        let asked = needs.into_iter().map(async |need| {
            let action = need.permission.clone().unwrap_or_default();
            let verdict = actor.permissions.ask(&actor.user, *action).await;
            (need, verdict)
        });
        let answers = stream::iter(asked).buffered(REVIEWS_AT_A_TIME);
        self.verdicts.extend(answers.collect::<Vec<_>>().await);
    }
}

/// Whether the objects that are needed are known.
enum Known<T> {
    All(Others<T>),
    Ask(Vec<Need>),
    Read(Vec<Key>),
}

/// What putting `new` in the place of `old` does. Where only the times in managedFields differ, the old ones stay.
fn effect<T: Kind>(old: Option<&T>, new: &mut T) -> Effect {
    let Some(old) = old else {
        return Effect::Made;
    };
    let meta = new.metadata_mut();
    if meta.deletion_timestamp.is_some() && meta.finalizers.is_empty() {
        return Effect::Removed;
    }
    let timeless = |meta: &ObjectMeta| {
        let entries = meta.managed_fields.iter().cloned();
        entries.map(|entry| crate::meta::ManagedFieldsEntry { time: None, ..entry }).collect::<Vec<_>>()
    };
    if timeless(meta) != timeless(old.metadata()) {
        return Effect::Changed;
    }
    let managed = std::mem::replace(&mut meta.managed_fields, old.metadata().managed_fields.clone());
    if *new == *old {
        return Effect::Kept;
    }
    new.metadata_mut().managed_fields = managed;
    Effect::Changed
}
