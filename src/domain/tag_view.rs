//! What the two views on a tag show of a stream and its image.

use super::metadata::{self, FillError};
use super::names::joined;
use super::{reference, tags};
use crate::api::{Image, ImageStream, ImageStreamTag, ImageTag, TagEvent};
use crate::meta::ObjectMeta;

/// Name of the image that `tag` stands for; none for a tag that has been nothing, or only refers to something.
pub fn image_of<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a str> {
    event(stream, tag).map(|event| event.image.as_str())
}

/// Whether there is something to be shown of `tag`: a wish, or what became of it.
pub fn exists(stream: &ImageStream, tag: &str) -> bool {
    tags::wanted(stream, tag).is_some() || tags::history(stream, tag).is_some()
}

/// The view on `tag` as an ImageStreamTag. The stream must be [decorated](super::policy::Registries::decorate).
///
/// Whether a tag without an [image](image_of) can be seen at all is for the caller to say. Where the image is not given,
/// only its name and how it is pulled are shown.
///
/// # Errors
/// Metadata of the image that cannot be filled in.
pub fn stream_tag(stream: &ImageStream, tag: &str, image: Option<Image>) -> Result<ImageStreamTag, FillError> {
    let (event, wanted) = (event(stream, tag), tags::wanted(stream, tag));
    let annotations = wanted.and_then(|wanted| wanted.annotations.as_ref());
    let mut image = match image {
        Some(mut image) => {
            image
                .metadata
                .annotations
                .extend(annotations.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
            metadata::present(&mut image)?;
            image
        }
        None => {
            let mut image = Image::default();
            image.metadata.name = event.map(|event| event.image.clone()).unwrap_or_default();
            image
        }
    };
    image.docker_image_reference = event.map(|event| pulled_by(stream, tag, event)).unwrap_or_default();
    let of = &stream.metadata;
    let metadata = ObjectMeta {
        name: joined(&of.name, tag),
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
        tag: wanted.cloned(),
        generation: event.map_or(0, |event| event.generation),
        lookup_policy: stream.spec.lookup_policy.clone(),
        conditions: tags::history(stream, tag).map(|history| history.conditions.clone()).unwrap_or_default(),
        image,
    })
}

/// The view on `tag` as an ImageTag. The stream must be [decorated](super::policy::Registries::decorate).
///
/// # Errors
/// Metadata of the image that cannot be filled in.
pub fn image_tag(stream: &ImageStream, tag: &str, image: Option<Image>) -> Result<ImageTag, FillError> {
    let image = match (image, event(stream, tag)) {
        (Some(mut image), Some(event)) => {
            metadata::present(&mut image)?;
            image.docker_image_reference = pulled_by(stream, tag, event);
            Some(image)
        }
        _ => None,
    };
    Ok(ImageTag {
        metadata: ObjectMeta { name: joined(&stream.metadata.name, tag), ..stream.metadata.clone() },
        spec: tags::wanted(stream, tag).cloned(),
        status: tags::history(stream, tag).cloned(),
        image,
    })
}

/// Every tag of the stream that stands for an image, as lists show ImageStreamTags: by name, without the images.
pub fn stream_tags(stream: &ImageStream) -> Vec<ImageStreamTag> {
    let tags = stream.status.tags.iter().map(|tag| tag.tag.as_str()).filter(|tag| image_of(stream, tag).is_some());
    // Without an image there is nothing that could not be filled in.
    tags.filter_map(|tag| stream_tag(stream, tag, None).ok()).collect()
}

/// Every tag of the stream, as lists show ImageTags: by name, without the images.
pub fn image_tags(stream: &ImageStream) -> Vec<ImageTag> {
    let wanted = stream.spec.tags.iter().map(|tag| tag.name.as_str());
    let mut tags: Vec<&str> = wanted.chain(stream.status.tags.iter().map(|tag| tag.tag.as_str())).collect();
    tags.sort_unstable();
    tags.dedup();
    tags.into_iter().filter_map(|tag| image_tag(stream, tag, None).ok()).collect()
}

/// The newest event of `tag`, if it has an image.
fn event<'a>(stream: &'a ImageStream, tag: &str) -> Option<&'a TagEvent> {
    tags::newest(stream, tag).filter(|event| !event.image.is_empty())
}

/// How the image of a tag is pulled, as the wanted tag's policy says: from where it is, or through the cluster's registry.
fn pulled_by(stream: &ImageStream, tag: &str, event: &TagEvent) -> String {
    let is_local = tags::wanted(stream, tag).is_some_and(|wanted| wanted.reference_policy.r#type == "Local");
    let local = is_local.then(|| reference::of_image(&stream.status.docker_image_repository, &event.image)).flatten();
    local.unwrap_or_else(|| event.docker_image_reference.clone())
}
