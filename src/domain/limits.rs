//! Limits of client input: names of tags, pull specs, and layers and manifests of images.
//!
//! Objects that exceeded a limit before it was introduced can be updated if the update does not add
//! to the excess.

use std::fmt;

use super::manifest::{Manifest, ManifestList};
use super::tags;
use crate::api::{Image, ImageStream};
use crate::meta::field;

/// Maximum length of a tag name in bytes. Registries permit 128; openshift-apiserver has no limit.
const MAX_TAG_NAME_BYTES: usize = 1 << 10;
/// Maximum length of a pull spec in bytes. Each tracking tag gets a copy of it. A DNS name, a
/// repository, a tag and a digest take about 700 bytes at most.
const MAX_PULL_SPEC_BYTES: usize = 1 << 10;
/// Maximum number of layers, or manifests, of an image whose own manifest does not contain more.
const MAX_PARTS: usize = 500;
/// Maximum number of layers, or manifests, in a manifest. Some OCI artifacts have one layer per
/// file.
const MAX_NAMED_PARTS: usize = 20_000;
/// Minimum size of an entry in a manifest in bytes.
const MIN_ENTRY_BYTES: usize = 2;

/// Returns errors for overlong tag names and pull specs in `new` that are not in `old`.
pub fn stream(old: Option<&ImageStream>, new: &ImageStream) -> field::Errors {
    let mut errors = tag_names(old, new);
    errors.append(pull_specs(old, new));
    errors
}

fn tag_names(old: Option<&ImageStream>, new: &ImageStream) -> field::Errors {
    let has_old = |name: &str| old.is_some_and(|old| has_tag(old, name));
    let is_over = |name: &str| name.len() > MAX_TAG_NAME_BYTES && !has_old(name);
    let error = |list: &str, name: &str, field: &str| {
        let path = format_args!("{list}[{name}].{field}");
        field::Error::longer(path, name.len(), MAX_TAG_NAME_BYTES)
    };
    let spec = new.spec.tags.iter().filter(|tag| is_over(&tag.name));
    let pushed = new.status.tags.iter().filter(|tag| is_over(&tag.tag));
    let spec = spec.map(|tag| error("spec.tags", &tag.name, "name"));
    spec.chain(pushed.map(|tag| error("status.tags", &tag.tag, "tag"))).collect()
}

/// Checks the pull specs of tag events. Those of the spec are bounded by the grammar of references.
fn pull_specs(old: Option<&ImageStream>, new: &ImageStream) -> field::Errors {
    let mut errors = field::Errors::default();
    for tag in &new.status.tags {
        let before =
            || old.and_then(|old| tags::history(old, &tag.tag)).map_or(&[][..], |tag| &tag.items);
        let has_old =
            |spec: &str| before().iter().any(|event| event.docker_image_reference == spec);
        for (at, event) in tag.items.iter().enumerate() {
            let spec = &event.docker_image_reference;
            if is_long(spec) && !has_old(spec) {
                let path =
                    format_args!("status.tags[{}].items[{at}].dockerImageReference", tag.tag);
                errors.push_with(|| long(path, spec));
            }
        }
    }
    errors
}

fn is_long(pull_spec: &str) -> bool {
    pull_spec.len() > MAX_PULL_SPEC_BYTES
}

fn long(path: impl fmt::Display, pull_spec: &str) -> field::Error {
    field::Error::longer(path, pull_spec.len(), MAX_PULL_SPEC_BYTES)
}

/// Returns an error if `tag`, which is pushed to `stream`, is new and its name is too long.
pub fn pushed_tag(stream: &ImageStream, tag: &str) -> Option<field::Error> {
    let is_over = tag.len() > MAX_TAG_NAME_BYTES && !has_tag(stream, tag);
    is_over.then(|| field::Error::longer("tag", tag.len(), MAX_TAG_NAME_BYTES))
}

fn has_tag(stream: &ImageStream, name: &str) -> bool {
    tags::spec_tag(stream, name).is_some() || tags::history(stream, name).is_some()
}

/// Returns errors for the pull spec, layers and manifests of an image as sent by a client.
pub fn image(old: Option<&Image>, new: &Image) -> field::Errors {
    let mut errors = parts(old, new);
    let spec = &new.docker_image_reference;
    if is_long(spec) && old.is_none_or(|old| old.docker_image_reference != *spec) {
        errors.push_with(|| long("dockerImageReference", spec));
    }
    errors
}

fn parts(old: Option<&Image>, new: &Image) -> field::Errors {
    let lists = [
        (
            "dockerImageLayers",
            new.docker_image_layers.len(),
            old.map_or(0, |old| old.docker_image_layers.len()),
        ),
        (
            "dockerImageManifests",
            new.docker_image_manifests.len(),
            old.map_or(0, |old| old.docker_image_manifests.len()),
        ),
    ];
    let text = &new.docker_image_manifest;
    let is_new_text = old.is_none_or(|old| old.docker_image_manifest != *text);
    let may_name_many = is_new_text && text.len() > MAX_NAMED_PARTS * MIN_ENTRY_BYTES;
    // Parsing a manifest is expensive, and nearly all images are far below the limits.
    if !may_name_many && lists.iter().all(|(_, count, before)| *count <= MAX_PARTS.max(*before)) {
        return field::Errors::default();
    }
    let named = named_parts(text);
    let mut errors = field::Errors::default();
    if is_new_text && named.iter().any(|count| *count > MAX_NAMED_PARTS) {
        let count = named.into_iter().max().unwrap_or_default();
        errors.push_with(|| field::Error::too_many("dockerImageManifest", count, MAX_NAMED_PARTS));
    }
    for ((path, count, before), named) in lists.into_iter().zip(named) {
        let most = named.clamp(MAX_PARTS, MAX_NAMED_PARTS);
        if count > most.max(before) {
            errors.push_with(|| field::Error::too_many(path, count, most));
        }
    }
    errors
}

/// Returns the numbers of layers and of manifests in a manifest, or zeros if it cannot be parsed.
fn named_parts(text: &str) -> [usize; 2] {
    let manifest = Manifest::read(text).unwrap_or_default();
    let list = ManifestList::read(text).unwrap_or_default();
    [manifest.layers.len().max(manifest.fs_layers.len()), list.manifests.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ImageLayer, ImageManifest, NamedTagEventList, TagEvent, TagReference};

    fn texts(errors: &field::Errors) -> String {
        field::join(errors)
    }

    fn with_tags(spec: &[&str], pushed: &[&str]) -> ImageStream {
        let mut stream = ImageStream::default();
        let reference =
            |name: &&str| TagReference { name: (*name).into(), ..TagReference::default() };
        let history =
            |name: &&str| NamedTagEventList { tag: (*name).into(), ..NamedTagEventList::default() };
        stream.spec.tags = spec.iter().map(reference).collect();
        stream.status.tags = pushed.iter().map(history).collect();
        stream
    }

    #[test]
    fn new_tag_names_have_a_limit() {
        let (fits, long) = ("a".repeat(1024), "b".repeat(1025));
        assert_eq!(texts(&stream(None, &with_tags(&[&fits], &[&fits]))), "[]");
        let rule = "Too long: may not be more than 1024 bytes, has 1025";
        let both = format!("[spec.tags[{long}].name: {rule}, status.tags[{long}].tag: {rule}]");
        assert_eq!(texts(&stream(None, &with_tags(&[&long], &[&long]))), both);
        assert_eq!(
            pushed_tag(&with_tags(&[&fits], &[]), &long).unwrap().to_string(),
            format!("tag: {rule}")
        );
    }

    #[test]
    fn existing_long_tag_names_are_kept() {
        let (long, longer) = ("b".repeat(1025), "c".repeat(1026));
        for old in [with_tags(&[&long], &[]), with_tags(&[], &[&long])] {
            assert_eq!(texts(&stream(Some(&old), &with_tags(&[&long], &[&long]))), "[]");
            assert_eq!(pushed_tag(&old, &long), None);
            assert!(texts(&stream(Some(&old), &with_tags(&[&longer], &[]))).contains("has 1026"));
        }
    }

    fn with_event(spec: &str) -> ImageStream {
        let mut stream = with_tags(&[], &["t"]);
        stream.status.tags[0].items =
            vec![TagEvent { docker_image_reference: spec.into(), ..TagEvent::default() }].into();
        stream
    }

    #[test]
    fn new_pull_specs_have_a_limit() {
        let (fits, over, other) = ("a".repeat(1024), "b".repeat(1025), "c".repeat(1025));
        assert_eq!(texts(&stream(None, &with_event(&fits))), "[]");
        let rule = "Too long: may not be more than 1024 bytes, has 1025";
        let all = format!("status.tags[t].items[0].dockerImageReference: {rule}");
        assert_eq!(texts(&stream(None, &with_event(&over))), all);
        assert_eq!(texts(&stream(Some(&with_event(&other)), &with_event(&over))), all);
        assert_eq!(texts(&stream(Some(&with_event(&over)), &with_event(&over))), "[]");
        let image_of =
            |spec: &str| Image { docker_image_reference: spec.into(), ..Image::default() };
        assert_eq!(texts(&image(None, &image_of(&over))), format!("dockerImageReference: {rule}"));
        assert_eq!(texts(&image(Some(&image_of(&over)), &image_of(&over))), "[]");
    }

    fn with_parts(layers: usize, manifests: usize, manifest: &str) -> Image {
        Image {
            docker_image_layers: vec![ImageLayer::default(); layers],
            docker_image_manifests: vec![ImageManifest::default(); manifests],
            docker_image_manifest: manifest.into(),
            ..Image::default()
        }
    }

    fn manifest(list: &str, count: usize) -> String {
        format!("{{\"{list}\":[{}]}}", vec!["{}"; count].join(","))
    }

    #[test]
    fn parts_missing_in_the_manifest_have_a_limit() {
        for text in ["", "{oops", &manifest("layers", 10), &manifest("manifests", 10)] {
            assert_eq!(texts(&image(None, &with_parts(500, 500, text))), "[]");
            let both = "[dockerImageLayers: Too many: 501: must have at most 500 items, dockerImageManifests: Too many: 502: \
                        must have at most 500 items]";
            assert_eq!(texts(&image(None, &with_parts(501, 502, text))), both);
        }
    }

    #[test]
    fn parts_in_the_manifest_are_permitted() {
        for list in ["layers", "fsLayers"] {
            assert_eq!(texts(&image(None, &with_parts(2000, 0, &manifest(list, 2000)))), "[]");
            let more = "dockerImageLayers: Too many: 2001: must have at most 2000 items";
            assert_eq!(texts(&image(None, &with_parts(2001, 0, &manifest(list, 2000)))), more);
        }
        assert_eq!(texts(&image(None, &with_parts(0, 2000, &manifest("manifests", 2000)))), "[]");
        let other = "dockerImageManifests: Too many: 2000: must have at most 500 items";
        assert_eq!(texts(&image(None, &with_parts(0, 2000, &manifest("layers", 2000)))), other);
    }

    #[test]
    fn parts_in_a_manifest_have_a_limit() {
        for list in ["layers", "fsLayers", "manifests"] {
            assert_eq!(texts(&image(None, &with_parts(0, 0, &manifest(list, 20_000)))), "[]");
            let over = with_parts(0, 0, &manifest(list, 20_001));
            let rule = "dockerImageManifest: Too many: 20001: must have at most 20000 items";
            assert_eq!(texts(&image(None, &over)), rule);
            assert_eq!(texts(&image(Some(&over), &over)), "[]", "the image is stored already");
        }
    }

    #[test]
    fn stored_images_keep_their_parts() {
        let old = with_parts(600, 700, "");
        assert_eq!(texts(&image(Some(&old), &old)), "[]");
        assert!(
            texts(&image(Some(&old), &with_parts(600, 701, "")))
                .contains("Too many: 701: must have at most 500")
        );
    }
}
