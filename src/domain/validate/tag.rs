//! Rules for image stream tags and image tags.

use super::tag_reference;
use crate::api::{ImageStreamTag, ImageTag, TagReference};
use crate::domain::names;
use crate::meta::{ObjectMeta, field};

/// The faults of a new ImageStreamTag, but for those of its metadata.
pub fn stream_tag(view: &ImageStreamTag) -> Vec<field::Error> {
    let mut faults: Vec<field::Error> = view.tag.iter().flat_map(|tag| under("tag", tag)).collect();
    let annotations = view.tag.as_ref().and_then(|tag| tag.annotations.as_ref());
    if annotations.is_some_and(|annotations| *annotations != view.metadata.annotations) {
        let rule = "tag annotations must not be provided or must be equal to the object meta annotations";
        faults.push(field::Error::invalid("tag.annotations", "<map>", rule));
    }
    faults
}

/// The faults of an ImageStreamTag that takes the place of `old`, but for those of its metadata.
///
/// Annotations and the wanted tag may change; lookup policy, generation, conditions and image are not looked at, for they
/// are not written.
pub fn stream_tag_update(old: &ImageStreamTag, new: &ImageStreamTag) -> Vec<field::Error> {
    let mut faults: Vec<field::Error> = new.tag.iter().flat_map(|tag| under("tag", tag)).collect();
    let without_annotations = |meta: &ObjectMeta| ObjectMeta { annotations: Default::default(), ..meta.clone() };
    if without_annotations(&old.metadata) != without_annotations(&new.metadata) {
        let rule = "may not update fields other than metadata.annotations";
        faults.push(field::Error::invalid("metadata", "", rule));
    }
    faults
}

/// The faults of a new ImageTag, but for those of its metadata.
pub fn image_tag(view: &ImageTag) -> Vec<field::Error> {
    match &view.spec {
        Some(spec) => wanted(&view.metadata.name, spec),
        None => vec![field::Error::required("spec", "spec is a required field during creation")],
    }
}

/// The faults of an ImageTag that takes the place of `old`, but for those of its metadata.
pub fn image_tag_update(old: &ImageTag, new: &ImageTag) -> Vec<field::Error> {
    let mut faults = new.spec.as_ref().map(|spec| wanted(&new.metadata.name, spec)).unwrap_or_default();
    let rule = "may not update fields other than spec";
    if old.metadata != new.metadata {
        faults.push(field::Error::invalid("metadata", "", rule));
    }
    if old.status != new.status {
        faults.push(field::Error::invalid("status", "", rule));
    }
    faults
}

fn wanted(name: &str, spec: &TagReference) -> Vec<field::Error> {
    let mut faults = under("spec", spec);
    if spec.name != names::tag_part(name) {
        faults.push(field::Error::invalid("spec.name", &spec.name, "must match image tag name"));
    }
    faults
}

fn under(path: &str, tag: &TagReference) -> Vec<field::Error> {
    tag_reference(tag).into_iter().map(|fault| fault.under(path)).collect()
}
