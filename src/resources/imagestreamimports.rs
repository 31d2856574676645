//! `imagestreamimports`: imports of images from external registries. Images and stream are written
//! in one transaction.

use std::sync::Arc;

use super::api_version::API;
use super::catalog::Catalog;
use super::import::{ImageImporter, ImportRecorder, RecordRules};
use crate::api::{GROUP, ImageImportStatus, ImageStream, ImageStreamImport};
use crate::auth::ResourceAction;
use crate::domain::import::{self, RepositoryMark, SettleScope};
use crate::domain::{names, tag_edit, validate};
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::meta::{GroupResource, Kind, ObjectMeta, Status, Time, field};
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::{AdmissionOperation, AdmissionTarget};
use crate::registry::metadata;
use crate::registry::object_ref::ObjectRef;
use crate::registry::outcome::Written;
use crate::registry::permission::Permission;
use crate::registry::verbs::{Create, Scope};
use crate::registry::workload::Workload;

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
    recorder: ImportRecorder,
}

impl Imports {
    /// The handler of imports into the streams of a catalog.
    pub(super) fn new(catalog: &Arc<Catalog>, importer: Arc<ImageImporter>) -> Self {
        Self { catalog: catalog.clone(), importer, recorder: ImportRecorder::new(catalog) }
    }
}

impl Create<ImageStreamImport> for Imports {
    async fn create(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        import: ImageStreamImport,
    ) -> Result<Written<ImageStreamImport>, Status> {
        let chain = self.catalog.storage.chain();
        let target = AdmissionTarget::requested::<ImageStreamImport>(
            AdmissionOperation::Create,
            RESOURCE,
            API,
        );
        let import = chain.mutate_new(target, at.namespace(), import, actor).await?;
        let mut import = prepare_and_validate(actor, at, import)?;
        self.check_registries(actor, &import).await?;
        chain.validate_virtual(target, &import, actor).await?;
        // Not charged, because the memory would be reserved while registries respond.
        let (load, name) = (Workload::default(), &import.metadata.name);
        let stream = self.catalog.streams.find(&load, at.namespace(), name).await?;
        check_version(&import, stream.as_ref())?;
        let fetched = self.importer.run(actor, at.namespace(), &import, stream.as_ref()).await?;
        drop(stream);
        if import.spec.import {
            let rules = RecordRules { scope: SettleScope::All, mark: RepositoryMark::Set };
            let base = |import: &ImageStreamImport, old: Option<&ImageStream>| {
                base_stream(actor.now, import, old)
            };
            self.recorder.record(actor, &mut import, fetched, rules, base).await?;
        } else {
            import.status = fetched.status;
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

/// Returns the stream that an import changes: the current one, or else a new one.
fn base_stream(
    now: Time,
    import: &ImageStreamImport,
    old: Option<&ImageStream>,
) -> Result<ImageStream, Status> {
    check_version(import, old)?;
    if let Some(old) = old {
        return Ok(old.clone());
    }
    let ObjectMeta { namespace, name, .. } = &import.metadata;
    let mut stream = tag_edit::empty_stream(namespace, name);
    metadata::prepare_create(namespace, now, &mut stream.metadata)?;
    Ok(stream)
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
