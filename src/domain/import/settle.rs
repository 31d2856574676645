//! Changes of a stream by the results of an import, as `REST.Create` in openshift-apiserver
//! pkg/image/apiserver/registry/imagestreamimport/rest.go.

use std::collections::HashSet;

use crate::api::{
    ImageImportStatus, ImageStream, ImageStreamImportSpec, ImageStreamImportStatus,
    ObjectReference, TagEvent, TagEventCondition, TagImportPolicy, TagReference,
    TagReferencePolicy,
};
use crate::domain::reference::Reference;
use crate::domain::tag_history::{self, MaxTagHistory};
use crate::domain::tags;
use crate::domain::unproved::{self, Standing};
use crate::meta::{Status, Time};

/// Annotation of a stream with the time of the last import that changed it.
pub const CHECKED: &str = "openshift.io/image.dockerRepositoryCheck";
/// Type of the condition of a failed import.
pub(super) const IMPORT_SUCCESS: &str = "ImportSuccess";

/// Parameters of the changes.
#[derive(Clone, Copy, Debug)]
pub struct SettleContext<'a> {
    /// Maximum number of events per tag.
    pub max_history: MaxTagHistory,
    /// Time of the import.
    pub now: Time,
    /// Tags whose results count.
    pub scope: SettleScope<'a>,
    /// Treatment of the annotation [`CHECKED`].
    pub mark: RepositoryMark,
}

/// Tags whose results count.
#[derive(Clone, Copy, Debug)]
pub enum SettleScope<'a> {
    /// All tags of the import.
    All,
    /// The tags whose spec is still that of this stream, for which they were fetched.
    UnchangedSince(&'a ImageStream),
}

/// Treatment of the annotation [`CHECKED`], which ends the import of `spec.dockerImageRepository`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepositoryMark {
    /// The import sets it.
    Set,
    /// A repository that was not imported yet stays without it.
    KeepPending,
}

impl SettleScope<'_> {
    /// Returns true if the results of a tag count for the current stream.
    pub fn contains(&self, stream: &ImageStream, tag: &str) -> bool {
        match self {
            Self::All => true,
            Self::UnchangedSince(before) => {
                let spec_tag = tags::spec_tag(stream, tag);
                spec_tag.is_some() && spec_tag == tags::spec_tag(before, tag)
            }
        }
    }
}

/// Adds the results of an import to `stream`, which is the current or a new, empty stream: events
/// of imported images, conditions of failed imports, and spec tags for both.
///
/// Results of images without a target tag do not count. Changed spec tags get the generation 0,
/// which stands for that of the coming change. A stream that does not change is returned as it was
/// if it has the annotation [`CHECKED`].
pub fn settle(
    stream: &mut ImageStream,
    spec: &ImageStreamImportSpec,
    results: &ImageStreamImportStatus,
    context: SettleContext<'_>,
) {
    let before = stream.clone();
    let settling = Settling { generation: stream.metadata.generation.saturating_add(1), context };
    if let (Some(spec), Some(results)) = (&spec.repository, &results.repository)
        && let Ok(repository) = spec.from.name.parse::<Reference>()
    {
        for result in &results.images {
            let target = TagTarget {
                tag: &result.tag,
                from: Reference { tag: result.tag.clone(), ..repository.clone() }.exact(),
                import_policy: &spec.import_policy,
                reference_policy: &spec.reference_policy,
            };
            match success(result) {
                Some(imported) => settling.add_event(stream, &target, &imported),
                None => settling.add_condition(stream, target.tag, &result.status),
            }
        }
    }
    for (spec, result) in spec.images.iter().zip(&results.images) {
        let Some(to) = spec.to.as_ref().filter(|to| context.scope.contains(stream, &to.name))
        else {
            continue;
        };
        let target = TagTarget {
            tag: &to.name,
            from: spec.from.name.clone(),
            import_policy: &spec.import_policy,
            reference_policy: &spec.reference_policy,
        };
        match success(result) {
            Some(imported) => settling.add_event(stream, &target, &imported),
            None => {
                settling.add_condition(stream, target.tag, &result.status);
                // A later import by the controller needs the spec tag.
                if tags::spec_tag(stream, target.tag).is_none() {
                    target.write_spec_tag(stream);
                }
            }
        }
    }
    let annotations = &stream.metadata.annotations;
    let is_pending = context.mark == RepositoryMark::KeepPending
        && !stream.spec.docker_image_repository.is_empty()
        && !annotations.contains_key(CHECKED);
    if is_pending {
        return;
    }
    if !annotations.contains_key(CHECKED) || *stream != before {
        stream.metadata.annotations.insert(CHECKED.into(), context.now.to_string());
    }
}

/// Tag that an import writes.
struct TagTarget<'a> {
    tag: &'a str,
    /// Pull spec of the source.
    from: String,
    import_policy: &'a TagImportPolicy,
    reference_policy: &'a TagReferencePolicy,
}

/// Image of a successful result.
struct SuccessfulImport<'a> {
    name: &'a str,
    reference: &'a str,
    /// Names of the images that the result proves, apart from the image itself.
    proved: HashSet<&'a str>,
    /// Images of the list that were not imported.
    missing: Vec<&'a str>,
}

fn success(result: &ImageImportStatus) -> Option<SuccessfulImport<'_>> {
    let image = result.image.as_ref().filter(|_| result.status.status == "Success")?;
    let proved: HashSet<&str> =
        result.manifests.iter().map(|image| image.metadata.name.as_str()).collect();
    let children = image.docker_image_manifests.iter().map(|child| child.digest.as_str());
    let missing = children.filter(|child| !proved.contains(child)).collect();
    let reference = image.docker_image_reference.as_str();
    Some(SuccessfulImport { name: &image.metadata.name, reference, proved, missing })
}

/// One run of [`settle`].
struct Settling<'a> {
    /// Generation of the stream after the change.
    generation: i64,
    context: SettleContext<'a>,
}

impl Settling<'_> {
    /// Records a failed import. If the same failure is recorded already, only its generation rises to
    /// that of the spec tag.
    ///
    /// Difference: in the reference, such a failure keeps its generation, so that a tag that was
    /// changed seems to wait for its import for ever.
    fn add_condition(&self, stream: &mut ImageStream, tag: &str, status: &Status) {
        let message = match status.message.as_str() {
            "" => "unknown error prevented import",
            message => message,
        };
        let condition = TagEventCondition {
            r#type: IMPORT_SUCCESS.into(),
            status: "False".into(),
            last_transition_time: Some(self.context.now),
            reason: status.reason.clone(),
            message: message.into(),
            generation: self.generation,
        };
        let requested = tags::spec_tag(stream, tag).and_then(|tag| tag.generation);
        let conditions = &mut tag_history::get_or_insert(&mut stream.status.tags, tag).conditions;
        if let Some(known) = conditions.iter_mut().find(|known| is_same(known, &condition)) {
            known.generation = known.generation.max(requested.unwrap_or_default());
            return;
        }
        *conditions = vec![condition];
        if let Ok(at) = tags::spec_tag_index(&stream.spec.tags, tag) {
            stream.spec.tags[at].generation = Some(0);
        }
    }

    /// Adds the event of an imported image, and its spec tag.
    fn add_event(
        &self,
        stream: &mut ImageStream,
        target: &TagTarget<'_>,
        imported: &SuccessfulImport<'_>,
    ) {
        record_proof(stream, imported);
        let event = TagEvent {
            created: Some(self.context.now),
            docker_image_reference: imported.reference.into(),
            image: imported.name.into(),
            generation: self.generation,
        };
        if is_news(stream, target.tag, &event) {
            target.write_spec_tag(stream);
            let histories = &mut stream.status.tags;
            tag_history::push(histories, target.tag, event, self.context.max_history);
        }
        if let Ok(at) = tags::spec_tag_index(&stream.spec.tags, target.tag) {
            stream.spec.tags[at].import_policy = target.import_policy.clone();
        }
        tag_history::get_or_insert(&mut stream.status.tags, target.tag).conditions.clear();
    }
}

/// Records that the stream may show the imported images. Images that only the list names are
/// withheld.
fn record_proof(stream: &mut ImageStream, imported: &SuccessfulImport<'_>) {
    let missing = imported.missing.iter().copied();
    let missing: Vec<String> = unproved::children_to_prove(stream, imported.name, missing)
        .into_iter()
        .map(str::to_owned)
        .collect();
    for name in imported.proved.iter().copied().chain([imported.name]) {
        unproved::record(stream, name, Standing::Proved);
    }
    unproved::withhold(stream, missing.iter().map(String::as_str));
}

/// Returns true if the tag must change for an imported image: it has another one or none, or its
/// spec changed since the last import.
fn is_news(stream: &ImageStream, tag: &str, event: &TagEvent) -> bool {
    let Some(newest) = tags::latest_event(stream, tag) else {
        return true;
    };
    let generation = tags::spec_tag(stream, tag).and_then(|tag| tag.generation);
    generation.is_none_or(|generation| generation > newest.generation)
        || newest.docker_image_reference != event.docker_image_reference
        || newest.image != event.image
}

impl TagTarget<'_> {
    /// Creates the spec tag, or changes its source. Name, annotations and reference policy of an
    /// existing one remain.
    fn write_spec_tag(&self, stream: &mut ImageStream) {
        let tags = &mut stream.spec.tags;
        let at = tags::spec_tag_index(tags, self.tag).unwrap_or_else(|at| {
            tags.insert(at, TagReference { name: self.tag.into(), ..TagReference::default() });
            at
        });
        let tag = &mut tags[at];
        tag.from = Some(ObjectReference {
            kind: "DockerImage".into(),
            name: self.from.clone(),
            ..ObjectReference::default()
        });
        tag.generation = Some(0);
        tag.import_policy = self.import_policy.clone();
        if tag.reference_policy.r#type.is_empty() {
            tag.reference_policy = self.reference_policy.clone();
        }
    }
}

fn is_same(known: &TagEventCondition, new: &TagEventCondition) -> bool {
    (&known.r#type, &known.status, &known.reason, &known.message)
        == (&new.r#type, &new.status, &new.reason, &new.message)
}

#[cfg(test)]
mod tests;
