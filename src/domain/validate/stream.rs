//! Validation of image streams and their tags.

use super::stream_import::import_mode;
use super::{reference, reference_form};
use crate::{
    api::{ImageStream, NamedTagEventList, TagReference},
    domain::{reference::Reference, tags},
    meta::field,
};

/// Maximum length of `namespace/name`, which must fit into a pull spec
/// (`reference.NameTotalLengthMax` in distribution).
const MAX_NAME_LENGTH: usize = 255;

/// Validates spec and status of `stream`, as `ValidateImageStreamWithWhitelister` in
/// openshift-apiserver. Callers validate the generic metadata. Errors are in the order of the tag
/// names.
///
/// Tag names are not restricted, and allowed registries are not checked.
pub fn stream(stream: &ImageStream) -> field::Errors {
    let mut errors = name_and_spec(stream);
    errors.extend(stream.status.tags.iter().flat_map(history));
    errors
}

/// Validates an update of `old`. Unchanged histories were validated before.
pub fn stream_update(old: &ImageStream, new: &ImageStream) -> field::Errors {
    let mut errors = name_and_spec(new);
    let is_new = |tag: &&NamedTagEventList| {
        tags::history(old, &tag.tag).is_none_or(|before| before.items != tag.items)
    };
    errors.extend(new.status.tags.iter().filter(is_new).flat_map(history));
    errors
}

/// Validates name and spec.
fn name_and_spec(stream: &ImageStream) -> field::Errors {
    let mut errors = field::Errors::default();
    let metadata = &stream.metadata;
    if metadata.namespace.len() + 1 + metadata.name.len() > MAX_NAME_LENGTH {
        let rule = format!("'namespace/name' cannot be longer than {MAX_NAME_LENGTH} characters");
        errors.push_with(|| field::Error::invalid("metadata.name", &metadata.name, rule));
    }
    errors.append(repository(&stream.spec.docker_image_repository));
    errors.extend(stream.spec.tags.iter().flat_map(|tag| {
        tag_reference(tag)
            .into_iter()
            .map(move |error| error.under(format_args!("spec.tags[{}]", tag.name)))
    }));
    errors
}

/// Validates one spec tag, as `ValidateImageStreamTagReference` in Go. Paths are relative to the
/// tag.
pub fn tag_reference(tag: &TagReference) -> field::Errors {
    let mut errors = source(tag);
    let policy = &tag.reference_policy.r#type;
    if !matches!(policy.as_str(), "Source" | "Local") {
        let rule = "valid values are \"Source\", \"Local\"";
        errors.push_with(|| field::Error::invalid("referencePolicy.type", policy, rule));
    }
    errors.extend(import_mode(&tag.import_policy));
    errors
}

fn source(tag: &TagReference) -> field::Errors {
    let Some(from) = &tag.from else {
        return field::Errors::default();
    };
    let mut errors = field::Errors::default();
    if from.name.is_empty() {
        errors.push_with(|| field::Error::required("from.name", ""));
    }
    match from.kind.as_str() {
        "DockerImage" if from.name.is_empty() => {}
        "DockerImage" => errors.extend(reference_form("from.name", &from.name)),
        "ImageStreamTag" | "ImageStreamImage" if tag.import_policy.scheduled => {
            let rule =
                "only tags pointing to Docker repositories may be scheduled for background import";
            errors.push_with(|| field::Error::invalid_value("importPolicy.scheduled", true, rule));
        }
        "ImageStreamTag" | "ImageStreamImage" => {}
        _ => {
            let remark = "valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'";
            errors.push_with(|| field::Error::required("from.kind", remark));
        }
    }
    errors
}

/// Validates the pull specs in the history of a tag.
fn history(tag: &NamedTagEventList) -> impl Iterator<Item = field::Error> {
    tag.items.iter().enumerate().filter_map(|(at, event)| {
        let path = format_args!("status.tags[{}].items[{at}].dockerImageReference", tag.tag);
        reference(path, &event.docker_image_reference)
    })
}

fn repository(text: &str) -> field::Errors {
    let invalid = |rule: &str| field::Error::invalid("spec.dockerImageRepository", text, rule);
    match text.parse::<Reference>() {
        _ if text.is_empty() => field::Errors::default(),
        Err(error) => invalid(&error.to_string()).into(),
        Ok(reference) => {
            let tag = (!reference.tag.is_empty())
                .then(|| invalid("the repository name may not contain a tag"));
            let id = (!reference.id.is_empty())
                .then(|| invalid("the repository name may not contain an ID"));
            tag.into_iter().chain(id).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ObjectReference, TagEvent};

    fn tag(kind: &str, name: &str) -> TagReference {
        let from =
            ObjectReference { kind: kind.into(), name: name.into(), ..ObjectReference::default() };
        let mut tag =
            TagReference { name: "t".into(), from: Some(from), ..TagReference::default() };
        tag.default_fields();
        tag
    }

    fn errors(tags: &[TagReference]) -> String {
        let mut object = ImageStream::default();
        object.spec.tags = tags.to_vec();
        field::join(&stream(&object))
    }

    #[test]
    fn stream_name_fits_into_a_reference() {
        let mut object = ImageStream::default();
        object.metadata.namespace = "n".into();
        object.metadata.name = "a".repeat(253);
        assert!(stream(&object).is_empty());
        object.metadata.name.push('a');
        assert!(
            stream(&object)[0]
                .to_string()
                .ends_with("'namespace/name' cannot be longer than 255 characters")
        );
    }

    #[test]
    fn repository_has_no_tag_and_no_digest() {
        let errors =
            |text: &str| repository(text).iter().map(ToString::to_string).collect::<Vec<_>>();
        let message = |text: &str, rule: &str| {
            format!("spec.dockerImageRepository: Invalid value: \"{text}\": {rule}")
        };
        assert!(
            errors("").is_empty()
                && errors("UP/er").is_empty()
                && errors("r.io:5000/a/b/c").is_empty()
        );
        assert_eq!(errors("x y"), [message("x y", "invalid reference format")]);
        let both = format!("x:t@sha256:{}", "a".repeat(64));
        let (tag, id) = (
            "the repository name may not contain a tag",
            "the repository name may not contain an ID",
        );
        assert_eq!(errors(&both), [message(&both, tag), message(&both, id)]);
    }

    #[test]
    fn source_is_optional_but_must_be_valid() {
        let none = TagReference { from: None, ..tag("", "") };
        assert_eq!(
            errors(&[none, tag("DockerImage", "x/y:z"), tag("ImageStreamTag", "any: thing")]),
            "[]"
        );
        let kinds = "spec.tags[t].from.kind: Required value: valid values are 'DockerImage', 'ImageStreamImage', \
            'ImageStreamTag'";
        assert_eq!(errors(&[tag("dockerimage", "x")]), kinds);
        assert_eq!(
            errors(&[tag("", "")]),
            format!("[spec.tags[t].from.name: Required value, {kinds}]")
        );
        assert_eq!(errors(&[tag("DockerImage", "")]), "spec.tags[t].from.name: Required value");
        let lower =
            "spec.tags[t].from.name: Invalid value: \"x/U\": repository name must be lowercase";
        assert_eq!(errors(&[tag("DockerImage", "x/U")]), lower);
    }

    #[test]
    fn policies_have_supported_values() {
        let mut bad = tag("ImageStreamImage", "a@b");
        bad.import_policy.scheduled = true;
        bad.import_policy.import_mode = "zz".into();
        bad.reference_policy.r#type = "q".into();
        assert_eq!(
            errors(&[bad]),
            "[spec.tags[t].importPolicy.scheduled: Invalid value: true: only tags pointing to Docker repositories may be \
            scheduled for background import, spec.tags[t].referencePolicy.type: Invalid value: \"q\": valid values are \
            \"Source\", \"Local\", spec.tags[t].importPolicy.importMode: Invalid value: \"zz\": invalid import mode, valid \
            modes are '', 'Legacy', 'PreserveOriginal']"
        );
    }

    #[test]
    fn only_changed_histories_are_validated() {
        let event =
            |text: &str| TagEvent { docker_image_reference: text.into(), ..TagEvent::default() };
        let tag = |tag: &str, text: &str| NamedTagEventList {
            tag: tag.into(),
            items: vec![event(text)].into(),
            ..NamedTagEventList::default()
        };
        let mut old = ImageStream::default();
        old.status.tags = vec![tag("a", "A B"), tag("b", "b")];
        let mut new = old.clone();
        new.status.tags[1] = tag("b", "B B");
        let text = field::join(&stream_update(&old, &new));
        assert!(
            text.starts_with("status.tags[b].items[0].dockerImageReference: Invalid"),
            "{text}"
        );
        new.spec.docker_image_repository = "x y".into();
        assert_eq!(stream_update(&old, &new).len(), 2);
    }

    #[test]
    fn every_event_needs_a_reference() {
        let event =
            |text: &str| TagEvent { docker_image_reference: text.into(), ..TagEvent::default() };
        let items = vec![event("a"), event(""), event("A B")];
        let mut object = ImageStream::default();
        object.status.tags = vec![NamedTagEventList {
            tag: "x".into(),
            items: items.into(),
            ..NamedTagEventList::default()
        }];
        assert_eq!(
            field::join(&stream(&object)),
            "[status.tags[x].items[1].dockerImageReference: Required value, status.tags[x].items[2].dockerImageReference: \
            Invalid value: \"A B\": invalid reference format]"
        );
    }
}
