//! Warnings about tags whose images this server does not import.

use super::registries::{Registries, TagImports};
use super::{stream_strategy, tags};
use crate::api::{ImageStream, TagReference};
use crate::meta::field;

/// Maximum number of tags that a warning names.
const MAX_NAMED: usize = 5;

/// Returns warnings about the sources that a write sets and from which this server will not import.
pub fn import_warnings(
    registries: &Registries,
    old: Option<&ImageStream>,
    new: &ImageStream,
) -> Vec<String> {
    let changed = changed_imports(old, new);
    if registries.tag_imports == TagImports::Elsewhere {
        let names: Vec<String> = changed.iter().map(|tag| field::quote(&tag.name)).collect();
        let repository = &new.spec.docker_image_repository;
        let is_new = !repository.is_empty()
            && old.is_none_or(|old| old.spec.docker_image_repository != *repository);
        let subject = match (names.is_empty(), is_new) {
            (true, false) => return Vec::new(),
            (false, _) => format!("the images of {}", listed("tag", &names)),
            (true, true) => "the images of spec.dockerImageRepository".to_owned(),
        };
        return vec![format!(
            "this server does not import {subject} by itself: run \"oc import-image\", unless \
             another import controller uses this API"
        )];
    }
    let refused = changed.iter().filter_map(|tag| {
        let from = tag.from.as_ref()?;
        let reason = registries.allowed.import_refusal(from, &tag.import_policy)?;
        let name = field::quote(&tag.name);
        Some(format!("this server does not import the image of tag {name}: {reason}"))
    });
    refused.take(MAX_NAMED).collect()
}

/// The tags from registries whose source, or whose schedule, a write sets.
fn changed_imports<'a>(old: Option<&ImageStream>, new: &'a ImageStream) -> Vec<&'a TagReference> {
    let changed = stream_strategy::changed_tags(old, new);
    let is_scheduled_now = |tag: &TagReference| {
        let before = old.and_then(|old| tags::spec_tag(old, &tag.name));
        tag.import_policy.scheduled && before.is_some_and(|it| !it.import_policy.scheduled)
    };
    let is_imported = |tag: &TagReference| {
        !tag.reference && tag.from.as_ref().is_some_and(|from| from.kind == "DockerImage")
    };
    let tags = new.spec.tags.iter().enumerate();
    let tags = tags.filter(|(at, tag)| {
        is_imported(tag) && (changed.binary_search(at).is_ok() || is_scheduled_now(tag))
    });
    tags.map(|(_, tag)| tag).collect()
}

/// Names in a sentence, as many as fit.
fn listed(noun: &str, names: &[String]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    match names.len().checked_sub(MAX_NAMED) {
        None | Some(0) => format!("{noun}{plural} {}", names.join(", ")),
        Some(more) => {
            format!("{noun}{plural} {} and {more} more", names[..MAX_NAMED].join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ObjectReference;
    use crate::domain::allowed_registries::AllowedRegistries;

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

    fn elsewhere() -> Registries {
        Registries { tag_imports: TagImports::Elsewhere, ..Registries::default() }
    }

    const END: &str =
        "by itself: run \"oc import-image\", unless another import controller uses this API";

    #[test]
    fn new_sources_are_named_if_imports_are_off() {
        let mut reference = tag("r", "r.io/a:r");
        reference.reference = true;
        let mut copy = tag("c", "s:t");
        copy.from.as_mut().unwrap().kind = "ImageStreamTag".into();
        let old = stream(vec![tag("a", "r.io/a:1")]);
        let mut new = stream(vec![tag("a", "r.io/a:1"), tag("b", "r.io/a:2"), reference, copy]);
        let warnings =
            |old: &ImageStream, new: &ImageStream| import_warnings(&elsewhere(), Some(old), new);
        let expected = format!("this server does not import the images of tag \"b\" {END}");
        assert_eq!(warnings(&old, &new), [expected]);
        assert_eq!(warnings(&new, &new), [""; 0]);
        let before = new.clone();
        new.spec.tags[0].import_policy.scheduled = true;
        let expected = format!("this server does not import the images of tag \"a\" {END}");
        assert_eq!(warnings(&before, &new), [expected]);
        assert_eq!(import_warnings(&Registries::default(), Some(&old), &new), [""; 0]);
        let mut repository = stream(Vec::new());
        repository.spec.docker_image_repository = "r.io/a".into();
        let text = "this server does not import the images of spec.dockerImageRepository";
        assert_eq!(import_warnings(&elsewhere(), None, &repository), [format!("{text} {END}")]);
    }

    #[test]
    fn many_tags_make_one_short_warning() {
        let tags = (0..1_000).map(|at| tag(&format!("t{at}"), "r.io/a:1")).collect();
        let warnings = import_warnings(&elsewhere(), None, &stream(tags));
        let listed = "tags \"t0\", \"t1\", \"t2\", \"t3\", \"t4\" and 995 more";
        assert_eq!(warnings, [format!("this server does not import the images of {listed} {END}")]);
    }

    #[test]
    fn registries_that_are_not_allowed_are_named() {
        let allowed = AllowedRegistries::new(vec!["quay.io".parse().unwrap()], None);
        let registries = Registries { allowed, ..Registries::default() };
        let new = stream(vec![tag("a", "quay.io/a/b:1"), tag("b", "r.io/a:2")]);
        let warnings = import_warnings(&registries, None, &new);
        assert_eq!(warnings.len(), 1);
        let start = "this server does not import the image of tag \"b\": importing images from \
                     registry \"r.io:443\" is forbidden";
        assert!(warnings[0].starts_with(start), "{warnings:?}");
    }
}
