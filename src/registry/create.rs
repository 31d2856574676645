//! Creates of stored objects.

use crate::machinery::updated_object;
use crate::meta::{Kind, Status};
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::{AdmissionOperation, WriteOrigin};
use crate::registry::metadata;
use crate::registry::object_ref::ObjectRef;
use crate::registry::object_store::ObjectStore;
use crate::registry::outcome::Written;
use crate::registry::strategy::Strategy;
use crate::registry::verbs::Create;
use crate::registry::write::{AllowCreate, WriteOutcome, WritePurpose, WriteRequest};

impl<T: Kind, S: Strategy<T>> Create<T> for ObjectStore<T, S> {
    async fn create(&self, actor: &Actor, at: &ObjectRef, object: T) -> Result<Written<T>, Status> {
        /// The number of attempts with a generated name before the last one: one less than
        /// `maxNameGenerationCreateAttempts` in
        /// k8s.io/apiserver/pkg/registry/generic/registry/store.go.
        const MORE_NAMES: usize = 7;
        let object = self.admit_new(actor, at, object).await?;
        let is_generated = object.metadata().name.is_empty();
        for _ in 0..MORE_NAMES {
            match self.make(actor, at, object.clone()).await {
                Err(status) if is_generated && status.reason == "AlreadyExists" => {}
                done => return done,
            }
        }
        self.make(actor, at, object).await.map_err(|mut status| {
            if is_generated && status.reason == "AlreadyExists" {
                status
                    .message
                    .push_str(", the server was not able to generate a unique name for the object");
            }
            status
        })
    }
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// Sets the owners of the fields, and runs the mutating phase of admission. Later changes have no
    /// owner. As `createHandler` in k8s.io/apiserver/pkg/endpoints/handlers/create.go.
    async fn admit_new(&self, actor: &Actor, at: &ObjectRef, mut object: T) -> Result<T, Status> {
        let strategy = self.strategy();
        object.metadata_mut().namespace = at.namespace().to_owned();
        strategy.reset_fields(None, &mut object);
        let manager = self.field_manager(actor, strategy);
        let managed = updated_object::updated_managed_fields(
            self.schema(),
            None,
            &*strategy.writable_part(&object),
            self.api(),
            &manager,
        )?;
        object.metadata_mut().managed_fields = managed;
        let target = self.admission_target(AdmissionOperation::Create, WriteOrigin::Request, "");
        self.storage().chain().mutate_new(target, at.namespace(), object, actor).await
    }

    async fn make(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        mut object: T,
    ) -> Result<Written<T>, Status> {
        let strategy = self.strategy();
        metadata::prepare_create(at.namespace(), actor.now, object.metadata_mut())?;
        strategy.reset_fields(None, &mut object);
        let name = object.metadata().name.clone();
        let request = WriteRequest {
            strategy,
            creation: AllowCreate::Only,
            purpose: WritePurpose::Store,
            origin: WriteOrigin::Request,
        };
        let created =
            self.write(actor, at.namespace(), &name, request, |_| Ok((object.clone(), ())));
        let WriteOutcome { mut object, warnings, .. } = created.await?;
        strategy.decorate(&mut object);
        Ok(Written::created(object).warning(warnings))
    }
}
