//! Imports that a stream needs, as `needsImport` in openshift-controller-manager
//! pkg/image/controller/imagestream_controller.go.
//!
//! Difference: the reference never repeats a failed import of a tag that is not scheduled.

use super::settle::{CHECKED, IMPORT_SUCCESS};
use crate::api::{
    ImageImportSpec, ImageStream, LocalObjectReference, ObjectReference, RepositoryImportSpec,
    TagImportPolicy, TagReference, TagReferencePolicy,
};
use crate::domain::allowed_registries;
use crate::domain::reference::Reference;
use crate::domain::tags;

/// Part of a stream that is imported by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImportTarget {
    /// All tags of `spec.dockerImageRepository`.
    Repository,
    /// A spec tag.
    Tag(String),
}

/// Import that a target needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportNeed {
    /// The target was never imported at this generation.
    New {
        /// Generation of the spec tag; 0 for a repository.
        generation: i64,
    },
    /// The last import failed.
    Failed,
    /// The target is imported, and checked at intervals.
    Scheduled,
}

/// A target with its need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededImport {
    /// Target.
    pub target: ImportTarget,
    /// Need.
    pub need: ImportNeed,
    /// Registry of the source, with the default of container clients. Empty for a pull spec that
    /// cannot be parsed.
    pub registry: String,
}

/// Returns the imports that a stream needs, now or later.
pub fn needed_imports(stream: &ImageStream) -> Vec<NeededImport> {
    let repository = repository_need(stream).map(|need| NeededImport {
        target: ImportTarget::Repository,
        need,
        registry: registry_of(&stream.spec.docker_image_repository),
    });
    let tags = stream.spec.tags.iter().filter_map(|tag| {
        let source = pull_spec(tag)?;
        let (target, registry) = (ImportTarget::Tag(tag.name.clone()), registry_of(source));
        Some(NeededImport { need: tag_need(stream, tag)?, target, registry })
    });
    repository.into_iter().chain(tags).collect()
}

/// Returns the need of one target; `None` if there is none.
pub fn need_of(stream: &ImageStream, target: &ImportTarget) -> Option<ImportNeed> {
    match target {
        ImportTarget::Repository => repository_need(stream),
        ImportTarget::Tag(tag) => tag_need(stream, tags::spec_tag(stream, tag)?),
    }
}

/// Returns the pull spec of a spec tag that can be imported; `None` for all others.
pub fn pull_spec(tag: &TagReference) -> Option<&str> {
    let from = tag.from.as_ref().filter(|from| from.kind == "DockerImage" && !tag.reference)?;
    Some(&from.name)
}

/// Returns the import of a spec tag with its own policies; `None` if it cannot be imported.
pub fn tag_import(tag: &TagReference) -> Option<ImageImportSpec> {
    Some(ImageImportSpec {
        from: docker_image(pull_spec(tag)?),
        to: Some(LocalObjectReference { name: tag.name.clone() }),
        import_policy: tag.import_policy.clone(),
        reference_policy: tag.reference_policy.clone(),
        include_manifest: false,
    })
}

/// Returns the import of `spec.dockerImageRepository`.
pub fn repository_import(stream: &ImageStream) -> RepositoryImportSpec {
    let insecure = allowed_registries::is_insecure(&stream.metadata);
    RepositoryImportSpec {
        from: docker_image(&stream.spec.docker_image_repository),
        import_policy: TagImportPolicy { insecure, ..TagImportPolicy::default() },
        reference_policy: TagReferencePolicy::default(),
        include_manifest: false,
    }
}

fn docker_image(name: &str) -> ObjectReference {
    let (kind, name) = ("DockerImage".to_owned(), name.to_owned());
    ObjectReference { kind, name, ..ObjectReference::default() }
}

/// A repository is imported once: a complete import leaves an annotation.
fn repository_need(stream: &ImageStream) -> Option<ImportNeed> {
    let is_done = stream.metadata.annotations.contains_key(CHECKED);
    (!stream.spec.docker_image_repository.is_empty() && !is_done)
        .then_some(ImportNeed::New { generation: 0 })
}

fn tag_need(stream: &ImageStream, tag: &TagReference) -> Option<ImportNeed> {
    let reference = pull_spec(tag)?.parse::<Reference>();
    let history = tags::history(stream, &tag.name);
    let failure = history.and_then(|history| {
        history.conditions.iter().find(|it| it.r#type == IMPORT_SUCCESS && it.status == "False")
    });
    let imported = history.and_then(|history| history.items.first()).map(|event| event.generation);
    let observed = imported.max(failure.map(|failure| failure.generation));
    let generation = tag.generation.unwrap_or_default();
    let is_digest = reference.is_ok_and(|reference| !reference.id.is_empty());
    match observed {
        None => Some(ImportNeed::New { generation }),
        Some(observed) if generation > observed => Some(ImportNeed::New { generation }),
        Some(_) if failure.is_some() => Some(ImportNeed::Failed),
        Some(_) if tag.import_policy.scheduled && !is_digest => Some(ImportNeed::Scheduled),
        Some(_) => None,
    }
}

fn registry_of(source: &str) -> String {
    let reference = source.parse::<Reference>().unwrap_or_default();
    match reference.name.is_empty() {
        true => String::new(),
        false => reference.with_client_defaults().registry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NamedTagEventList, TagEvent, TagEventCondition};

    fn tag(generation: i64) -> TagReference {
        TagReference {
            name: "t".into(),
            from: Some(docker_image("r.io/a:x")),
            generation: Some(generation),
            ..TagReference::default()
        }
    }

    /// A stream with this tag, an event and a failure of these generations.
    fn stream(tag: TagReference, event: Option<i64>, failure: Option<i64>) -> ImageStream {
        let mut stream = ImageStream::default();
        stream.spec.tags = vec![tag];
        let items = event.map(|generation| TagEvent { generation, ..TagEvent::default() });
        let conditions = failure.map(|generation| TagEventCondition {
            r#type: IMPORT_SUCCESS.into(),
            status: "False".into(),
            generation,
            ..TagEventCondition::default()
        });
        let (items, conditions) = (items.into_iter().collect(), conditions.into_iter().collect());
        stream.status.tags = vec![NamedTagEventList { tag: "t".into(), items, conditions }];
        stream
    }

    fn need(tag: TagReference, event: Option<i64>, failure: Option<i64>) -> Option<ImportNeed> {
        let needed = needed_imports(&stream(tag, event, failure));
        needed.first().map(|needed| needed.need)
    }

    #[test]
    fn new_generations_are_imported_and_failures_repeated() {
        assert_eq!(need(tag(1), None, None), Some(ImportNeed::New { generation: 1 }));
        assert_eq!(need(tag(3), Some(2), None), Some(ImportNeed::New { generation: 3 }));
        assert_eq!(need(tag(3), Some(2), Some(2)), Some(ImportNeed::New { generation: 3 }));
        assert_eq!(need(tag(3), Some(2), Some(3)), Some(ImportNeed::Failed));
        assert_eq!(need(tag(3), None, Some(3)), Some(ImportNeed::Failed));
        assert_eq!(need(tag(2), Some(2), None), None);
    }

    #[test]
    fn scheduled_tags_are_checked_but_no_imported_digests() {
        let mut scheduled = tag(2);
        scheduled.import_policy.scheduled = true;
        assert_eq!(need(scheduled.clone(), Some(2), None), Some(ImportNeed::Scheduled));
        let digest = format!("r.io/a@sha256:{}", "a".repeat(64));
        scheduled.from = Some(docker_image(&digest));
        assert_eq!(need(scheduled.clone(), Some(2), None), None);
        assert_eq!(need(scheduled, Some(2), Some(2)), Some(ImportNeed::Failed));
    }

    #[test]
    fn references_and_other_kinds_are_not_imported() {
        let reference = TagReference { reference: true, ..tag(1) };
        assert_eq!(need(reference, None, None), None);
        let mut tracking = tag(1);
        tracking.from.as_mut().unwrap().kind = "ImageStreamTag".into();
        assert_eq!(need(tracking, None, None), None);
        assert_eq!(need(TagReference { from: None, ..tag(1) }, None, None), None);
    }

    #[test]
    fn repository_is_imported_once() {
        let mut stream = ImageStream::default();
        stream.spec.docker_image_repository = "busybox".into();
        let needed = needed_imports(&stream);
        assert_eq!(needed[0].target, ImportTarget::Repository);
        assert_eq!(needed[0].registry, "docker.io");
        stream.metadata.annotations.insert(CHECKED.into(), "now".into());
        assert_eq!(needed_imports(&stream), []);
    }

    #[test]
    fn import_of_a_tag_has_its_policies() {
        let mut tag = tag(1);
        tag.import_policy.insecure = true;
        tag.reference_policy.r#type = "Local".into();
        let import = tag_import(&tag).unwrap();
        assert_eq!(
            (import.from.name.as_str(), import.to.unwrap().name.as_str()),
            ("r.io/a:x", "t")
        );
        assert!(import.import_policy.insecure && import.reference_policy.r#type == "Local");
    }
}
