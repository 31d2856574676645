//! Views of tags: `ImageStreamTag` and `ImageTag`.

use super::image_metadata::{self, FillError};
use super::names::join;
use super::{reference, tags};
use crate::api::{DockerImageMetadata, Image, ImageStream, ImageStreamTag, ImageTag, TagEvent};
use crate::meta::ObjectMeta;

/// Returns the name of the image to which `tag` points. `None` if the tag has no history or is only
/// a reference.
pub fn image_of<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a str> {
    event(stream, tag).map(|event| event.image.as_str())
}

/// Returns true if `tag` has a spec or a history.
pub fn exists(stream: &ImageStream, tag: &str) -> bool {
    tags::spec_tag(stream, tag).is_some() || tags::history(stream, tag).is_some()
}

/// Returns `tag` as an ImageStreamTag. The stream must be
/// [decorated](super::registries::Registries::decorate).
///
/// Callers decide if a tag without an [image](image_of) exists. Without `image` the view has only
/// its name and pull spec.
///
/// # Errors
/// The metadata of the image cannot be computed.
pub fn stream_tag(
    stream: &ImageStream,
    tag: &str,
    image: Option<Image>,
) -> Result<ImageStreamTag, FillError> {
    let (event, spec_tag) = (event(stream, tag), tags::spec_tag(stream, tag));
    let annotations = spec_tag.and_then(|spec_tag| spec_tag.annotations.as_ref());
    let mut image = match image {
        Some(mut image) => {
            image.metadata.annotations.extend(
                annotations.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())),
            );
            image_metadata::fill_for_view(&mut image)?;
            image
        }
        None => {
            let version = DockerImageMetadata::DEFAULT_VERSION.into();
            let mut image = Image { docker_image_metadata_version: version, ..Image::default() };
            image.metadata.name = event.map(|event| event.image.clone()).unwrap_or_default();
            image
        }
    };
    image.docker_image_reference =
        event.map(|event| pull_spec(stream, tag, event)).unwrap_or_default();
    let of = &stream.metadata;
    let metadata = ObjectMeta {
        name: join(&of.name, tag),
        namespace: of.namespace.clone(),
        uid: of.uid.clone(),
        resource_version: of.resource_version.clone(),
        creation_timestamp: event.map_or(of.creation_timestamp, |event| event.created),
        labels: of.labels.clone(),
        annotations: annotations.cloned().unwrap_or_default(),
        ..ObjectMeta::default()
    };
    Ok(ImageStreamTag {
        metadata,
        tag: spec_tag.cloned(),
        generation: event.map_or(0, |event| event.generation),
        lookup_policy: stream.spec.lookup_policy.clone(),
        conditions: tags::history(stream, tag)
            .map(|history| history.conditions.clone())
            .unwrap_or_default(),
        image,
    })
}

/// Returns `tag` as an ImageTag. The stream must be
/// [decorated](super::registries::Registries::decorate).
///
/// # Errors
/// The metadata of the image cannot be computed.
pub fn image_tag(
    stream: &ImageStream,
    tag: &str,
    image: Option<Image>,
) -> Result<ImageTag, FillError> {
    let image = match (image, event(stream, tag)) {
        (Some(mut image), Some(event)) => {
            image_metadata::fill_for_view(&mut image)?;
            image.docker_image_reference = pull_spec(stream, tag, event);
            Some(image)
        }
        _ => None,
    };
    Ok(ImageTag {
        metadata: ObjectMeta { name: join(&stream.metadata.name, tag), ..stream.metadata.clone() },
        spec: tags::spec_tag(stream, tag).cloned(),
        status: tags::history(stream, tag).cloned(),
        image,
    })
}

/// Returns the tags that point to an image, by name: the items of an ImageStreamTagList.
pub fn stream_tags(stream: &ImageStream) -> Vec<&str> {
    let tags = stream.status.tags.iter().map(|tag| tag.tag.as_str());
    tags.filter(|tag| image_of(stream, tag).is_some()).collect()
}

/// Returns all tags with a spec or a history, by name: the items of an ImageTagList.
pub fn image_tags(stream: &ImageStream) -> Vec<&str> {
    let spec_tag = stream.spec.tags.iter().map(|tag| tag.name.as_str());
    let mut tags: Vec<&str> =
        spec_tag.chain(stream.status.tags.iter().map(|tag| tag.tag.as_str())).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// Returns the newest event of `tag`, if it has an image.
fn event<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a TagEvent> {
    tags::latest_event(stream, tag).filter(|event| !event.image.is_empty())
}

/// Returns the pull spec of a tag's image: in the integrated registry if the reference policy is
/// `Local`, else that of the event.
pub(super) fn pull_spec(stream: &ImageStream, tag: &str, event: &TagEvent) -> String {
    let is_local = tags::spec_tag(stream, tag)
        .is_some_and(|spec_tag| spec_tag.reference_policy.r#type == "Local");
    let local = is_local
        .then(|| reference::of_image(&stream.status.docker_image_repository, &event.image))
        .flatten();
    local.unwrap_or_else(|| event.docker_image_reference.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::{NamedTagEventList, TagEventCondition, TagReference};
    use crate::meta::Time;

    fn map(key: &str, value: &str) -> BTreeMap<String, String> {
        [(key.to_owned(), value.to_owned())].into()
    }

    /// A stream with a pushed tag `p`, a reference `r`, a spec tag `w` without history and a tag
    /// `x` whose import failed.
    fn stream() -> ImageStream {
        let mut stream = ImageStream::default();
        let metadata = &mut stream.metadata;
        (metadata.name, metadata.namespace, metadata.uid) = ("s".into(), "ns".into(), "u".into());
        (metadata.resource_version, metadata.generation) = ("7".into(), 5);
        metadata.creation_timestamp = Some(Time::from_unix_seconds(100));
        metadata.labels = map("l", "1");
        metadata.annotations = map("of", "stream");
        stream.status.docker_image_repository = "in/ns/s".into();
        let spec_tag = |name: &str| TagReference { name: name.into(), ..TagReference::default() };
        stream.spec.tags = vec![spec_tag("r"), spec_tag("w")];
        let event = |image: &str| TagEvent {
            created: Some(Time::from_unix_seconds(200)),
            docker_image_reference: "r.io/a:1".into(),
            image: image.into(),
            generation: 3,
        };
        let history = |tag: &str, items: Vec<TagEvent>| NamedTagEventList {
            tag: tag.into(),
            items: items.into(),
            conditions: vec![TagEventCondition {
                r#type: tag.into(),
                ..TagEventCondition::default()
            }],
        };
        stream.status.tags = vec![
            history("p", vec![event("i")]),
            history("r", vec![event("")]),
            history("x", vec![]),
        ];
        stream
    }

    fn empty_image() -> Image {
        Image { docker_image_metadata_version: "1.0".into(), ..Image::default() }
    }

    fn image() -> Image {
        let mut image = Image { docker_image_reference: "first/place".into(), ..Image::default() };
        image.metadata.name = "i".into();
        image.metadata.uid = "of the image".into();
        image.metadata.annotations = map("of", "image");
        image.docker_image_config = "{}".into();
        image
    }

    #[test]
    fn pushed_tag_shows_stream_event_and_image() {
        let stream = stream();
        assert_eq!(image_of(&stream, "p"), Some("i"));
        let view = stream_tag(&stream, "p", Some(image())).unwrap();
        let expected = ObjectMeta {
            name: "s:p".into(),
            namespace: "ns".into(),
            uid: "u".into(),
            resource_version: "7".into(),
            creation_timestamp: Some(Time::from_unix_seconds(200)),
            labels: map("l", "1"),
            ..ObjectMeta::default()
        };
        assert_eq!(view.metadata, expected);
        assert_eq!((view.tag, view.generation, view.conditions[0].r#type.as_str()), (None, 3, "p"));
        assert_eq!(
            (view.image.metadata.uid.as_str(), view.image.docker_image_config.as_str()),
            ("of the image", "")
        );
        assert_eq!(view.image.docker_image_reference, "r.io/a:1");
    }

    #[test]
    fn tag_without_image_has_time_of_its_stream() {
        let stream = stream();
        for tag in ["r", "w", "x", "nosuch"] {
            assert_eq!(image_of(&stream, tag), None, "{tag}");
            let view = stream_tag(&stream, tag, None).unwrap();
            assert_eq!(
                (view.generation, view.metadata.creation_timestamp),
                (0, stream.metadata.creation_timestamp)
            );
            assert_eq!(view.image, empty_image());
            assert_eq!(
                view.tag.map(|tag| tag.name),
                tags::spec_tag(&stream, tag).map(|_| tag.to_owned())
            );
        }
    }

    #[test]
    fn spec_tag_annotations_override_image_annotations() {
        let mut stream = stream();
        let annotations = Some(map("of", "tag"));
        stream
            .spec
            .tags
            .insert(0, TagReference { name: "p".into(), annotations, ..TagReference::default() });
        let view = stream_tag(&stream, "p", Some(image())).unwrap();
        assert_eq!(
            (view.metadata.annotations, view.image.metadata.annotations),
            (map("of", "tag"), map("of", "tag"))
        );
        let view = image_tag(&stream, "p", Some(image())).unwrap();
        let image = view.image.unwrap();
        assert_eq!(
            (view.metadata.annotations, image.metadata.annotations),
            (map("of", "stream"), map("of", "image"))
        );
    }

    #[test]
    fn local_tag_is_pulled_through_internal_registry() {
        let pulled = |policy: &str, repository: &str| {
            let mut stream = stream();
            let mut spec_tag = TagReference { name: "p".into(), ..TagReference::default() };
            spec_tag.reference_policy.r#type = policy.into();
            stream.spec.tags.insert(0, spec_tag);
            stream.status.docker_image_repository = repository.into();
            stream_tag(&stream, "p", None).unwrap().image.docker_image_reference
        };
        assert_eq!(pulled("Local", "in/ns/s"), "in/ns/s:i");
        assert_eq!(pulled("Source", "in/ns/s"), "r.io/a:1");
        assert_eq!(pulled("Local", ""), "r.io/a:1");
    }

    #[test]
    fn image_tag_shows_stream_metadata_and_present_parts() {
        let stream = stream();
        let view = image_tag(&stream, "p", Some(image())).unwrap();
        assert_eq!(view.metadata, ObjectMeta { name: "s:p".into(), ..stream.metadata.clone() });
        assert_eq!((view.spec, view.status.as_ref()), (None, stream.status.tags.first()));
        assert_eq!(view.image.unwrap().docker_image_reference, "r.io/a:1");
        let view = image_tag(&stream, "w", None).unwrap();
        assert_eq!((view.spec.unwrap().name.as_str(), view.status, view.image), ("w", None, None));
        let seen: Vec<bool> = ["p", "r", "w", "x", "nosuch"].map(|tag| exists(&stream, tag)).into();
        assert_eq!(seen, [true, true, true, true, false]);
    }

    #[test]
    fn lists_show_tags_by_name_and_no_images() {
        let stream = stream();
        assert_eq!(stream_tags(&stream), ["p"]);
        let mut named = Image { docker_image_reference: "r.io/a:1".into(), ..empty_image() };
        named.metadata.name = "i".into();
        assert_eq!(stream_tag(&stream, "p", None).unwrap().image, named);
        assert_eq!(image_tags(&stream), ["p", "r", "w", "x"]);
        assert!(image_tag(&stream, "p", None).unwrap().image.is_none());
    }

    #[test]
    fn image_with_invalid_manifest_is_an_error() {
        let broken = || Image { docker_image_manifest: "{".into(), ..image() };
        assert!(stream_tag(&stream(), "p", Some(broken())).is_err());
        assert!(image_tag(&stream(), "p", Some(broken())).is_err());
    }
}
