//! The importer of streams: imports the targets of a stream that need it, for the import controller.

use std::sync::Arc;

use super::attempt::{FailedAttempt, TargetAttempt, TargetOutcome, TargetResult, TryKind};
use super::failure::FailureDetails;
use super::fetched_import::FetchedImport;
use super::importer::ImageImporter;
use super::recorder::{ImportRecorder, RecordRules};
use super::session_cache::SessionCache;
use crate::api::{ImageImportStatus, ImageStream, ImageStreamImport};
use crate::domain::import::{
    self, ImportNeed, ImportPlan, ImportSources, ImportTarget, RepositoryMark, SettleScope,
};
use crate::domain::tags;
use crate::meta::{GroupResource, Kind, ObjectMeta, Status, Time};
use crate::oci::PullSession;
use crate::registry::actor::Actor;
use crate::registry::follower::Follower;
use crate::registry::storage_errors::status_of;
use crate::registry::workload::Workload;
use crate::resources::strategies::StreamStrategy;
use crate::resources::{Catalog, import_sources};
use crate::store::{Lookup, TermGuard};

/// The user and field manager of its writes.
const NAME: &str = "image-import-controller";

/// Imports targets of streams.
pub struct StreamImporter {
    catalog: Arc<Catalog>,
    importer: Arc<ImageImporter>,
    recorder: ImportRecorder,
    sessions: SessionCache,
}

/// An import of targets of one stream, all from one registry.
#[derive(Clone, Debug)]
pub struct StreamImport {
    /// Namespace of the stream.
    pub namespace: String,
    /// Name of the stream.
    pub name: String,
    /// Targets.
    pub targets: Vec<TargetAttempt>,
    /// The term of the controller, during which the results are stored.
    pub term: Option<TermGuard>,
}

impl StreamImporter {
    /// An importer into the streams of a catalog.
    pub fn new(catalog: &Arc<Catalog>, importer: Arc<ImageImporter>) -> Self {
        let (recorder, sessions) = (ImportRecorder::new(catalog), SessionCache::new());
        Self { catalog: catalog.clone(), importer, recorder, sessions }
    }

    /// Follows all streams.
    pub fn follow(&self) -> Follower<ImageStream, StreamStrategy> {
        Follower::new(&self.catalog.streams)
    }

    /// Forgets the credentials of a namespace, which changed.
    pub fn forget_credentials(&self, namespace: &str) {
        self.sessions.forget(namespace);
    }

    /// Imports the targets that need it in the current stream, and records the results. Dropping the
    /// future cancels the import; either all of its results are stored or none.
    ///
    /// # Errors
    /// Failures of the store and of the control plane, and rejected writes. Nothing is stored then.
    /// Failed targets are results.
    pub async fn run(&self, import: &StreamImport, now: Time) -> Result<Vec<TargetResult>, Status> {
        let StreamImport { namespace, name, targets, term } = import;
        let stream = self.catalog.streams.find(&Workload::default(), namespace, name).await?;
        let unneeded = || targets.iter().map(|each| TargetResult::unneeded(&each.target)).collect();
        let Some(stream) = stream else { return Ok(unneeded()) };
        let session = self.sessions.get(&self.importer, namespace).await?;
        let run = StreamRun {
            importer: self,
            session: &session,
            stream: &stream,
            now,
            term: term.clone(),
        };
        let results = run.targets(targets).await;
        let is_failed = |result: &TargetResult| result.failure().is_some();
        if results.as_ref().map_or(true, |results| results.iter().any(is_failed)) {
            self.sessions.forget(namespace);
        }
        match results {
            // The stream was deleted meanwhile.
            Err(status) if status.code == 404 => Ok(unneeded()),
            results => results,
        }
    }
}

/// One run for a stream.
struct StreamRun<'a> {
    importer: &'a StreamImporter,
    session: &'a PullSession,
    stream: &'a ImageStream,
    now: Time,
    term: Option<TermGuard>,
}

impl StreamRun<'_> {
    async fn targets(&self, targets: &[TargetAttempt]) -> Result<Vec<TargetResult>, Status> {
        let (mut checks, mut imports, mut results) = (Vec::new(), Vec::new(), Vec::new());
        for TargetAttempt { target, kind } in targets {
            match (target, import::need_of(self.stream, target)) {
                (_, None) => results.push(TargetResult::unneeded(target)),
                (ImportTarget::Repository, Some(_)) => results.push(self.repository().await?),
                (ImportTarget::Tag(tag), Some(ImportNeed::Scheduled))
                    if *kind == TryKind::Check =>
                {
                    checks.push(tag.as_str());
                }
                (ImportTarget::Tag(tag), Some(_)) => imports.push(tag.as_str()),
            }
        }
        if !checks.is_empty() {
            let (checked, changed) = self.check(&checks).await?;
            results.extend(checked);
            imports.extend(changed);
        }
        if !imports.is_empty() {
            results.extend(self.import(&imports).await?);
        }
        Ok(results)
    }

    /// Compares the digests of sources with those of the last import. Returns the results of
    /// unchanged and failed tags, and the tags that must be imported. A failed check is no failed
    /// import: the next attempt is an import, whose failure has the usual text and is recorded.
    async fn check<'t>(
        &self,
        tags: &[&'t str],
    ) -> Result<(Vec<TargetResult>, Vec<&'t str>), Status> {
        let sources = self.sources().await?;
        let import = self.request(tags);
        let plan = ImportPlan::new(&import, Some(self.stream));
        let (mut known, mut requests, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (tag, target) in tags.iter().zip(&plan.images) {
            let request = target.request.as_ref().ok().map(|at| &plan.requests[*at]);
            let digest = request.and_then(|it| sources.digest_of(self.stream, tag, it));
            match request.zip(digest) {
                Some((request, digest)) => {
                    known.push((*tag, digest));
                    requests.push(request.clone());
                }
                None => changed.push(*tag),
            }
        }
        let digests = self.importer.importer.digests(self.session, &requests, self.now).await;
        let mut results = Vec::new();
        for ((tag, known), digest) in known.into_iter().zip(digests) {
            match digest {
                Ok(digest) if digest.as_str() == known => {
                    results.push(self.result(self.stream, tag, TargetOutcome::Unchanged));
                }
                Ok(_) => changed.push(tag),
                Err(failed) => {
                    let outcome = TargetOutcome::of_failure(failed, TargetOutcome::CheckFailed);
                    results.push(self.result(self.stream, tag, outcome));
                }
            }
        }
        Ok((results, changed))
    }

    /// The sources of the last imports.
    async fn sources(&self) -> Result<ImportSources, Status> {
        let ObjectMeta { namespace, name, .. } = &self.stream.metadata;
        let key = import_sources::key(namespace, name);
        let found = self.importer.catalog.streams.store().get(&key, None).await;
        match found.map_err(|error| status_of(&error))? {
            Lookup::Found(entry) => import_sources::decode(Some(&entry)),
            Lookup::Missing | Lookup::Unchanged => Ok(ImportSources::default()),
        }
    }

    /// Imports tags, and records the results in one transaction.
    async fn import(&self, tags: &[&str]) -> Result<Vec<TargetResult>, Status> {
        let mut import = self.request(tags);
        let refused = self.take_refused(&mut import);
        let importer = &self.importer.importer;
        let mut fetched = importer.fetch(self.session, &import, Some(self.stream), self.now).await;
        let throttled = fetched.take_throttled(&mut import.spec.images);
        let mut throttled: Vec<TargetResult> = throttled
            .into_iter()
            .filter_map(|(image, details)| {
                let retry_after = details.retry_after.unwrap_or_default();
                let outcome = TargetOutcome::Throttled { retry_after };
                Some(self.result(self.stream, &image.to?.name, outcome))
            })
            .collect();
        for (image, status) in refused {
            import.spec.images.push(image);
            fetched.push_refused(status);
        }
        if import.spec.images.is_empty() {
            return Ok(throttled);
        }
        let failures = fetched.failures.clone();
        self.record(&mut import, fetched, RepositoryMark::KeepPending).await?;
        let Some(stored) = import.status.import.take() else { return Ok(Vec::new()) };
        let results = import.spec.images.iter().zip(&import.status.images).zip(failures);
        let results = results.filter_map(|((image, status), details)| {
            let tag = &image.to.as_ref()?.name;
            Some(self.result(&stored, tag, self.outcome(&stored, tag, status, details)))
        });
        throttled.extend(results);
        Ok(throttled)
    }

    /// Removes the images from an import that the configuration of the server refuses.
    fn take_refused(
        &self,
        import: &mut ImageStreamImport,
    ) -> Vec<(crate::api::ImageImportSpec, ImageImportStatus)> {
        let allowed = &self.importer.catalog.registries.allowed;
        let images = std::mem::take(&mut import.spec.images);
        let mut refused = Vec::new();
        for image in images {
            match allowed.import_refusal(&image.from, &image.import_policy) {
                None => import.spec.images.push(image),
                Some(why) => {
                    let status = Status::forbidden(why);
                    refused.push((image, ImageImportStatus { status, ..Default::default() }));
                }
            }
        }
        refused
    }

    /// Imports `spec.dockerImageRepository`. It stays pending until its tags can be listed, and as
    /// long as an image fails for a reason that may not last.
    async fn repository(&self) -> Result<TargetResult, Status> {
        let mut import = self.request(&[]);
        let repository = import::repository_import(self.stream);
        let allowed = &self.importer.catalog.registries.allowed;
        let target = ImportTarget::Repository;
        let source = repository.from.name.clone();
        let result = |outcome| TargetResult {
            uid: self.stream.metadata.uid.clone(),
            target: target.clone(),
            need: Some(ImportNeed::New { generation: 0 }),
            source,
            generation: 0,
            outcome,
        };
        if let Some(why) = allowed.import_refusal(&repository.from, &repository.import_policy) {
            let failed = FailedAttempt::new(&Status::forbidden(why), FailureDetails::refused());
            return Ok(result(TargetOutcome::Failed(failed)));
        }
        import.spec.repository = Some(repository);
        import.default_fields();
        let importer = &self.importer.importer;
        let fetched = importer.fetch(self.session, &import, Some(self.stream), self.now).await;
        let failure = fetched.repository_failure.clone();
        let Some(status) = &fetched.status.repository else {
            let why = "spec.dockerImageRepository is not the name of a repository";
            let failed = FailedAttempt::new(&Status::bad_request(why), FailureDetails::refused());
            return Ok(result(TargetOutcome::Failed(failed)));
        };
        let summary = status.status.clone();
        if !status.images.is_empty() || failure.is_none() {
            let mark = match failure {
                Some(_) => RepositoryMark::KeepPending,
                None => RepositoryMark::Set,
            };
            self.record(&mut import, fetched, mark).await?;
        }
        Ok(result(match failure {
            Some(details) => {
                let failed = FailedAttempt::new(&summary, details);
                TargetOutcome::of_failure(failed, TargetOutcome::Failed)
            }
            None => TargetOutcome::Imported { image: String::new() },
        }))
    }

    async fn record(
        &self,
        import: &mut ImageStreamImport,
        fetched: FetchedImport,
        mark: RepositoryMark,
    ) -> Result<(), Status> {
        let rules = RecordRules { scope: SettleScope::UnchangedSince(self.stream), mark };
        let uid = &self.stream.metadata.uid;
        let base = |import: &ImageStreamImport, old: Option<&ImageStream>| {
            let same = old.filter(|old| old.metadata.uid == *uid);
            let resource = GroupResource { group: crate::api::GROUP, name: "imagestreams" };
            same.cloned().ok_or_else(|| Status::not_found(resource, &import.metadata.name))
        };
        let actor = Actor { term: self.term.clone(), ..Actor::internal(NAME, self.now) };
        self.importer.recorder.record(&actor, import, fetched, rules, base).await
    }

    /// An import of these tags.
    fn request(&self, tags: &[&str]) -> ImageStreamImport {
        let ObjectMeta { namespace, name, .. } = &self.stream.metadata;
        let mut import = ImageStreamImport::default();
        import.metadata.namespace.clone_from(namespace);
        import.metadata.name.clone_from(name);
        import.spec.import = true;
        let spec_tags = tags.iter().filter_map(|tag| tags::spec_tag(self.stream, tag));
        import.spec.images = spec_tags.filter_map(import::tag_import).collect();
        import.default_fields();
        import
    }

    /// The outcome of an import of a tag, as `stored` shows it.
    fn outcome(
        &self,
        stored: &ImageStream,
        tag: &str,
        status: &ImageImportStatus,
        details: Option<FailureDetails>,
    ) -> TargetOutcome {
        let history = tags::history(stored, tag);
        let newest = tags::latest_event(stored, tag).map(|event| event.image.as_str());
        let conditions = history.map_or(&[][..], |history| &history.conditions[..]);
        match &status.image {
            Some(image) if newest != Some(&image.metadata.name) || !conditions.is_empty() => {
                TargetOutcome::Superseded
            }
            Some(image) => {
                let before = import::need_of(self.stream, &ImportTarget::Tag(tag.into()));
                let was = tags::latest_event(self.stream, tag).map(|event| event.image.as_str());
                match before == Some(ImportNeed::Scheduled) && was == newest {
                    true => TargetOutcome::Unchanged,
                    false => TargetOutcome::Imported { image: image.metadata.name.clone() },
                }
            }
            None if conditions.iter().any(|known| known.message == status.status.message) => {
                let details = details.unwrap_or_else(FailureDetails::refused);
                TargetOutcome::Failed(FailedAttempt::new(&status.status, details))
            }
            None => TargetOutcome::Superseded,
        }
    }

    fn result(&self, stored: &ImageStream, tag: &str, outcome: TargetOutcome) -> TargetResult {
        let target = ImportTarget::Tag(tag.to_owned());
        let spec_tag = tags::spec_tag(self.stream, tag);
        let source = spec_tag.and_then(import::pull_spec).unwrap_or_default().to_owned();
        let need = import::need_of(self.stream, &target);
        let stored = tags::spec_tag(stored, tag);
        let generation = stored.and_then(|tag| tag.generation).unwrap_or_default();
        let uid = self.stream.metadata.uid.clone();
        TargetResult { uid, target, need, source, generation, outcome }
    }
}
