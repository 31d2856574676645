//! The recorder: stores the results of an import in its stream, with the images, in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fetched_import::FetchedImport;
use super::image_set::ImportedImageSet;
use super::recorded_rows::RecordedRows;
use crate::api::{Image, ImageImportStatus, ImageStream, ImageStreamImport};
use crate::domain::import::{self, ImportSource, RepositoryMark, SettleContext, SettleScope};
use crate::domain::stream_strategy::{self, WriteTarget};
use crate::meta::{Status, Time};
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::WriteOrigin;
use crate::registry::strategy::{Dependencies, Dependency, UpdateStrategy, ValidationErrors};
use crate::registry::write::{AllowCreate, WritePurpose, WriteRequest};
use crate::resources::Catalog;

/// The recorder of a catalog.
pub(in crate::resources) struct ImportRecorder {
    catalog: Arc<Catalog>,
    strategy: ImportWriteStrategy,
}

/// Rules for recording one import.
#[derive(Clone, Copy)]
pub(in crate::resources) struct RecordRules<'a> {
    /// Tags whose results count.
    pub(in crate::resources) scope: SettleScope<'a>,
    /// Treatment of the annotation of imported repositories.
    pub(in crate::resources) mark: RepositoryMark,
}

impl ImportRecorder {
    /// The recorder of a catalog.
    pub(in crate::resources) fn new(catalog: &Arc<Catalog>) -> Self {
        let strategy = ImportWriteStrategy(catalog.clone());
        Self { catalog: catalog.clone(), strategy }
    }

    /// Stores the images of a fetched import, and its results in the stream, and returns the
    /// import with what was stored. `base` returns the stream to change: the current one, or a new
    /// one. It runs again after each conflict with another write.
    ///
    /// Results with an invalid image become failures.
    ///
    /// # Errors
    /// Those of `base` and of the write.
    pub(in crate::resources) async fn record(
        &self,
        actor: &Actor,
        import: &mut ImageStreamImport,
        fetched: FetchedImport,
        rules: RecordRules<'_>,
        base: impl Fn(&ImageStreamImport, Option<&ImageStream>) -> Result<ImageStream, Status>
        + Send
        + Sync,
    ) -> Result<(), Status> {
        import.status = fetched.status;
        let mut images = ImportedImageSet::new(&self.catalog);
        for result in stored_results(import) {
            images.add(result, actor.now);
        }
        let unstored = |image: &mut Image| {
            import::drop_content(image);
            image.metadata.creation_timestamp = None;
        };
        all_results(import).for_each(|result| {
            result.image.iter_mut().chain(&mut result.manifests).for_each(unstored);
        });
        let sources = sources(import, &fetched.sources);
        let RecordRules { scope, mark } = rules;
        let max_history = self.catalog.tag_history;
        let context = SettleContext { max_history, now: actor.now, scope, mark };
        let (namespace, name) = (import.metadata.namespace.clone(), import.metadata.name.clone());
        let edit = |old: Option<&ImageStream>| {
            let mut stream = base(import, old)?;
            import::settle(&mut stream, &import.spec, &import.status, context);
            Ok((stream, ()))
        };
        let request = WriteRequest {
            strategy: &self.strategy,
            creation: AllowCreate::Free,
            purpose: WritePurpose::Store,
            origin: WriteOrigin::Derived,
        };
        let rows = RecordedRows { images, sources: &sources };
        let streams = &self.catalog.streams;
        let written = streams.write_jointly(actor, &namespace, &name, request, edit, &rows).await?;
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

/// The sources of the tags that an import can set, by tag. `fetched` are those of `spec.images`, as
/// request and digest.
fn sources(
    import: &ImageStreamImport,
    fetched: &[Option<(String, String)>],
) -> BTreeMap<String, ImportSource> {
    let images = import.spec.images.iter().zip(&import.status.images).zip(fetched);
    let sources = images.filter_map(|((spec, result), fetched)| {
        let (to, image) = (spec.to.as_ref()?, result.image.as_ref()?);
        let (request, digest) = fetched.clone()?;
        Some((
            to.name.clone(),
            ImportSource { request, digest, image: image.metadata.name.clone() },
        ))
    });
    sources.collect()
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
