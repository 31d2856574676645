//! `imagestreamimports`: imports of images from external registries. Images and stream are written
//! in one transaction.

use std::sync::Arc;

use super::api_version::API;
use super::catalog::Catalog;
use super::import::{ImageImporter, ImportedImageSet};
use crate::api::{GROUP, ImageImportStatus, ImageStream, ImageStreamImport};
use crate::auth::ResourceAction;
use crate::domain::import::{self, SettleContext};
use crate::domain::stream_strategy::{self, WriteTarget};
use crate::domain::{names, tag_edit, validate};
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::meta::{GroupResource, Kind, Status, Time, field};
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::AdmissionAttributes;
use crate::registry::metadata;
use crate::registry::object_ref::ObjectRef;
use crate::registry::outcome::Written;
use crate::registry::permission::Permission;
use crate::registry::strategy::{Dependencies, Dependency, UpdateStrategy, ValidationErrors};
use crate::registry::verbs::{Create, Scope};
use crate::registry::workload::Workload;
use crate::registry::write::{AllowCreate, WritePurpose, WriteRequest};

const RESOURCE: GroupResource<'static> = GroupResource { group: GROUP, name: "imagestreamimports" };

/// The endpoint of the resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>, importer: Arc<ImageImporter>) -> Endpoint {
    Builder::new(API, "imagestreamimports", Scope::Namespaced)
        .names("imagestreamimport", &[])
        .create(&Arc::new(Imports::new(catalog, importer)))
        .build()
}

/// The handler of imports.
pub(super) struct Imports {
    catalog: Arc<Catalog>,
    importer: Arc<ImageImporter>,
    strategy: ImportWriteStrategy,
}

impl Imports {
    /// The handler of imports into the streams of a catalog.
    pub(super) fn new(catalog: &Arc<Catalog>, importer: Arc<ImageImporter>) -> Self {
        let strategy = ImportWriteStrategy(catalog.clone());
        Self { catalog: catalog.clone(), importer, strategy }
    }
}

impl Create<ImageStreamImport> for Imports {
    async fn create(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        import: ImageStreamImport,
    ) -> Result<Written<ImageStreamImport>, Status> {
        let attributes = AdmissionAttributes::create(RESOURCE, API, at.namespace(), &import);
        self.catalog.storage.admit_virtual(&attributes, actor).await?;
        let mut import = prepare_and_validate(actor, at, import)?;
        self.check_registries(actor, &import).await?;
        // Not charged, because the memory would be reserved while registries respond.
        let (load, name) = (Workload::default(), &import.metadata.name);
        let stream = self.catalog.streams.find(&load, at.namespace(), name).await?;
        check_version(&import, stream.as_ref())?;
        import.status = self.importer.run(actor, at.namespace(), &import, stream.as_ref()).await?;
        drop(stream);
        if import.spec.import {
            self.store(actor, at, &mut import).await?;
        } else {
            show_unstored(&mut import);
        }
        Ok(Written::created(import))
    }
}

impl Imports {
    /// Rejects an import from registries that are not allowed, unless the user may write images
    /// anyway.
    async fn check_registries(
        &self,
        actor: &Actor,
        import: &ImageStreamImport,
    ) -> Result<(), Status> {
        let errors = self.catalog.registries.allowed.import_errors(import);
        if errors.is_empty() {
            return Ok(());
        }
        // The second is not the name of a resource, so only rules for all resources grant it.
        for resource in ["images", "imagestreammapping"] {
            let action = ResourceAction {
                verb: "create".into(),
                group: GROUP.into(),
                version: API.version.into(),
                resource: resource.into(),
                ..ResourceAction::default()
            };
            match actor.permissions.check(&actor.user, action).await {
                Permission::Allowed => return Ok(()),
                Permission::Denied { .. } => {}
                Permission::Unknown { why } => {
                    let text = "your permissions could not be checked: try again later";
                    return Err(Status { hidden: Some(why), ..Status::unavailable(text) });
                }
            }
        }
        reject_invalid(import, &errors)
    }

    /// Stores the images of a fetched import, and its results in the stream.
    async fn store(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        import: &mut ImageStreamImport,
    ) -> Result<(), Status> {
        let mut images = ImportedImageSet::new(&self.catalog);
        for result in stored_results(import) {
            images.add(result, actor.now);
        }
        let unstored = |image: &mut crate::api::Image| {
            import::drop_content(image);
            image.metadata.creation_timestamp = None;
        };
        all_results(import).for_each(|result| {
            result.image.iter_mut().chain(&mut result.manifests).for_each(unstored);
        });
        let context = SettleContext { max_history: self.catalog.tag_history, now: actor.now };
        let name = import.metadata.name.clone();
        let edit = |old: Option<&ImageStream>| {
            check_version(import, old)?;
            let mut stream = match old {
                Some(old) => old.clone(),
                None => {
                    let mut stream = tag_edit::empty_stream(at.namespace(), &name);
                    metadata::prepare_create(at.namespace(), actor.now, &mut stream.metadata)?;
                    stream
                }
            };
            import::settle(&mut stream, &import.spec, &import.status, context);
            Ok((stream, ()))
        };
        let request = WriteRequest {
            strategy: &self.strategy,
            creation: AllowCreate::Free,
            purpose: WritePurpose::Store,
        };
        let written = self
            .catalog
            .streams
            .write_jointly(actor, at.namespace(), &name, request, edit, &images)
            .await?;
        for result in all_results(import) {
            let images = result.image.iter_mut().chain(&mut result.manifests);
            images.for_each(|image| written.companions.show(image, written.revision));
        }
        let mut stream = written.write.object;
        self.strategy.decorate(&mut stream);
        import.status.import = Some(Box::new(stream));
        Ok(())
    }
}

/// Completes and validates an import.
fn prepare_and_validate(
    actor: &Actor,
    at: &ObjectRef,
    mut import: ImageStreamImport,
) -> Result<ImageStreamImport, Status> {
    metadata::prepare_virtual(at.namespace(), actor.now, &mut import.metadata)?;
    import.status = Default::default();
    import::default_targets(&mut import);
    let mut errors = validate::stream_import(&import);
    errors.append(metadata::validate_with(&import.metadata, names::stream_name_errors));
    reject_invalid(&import, &errors)?;
    Ok(import)
}

/// Rejects an import that is based on another version of the stream.
fn check_version(import: &ImageStreamImport, stream: Option<&ImageStream>) -> Result<(), Status> {
    let requested = &import.metadata.resource_version;
    match stream {
        _ if requested.is_empty() => Ok(()),
        None => Err(Status::not_found(RESOURCE, &import.metadata.name)),
        Some(stream) if stream.metadata.resource_version == *requested => Ok(()),
        Some(stream) => {
            let resource = GroupResource { group: GROUP, name: "imagestream" };
            let why = format!(
                "the image stream was updated from {} to {}",
                field::quote(requested),
                field::quote(&stream.metadata.resource_version)
            );
            Err(Status::conflict(resource, &import.metadata.name, &why))
        }
    }
}

/// The results of an import.
fn all_results(import: &mut ImageStreamImport) -> impl Iterator<Item = &mut ImageImportStatus> {
    let repository = import.status.repository.iter_mut().flat_map(|it| &mut it.images);
    repository.chain(&mut import.status.images)
}

/// The results whose images are stored: those with a target tag.
fn stored_results(import: &mut ImageStreamImport) -> impl Iterator<Item = &mut ImageImportStatus> {
    let repository = import.status.repository.iter_mut().flat_map(|it| &mut it.images);
    let images = import.spec.images.iter().zip(&mut import.status.images);
    let images = images.filter(|(spec, _)| spec.to.is_some()).map(|(_, result)| result);
    repository.chain(images)
}

/// Shows images that are not stored: without identity, and without manifest and configuration unless
/// they were requested.
fn show_unstored(import: &mut ImageStreamImport) {
    let show = |result: &mut ImageImportStatus, include_manifest: bool| {
        let ImageImportStatus { image, manifests, .. } = result;
        if let Some(image) = image.as_mut().filter(|_| !include_manifest) {
            import::drop_content(image);
        }
        for image in image.iter_mut().chain(manifests) {
            image.metadata.creation_timestamp = None;
        }
    };
    let ImageStreamImport { spec, status, .. } = import;
    if let (Some(spec), Some(repository)) = (&spec.repository, &mut status.repository) {
        repository.images.iter_mut().for_each(|result| show(result, spec.include_manifest));
    }
    for (spec, result) in spec.images.iter().zip(&mut status.images) {
        show(result, spec.include_manifest);
    }
}

/// Returns 422 if there are errors.
fn reject_invalid(import: &ImageStreamImport, errors: &field::Errors) -> Result<(), Status> {
    let kind = GroupResource { group: GROUP, name: ImageStreamImport::KIND };
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(kind, &import.metadata.name, errors))
    }
}

/// The strategy for writing a stream with the results of an import: spec and status may change.
struct ImportWriteStrategy(Arc<Catalog>);

impl UpdateStrategy<ImageStream> for ImportWriteStrategy {
    fn prepare(&self, old: Option<&ImageStream>, new: &mut ImageStream) {
        match old {
            Some(old) => stream_strategy::prepare_for_update(old, new, WriteTarget::Tag),
            None => {
                let status = std::mem::take(&mut new.status);
                stream_strategy::prepare_for_create(new);
                new.status = status;
            }
        }
    }

    fn dependencies(&self, old: Option<&ImageStream>, new: &ImageStream) -> Vec<Dependency> {
        self.0.streams.strategy().dependencies(old, new)
    }

    fn validate(
        &self,
        old: Option<&ImageStream>,
        new: &mut ImageStream,
        others: &Dependencies<ImageStream>,
        now: Time,
    ) -> ValidationErrors {
        self.0.streams.strategy().resolve(old, new, others, WriteTarget::Tag, now)
    }

    fn decorate(&self, stream: &mut ImageStream) {
        self.0.streams.strategy().decorate(stream);
    }
}
