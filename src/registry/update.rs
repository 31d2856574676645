//! Updates, patches and applies of stored objects.

use crate::machinery::go_fmt::strconv_error;
use crate::machinery::managed_fields::Manager;
use crate::machinery::updated_object::{Desired, ExistingObject, UpdatedObjectInfo};
use crate::meta::{Kind, ObjectMeta, Status, excerpt, field};
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::WriteOrigin;
use crate::registry::metadata;
use crate::registry::object_change::WriteEffect;
use crate::registry::object_ref::{ObjectRef, check_path_segment};
use crate::registry::object_store::ObjectStore;
use crate::registry::outcome::Written;
use crate::registry::strategy::{Strategy, UpdateStrategy};
use crate::registry::verbs::Update;
use crate::registry::write::{AllowCreate, WriteOutcome, WritePurpose, WriteRequest};

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// Updates the object that a request names through a strategy.
    ///
    /// # Errors
    /// 400, 404, 409 and 422 as for updates, patches and applies of kube-apiserver.
    pub async fn edit(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        edit: &UpdatedObjectInfo<T>,
        strategy: &dyn UpdateStrategy<T>,
    ) -> Result<Written<T>, Status> {
        check_path_segment(at.name())?;
        if let Some(object) = edit.object() {
            metadata::check_names(at, object.metadata())?;
        }
        let manager = self.field_manager(actor, strategy);
        // Patches need the object, and subresources belong to one. A PUT without them replaces it.
        let creation = if edit.object().is_some() && strategy.subresource().is_empty() {
            AllowCreate::OverDamage
        } else {
            AllowCreate::WithPermission
        };
        let (purpose, origin) = (WritePurpose::Store, WriteOrigin::Request);
        let request = WriteRequest { strategy, creation, purpose, origin };
        let desired = |old: Option<&T>| self.desired(actor, at, edit, strategy, &manager, old);
        let written = self.write(actor, at.namespace(), at.name(), request, desired).await?;
        let WriteOutcome { mut object, effect, warnings, extra: of_fields } = written;
        strategy.decorate(&mut object);
        let written = if effect == WriteEffect::Created {
            Written::created(object)
        } else {
            Written::updated(object)
        };
        Ok(written.warning(of_fields).warning(warnings))
    }

    fn desired(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        edit: &UpdatedObjectInfo<T>,
        strategy: &dyn UpdateStrategy<T>,
        manager: &Manager,
        old: Option<&T>,
    ) -> Result<(T, Vec<String>), Status> {
        let replaces_unreadable = edit.object().is_some() && strategy.subresource().is_empty();
        if old.is_none() && !edit.allows_create() && !replaces_unreadable {
            return Err(Status::not_found(self.resource(), at.name()));
        }
        let whole = old.map(|old| ExistingObject::new(old, self.api()));
        let part = old.map(|old| strategy.writable_part(old));
        let part = part.as_deref().map(|part| ExistingObject::new(part, self.api()));
        // Ignored fields may be large, and most edits do not touch them. Errors are still reported
        // for the whole object.
        let of_part = if edit.touches(strategy.ignored_fields()) {
            None
        } else {
            edit.updated_object(part.as_ref(), manager).ok()
        };
        let desired = of_part.map_or_else(|| edit.updated_object(whole.as_ref(), manager), Ok);
        let Desired { mut object, warnings } = desired?;
        metadata::check_names(at, object.metadata())?;
        match old {
            Some(old) => self.check_version(edit, old, &object)?,
            None if replaces_unreadable => {
                // The version of an object that nobody can read says nothing.
                object.metadata_mut().resource_version.clear();
                metadata::prepare_create(at.namespace(), actor.now, object.metadata_mut())?;
            }
            None => self.prepare_applied(actor, at, object.metadata_mut())?,
        }
        strategy.reset_fields(old, &mut object);
        let managed =
            edit.managed_fields(part.as_ref(), &strategy.writable_part(&object), manager)?;
        object.metadata_mut().managed_fields = managed;
        Ok((object, warnings))
    }

    /// Prepares an object that an apply creates.
    fn prepare_applied(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        meta: &mut ObjectMeta,
    ) -> Result<(), Status> {
        if !meta.uid.is_empty() {
            let uid = excerpt::of(&meta.uid);
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(Status::conflict(self.resource(), at.name(), &why));
        }
        metadata::prepare_create(at.namespace(), actor.now, meta)
    }

    fn check_version(&self, edit: &UpdatedObjectInfo<T>, old: &T, new: &T) -> Result<(), Status> {
        let (old, new) = (old.metadata(), new.metadata());
        let requested = new.resource_version.as_str();
        if edit.object().is_some() && !new.uid.is_empty() && new.uid != old.uid {
            return Err(Status::conflict(
                self.resource(),
                &old.name,
                &self.other_uid(old, &new.uid),
            ));
        }
        if requested.is_empty() || requested == "0" {
            let error = field::Error::invalid_value(
                "metadata.resourceVersion",
                0,
                "must be specified for an update",
            );
            return Err(Status::invalid(self.resource(), &old.name, &error.into()));
        }
        if let Err(why) = requested.parse::<u64>() {
            return Err(Status::bad_request(strconv_error("ParseUint", requested, &why)));
        }
        if requested == old.resource_version {
            Ok(())
        } else {
            Err(Status::modified(self.resource(), &old.name))
        }
    }

    /// The conflict message for a PUT with the UID of another object. It contains the etcd key of
    /// the OpenShift API server, as `NewInvalidObjError` in
    /// k8s.io/apiserver/pkg/storage/errors.go.
    fn other_uid(&self, old: &ObjectMeta, requested: &str) -> String {
        let ObjectMeta { namespace, name, uid, .. } = old;
        let separator = if namespace.is_empty() { "" } else { "/" };
        let (resource, requested) = (self.resource().name, excerpt::of(requested));
        format!(
            "StorageError: invalid object, Code: 4, Key: /openshift.io/{resource}{separator}{namespace}/{name}, \
             ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {requested}, UID in object \
             meta: {uid}"
        )
    }
}

impl<T: Kind, S: Strategy<T>> Update<T> for ObjectStore<T, S> {
    async fn update(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        edit: &UpdatedObjectInfo<T>,
    ) -> Result<Written<T>, Status> {
        self.edit(actor, at, edit, self.strategy()).await
    }
}
