//! Writes of tags as edits of their stream.
//!
//! Afterwards [`prepare_for_update`](super::stream_strategy::prepare_for_update) sets the
//! generation of the changed tag.

use super::names::{self, StreamTagName};
use super::tags;
use crate::api::{GROUP, ImageStream, ImageStreamTag, ImageTag, TagReference};
use crate::meta::{GroupResource, Status, excerpt};

/// Effect of a write on a spec tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagWrite {
    /// The spec tag was created.
    Created,
    /// The spec tag existed.
    Updated,
}

/// Returns an empty stream, for a tag whose stream does not exist.
pub fn empty_stream(namespace: &str, name: &str) -> ImageStream {
    let mut stream = ImageStream::default();
    stream.metadata.namespace = namespace.into();
    stream.metadata.name = name.into();
    stream
}

/// Returns the tag in the name of a new tag object that was not validated.
pub fn tag_of_new(name: &str) -> &str {
    names::tag_part(name)
}

/// Adds the spec tag of a new ImageStreamTag, if it has one.
///
/// # Errors
/// 409 if the stream has a spec tag with this name. A tag that only has a history does not count.
pub fn create_stream_tag(
    stream: &mut ImageStream,
    tag: &str,
    view: &ImageStreamTag,
) -> Result<(), Status> {
    add(stream, tag, view.tag.clone(), "imagestreamtag", &view.metadata.name)
}

/// Adds the spec tag of a new ImageTag.
///
/// # Errors
/// 409 if the stream has a spec tag with this name. A tag that only has a history does not count.
pub fn create_image_tag(
    stream: &mut ImageStream,
    tag: &str,
    view: &ImageTag,
) -> Result<(), Status> {
    add(stream, tag, view.spec.clone(), "imagetags", &view.metadata.name)
}

/// Replaces the spec tag with that of an ImageStreamTag, or keeps it if that has none, and sets its
/// annotations to those of the ImageStreamTag.
///
/// # Errors
/// 400 if neither the stream nor the ImageStreamTag has a spec tag.
pub fn update_stream_tag(
    stream: &mut ImageStream,
    tag: &str,
    view: &ImageStreamTag,
) -> Result<TagWrite, Status> {
    let Some(mut spec_tag) = view.tag.clone().or_else(|| tags::spec_tag(stream, tag).cloned())
    else {
        let (namespace, name) = (&stream.metadata.namespace, &stream.metadata.name);
        let tag = excerpt::of(tag);
        let text = format!(
            "imagestreamtag {tag} is not a spec tag in imagestream {namespace}/{name}, cannot be updated"
        );
        return Err(Status::bad_request(text));
    };
    spec_tag.annotations = Some(view.metadata.annotations.clone());
    Ok(set(stream, tag, spec_tag))
}

/// Replaces the spec tag with that of an ImageTag, or removes it if that has none.
pub fn update_image_tag(stream: &mut ImageStream, tag: &str, view: &ImageTag) -> TagWrite {
    match &view.spec {
        Some(spec_tag) => set(stream, tag, spec_tag.clone()),
        None => match tags::spec_tag_index(&stream.spec.tags, tag) {
            Ok(at) => {
                stream.spec.tags.remove(at);
                TagWrite::Updated
            }
            Err(_) => TagWrite::Created,
        },
    }
}

/// Removes a tag and its history. Tracking tags keep their history.
///
/// # Errors
/// 404 for `resource` if the stream has no such tag.
pub fn delete(
    stream: &mut ImageStream,
    name: &StreamTagName,
    resource: GroupResource<'_>,
) -> Result<(), Status> {
    let spec_tag =
        tags::spec_tag_index(&stream.spec.tags, &name.tag).map(|at| stream.spec.tags.remove(at));
    let history =
        tags::history_index(&stream.status.tags, &name.tag).map(|at| stream.status.tags.remove(at));
    match (spec_tag, history) {
        (Err(_), Err(_)) => Err(Status::not_found(resource, &name.to_string())),
        _ => Ok(()),
    }
}

fn add(
    stream: &mut ImageStream,
    tag: &str,
    spec_tag: Option<TagReference>,
    resource: &'static str,
    name: &str,
) -> Result<(), Status> {
    if tags::spec_tag(stream, tag).is_some() {
        return Err(Status::already_exists(GroupResource { group: GROUP, name: resource }, name));
    }
    if let Some(spec_tag) = spec_tag {
        set(stream, tag, spec_tag);
    }
    Ok(())
}

/// Inserts a spec tag in order, under the name `tag` regardless of its own.
fn set(stream: &mut ImageStream, tag: &str, mut spec_tag: TagReference) -> TagWrite {
    spec_tag.name = tag.into();
    spec_tag.default_fields();
    let tags = &mut stream.spec.tags;
    match tags::spec_tag_index(tags, tag) {
        Ok(at) => {
            tags[at] = spec_tag;
            TagWrite::Updated
        }
        Err(at) => {
            tags.insert(at, spec_tag);
            TagWrite::Created
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NamedTagEventList, ObjectReference};

    fn spec_tag(name: &str, from: &str) -> TagReference {
        let from = ObjectReference {
            kind: "DockerImage".into(),
            name: from.into(),
            ..ObjectReference::default()
        };
        TagReference { name: name.into(), from: Some(from), ..TagReference::default() }
    }

    fn stream() -> ImageStream {
        let mut stream = empty_stream("ns", "s");
        stream.spec.tags = vec![spec_tag("a", "x"), spec_tag("c", "z")];
        stream.spec.tags.iter_mut().for_each(TagReference::default_fields);
        let history =
            |tag: &str| NamedTagEventList { tag: tag.into(), ..NamedTagEventList::default() };
        stream.status.tags = vec![history("a"), history("p")];
        stream
    }

    fn names(stream: &ImageStream) -> (Vec<&str>, Vec<&str>) {
        let spec_tag = stream.spec.tags.iter().map(|tag| tag.name.as_str()).collect();
        (spec_tag, stream.status.tags.iter().map(|tag| tag.tag.as_str()).collect())
    }

    fn source(stream: &ImageStream, tag: &str) -> String {
        tags::spec_tag(stream, tag).unwrap().from.as_ref().unwrap().name.clone()
    }

    #[test]
    fn new_tag_is_inserted_in_order() {
        let mut stream = stream();
        let view =
            ImageStreamTag { tag: Some(spec_tag("other", "y")), ..ImageStreamTag::default() };
        create_stream_tag(&mut stream, "b", &view).unwrap();
        create_stream_tag(&mut stream, "p", &view).unwrap();
        create_stream_tag(&mut stream, "nothing", &ImageStreamTag::default()).unwrap();
        assert_eq!(names(&stream), (vec!["a", "b", "c", "p"], vec!["a", "p"]));
        assert_eq!(tags::spec_tag(&stream, "b").unwrap().reference_policy.r#type, "Source");
    }

    #[test]
    fn existing_spec_tag_cannot_be_created() {
        let mut view =
            ImageStreamTag { tag: Some(spec_tag("a", "y")), ..ImageStreamTag::default() };
        view.metadata.name = "s:a".into();
        let status = create_stream_tag(&mut stream(), "a", &view).unwrap_err();
        assert_eq!(status.message, "imagestreamtag.image.openshift.io \"s:a\" already exists");
        let mut view = ImageTag { spec: Some(spec_tag("a", "y")), ..ImageTag::default() };
        view.metadata.name = "s:a".into();
        let status = create_image_tag(&mut stream(), "a", &view).unwrap_err();
        assert_eq!(status.message, "imagetags.image.openshift.io \"s:a\" already exists");
    }

    #[test]
    fn stream_tag_update_sets_tag_or_annotations() {
        let mut stream = stream();
        let mut view =
            ImageStreamTag { tag: Some(spec_tag("z", "new")), ..ImageStreamTag::default() };
        assert_eq!(update_stream_tag(&mut stream, "a", &view), Ok(TagWrite::Updated));
        assert_eq!(update_stream_tag(&mut stream, "p", &view), Ok(TagWrite::Created));
        assert_eq!(source(&stream, "a"), "new");
        view.tag = None;
        view.metadata.annotations.insert("k".into(), "v".into());
        assert_eq!(update_stream_tag(&mut stream, "c", &view), Ok(TagWrite::Updated));
        assert_eq!(source(&stream, "c"), "z");
        assert_eq!(
            tags::spec_tag(&stream, "c").unwrap().annotations,
            Some(view.metadata.annotations.clone())
        );
        let status = update_stream_tag(&mut stream, "nosuch", &view).unwrap_err();
        let text = "imagestreamtag nosuch is not a spec tag in imagestream ns/s, cannot be updated";
        assert_eq!((status.code, status.message.as_str()), (400, text));
        view.metadata.annotations.clear();
        update_stream_tag(&mut stream, "c", &view).unwrap();
        assert_eq!(tags::spec_tag(&stream, "c").unwrap().annotations, None);
    }

    #[test]
    fn image_tag_update_sets_or_removes_the_tag() {
        let mut stream = stream();
        let mut view = ImageTag { spec: Some(spec_tag("a", "new")), ..ImageTag::default() };
        assert_eq!(update_image_tag(&mut stream, "a", &view), TagWrite::Updated);
        assert_eq!(update_image_tag(&mut stream, "p", &view), TagWrite::Created);
        view.spec = None;
        assert_eq!(update_image_tag(&mut stream, "a", &view), TagWrite::Updated);
        assert_eq!(update_image_tag(&mut stream, "a", &view), TagWrite::Created);
        assert_eq!(names(&stream), (vec!["c", "p"], vec!["a", "p"]));
    }

    #[test]
    fn deletion_removes_tag_and_history() {
        let mut stream = stream();
        let resource = GroupResource { group: GROUP, name: "imagetags" };
        let mut remove = |tag: &str| {
            let name = StreamTagName { stream: "s".into(), tag: tag.into() };
            delete(&mut stream, &name, resource).map_err(|status| status.message)
        };
        assert_eq!((remove("a"), remove("c"), remove("p")), (Ok(()), Ok(()), Ok(())));
        assert_eq!(remove("p"), Err("imagetags.image.openshift.io \"s:p\" not found".into()));
        assert_eq!(names(&stream), (vec![], vec![]));
    }
}
