//! Writing a tag: edits of the stream that it belongs to.
//!
//! The stream is written like any other afterwards; [`spec::prepare_update`](super::spec::prepare_update) gives the edited
//! tag its generation.

use super::names::StreamTagName;
use super::tags;
use crate::api::{GROUP, ImageStream, ImageStreamTag, ImageTag, TagReference};
use crate::meta::{Resource, Status};

/// Whether a wanted tag was there before it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// There was none of this name.
    New,
    /// There was one.
    Replaced,
}

/// A stream without anything in it, for a tag whose stream does not exist yet.
pub fn empty_stream(namespace: &str, name: &str) -> ImageStream {
    let mut stream = ImageStream::default();
    stream.metadata.namespace = namespace.into();
    stream.metadata.name = name.into();
    stream
}

/// Adds the wanted tag of a new ImageStreamTag, if it has one.
///
/// # Errors
/// 409 where the stream has a wanted tag of this name; one that was only pushed does not count.
pub fn create_stream_tag(stream: &mut ImageStream, tag: &str, view: &ImageStreamTag) -> Result<(), Status> {
    add(stream, tag, view.tag.clone(), "imagestreamtag", &view.metadata.name)
}

/// Adds the wanted tag of a new ImageTag.
///
/// # Errors
/// 409 where the stream has a wanted tag of this name; one that was only pushed does not count.
pub fn create_image_tag(stream: &mut ImageStream, tag: &str, view: &ImageTag) -> Result<(), Status> {
    add(stream, tag, view.spec.clone(), "imagetags", &view.metadata.name)
}

/// Sets the wanted tag to that of an ImageStreamTag, or keeps it where that has none, and its annotations to those of the
/// ImageStreamTag.
///
/// # Errors
/// 400 where there is nothing that could be kept.
pub fn update_stream_tag(stream: &mut ImageStream, tag: &str, view: &ImageStreamTag) -> Result<Set, Status> {
    let Some(mut wanted) = view.tag.clone().or_else(|| tags::wanted(stream, tag).cloned()) else {
        let (namespace, name) = (&stream.metadata.namespace, &stream.metadata.name);
        let text =
            format!("imagestreamtag {tag} is not a spec tag in imagestream {namespace}/{name}, cannot be updated");
        return Err(Status::bad_request(text));
    };
    wanted.annotations = Some(view.metadata.annotations.clone());
    Ok(set(stream, tag, wanted))
}

/// Sets the wanted tag to that of an ImageTag, or takes it away where that has none.
pub fn update_image_tag(stream: &mut ImageStream, tag: &str, view: &ImageTag) -> Set {
    match &view.spec {
        Some(wanted) => set(stream, tag, wanted.clone()),
        None => match tags::wanted_place(&stream.spec.tags, tag) {
            Ok(at) => {
                stream.spec.tags.remove(at);
                Set::Replaced
            }
            Err(_) => Set::New,
        },
    }
}

/// Takes a tag away, with its history. Tags that follow it keep what they have.
///
/// # Errors
/// 404 where the stream has no such tag. `resource` is the one that was asked for.
pub fn delete(stream: &mut ImageStream, name: &StreamTagName, resource: Resource<'_>) -> Result<(), Status> {
    let wanted = tags::wanted_place(&stream.spec.tags, &name.tag).map(|at| stream.spec.tags.remove(at));
    let history = tags::history_place(&stream.status.tags, &name.tag).map(|at| stream.status.tags.remove(at));
    match (wanted, history) {
        (Err(_), Err(_)) => Err(Status::not_found(resource, &name.to_string())),
        _ => Ok(()),
    }
}

fn add(
    stream: &mut ImageStream,
    tag: &str,
    wanted: Option<TagReference>,
    resource: &'static str,
    name: &str,
) -> Result<(), Status> {
    if tags::wanted(stream, tag).is_some() {
        return Err(Status::already_exists(Resource { group: GROUP, name: resource }, name));
    }
    if let Some(wanted) = wanted {
        set(stream, tag, wanted);
    }
    Ok(())
}

/// Puts a wanted tag at its place, under the name `tag` whatever it calls itself.
fn set(stream: &mut ImageStream, tag: &str, mut wanted: TagReference) -> Set {
    wanted.name = tag.into();
    wanted.default_fields();
    let tags = &mut stream.spec.tags;
    match tags::wanted_place(tags, tag) {
        Ok(at) => {
            tags[at] = wanted;
            Set::Replaced
        }
        Err(at) => {
            tags.insert(at, wanted);
            Set::New
        }
    }
}
