//! The handler of `imagestreamtags` and `imagetags`, which are views of one tag of a stream.

use std::marker::PhantomData;
use std::sync::Arc;

use super::api_version::API;
use super::catalog::Catalog;
use super::tag_write_strategy::TagWriteStrategy;
use crate::api::{GROUP, Image, ImageStream, TagReference};
use crate::auth::ResourceAction;
use crate::domain::image_metadata::FillError;
use crate::domain::names::StreamTagName;
use crate::domain::tag_edit::{self, TagWrite};
use crate::domain::tag_view;
use crate::machinery::updated_object::{Desired, ExistingObject, UpdatedObjectInfo};
use crate::meta::{GroupResource, Kind, Status, field};
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::{
    AdmissionOperation, AdmissionPhase, AdmissionStep, AdmissionTarget, WriteOrigin,
};
use crate::registry::admission::chain::Admitted;
use crate::registry::metadata;
use crate::registry::object_ref::{ObjectRef, check_path_segment};
use crate::registry::options::GetOptions;
use crate::registry::outcome::{ReadResult, Written};
use crate::registry::strategy::{DuplicateErrors, UpdateStrategy};
use crate::registry::unreadable::refuse_unsafe_delete;
use crate::registry::verbs::{Create, Delete, Get, Update};
use crate::registry::workload::Workload;
use crate::registry::write::{AllowCreate, Edited, WriteOutcome, WritePurpose, WriteRequest};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;

/// A view of a tag of a stream.
pub(super) trait TagView: Kind {
    /// The resource of the view.
    const RESOURCE: GroupResource<'static>;
    /// The plural of the kind, for error messages.
    const PLURAL_KIND: &'static str;

    /// Returns true if a tag has such a view. Lists contain exactly these tags.
    fn exists(stream: &ImageStream, tag: &str) -> bool;

    /// Checks whether the view works without its image `name`.
    ///
    /// # Errors
    /// 404 if the view needs the image.
    fn check_missing_image(name: &str) -> Result<(), Status>;

    /// Builds the view of a tag.
    ///
    /// # Errors
    /// An image whose metadata cannot be filled in.
    fn new(stream: &ImageStream, tag: &str, image: Option<Image>) -> Result<Self, FillError>;

    /// The tags of a stream that lists contain, in the order of their names.
    fn listed_tags(stream: &ImageStream) -> Vec<&str>;

    /// Returns true if the views of both versions of a stream repeat the same content of the stream.
    fn is_same_stream(before: &ImageStream, after: &ImageStream) -> bool;

    /// Returns true if the view of a tag that both versions of its stream have differs only in content
    /// of the stream.
    fn is_same(before: &ImageStream, after: &ImageStream, tag: &str) -> bool;

    /// The field with the spec tag, and its value.
    fn spec_tag(&self) -> (&'static str, Option<&TagReference>);

    /// Resets the fields that clients cannot set in a new tag.
    fn prepare_create(&mut self);

    /// Validates a new view, without its metadata.
    fn create_errors(&self) -> field::Errors;

    /// Adds the tag to its stream.
    ///
    /// # Errors
    /// 409 if the tag exists.
    fn create(&self, stream: &mut ImageStream, tag: &str) -> Result<(), Status>;

    /// Resets the fields that clients cannot change in an existing tag.
    fn prepare_update(&mut self, old: &Self);

    /// Validates the update of a view, without its metadata.
    fn update_errors(&self, old: &Self) -> field::Errors;

    /// Replaces the tag in its stream.
    ///
    /// # Errors
    /// 400 for a view without a tag spec.
    fn update(&self, stream: &mut ImageStream, tag: &str) -> Result<TagWrite, Status>;
}

/// The handler of one kind of view.
pub(super) struct TagHandler<V> {
    pub(super) catalog: Arc<Catalog>,
    strategy: TagWriteStrategy,
    view: PhantomData<fn() -> V>,
}

impl<V: TagView> TagHandler<V> {
    pub(super) fn new(catalog: &Arc<Catalog>) -> Self {
        Self {
            catalog: catalog.clone(),
            strategy: TagWriteStrategy(catalog.clone()),
            view: PhantomData,
        }
    }

    /// The stream and tag that the path names.
    fn name(&self, at: &ObjectRef) -> Result<StreamTagName, Status> {
        let name = StreamTagName::parse(at.name());
        let name =
            name.ok_or_else(|| Status::bad_request(StreamTagName::format_error(V::PLURAL_KIND)))?;
        check_path_segment(&name.stream)?;
        Ok(name)
    }

    async fn image(
        &self,
        load: &Workload,
        stream: &ImageStream,
        tag: &str,
    ) -> Result<Option<Image>, Status> {
        let Some(name) = tag_view::image_of(stream, tag) else {
            return Ok(None);
        };
        let image = self.catalog.image_in(load, &stream.unproved, name).await?;
        if image.is_none() {
            V::check_missing_image(name)?;
        }
        Ok(image)
    }

    /// The view of a tag after a write. A missing or invalid image does not fail the response,
    /// because the write is done.
    async fn view_of_written(&self, mut stream: ImageStream, tag: &str) -> Result<V, Status> {
        self.strategy.decorate(&mut stream);
        // Without a slot, whatever the size of the image: waiting for one may fail.
        let image = self.image(&Workload::default(), &stream, tag).await.unwrap_or_default();
        let view = V::new(&stream, tag, image).or_else(|_| V::new(&stream, tag, None));
        view.map_err(|why| Status::internal(why.to_string()))
    }

    /// An empty stream for a tag whose stream does not exist.
    fn empty_stream(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        name: &StreamTagName,
    ) -> Result<ImageStream, Status> {
        let mut stream = tag_edit::empty_stream(at.namespace(), &name.stream);
        metadata::prepare_create(at.namespace(), actor.now, &mut stream.metadata)?;
        Ok(stream)
    }

    fn request(&self, purpose: WritePurpose) -> WriteRequest<'_, ImageStream> {
        let (creation, origin) = (AllowCreate::Free, WriteOrigin::Derived);
        WriteRequest { strategy: &self.strategy, creation, purpose, origin }
    }
}

impl<V: TagView> Get<V> for TagHandler<V> {
    async fn get(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        options: &GetOptions,
    ) -> Result<ReadResult<V>, Status> {
        let name = self.name(at)?;
        let Catalog { streams, shared_streams, .. } = &*self.catalog;
        streams.check_least_version(options).await?;
        let key = streams.key(at.namespace(), &name.stream);
        let stream = shared_streams.latest(streams, &actor.load, &key).await?;
        let stream = stream.ok_or_else(|| Status::not_found(V::RESOURCE, &name.stream))?;
        if !V::exists(&stream, &name.tag) {
            return Err(Status::not_found(V::RESOURCE, at.name()));
        }
        let image = self.image(&actor.load, &stream, &name.tag).await?;
        let view =
            V::new(&stream, &name.tag, image).map_err(|why| Status::internal(why.to_string()))?;
        Ok(ReadResult::Object(Box::new(view)))
    }
}

impl<V: TagView> Create<V> for TagHandler<V> {
    async fn create(&self, actor: &Actor, at: &ObjectRef, view: V) -> Result<Written<V>, Status> {
        let chain = self.catalog.storage.chain();
        let target = admission_target::<V>(AdmissionOperation::Create);
        let mut view = chain.mutate_new(target, at.namespace(), view, actor).await?;
        self.prepare_new(actor, at, &mut view)?;
        chain.validate_virtual(target, &view, actor).await?;
        let name = StreamTagName::parse_new(&view.metadata().name);
        let name = name.map_err(|why| Status::bad_request(why.to_string()))?;
        check_path_segment(&name.stream)?;
        let edit = |old: Option<&ImageStream>| {
            let mut stream =
                old.map_or_else(|| self.empty_stream(actor, at, &name), |old| Ok(old.clone()))?;
            view.create(&mut stream, &name.tag)?;
            Ok((stream, ()))
        };
        let written = self
            .catalog
            .streams
            .write(actor, at.namespace(), &name.stream, self.request(WritePurpose::Store), edit)
            .await?;
        let WriteOutcome { object, warnings, .. } = written;
        let view = self.view_of_written(object, &name.tag).await?;
        Ok(Written::created(view).warning(warnings))
    }
}

/// The result of an update.
enum TagUpdate<V> {
    /// The stream does not exist, and the permission to create it is not reviewed.
    StreamMissing,
    /// The tag was written.
    Written(Written<V>),
}

/// The permission of an update to create a missing stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamCreation {
    Unchecked,
    Permitted,
}

impl<V: TagView> Update<V> for TagHandler<V> {
    async fn update(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        edit: &UpdatedObjectInfo<V>,
    ) -> Result<Written<V>, Status> {
        if let TagUpdate::Written(written) =
            self.put(actor, at, edit, StreamCreation::Unchecked).await?
        {
            return Ok(written);
        }
        let create = ResourceAction {
            verb: "create".into(),
            group: GROUP.into(),
            version: API.version.into(),
            resource: V::RESOURCE.name.into(),
            namespace: at.namespace().into(),
            name: at.name().into(),
            ..ResourceAction::default()
        };
        actor.permissions.require(&actor.user, create).await?;
        match self.put(actor, at, edit, StreamCreation::Permitted).await? {
            TagUpdate::Written(written) => Ok(written),
            TagUpdate::StreamMissing => Err(Status::not_found(V::RESOURCE, at.name())),
        }
    }
}

impl<V: TagView> TagHandler<V> {
    async fn put(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        edit: &UpdatedObjectInfo<V>,
        creation: StreamCreation,
    ) -> Result<TagUpdate<V>, Status> {
        let name = self.name(at)?;
        if creation == StreamCreation::Unchecked
            && self.catalog.streams.find(&actor.load, at.namespace(), &name.stream).await?.is_none()
        {
            return Ok(TagUpdate::StreamMissing);
        }
        let change = |old: Option<&ImageStream>, admitted: &Admitted| {
            let mut stream = match old {
                Some(old) => old.clone(),
                None if creation == StreamCreation::Permitted => {
                    self.empty_stream(actor, at, &name)?
                }
                None => return Err(Status::not_found(V::RESOURCE, &name.stream)),
            };
            let current = CurrentTag { stored: old, stream: &stream, name: &name };
            let (object, warnings) = match self.desired(actor, at, edit, current, admitted)? {
                Edited::Object(object, warnings) => (object, warnings),
                Edited::Admit(step) => return Ok(Edited::Admit(step)),
            };
            let set = object.update(&mut stream, &name.tag)?;
            Ok(Edited::Object(stream, (set, warnings)))
        };
        let written = self
            .catalog
            .streams
            .write_admitted(
                actor,
                at.namespace(),
                &name.stream,
                self.request(WritePurpose::Store),
                change,
            )
            .await?;
        let WriteOutcome { object, warnings, extra: (set, of_fields), .. } = written;
        let view = self.view_of_written(object, &name.tag).await?;
        let written =
            if set == TagWrite::Created { Written::created(view) } else { Written::updated(view) };
        Ok(TagUpdate::Written(written.warning(of_fields).warning(warnings)))
    }

    /// Completes and validates a new view.
    fn prepare_new(&self, actor: &Actor, at: &ObjectRef, view: &mut V) -> Result<(), Status> {
        metadata::prepare_virtual(at.namespace(), actor.now, view.metadata_mut())?;
        view.prepare_create();
        let mut errors = metadata::validate(view.metadata());
        errors.append(view.create_errors());
        errors.extend(self.source_error(None, view));
        reject_invalid(view, &errors)
    }

    /// The error of a tag whose source is in a registry that is not allowed.
    fn source_error(&self, stream: Option<&ImageStream>, view: &V) -> Option<field::Error> {
        let (path, tag) = view.spec_tag();
        let allowed = &self.catalog.registries.allowed;
        let error = allowed.tag_error(stream, view.metadata(), tag?)?;
        Some(error.under(path))
    }

    /// The requested view, completed, admitted and validated. If the stream is new, the rules for new
    /// tags apply.
    fn desired(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        edit: &UpdatedObjectInfo<V>,
        current: CurrentTag<'_>,
        admitted: &Admitted,
    ) -> Result<Edited<V, Vec<String>>, Status> {
        let CurrentTag { stored, stream, name } = current;
        let old =
            V::new(stream, &name.tag, None).map_err(|why| Status::internal(why.to_string()))?;
        let Desired { object: new, warnings } =
            edit.updated_object(Some(&ExistingObject::new(&old, API)), &actor.manager(API))?;
        metadata::check_names(at, new.metadata())?;
        check_version(&new.metadata().resource_version, stored, at.name(), V::RESOURCE)?;
        let chain = self.catalog.storage.chain();
        let (operation, existing) = match stored {
            None => (AdmissionOperation::Create, None),
            Some(_) => (AdmissionOperation::Update, Some(&old)),
        };
        let target = admission_target::<V>(operation);
        let step = |phase, new: &V| {
            let namespaced_name = (at.namespace(), at.name());
            chain.step(admitted, (phase, target), namespaced_name, existing, Some(new))
        };
        if let Some(step) = step(AdmissionPhase::Mutate, &new) {
            return Ok(Edited::Admit(step));
        }
        let old_meta = existing.map(|old| old.metadata());
        let mutated = admitted
            .find(AdmissionPhase::Mutate, &target, (at.namespace(), at.name()), old_meta)
            .and_then(|admitted| admitted.mutated());
        let mut new = mutated.unwrap_or(new);
        metadata::check_names(at, new.metadata())?;
        if stored.is_none() && !edit.allows_create() {
            self.prepare_new(actor, at, &mut new)?;
        } else {
            self.prepare_existing(edit, stored, &old, &mut new)?;
        }
        Ok(match step(AdmissionPhase::Validate, &new) {
            Some(step) => Edited::Admit(step),
            None => Edited::Object(new, warnings),
        })
    }

    /// Completes and validates the update of a view.
    fn prepare_existing(
        &self,
        edit: &UpdatedObjectInfo<V>,
        stored: Option<&ImageStream>,
        old: &V,
        new: &mut V,
    ) -> Result<(), Status> {
        metadata::prepare_update(old.metadata(), new.metadata_mut());
        if !edit.allows_create() {
            // Only applies record managed fields of a tag, and they are rejected for that.
            new.metadata_mut().managed_fields.clone_from(&old.metadata().managed_fields);
        }
        new.prepare_update(old);
        let mut others = new.update_errors(old);
        others.extend(self.source_error(stored, new));
        let duplicates = DuplicateErrors::Changes;
        let errors =
            metadata::validate_update(old.metadata(), new.metadata(), duplicates, others.into());
        reject_invalid(new, &errors)
    }
}

/// The state that an update of a tag starts from.
#[derive(Clone, Copy)]
struct CurrentTag<'a> {
    /// The stored stream; none if the update creates it.
    stored: Option<&'a ImageStream>,
    /// The stored stream, or an empty one.
    stream: &'a ImageStream,
    name: &'a StreamTagName,
}

/// The target of a write of tags for admission.
fn admission_target<V: TagView>(operation: AdmissionOperation) -> AdmissionTarget {
    AdmissionTarget::requested::<V>(operation, V::RESOURCE, API)
}

/// Rejects a write based on another version of the stream.
fn check_version(
    requested: &str,
    stream: Option<&ImageStream>,
    name: &str,
    resource: GroupResource<'_>,
) -> Result<(), Status> {
    match stream {
        _ if requested.is_empty() => Ok(()),
        None => Err(Status::not_found(resource, name)),
        Some(stream) if stream.metadata.resource_version == requested => Ok(()),
        Some(stream) => {
            let version = &stream.metadata.resource_version;
            let why = format!("another caller has updated the resource version to {version}");
            Err(Status::conflict(resource, name, &why))
        }
    }
}

impl<V: TagView> Delete<V> for TagHandler<V> {
    async fn delete(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        options: &DeleteOptions,
    ) -> Result<Written<V>, Status> {
        refuse_unsafe_delete(V::RESOURCE, at.name(), options)?;
        let name = self.name(at)?;
        let required_uid =
            options.preconditions.as_ref().and_then(|preconditions| preconditions.uid.as_ref());
        let edit = |old: Option<&ImageStream>, admitted: &Admitted| {
            let old = old.ok_or_else(|| Status::not_found(V::RESOURCE, &name.stream))?;
            let mut stream = old.clone();
            if required_uid.is_some_and(|uid| *uid != stream.metadata.uid) {
                return Err(Status::conflict(
                    V::RESOURCE,
                    at.name(),
                    "the UID precondition was not met",
                ));
            }
            tag_edit::delete(&mut stream, &name, V::RESOURCE)?;
            Ok(match self.deletion_step(at, old, &name, admitted)? {
                Some(step) => Edited::Admit(step),
                None => Edited::Object(stream, ()),
            })
        };
        self.catalog
            .streams
            .write_admitted(
                actor,
                at.namespace(),
                &name.stream,
                self.request(WritePurpose::Delete),
                edit,
            )
            .await?;
        Ok(Written::status(Status::success()))
    }
}

impl<V: TagView> TagHandler<V> {
    /// The run of the admission chain that the deletion of a tag needs next.
    fn deletion_step(
        &self,
        at: &ObjectRef,
        stream: &ImageStream,
        name: &StreamTagName,
        admitted: &Admitted,
    ) -> Result<Option<Box<AdmissionStep>>, Status> {
        let chain = self.catalog.storage.chain();
        let target = admission_target::<V>(AdmissionOperation::Delete);
        let phases = [AdmissionPhase::Mutate, AdmissionPhase::Validate];
        for phase in phases.into_iter().filter(|phase| chain.handles(*phase, &target)) {
            let old =
                V::new(stream, &name.tag, None).map_err(|why| Status::internal(why.to_string()))?;
            let name = (at.namespace(), at.name());
            let step = chain.step(admitted, (phase, target), name, Some(&old), None);
            if step.is_some() {
                return Ok(step);
            }
        }
        Ok(None)
    }
}

/// Returns 422 if there are errors.
fn reject_invalid<V: TagView>(view: &V, errors: &field::Errors) -> Result<(), Status> {
    let kind = GroupResource { group: GROUP, name: V::KIND };
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(kind, &view.metadata().name, errors))
    }
}
