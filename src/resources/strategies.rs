//! What is special about the two stored kinds.

use std::borrow::Cow;

use super::{lists, marks, record, superseded};
use crate::api::{Evidence, GROUP, Image, ImageStream, VERSION};
use crate::auth::ResourceAction;
use crate::domain::registries::Registries;
use crate::domain::resolve::{self, Resolution};
use crate::domain::stream_strategy::{self, WriteTarget};
use crate::domain::tag_history::MaxTagHistory;
use crate::domain::tag_source::StreamKey;
use crate::domain::{image_signatures, image_strategy, limits, names, proof, unproved, validate};
use crate::machinery::json;
use crate::meta::{Time, field, path_segment_errors};
use crate::registry::metadata;
use crate::registry::permission::Permission;
use crate::registry::strategy::{Dependents, Faults, Need, Other, Others, Strategy, UpdateStrategy};
use crate::store::Change;

/// The mark of a stored image with its evidence.
pub(super) const EVIDENCE: &str = "evidence";
/// The mark of a stored stream with the images that it has without proof.
pub(super) const UNPROVED: &str = "unproved";

/// What is special about stored images.
pub struct ImageStrategy;

impl UpdateStrategy<Image> for ImageStrategy {
    fn reset_fields(&self, old: Option<&Image>, new: &mut Image) {
        if let Some(old) = old {
            image_strategy::reset_fields(old, new);
        }
    }

    fn prepare(&self, old: Option<&Image>, new: &mut Image) {
        match old {
            None => {
                image_strategy::prepare_for_create(new);
                // Who may create images vouches for them. A mapping judges its image itself.
                new.evidence = Evidence::authority();
            }
            Some(old) => {
                image_strategy::prepare_for_update(new, old);
                proof::record_authored(old, new);
            }
        }
    }

    fn validate(&self, old: Option<&Image>, new: &mut Image, _: &Others<Image>, _: Time) -> Faults {
        let present = |name: &str| old.and_then(|old| image_signatures::find(old, name)).map(|found| &found.metadata);
        let mut faults = validate::image(new, &|meta| metadata::nested_faults(meta, || present(&meta.name)));
        // An older image keeps a name that is refused today, and can be changed.
        if old.is_none() {
            faults.extend(names::new_image_name_error("metadata.name", &new.metadata.name));
        }
        faults.into()
    }
}

impl Strategy<Image> for ImageStrategy {
    fn limits(&self, old: Option<&Image>, new: &Image) -> field::Errors {
        limits::image(old, new)
    }

    fn name_faults(&self, name: &str) -> Vec<&'static str> {
        path_segment_errors(name)
    }

    fn dependents(&self) -> Dependents {
        Dependents::None
    }

    fn derived_rows(&self, name: &str, old: Option<&Image>, new: Option<&Image>) -> Vec<Change> {
        let mut changes = lists::changes(old, new);
        changes.push(record::change(name, new));
        changes.extend(superseded::change(name, old, new, |image| self.encode(image)));
        changes
    }

    fn encode(&self, image: &Image) -> Vec<u8> {
        if image.evidence == Evidence::default() {
            return json::encode(image);
        }
        marks::encode(EVIDENCE, &image.evidence, image)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Image, String> {
        let mut image: Image = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        image.evidence = marks::decode(EVIDENCE, bytes)?;
        Ok(image)
    }
}

const SPEC_REPOSITORY: &str = "spec.dockerImageRepository";
const STATUS_REPOSITORY: &str = "status.dockerImageRepository";

/// What is special about stored streams.
pub struct StreamStrategy {
    /// Where images are pulled from and pushed to.
    pub registries: Registries,
    /// How many events a tag keeps.
    pub tag_history: MaxTagHistory,
}

impl UpdateStrategy<ImageStream> for StreamStrategy {
    fn ignored(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn writable<'a>(&self, stream: &'a ImageStream) -> Cow<'a, ImageStream> {
        let ImageStream { metadata, spec, status: _, unproved: _ } = stream;
        let part = ImageStream { metadata: metadata.clone(), spec: spec.clone(), ..ImageStream::default() };
        Cow::Owned(part)
    }

    fn reset_fields(&self, old: Option<&ImageStream>, new: &mut ImageStream) {
        new.status = old.map(|old| old.status.clone()).unwrap_or_default();
        new.unproved = old.map(|old| old.unproved.clone()).unwrap_or_default();
    }

    fn prepare(&self, old: Option<&ImageStream>, new: &mut ImageStream) {
        match old {
            None => stream_strategy::prepare_for_create(new),
            Some(old) => stream_strategy::prepare_for_update(old, new, WriteTarget::Stream),
        }
    }

    fn needs(&self, old: Option<&ImageStream>, new: &ImageStream) -> Vec<Need> {
        needs(old, new)
    }

    fn validate(
        &self,
        old: Option<&ImageStream>,
        new: &mut ImageStream,
        others: &Others<ImageStream>,
        now: Time,
    ) -> Faults {
        self.resolve(old, new, others, WriteTarget::Stream, now)
    }

    fn decorate(&self, stream: &mut ImageStream) {
        self.registries.decorate(stream);
    }
}

impl StreamStrategy {
    /// Resolves the tags of a stream and answers the faults of all of it.
    pub(super) fn resolve(
        &self,
        old: Option<&ImageStream>,
        new: &mut ImageStream,
        others: &Others<ImageStream>,
        route: WriteTarget,
        now: Time,
    ) -> Faults {
        let others = known(others);
        let resolution = Resolution {
            old,
            others: &others,
            registries: &self.registries,
            max_history: self.tag_history,
            route,
            now,
        };
        let unresolved = resolution.run(new);
        self.registries.decorate(new);
        let mut last = old.map_or_else(|| validate::stream(new), |old| validate::stream_update(old, new));
        last.extend(unproved::withheld_error(old, new));
        Faults { first: resolve::internal_error(new, &unresolved).into_iter().collect(), last }
    }
}

/// The other streams that tags come from. Into another namespace only those may look who may have its images.
fn needs(old: Option<&ImageStream>, new: &ImageStream) -> Vec<Need> {
    let permission = |key: &StreamKey| ResourceAction {
        verb: "get".into(),
        group: GROUP.into(),
        version: VERSION.into(),
        resource: "imagestreams".into(),
        subresource: "layers".into(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        ..ResourceAction::default()
    };
    let need = |key: StreamKey| Need {
        permission: (key.namespace != new.metadata.namespace).then(|| Box::new(permission(&key))),
        namespace: key.namespace,
        name: key.name,
    };
    resolve::required_streams(old, new).into_iter().map(need).collect()
}

/// What was found of other streams, in the words of the resolution.
fn known(others: &Others<ImageStream>) -> resolve::SourceStreams {
    let mut known = resolve::SourceStreams::default();
    for (need, other) in &others.0 {
        let key = StreamKey { namespace: need.namespace.clone(), name: need.name.clone() };
        known.insert(
            key,
            match other {
                Other::Found(stream) => resolve::SourceStream::Found(stream.clone()),
                Other::Missing => resolve::SourceStream::Missing,
                Other::Hidden(verdict) => resolve::SourceStream::Denied { reason: reason(verdict) },
            },
        );
    }
    known
}

fn reason(verdict: &Permission) -> String {
    match verdict {
        Permission::Denied { reason } => reason.clone(),
        Permission::Unknown { .. } => "it could not be found out whether you may: try again later".into(),
        Permission::Allowed => String::new(),
    }
}

impl Strategy<ImageStream> for StreamStrategy {
    fn limits(&self, old: Option<&ImageStream>, new: &ImageStream) -> field::Errors {
        limits::stream(old, new)
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        &[SPEC_REPOSITORY, STATUS_REPOSITORY]
    }

    fn field(&self, stream: &ImageStream, name: &str) -> String {
        match name {
            SPEC_REPOSITORY => stream.spec.docker_image_repository.clone(),
            _ => stream.status.docker_image_repository.clone(),
        }
    }

    fn name_faults(&self, name: &str) -> Vec<&'static str> {
        names::stream_name_errors(name)
    }

    fn encode(&self, stream: &ImageStream) -> Vec<u8> {
        let unproved = unproved::stored(stream);
        if unproved.is_empty() { json::encode(stream) } else { marks::encode(UNPROVED, &unproved, stream) }
    }

    fn decode(&self, bytes: &[u8]) -> Result<ImageStream, String> {
        let mut stream: ImageStream = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        stream.unproved = marks::decode(UNPROVED, bytes)?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NamedTagEventList, TagEvent};

    #[test]
    fn a_stream_is_stored_and_read_back() {
        let strategy = StreamStrategy { registries: Registries::default(), tag_history: MaxTagHistory::default() };
        let mut stream = ImageStream::default();
        for (tag, items) in [("empty", vec![]), ("full", vec![TagEvent { image: "i".into(), ..TagEvent::default() }])] {
            stream.status.tags.push(NamedTagEventList { tag: tag.into(), items, conditions: vec![] });
        }
        assert_eq!(strategy.decode(&strategy.encode(&stream)).unwrap(), stream);
        stream.unproved = [("i".to_owned(), "uid".to_owned())].into();
        assert_eq!(strategy.decode(&strategy.encode(&stream)).unwrap(), stream);
    }

    #[test]
    fn what_is_stored_beside_an_object_is_no_part_of_its_json() {
        let mut image = Image { evidence: Evidence::unproved(), ..Image::default() };
        image.docker_image_metadata_version = "1.0".into();
        let stored = ImageStrategy.encode(&image);
        assert_eq!(ImageStrategy.decode(&stored).unwrap(), image);
        let sent: Image = serde_json::from_slice(&stored).unwrap();
        assert_eq!(sent.evidence, Evidence::default(), "a client cannot say it");
        let unproved = [("i".to_owned(), "uid".to_owned())].into();
        let stream = ImageStream { unproved, ..ImageStream::default() };
        for json in [json::encode(&image), json::encode(&stream)] {
            let text = String::from_utf8(json).unwrap();
            assert!(!text.contains("proof") && !text.contains("evidence") && !text.contains("unproved"), "{text}");
        }
    }

    #[test]
    fn image_without_evidence_reads_as_unproved() {
        let image = ImageStrategy.decode(br#"{"metadata":{"name":"i"},"dockerImageLayers":[{"name":"l"}]}"#).unwrap();
        assert_eq!(image.evidence, Evidence::default());
        assert!(image.evidence.blobs.is_none(), "its layers count");
    }
}
