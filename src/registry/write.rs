//! Writes of stored objects: creates, updates, patches, applies, and edits by other resources.

use futures_util::{StreamExt, stream};

use crate::auth::ResourceAction;
use crate::machinery::managed_fields::Manager;
use crate::meta::{Kind, ManagedFieldsEntry, Status};
use crate::registry::actor::{Actor, DryRun};
use crate::registry::admission::attributes::{
    AdmissionOperation, AdmissionPhase, AdmissionStep, AdmissionTarget, WriteOrigin,
};
use crate::registry::admission::chain::Admitted;
use crate::registry::companions::{CompanionDecision, Companions, NoCompanions};
use crate::registry::dependencies::DependencyState;
use crate::registry::guaranteed_update::{UpdateDecision, UpdateOutcome};
use crate::registry::metadata;
use crate::registry::object_change::WriteEffect;
use crate::registry::object_store::ObjectStore;
use crate::registry::permission::Permission;
use crate::registry::read_set::ReadSet;
use crate::registry::strategy::{Dependency, Strategy, UpdateStrategy};
use crate::registry::unreadable::ObjectState;
#[cfg(doc)]
use crate::registry::unreadable::UNSAFE_DELETE;
use crate::store::{Key, Revision};

/// The maximum number of concurrent access reviews of one write.
const MAX_CONCURRENT_REVIEWS: usize = 8;

/// The rules of a write.
pub struct WriteRequest<'a, T> {
    /// The strategy of the resource or subresource.
    pub strategy: &'a dyn UpdateStrategy<T>,
    /// Selects whether the write may create the object.
    pub creation: AllowCreate,
    /// The purpose of the write.
    pub purpose: WritePurpose,
    /// The origin of the write. The caller runs the mutating phase of requests that
    /// [only create](AllowCreate::Only).
    pub origin: WriteOrigin,
}

/// The result of an edit.
pub enum Edited<T, X> {
    /// The desired object, and a value for the caller.
    Object(T, X),
    /// The admission chain must run for a virtual object before the edit goes on.
    Admit(Box<AdmissionStep>),
}

/// The purpose of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritePurpose {
    /// To store something.
    Store,
    /// To delete a part of the object. Limits on stored bytes do not refuse it.
    Delete,
}

/// Selects whether a write may create the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowCreate {
    /// The write only creates; an existing object is a conflict. The actor has the permission. An
    /// unreadable object is replaced if the actor has the permission [`UNSAFE_DELETE`] too.
    Only,
    /// The write creates a missing object without further permission.
    Free,
    /// The write creates a missing object if the actor has the permission to create it.
    WithPermission,
    /// The write never creates, but it replaces an unreadable object if the actor has the permission
    /// [`UNSAFE_DELETE`].
    OverDamage,
}

/// The result of a write.
#[derive(Clone, Debug)]
pub struct WriteOutcome<T, X> {
    /// The object as stored, or as it would be in a dry run.
    pub object: T,
    /// The effect on the object.
    pub effect: WriteEffect,
    /// Warnings of the strategy.
    pub warnings: Vec<String>,
    /// The second value that `edit` returned.
    pub extra: X,
}

/// The result of a write with its [`Companions`].
#[derive(Clone, Debug)]
pub struct JointOutcome<T, X, Y> {
    /// The result of the write itself.
    pub write: WriteOutcome<T, X>,
    /// The result of the companions.
    pub companions: Y,
    /// The revision of all changes; none if nothing was stored.
    pub revision: Option<Revision>,
}

/// The outcome of one attempt.
type AttemptResult<T, X> = Result<UpdateDecision<WriteAttempt<T, X>>, Status>;

/// The state of a write when the update loop returns.
enum WriteAttempt<T, X> {
    Finished(WriteOutcome<T, X>),
    /// Access to these objects must be reviewed.
    Review(Vec<Dependency>),
    /// The permission to create the object must be reviewed.
    ReviewCreate,
    /// The permission to replace the unreadable object must be reviewed.
    ReviewReplace,
}

/// The results of access reviews, which hold for all attempts.
#[derive(Default)]
struct ReviewedAccess {
    may_create: bool,
    may_replace: bool,
    permissions: Vec<(Dependency, Permission)>,
}

/// One write with all of its attempts.
struct WriteTask<'a, T, E, C> {
    actor: &'a Actor,
    namespace: &'a str,
    name: &'a str,
    key: Key,
    request: WriteRequest<'a, T>,
    edit: E,
    companions: &'a C,
    /// The UID of a new object, which is the same in all attempts.
    uid: String,
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// Replaces the current object of a name with the result of `edit`. For a missing object `edit`
    /// gets none and must [prepare](metadata::prepare_create) the new one. It runs again after each
    /// conflict with another write.
    ///
    /// # Errors
    /// Errors of `edit`, of the strategy and of admission, 403 without the permission to create the
    /// object, and store failures.
    pub async fn write<X: Send>(
        &self,
        actor: &Actor,
        namespace: &str,
        name: &str,
        request: WriteRequest<'_, T>,
        edit: impl Fn(Option<&T>) -> Result<(T, X), Status> + Send + Sync,
    ) -> Result<WriteOutcome<T, X>, Status> {
        let edit = |old: Option<&T>, _: &Admitted| {
            edit(old).map(|(object, extra)| Edited::Object(object, extra))
        };
        self.write_admitted(actor, namespace, name, request, edit).await
    }

    /// Like [`ObjectStore::write`], for an edit that requests runs of the admission chain and gets
    /// their results.
    ///
    /// # Errors
    /// The errors of [`ObjectStore::write`].
    pub async fn write_admitted<X: Send>(
        &self,
        actor: &Actor,
        namespace: &str,
        name: &str,
        request: WriteRequest<'_, T>,
        edit: impl Fn(Option<&T>, &Admitted) -> Result<Edited<T, X>, Status> + Send + Sync,
    ) -> Result<WriteOutcome<T, X>, Status> {
        let written = self.write_all(actor, namespace, name, request, edit, &NoCompanions).await?;
        Ok(written.write)
    }

    /// Like [`ObjectStore::write`], and stores the changes of `companions` in the same transaction.
    /// They are stored even if the object itself does not change.
    ///
    /// # Errors
    /// The errors of [`ObjectStore::write`] and of the companions, and 422 if they read too much.
    pub async fn write_jointly<X: Send, C: Companions<T>>(
        &self,
        actor: &Actor,
        namespace: &str,
        name: &str,
        request: WriteRequest<'_, T>,
        edit: impl Fn(Option<&T>) -> Result<(T, X), Status> + Send + Sync,
        companions: &C,
    ) -> Result<JointOutcome<T, X, C::Outcome>, Status> {
        let edit = |old: Option<&T>, _: &Admitted| {
            edit(old).map(|(object, extra)| Edited::Object(object, extra))
        };
        self.write_all(actor, namespace, name, request, edit, companions).await
    }

    async fn write_all<X: Send, C: Companions<T>>(
        &self,
        actor: &Actor,
        namespace: &str,
        name: &str,
        request: WriteRequest<'_, T>,
        edit: impl Fn(Option<&T>, &Admitted) -> Result<Edited<T, X>, Status> + Send + Sync,
        companions: &C,
    ) -> Result<JointOutcome<T, X, C::Outcome>, Status> {
        let (key, uid) = (self.key(namespace, name), uuid::Uuid::new_v4().to_string());
        let task = WriteTask { actor, namespace, name, key, request, edit, companions, uid };
        let mut reviews = ReviewedAccess::default();
        // Writes that were admitted before a review are not admitted again.
        let mut admitted = Admitted::none(actor.namespaces.clone());
        loop {
            let attempt = |read_set: &ReadSet, admitted: &Admitted| {
                self.attempt(&task, &reviews, read_set, admitted)
            };
            let keys = std::slice::from_ref(&task.key);
            let updated =
                self.storage().guaranteed_update_after(actor, keys, &mut admitted, attempt);
            let (attempt_result, revision) = match updated.await? {
                UpdateOutcome::Unchanged(attempt_result) => (attempt_result, None),
                UpdateOutcome::Committed(attempt_result, revision) => {
                    (attempt_result, Some(revision))
                }
            };
            match (attempt_result, revision) {
                (WriteAttempt::Review(dependencies), _) => {
                    reviews.review(actor, dependencies).await
                }
                (WriteAttempt::ReviewCreate, _) => {
                    actor
                        .permissions
                        .require(&actor.user, self.action("create", namespace, name))
                        .await?;
                    reviews.may_create = true;
                }
                (WriteAttempt::ReviewReplace, _) => {
                    let permitted = self.require_unsafe_delete(actor, namespace, name).await;
                    permitted.map_err(may_not_replace)?;
                    reviews.may_replace = true;
                }
                (WriteAttempt::Finished(outcome), revision) => {
                    let WriteOutcome { mut object, effect, warnings, extra: (extra, companions) } =
                        outcome;
                    if let Some(revision) = revision.filter(|_| effect != WriteEffect::Unchanged) {
                        object.metadata_mut().resource_version = revision.to_string();
                    }
                    let write = WriteOutcome { object, effect, warnings, extra };
                    return Ok(JointOutcome { write, companions, revision });
                }
            }
        }
    }

    /// Runs one attempt on the current entries.
    fn attempt<X, E, C: Companions<T>>(
        &self,
        task: &WriteTask<'_, T, E, C>,
        reviews: &ReviewedAccess,
        read_set: &ReadSet,
        admitted: &Admitted,
    ) -> AttemptResult<T, (X, C::Outcome)>
    where
        E: Fn(Option<&T>, &Admitted) -> Result<Edited<T, X>, Status>,
    {
        let WriteRequest { strategy, creation, purpose, .. } = task.request;
        let mut is_replaced = false;
        let stored = match (self.state(read_set, &task.key), creation) {
            (ObjectState::Missing, AllowCreate::OverDamage) => {
                return Err(Status::not_found(self.resource(), task.name));
            }
            (ObjectState::Missing, _) => None,
            (ObjectState::Readable(object), _) => Some(*object),
            (ObjectState::Unreadable(_), AllowCreate::Only | AllowCreate::OverDamage) => {
                is_replaced = true;
                None
            }
            (ObjectState::Unreadable(status), AllowCreate::Free | AllowCreate::WithPermission) => {
                return Err(*status);
            }
        };
        // A new object is validated before the conflict with an existing one is reported.
        let (old, existing) =
            if creation == AllowCreate::Only { (None, stored) } else { (stored, None) };
        let (mut new, extra) = match (task.edit)(old.as_ref(), admitted)? {
            Edited::Object(new, extra) => (new, extra),
            Edited::Admit(step) => return Ok(UpdateDecision::Admit(vec![*step])),
        };
        if old.is_none() && creation == AllowCreate::WithPermission && !reviews.may_create {
            return Ok(UpdateDecision::Keep(WriteAttempt::ReviewCreate));
        }
        let namespaced_name = (task.namespace, task.name);
        if creation != AllowCreate::Only
            && let Some(step) = self.mutate(task, admitted, old.as_ref(), &mut new)?
        {
            return Ok(UpdateDecision::Admit(vec![*step]));
        }
        if let Some(old) = &old {
            metadata::prepare_update(old.metadata(), new.metadata_mut());
        }
        self.reject_invalid(&new, &self.strategy().limit_errors(old.as_ref(), &new))?;
        strategy.prepare(old.as_ref(), &mut new);
        let dependencies = strategy.dependencies(old.as_ref(), &new);
        self.check_dependency_count(task.name, &dependencies)?;
        let others =
            match self.resolve_dependencies(dependencies, &reviews.permissions, read_set)? {
                DependencyState::Complete(others) => others,
                DependencyState::Review(dependencies) => {
                    return Ok(UpdateDecision::Keep(WriteAttempt::Review(dependencies)));
                }
                DependencyState::Read(keys) => return Ok(UpdateDecision::Read(keys)),
            };
        let validated = strategy.validate(old.as_ref(), &mut new, &others, task.actor.now);
        let errors = match &old {
            None => self.new_object_errors(&new, validated),
            Some(old) => metadata::validate_update(
                old.metadata(),
                new.metadata(),
                strategy.duplicate_errors(),
                validated,
            ),
        };
        self.reject_invalid(&new, &errors)?;
        let validating = (AdmissionPhase::Validate, self.target_of(task, old.as_ref()));
        if let Some(step) =
            self.admission_step(admitted, validating, namespaced_name, old.as_ref(), Some(&new))
        {
            return Ok(UpdateDecision::Admit(vec![*step]));
        }
        if let Some(existing) = existing {
            return Err(self.already_exists(task.name, &existing));
        }
        if is_replaced && !reviews.may_replace {
            return Ok(UpdateDecision::Keep(WriteAttempt::ReviewReplace));
        }
        let effect = effect(old.as_ref(), &mut new);
        let (mut changes, companions) = match task.companions.decide(&new, read_set, admitted)? {
            CompanionDecision::Read(keys) => return Ok(UpdateDecision::Read(keys)),
            CompanionDecision::Admit(writes) => return Ok(UpdateDecision::Admit(writes)),
            CompanionDecision::Write(changes, outcome) => (changes, outcome),
        };
        if effect != WriteEffect::Unchanged {
            let kept = (effect != WriteEffect::Deleted).then_some(&new);
            let mut change = match is_replaced {
                true => self.change_unreadable(&task.key, namespaced_name, kept)?,
                false => self.change(&task.key, namespaced_name, old.as_ref(), kept)?,
            };
            if purpose == WritePurpose::Delete {
                change.charge = change.charge.unlimited();
            }
            if task.actor.dry_run == DryRun::Off
                && let Some(ahead) = self.ahead_of(&mut changes, &change)
            {
                return Ok(UpdateDecision::WriteAhead(ahead));
            }
            changes.push(change);
        }
        let extra = (extra, companions);
        let warnings = strategy.warnings(old.as_ref(), &new);
        let outcome = WriteOutcome { object: new, effect, warnings, extra };
        let attempt_result = WriteAttempt::Finished(outcome);
        Ok(match task.actor.dry_run {
            DryRun::Off if !changes.is_empty() => UpdateDecision::Write(changes, attempt_result),
            DryRun::Off | DryRun::All => UpdateDecision::Keep(attempt_result),
        })
    }

    /// Replaces the desired object with the result of the mutating phase, or returns the run that
    /// is needed first.
    ///
    /// # Errors
    /// 400 if a plugin renamed a new object.
    fn mutate<E, C>(
        &self,
        task: &WriteTask<'_, T, E, C>,
        admitted: &Admitted,
        old: Option<&T>,
        new: &mut T,
    ) -> Result<Option<Box<AdmissionStep>>, Status> {
        let (target, namespaced_name) = (self.target_of(task, old), (task.namespace, task.name));
        if old.is_none() {
            new.metadata_mut().uid.clone_from(&task.uid);
        }
        let phase = AdmissionPhase::Mutate;
        if let Some(mutated) = admitted
            .find(phase, &target, namespaced_name, old.map(|old| old.metadata()))
            .and_then(|admitted| admitted.mutated())
        {
            let desired = std::mem::replace(new, mutated);
            if old.is_none() {
                metadata::keep_identity(desired.metadata(), new.metadata_mut())?;
            }
            task.request.strategy.reset_fields(old, new);
            return Ok(None);
        }
        if old.is_some() {
            let step = (phase, target);
            return Ok(self.admission_step(admitted, step, namespaced_name, old, Some(new)));
        }
        let write = admitted.summary(task.namespace, None, Some(new.metadata()));
        if !self.storage().chain().concerns(phase, &target, &write) {
            return Ok(None);
        }
        // A new object has no system fields yet.
        let mut shown = new.clone();
        let meta = shown.metadata_mut();
        meta.uid.clear();
        meta.creation_timestamp = None;
        Ok(self.admission_step(admitted, (phase, target), namespaced_name, old, Some(&shown)))
    }

    /// The target of a write for admission.
    fn target_of<E, C>(&self, task: &WriteTask<'_, T, E, C>, old: Option<&T>) -> AdmissionTarget {
        let operation = match old {
            None => AdmissionOperation::Create,
            Some(_) => AdmissionOperation::Update,
        };
        let WriteRequest { strategy, origin, .. } = task.request;
        self.admission_target(operation, origin, strategy.subresource())
    }

    /// An action on an object of the resource, for reviews.
    pub(super) fn action(&self, verb: &str, namespace: &str, name: &str) -> ResourceAction {
        ResourceAction {
            verb: verb.into(),
            group: self.api().group.into(),
            version: self.api().version.into(),
            resource: self.resource().name.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..ResourceAction::default()
        }
    }

    fn already_exists(&self, name: &str, existing: &T) -> Status {
        let mut status = Status::already_exists(self.resource(), name);
        if existing.metadata().deletion_timestamp.is_some() {
            status.message.insert_str(0, "object is being deleted: ");
        }
        status
    }

    /// The owner in `metadata.managedFields` of fields that a strategy writes.
    pub fn field_manager(&self, actor: &Actor, strategy: &dyn UpdateStrategy<T>) -> Manager {
        let (subresource, ignored) = (strategy.subresource(), strategy.ignored_fields());
        Manager { subresource, ignored, ..actor.manager(self.api()) }
    }
}

impl ReviewedAccess {
    /// Reviews access to these objects.
    async fn review(&mut self, actor: &Actor, dependencies: Vec<Dependency>) {
        let reviews = dependencies.into_iter().map(async |dependency| {
            let action = dependency.permission.clone().unwrap_or_default();
            let permission = actor.permissions.check(&actor.user, *action).await;
            (dependency, permission)
        });
        let reviews = stream::iter(reviews).buffered(MAX_CONCURRENT_REVIEWS);
        self.permissions.extend(reviews.collect::<Vec<_>>().await);
    }
}

/// Adds the reason for the review to its result.
fn may_not_replace(mut status: Status) -> Status {
    status.message.push_str(
        "; the stored object cannot be read, and only this permission allows to replace it",
    );
    status
}

/// The effect of replacing `old` with `new`. If only timestamps in managedFields differ, the old
/// timestamps are kept, as `IgnoreManagedFieldsTimestampsTransformer` in
/// k8s.io/apiserver/pkg/endpoints/handlers/fieldmanager/equality.go.
fn effect<T: Kind>(old: Option<&T>, new: &mut T) -> WriteEffect {
    let Some(old) = old else {
        return WriteEffect::Created;
    };
    let meta = new.metadata_mut();
    if meta.deletion_timestamp.is_some() && meta.finalizers.is_empty() {
        return WriteEffect::Deleted;
    }
    let (entries, old_entries) = (&meta.managed_fields, &old.metadata().managed_fields);
    let is_same = |(a, b): (&ManagedFieldsEntry, &ManagedFieldsEntry)| a.is_same_but_time(b);
    if entries.len() != old_entries.len() || !entries.iter().zip(old_entries).all(is_same) {
        return WriteEffect::Updated;
    }
    let managed =
        std::mem::replace(&mut meta.managed_fields, old.metadata().managed_fields.clone());
    if *new == *old {
        return WriteEffect::Unchanged;
    }
    new.metadata_mut().managed_fields = managed;
    WriteEffect::Updated
}
