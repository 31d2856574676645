//! Warnings about tags whose images this server does not import.

use super::allowed_registries::AllowedRegistries;
use super::{stream_strategy, tags};
use crate::api::{ImageStream, TagReference};
use crate::meta::field;

/// Maximum number of warnings of a write.
const MAX_WARNINGS: usize = 10;

/// Returns warnings about the sources that a write sets and that the configuration of this server
/// does not allow to import, although tags may refer to them: a stream may keep a repository that it
/// has, and imports without TLS need `importPolicy.insecure`.
pub fn import_warnings(
    allowed: &AllowedRegistries,
    old: Option<&ImageStream>,
    new: &ImageStream,
) -> Vec<String> {
    if allowed.is_unrestricted() {
        return Vec::new();
    }
    let refused = changed_imports(old, new).filter_map(|tag| {
        let from = tag.from.as_ref()?;
        let reason = allowed.import_refusal(from, &tag.import_policy)?;
        let name = field::quote(&tag.name);
        Some(format!("this server does not import the image of tag {name}: {reason}"))
    });
    refused.take(MAX_WARNINGS).collect()
}

/// The tags from registries whose source, or whose schedule, a write sets.
fn changed_imports<'a>(
    old: Option<&'a ImageStream>,
    new: &'a ImageStream,
) -> impl Iterator<Item = &'a TagReference> {
    let changed = stream_strategy::changed_tags(old, new);
    let is_scheduled_now = move |tag: &TagReference| {
        let before = old.and_then(|old| tags::spec_tag(old, &tag.name));
        tag.import_policy.scheduled && before.is_some_and(|it| !it.import_policy.scheduled)
    };
    let is_imported = |tag: &TagReference| {
        !tag.reference && tag.from.as_ref().is_some_and(|from| from.kind == "DockerImage")
    };
    let tags = new.spec.tags.iter().enumerate();
    let tags = tags.filter(move |(at, tag)| {
        is_imported(tag) && (changed.binary_search(at).is_ok() || is_scheduled_now(tag))
    });
    tags.map(|(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ObjectReference;

    fn tag(name: &str, from: &str) -> TagReference {
        let from = ObjectReference {
            kind: "DockerImage".into(),
            name: from.into(),
            ..ObjectReference::default()
        };
        TagReference { name: name.into(), from: Some(from), ..TagReference::default() }
    }

    fn stream(tags: Vec<TagReference>) -> ImageStream {
        let mut stream = ImageStream::default();
        stream.spec.tags = tags;
        stream
    }

    fn warnings(old: Option<&ImageStream>, new: &ImageStream) -> Vec<String> {
        let allowed = AllowedRegistries::new(vec!["quay.io".parse().unwrap()], None);
        let warnings = import_warnings(&allowed, old, new).into_iter();
        let name = |text: String| text.split('"').nth(1).unwrap_or_default().to_owned();
        warnings.map(name).collect()
    }

    #[test]
    fn new_sources_that_are_not_imported_are_named() {
        let mut reference = tag("r", "r.io/a:r");
        reference.reference = true;
        let mut copy = tag("c", "s:t");
        copy.from.as_mut().unwrap().kind = "ImageStreamTag".into();
        let old = stream(vec![tag("a", "r.io/a:1")]);
        let tags = vec![
            tag("a", "r.io/a:1"),
            tag("b", "r.io/a:2"),
            tag("q", "quay.io/a/b:1"),
            reference,
            copy,
        ];
        let mut new = stream(tags);
        assert_eq!(warnings(None, &new), ["a", "b"]);
        assert_eq!(warnings(Some(&old), &new), ["b"]);
        assert_eq!(warnings(Some(&new), &new), [""; 0]);
        let before = new.clone();
        new.spec.tags[0].import_policy.scheduled = true;
        assert_eq!(warnings(Some(&before), &new), ["a"]);
        let all = AllowedRegistries::default();
        assert!(import_warnings(&all, None, &new).is_empty());
    }

    #[test]
    fn warning_has_the_reason_of_the_refusal() {
        let allowed = AllowedRegistries::new(vec!["quay.io".parse().unwrap()], None);
        let warnings = import_warnings(&allowed, None, &stream(vec![tag("b", "r.io/a:2")]));
        let start = "this server does not import the image of tag \"b\": importing images from \
                     registry \"r.io:443\" is forbidden";
        assert!(warnings[0].starts_with(start), "{warnings:?}");
    }

    #[test]
    fn number_of_warnings_is_bounded() {
        let tags = (0..1_000).map(|at| tag(&format!("t{at}"), "r.io/a:1")).collect();
        assert_eq!(warnings(None, &stream(tags)).len(), MAX_WARNINGS);
    }
}
