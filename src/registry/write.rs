//! Writing stored objects: one path for what is made, replaced, patched and applied, and for what other resources edit.

use futures_util::{StreamExt, stream};

use crate::auth::ResourceAction;
use crate::machinery::managed_fields::Manager;
use crate::meta::{Kind, ObjectMeta, Status, field};
use crate::registry::actor::Actor;
use crate::registry::actor::DryRun;
use crate::registry::admission::Admitted;
use crate::registry::guaranteed_update::{Decision, Done, Effect, Seen};
use crate::registry::metadata;
use crate::registry::object_store::ObjectStore;
use crate::registry::permission::Permission;
use crate::registry::strategy::{Need, Other, Others, Strategy, UpdateStrategy};
use crate::store::{Entry, Key};

/// Access reviews that one write may need. The reference asks for any number.
const MOST_REVIEWS: usize = 100;
/// Access reviews of one write that are under way at a time.
const REVIEWS_AT_A_TIME: usize = 8;
/// Other objects that one write may refer to.
const MOST_NEEDS: usize = 1000;

/// The terms of a write.
pub struct WriteRequest<'a, T> {
    /// The rules of the path of the write.
    pub strategy: &'a dyn UpdateStrategy<T>,
    /// Selects whether the write may create the object.
    pub creation: AllowCreate,
}

/// Selects whether a write may create the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowCreate {
    /// The write only creates; an existing object is a conflict. The actor has the permission.
    Only,
    /// The write creates a missing object without further permission.
    Free,
    /// The write creates a missing object if the actor has the permission to create it.
    WithPermission,
}

/// The result of a write.
#[derive(Clone, Debug)]
pub struct WriteOutcome<T, X> {
    /// The object as stored, or as it would be in a dry run.
    pub object: T,
    /// The effect on the object.
    pub effect: Effect,
    /// The second result of the edit.
    pub extra: X,
}

/// The state of a write when the update loop returns.
enum Step<T, X> {
    Finished(WriteOutcome<T, X>),
    /// Access reviews are needed for these objects.
    Review(Vec<Need>),
    /// The permission to create the object is needed.
    ReviewCreate,
}

/// The results of access reviews, which hold for all attempts.
#[derive(Default)]
struct Reviews {
    may_create: bool,
    permissions: Vec<(Need, Permission)>,
}

/// One write with all of its attempts.
struct Task<'a, T, E> {
    actor: &'a Actor,
    namespace: &'a str,
    name: &'a str,
    key: Key,
    request: WriteRequest<'a, T>,
    edit: E,
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// Replaces the current object of a name with the one that `edit` makes of it; `edit` gets none
    /// for a missing object, and must [prepare](metadata::prepare_create) an object that it
    /// creates. It runs again after each conflict with another write.
    ///
    /// # Errors
    /// Errors of `edit`, of the strategy and of admission; 403 without the permission to create the
    /// object; failures of the store.
    pub async fn write<X: Send>(
        &self,
        actor: &Actor,
        namespace: &str,
        name: &str,
        request: WriteRequest<'_, T>,
        edit: impl Fn(Option<&T>) -> Result<(T, X), Status> + Send + Sync,
    ) -> Result<WriteOutcome<T, X>, Status> {
        let task = Task { actor, namespace, name, key: self.key(namespace, name), request, edit };
        let mut reviews = Reviews::default();
        loop {
            let attempt = |seen: &Seen, admitted: &Admitted| self.attempt(&task, &reviews, seen, admitted);
            let keys = std::slice::from_ref(&task.key);
            let (step, revision) = match self.storage().guaranteed_update(actor, keys, attempt).await? {
                Done::Kept(step) => (step, None),
                Done::Committed(step, revision) => (step, Some(revision)),
            };
            match (step, revision) {
                (Step::Review(needs), _) => reviews.review(actor, needs).await,
                (Step::ReviewCreate, _) => {
                    actor.permissions.demand(&actor.user, self.creation(namespace, name)).await?;
                    reviews.may_create = true;
                }
                (Step::Finished(mut outcome), revision) => {
                    if let Some(revision) = revision {
                        outcome.object.metadata_mut().resource_version = revision.to_string();
                    }
                    return Ok(outcome);
                }
            }
        }
    }

    /// Decides one attempt.
    fn attempt<X, E>(
        &self,
        task: &Task<'_, T, E>,
        reviews: &Reviews,
        seen: &Seen,
        admitted: &Admitted,
    ) -> Result<Decision<Step<T, X>>, Status>
    where
        E: Fn(Option<&T>) -> Result<(T, X), Status>,
    {
        let WriteRequest { strategy, creation } = task.request;
        let stored = seen.entry(&task.key);
        // A new object is validated before the conflict with an existing one is reported.
        let old = match creation {
            AllowCreate::Only => None,
            AllowCreate::Free | AllowCreate::WithPermission => stored.map(|entry| self.decode(entry)).transpose()?,
        };
        let (mut new, extra) = (task.edit)(old.as_ref())?;
        if old.is_none() && creation == AllowCreate::WithPermission && !reviews.may_create {
            return Ok(Decision::Keep(Step::ReviewCreate));
        }
        let place = (task.namespace, task.name);
        if let Some(attributes) = self.to_admit(admitted, place, old.as_ref(), Some(&new)) {
            return Ok(Decision::Admit(attributes));
        }
        if let Some(old) = &old {
            metadata::prepare_update(old.metadata(), new.metadata_mut());
        }
        self.refuse(&new, &self.strategy().limits(old.as_ref(), &new))?;
        strategy.prepare(old.as_ref(), &mut new);
        let needs = strategy.needs(old.as_ref(), &new);
        self.check_needs(task.name, &needs)?;
        let others = match self.others(needs, &reviews.permissions, seen)? {
            Known::All(others) => others,
            Known::Ask(needs) => return Ok(Decision::Keep(Step::Review(needs))),
            Known::Read(keys) => return Ok(Decision::Read(keys)),
        };
        let validated = strategy.validate(old.as_ref(), &mut new, &others, task.actor.now);
        let errors = match &old {
            None => self.faults_of_new(&new, validated),
            Some(old) => {
                metadata::faults_of_changed(old.metadata(), new.metadata(), strategy.duplicate_errors(), validated)
            }
        };
        self.refuse(&new, &errors)?;
        if let Some(entry) = stored.filter(|_| creation == AllowCreate::Only) {
            return Err(self.exists(task.name, entry));
        }
        let effect = effect(old.as_ref(), &mut new);
        if effect == Effect::Unchanged {
            return Ok(Decision::Keep(Step::Finished(WriteOutcome { object: new, effect, extra })));
        }
        let kept = (effect != Effect::Deleted).then_some(&new);
        let change = self.change(&task.key, place, old.as_ref(), kept)?;
        let step = Step::Finished(WriteOutcome { object: new, effect, extra });
        Ok(match task.actor.dry_run {
            DryRun::All => Decision::Keep(step),
            DryRun::Off => Decision::Write(vec![change], step),
        })
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

    fn creation(&self, namespace: &str, name: &str) -> ResourceAction {
        ResourceAction {
            verb: "create".into(),
            group: self.api().group.into(),
            version: self.api().version.into(),
            resource: self.resource().name.into(),
            namespace: namespace.into(),
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

impl Reviews {
    /// Reviews the access to these objects.
    async fn review(&mut self, actor: &Actor, needs: Vec<Need>) {
        let asked = needs.into_iter().map(async |need| {
            let action = need.permission.clone().unwrap_or_default();
            let verdict = actor.permissions.ask(&actor.user, *action).await;
            (need, verdict)
        });
        let answers = stream::iter(asked).buffered(REVIEWS_AT_A_TIME);
        self.permissions.extend(answers.collect::<Vec<_>>().await);
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
        return Effect::Created;
    };
    let meta = new.metadata_mut();
    if meta.deletion_timestamp.is_some() && meta.finalizers.is_empty() {
        return Effect::Deleted;
    }
    let timeless = |meta: &ObjectMeta| {
        let entries = meta.managed_fields.iter().cloned();
        entries.map(|entry| crate::meta::ManagedFieldsEntry { time: None, ..entry }).collect::<Vec<_>>()
    };
    if timeless(meta) != timeless(old.metadata()) {
        return Effect::Updated;
    }
    let managed = std::mem::replace(&mut meta.managed_fields, old.metadata().managed_fields.clone());
    if *new == *old {
        return Effect::Unchanged;
    }
    new.metadata_mut().managed_fields = managed;
    Effect::Updated
}
