//! Limits of a LimitRange on the images and tags of a stream, as `VerifyLimits` in
//! openshift-apiserver pkg/image/apiserver/admission/limitrange/imagestream_limits.go, and on the
//! size of an image, as `admitImage` in admission.go there.

use std::collections::BTreeSet;

use super::names::StreamTagName;
use super::reference::Reference;
use crate::api::{ImageStream, ObjectReference};
use crate::meta::Quantity;

/// Type of limits on images.
pub const IMAGE: &str = "openshift.io/Image";
/// Type of limits on streams.
pub const IMAGE_STREAM: &str = "openshift.io/ImageStream";
/// Resource that limits the size of an image.
pub const STORAGE: &str = "storage";
/// Resource that limits the images in the history of a stream.
pub const IMAGES: &str = "openshift.io/images";
/// Resource that limits the sources of the spec tags of a stream.
pub const IMAGE_TAGS: &str = "openshift.io/image-tags";

/// Smallest limits for the streams of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamLimits {
    /// Images in the history of a stream.
    pub images: Option<Quantity>,
    /// Sources of spec tags.
    pub image_tags: Option<Quantity>,
}

/// Distinct references of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct StreamUsage {
    /// Images of the history.
    images: BTreeSet<String>,
    /// Normalized sources of spec tags.
    image_tags: BTreeSet<String>,
}

/// Returns a sentence about the limits that `new` exceeds; `None` if it adds nothing to `old`.
pub fn exceeded(
    old: Option<&ImageStream>,
    new: &ImageStream,
    limits: StreamLimits,
) -> Option<String> {
    let StreamLimits { images, image_tags } = limits;
    if images.is_none() && image_tags.is_none() {
        return None;
    }
    let usage = StreamUsage::of(new);
    if usage.adds_nothing_to(&old.map(StreamUsage::of).unwrap_or_default()) {
        return None;
    }
    let error = |resource, used: &BTreeSet<String>, max: Option<Quantity>| {
        let used = Quantity::of_count(used.len() as u64);
        let max = max.filter(|max| used > *max)?;
        Some(limit_error(resource, IMAGE_STREAM, used, max))
    };
    let errors =
        [error(IMAGES, &usage.images, images), error(IMAGE_TAGS, &usage.image_tags, image_tags)];
    match errors {
        [Some(images), Some(tags)] => Some(format!("[{images}, {tags}]")),
        [images, tags] => images.or(tags),
    }
}

/// Returns true if `new` has no more references than `old` and no other ones.
pub fn adds_nothing(old: Option<&ImageStream>, new: &ImageStream) -> bool {
    StreamUsage::of(new).adds_nothing_to(&old.map(StreamUsage::of).unwrap_or_default())
}

/// Returns a sentence about an image of this size that exceeds a limit.
pub fn image_exceeded(bytes: i64, max: Quantity) -> Option<String> {
    let size = Quantity::of_bytes(bytes);
    (size > max).then(|| limit_error(STORAGE, IMAGE, size, max))
}

fn limit_error(resource: &str, limit_type: &str, used: Quantity, max: Quantity) -> String {
    format!(
        "requested usage of {resource} exceeds the maximum limit per {limit_type} ({used} > {max})"
    )
}

impl StreamUsage {
    /// As `GetImageStreamUsage` in usage.go.
    fn of(stream: &ImageStream) -> Self {
        let events = stream.status.tags.iter().flat_map(|tag| &tag.items);
        let images = events.map(|event| &event.image).filter(|image| !image.is_empty());
        let sources = stream.spec.tags.iter().filter_map(|tag| tag.from.as_ref());
        let namespace = &stream.metadata.namespace;
        Self {
            images: images.cloned().collect(),
            image_tags: sources.filter_map(|from| normalized(namespace, from)).collect(),
        }
    }

    fn adds_nothing_to(&self, old: &Self) -> bool {
        self.images.is_subset(&old.images) && self.image_tags.is_subset(&old.image_tags)
    }
}

/// Normalizes the source of a tag; `None` for one that cannot be parsed.
fn normalized(namespace: &str, from: &ObjectReference) -> Option<String> {
    let namespace = if from.namespace.is_empty() { namespace } else { &from.namespace };
    match from.kind.as_str() {
        "DockerImage" => {
            let reference: Reference = from.name.parse().ok()?;
            Some(reference.with_client_defaults().daemon_minimal().exact())
        }
        "ImageStreamImage" => {
            let mut reference: Reference = from.name.parse().ok()?;
            if reference.id.is_empty() {
                return None;
            }
            if reference.namespace.is_empty() {
                reference.namespace = namespace.to_owned();
            }
            Some(reference.daemon_minimal().exact())
        }
        "ImageStreamTag" => Some(format!("{namespace}/{}", StreamTagName::parse(&from.name)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NamedTagEventList, TagEvent, TagReference};

    fn stream(sources: &[(&str, &str)], images: &[&str]) -> ImageStream {
        let mut stream = ImageStream::default();
        stream.metadata.namespace = "ns".into();
        for (kind, name) in sources {
            let from = ObjectReference {
                kind: (*kind).into(),
                name: (*name).into(),
                ..ObjectReference::default()
            };
            stream.spec.tags.push(TagReference { from: Some(from), ..TagReference::default() });
        }
        let event = |image: &&str| TagEvent { image: (*image).into(), ..TagEvent::default() };
        let items = images.iter().map(event).collect();
        stream.status.tags.push(NamedTagEventList { items, ..NamedTagEventList::default() });
        stream
    }

    fn limits(images: u64, image_tags: u64) -> StreamLimits {
        StreamLimits {
            images: Some(Quantity::of_count(images)),
            image_tags: Some(Quantity::of_count(image_tags)),
        }
    }

    #[test]
    fn equal_references_count_once() {
        let id = format!("sha256:{}", "a".repeat(64));
        let sources =
            |names: &[(&str, &str)]| StreamUsage::of(&stream(names, &[])).image_tags.len();
        let docker = "DockerImage";
        let same = [
            (docker, "app"),
            (docker, "app:latest"),
            (docker, "library/app"),
            (docker, "docker.io/app"),
            (docker, "index.docker.io/library/app:latest"),
        ];
        assert_eq!(sources(&same), 1);
        assert_eq!(sources(&[(docker, "quay.io/app"), (docker, "quay.io/library/app")]), 2);
        let of_stream = format!("app@{id}");
        let image = [("ImageStreamImage", of_stream.as_str()), ("ImageStreamImage", "app")];
        assert_eq!(sources(&image), 1, "one has no digest");
        let usage = StreamUsage::of(&stream(&image, &["i", "", "i"]));
        assert_eq!(usage.image_tags, BTreeSet::from([format!("ns/app@{id}")]));
        assert_eq!(usage.images, BTreeSet::from(["i".to_owned()]));
        let tags = [("ImageStreamTag", "app:1"), ("ImageStreamTag", "1"), ("Pod", "p")];
        assert_eq!(StreamUsage::of(&stream(&tags, &[])).image_tags, ["ns/app:1".to_owned()].into());
    }

    #[test]
    fn texts_are_those_of_the_reference() {
        let new = stream(&[("DockerImage", "a"), ("DockerImage", "b")], &["1", "2"]);
        let images = "requested usage of openshift.io/images exceeds the maximum limit per \
                      openshift.io/ImageStream (2 > 1)";
        let tags = "requested usage of openshift.io/image-tags exceeds the maximum limit per \
                    openshift.io/ImageStream (2 > 1)";
        assert_eq!(exceeded(None, &new, limits(1, 2)).as_deref(), Some(images));
        assert_eq!(exceeded(None, &new, limits(2, 1)).as_deref(), Some(tags));
        assert_eq!(exceeded(None, &new, limits(1, 1)), Some(format!("[{images}, {tags}]")));
        assert_eq!(exceeded(None, &new, limits(2, 2)), None);
        assert_eq!(exceeded(None, &new, StreamLimits::default()), None);
        let size = "requested usage of storage exceeds the maximum limit per openshift.io/Image \
                    (5000 > 1Ki)";
        assert_eq!(image_exceeded(5000, "1Ki".parse().unwrap()).as_deref(), Some(size));
        assert_eq!(image_exceeded(1024, "1Ki".parse().unwrap()), None);
    }

    #[test]
    fn streams_over_the_limit_can_be_updated_without_more() {
        let old = stream(&[("DockerImage", "a"), ("DockerImage", "b")], &["1", "2"]);
        let fewer = stream(&[("DockerImage", "b")], &["1", "2"]);
        assert_eq!(exceeded(Some(&old), &fewer, limits(1, 0)), None);
        assert_eq!(exceeded(Some(&old), &old, limits(1, 0)), None);
        let other = stream(&[("DockerImage", "c")], &["1", "2"]);
        assert!(exceeded(Some(&old), &other, limits(1, 0)).is_some());
        assert!(adds_nothing(Some(&old), &fewer) && !adds_nothing(Some(&old), &other));
    }
}
