//! Validation of image stream tags and image tags.

use super::tag_reference;
use crate::api::{ImageStreamTag, ImageTag, TagReference};
use crate::domain::names;
use crate::meta::{ObjectMeta, field};

/// Validates a new ImageStreamTag except its metadata, as `ValidateImageStreamTag` in
/// openshift-apiserver.
pub fn stream_tag(view: &ImageStreamTag) -> field::Errors {
    let mut errors: field::Errors = view.tag.iter().flat_map(|tag| under("tag", tag)).collect();
    let annotations = view.tag.as_ref().and_then(|tag| tag.annotations.as_ref());
    if annotations.is_some_and(|annotations| *annotations != view.metadata.annotations) {
        let rule =
            "tag annotations must not be provided or must be equal to the object meta annotations";
        errors.push_with(|| field::Error::invalid("tag.annotations", "<map>", rule));
    }
    errors
}

/// Validates an update of an ImageStreamTag except its metadata, as `ValidateImageStreamTagUpdate`.
///
/// Annotations and the spec tag may change. The other fields are ignored because they are not
/// written.
pub fn stream_tag_update(old: &ImageStreamTag, new: &ImageStreamTag) -> field::Errors {
    let mut errors: field::Errors = new.tag.iter().flat_map(|tag| under("tag", tag)).collect();
    let without_annotations =
        |meta: &ObjectMeta| ObjectMeta { annotations: Default::default(), ..meta.clone() };
    if without_annotations(&old.metadata) != without_annotations(&new.metadata) {
        let rule = "may not update fields other than metadata.annotations";
        errors.push_with(|| field::Error::invalid("metadata", "", rule));
    }
    errors
}

/// Validates a new ImageTag except its metadata, as `ValidateImageTag`.
pub fn image_tag(view: &ImageTag) -> field::Errors {
    match &view.spec {
        Some(spec) => spec_of(&view.metadata.name, spec),
        None => field::Error::required("spec", "spec is a required field during creation").into(),
    }
}

/// Validates an update of an ImageTag except its metadata, as `ValidateImageTagUpdate`.
pub fn image_tag_update(old: &ImageTag, new: &ImageTag) -> field::Errors {
    let mut errors =
        new.spec.as_ref().map(|spec| spec_of(&new.metadata.name, spec)).unwrap_or_default();
    let rule = "may not update fields other than spec";
    if old.metadata != new.metadata {
        errors.push_with(|| field::Error::invalid("metadata", "", rule));
    }
    if old.status != new.status {
        errors.push_with(|| field::Error::invalid("status", "", rule));
    }
    errors
}

fn spec_of(name: &str, spec: &TagReference) -> field::Errors {
    let mut errors = field::Errors::default();
    if spec.name != names::tag_part(name) {
        errors.push_with(|| {
            field::Error::invalid("spec.name", &spec.name, "must match image tag name")
        });
    }
    errors.append(under("spec", spec));
    errors
}

fn under(path: &str, tag: &TagReference) -> field::Errors {
    tag_reference(tag).into_iter().map(|error| error.under(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NamedTagEventList, ObjectReference};

    fn reference(name: &str, kind: &str) -> TagReference {
        let from =
            ObjectReference { kind: kind.into(), name: "x/y".into(), ..ObjectReference::default() };
        let mut tag =
            TagReference { name: name.into(), from: Some(from), ..TagReference::default() };
        tag.default_fields();
        tag
    }

    fn stream_tag_of(tag: Option<TagReference>) -> ImageStreamTag {
        let mut view = ImageStreamTag { tag, ..ImageStreamTag::default() };
        view.metadata.name = "s:a".into();
        view
    }

    fn image_tag_of(name: &str, spec: Option<TagReference>) -> ImageTag {
        let mut view = ImageTag { spec, ..ImageTag::default() };
        view.metadata.name = name.into();
        view
    }

    const KIND: &str = "from.kind: Required value: valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'";

    #[test]
    fn stream_tag_spec_is_optional_but_must_be_valid() {
        assert!(stream_tag(&stream_tag_of(None)).is_empty());
        assert!(stream_tag(&stream_tag_of(Some(reference("any", "DockerImage")))).is_empty());
        assert_eq!(
            field::join(&stream_tag(&stream_tag_of(Some(reference("a", "Pod"))))),
            format!("tag.{KIND}")
        );
    }

    #[test]
    fn new_stream_tag_annotations_must_agree() {
        let mut view = stream_tag_of(Some(reference("a", "DockerImage")));
        view.metadata.annotations.insert("m".into(), "2".into());
        assert!(stream_tag(&view).is_empty());
        view.tag.as_mut().unwrap().annotations = Some(view.metadata.annotations.clone());
        assert!(stream_tag(&view).is_empty());
        view.metadata.annotations.clear();
        let rule =
            "tag annotations must not be provided or must be equal to the object meta annotations";
        let expected = format!("tag.annotations: Invalid value: \"<map>\": {rule}");
        assert_eq!(field::join(&stream_tag(&view)), expected);
    }

    #[test]
    fn stream_tag_update_changes_annotations_and_spec() {
        let old = stream_tag_of(None);
        let mut new = stream_tag_of(Some(reference("a", "DockerImage")));
        new.metadata.annotations.insert("m".into(), "2".into());
        new.generation = 9;
        assert!(stream_tag_update(&old, &new).is_empty());
        new.metadata.labels.insert("l".into(), "1".into());
        let expected =
            "metadata: Invalid value: \"\": may not update fields other than metadata.annotations";
        assert_eq!(field::join(&stream_tag_update(&old, &new)), expected);
    }

    #[test]
    fn new_image_tag_needs_a_spec_with_its_name() {
        let errors = |name: &str, spec| field::join(&image_tag(&image_tag_of(name, spec)));
        assert_eq!(
            errors("s:a", None),
            "spec: Required value: spec is a required field during creation"
        );
        assert_eq!(errors("s:a", Some(reference("a", "DockerImage"))), "[]");
        assert_eq!(errors("s:", Some(reference("latest", "DockerImage"))), "[]");
        assert_eq!(errors("s:a", Some(reference("a", "Pod"))), format!("spec.{KIND}"));
        let name = "spec.name: Invalid value: \"b\": must match image tag name";
        assert_eq!(errors("s:a", Some(reference("b", "Pod"))), format!("[{name}, spec.{KIND}]"));
        for name in ["", "s:b", "a"] {
            let expected = "spec.name: Invalid value: \"a\": must match image tag name";
            assert_eq!(errors(name, Some(reference("a", "DockerImage"))), expected, "{name}");
        }
    }

    #[test]
    fn image_tag_update_changes_only_the_spec() {
        let old = image_tag_of("s:a", None);
        assert!(
            image_tag_update(&old, &image_tag_of("s:a", Some(reference("a", "DockerImage"))))
                .is_empty()
        );
        let mut new = image_tag_of("s:a", None);
        new.metadata.labels.insert("l".into(), "1".into());
        new.status = Some(NamedTagEventList::default());
        let rule = "Invalid value: \"\": may not update fields other than spec";
        assert_eq!(
            field::join(&image_tag_update(&old, &new)),
            format!("[metadata: {rule}, status: {rule}]")
        );
    }
}
