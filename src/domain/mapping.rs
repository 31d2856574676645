//! Image stream mappings: verification of a pushed image and its tag event.

use super::digest::Digest;
use super::manifest;
use super::registries::Registries;
use super::tag_history::{self, MaxTagHistory, PushOutcome};
use super::{reference, signed_manifest};
use crate::api::{Image, ImageStream, ImageStreamMapping, TagEvent};
use crate::meta::{ObjectMeta, Time, field};

/// Annotation that is `"true"` for images pushed to the integrated registry.
const MANAGED: &str = "openshift.io/image.managed";

/// State of a pushed image in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushedImage {
    /// The image exists and is not changed.
    Existing,
    /// The image is new.
    New,
}

/// Sets the default pull spec, which is in the integrated registry, and drops signatures.
pub fn prepare(mapping: &mut ImageStreamMapping, registries: &Registries) {
    if mapping.image.docker_image_reference.is_empty() {
        mapping.image.docker_image_reference =
            registries.default_reference(mapping).unwrap_or_default();
    }
    mapping.image.signatures.clear();
}

/// Drops metadata that only users with permission to write images may set: finalizers, owner
/// references and managed fields.
pub fn drop_privileged_fields(metadata: &mut ObjectMeta) {
    metadata.finalizers.clear();
    metadata.owner_references.clear();
    metadata.managed_fields.clear();
}

/// Returns an error if the name of the image is a digest but not that of its manifest. An image
/// without a manifest is not checked.
///
/// Deliberate difference: openshift-apiserver accepts such an image. Images are cluster-scoped, so
/// a user with push access to one namespace could put a forged image under a name that users of all
/// namespaces trust.
pub fn manifest_digest_error(image: &Image) -> Option<field::Error> {
    let text = &image.docker_image_manifest;
    let name = image.metadata.name.parse::<Digest>().ok()?;
    if text.is_empty() || is_named_by_manifest(image) {
        return None;
    }
    let rule = format!("must be the digest of the manifest, which is {}", name.digest_of(text));
    Some(field::Error::invalid("image.metadata.name", name.as_str(), rule))
}

/// Returns true if the name of the image is the digest of its manifest, for a signed manifest
/// without the signatures.
pub fn is_named_by_manifest(image: &Image) -> bool {
    let text = &image.docker_image_manifest;
    let is_digest = |name: &Digest| name.digest_of(text) == *name || is_payload(image, name);
    !text.is_empty() && image.metadata.name.parse::<Digest>().is_ok_and(|name| is_digest(&name))
}

/// Returns true if `name` is the digest of the payload of a signed schema 1 manifest, and the
/// manifest adds nothing but signatures.
fn is_payload(image: &Image, name: &Digest) -> bool {
    let may_be_signed = matches!(
        image.docker_image_manifest_media_type.as_str(),
        manifest::SCHEMA1 | manifest::SCHEMA1_SIGNED | ""
    );
    let Some(payload) =
        signed_manifest::payload(&image.docker_image_manifest).filter(|_| may_be_signed)
    else {
        return false;
    };
    name.digest_of(&payload) == *name
        && signed_manifest::is_signed_form(&image.docker_image_manifest, &payload)
}

/// Adds the pushed image to the history of its tag and of the tags that directly track it.
///
/// An existing image of the integrated registry gets a pull spec in this stream, regardless of the
/// stream to which it was first pushed. The stream must be [decorated](Registries::decorate).
pub fn push(
    stream: &mut ImageStream,
    mapping: &ImageStreamMapping,
    state: PushedImage,
    max_history: MaxTagHistory,
    now: Time,
) -> PushOutcome {
    let event = TagEvent {
        created: Some(now),
        docker_image_reference: reference_in(stream, &mapping.image, state),
        image: mapping.image.metadata.name.clone(),
        generation: stream.metadata.generation,
    };
    let pushed =
        tag_history::push(&mut stream.status.tags, &mapping.tag, event.clone(), max_history);
    if pushed.is_change() {
        tag_history::push_to_tracking_tags(stream, &mapping.tag, &event, max_history);
    }
    pushed
}

fn reference_in(stream: &ImageStream, image: &Image, state: PushedImage) -> String {
    let is_managed = image.metadata.annotations.get(MANAGED).is_some_and(|value| value == "true");
    let repositories =
        [&stream.status.docker_image_repository, &stream.spec.docker_image_repository];
    let repository = repositories.into_iter().find(|each| !each.is_empty());
    repository
        .filter(|_| is_managed && state == PushedImage::Existing)
        .and_then(|repository| reference::of_image(repository, &image.metadata.name))
        .unwrap_or_else(|| image.docker_image_reference.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ObjectReference, TagReference};

    fn image(name: &str, media_type: &str, manifest: &str) -> Image {
        let mut image = Image {
            docker_image_manifest: manifest.into(),
            docker_image_manifest_media_type: media_type.into(),
            docker_image_reference: "r.io/a".into(),
            ..Image::default()
        };
        image.metadata.name = name.into();
        image
    }

    fn stream() -> ImageStream {
        let mut stream = ImageStream::default();
        stream.metadata.namespace = "ns".into();
        stream.metadata.name = "s".into();
        stream.metadata.generation = 4;
        stream.status.docker_image_repository = "in/ns/s".into();
        let from = ObjectReference {
            kind: "ImageStreamTag".into(),
            name: "t".into(),
            ..ObjectReference::default()
        };
        stream.spec.tags =
            vec![TagReference { name: "f".into(), from: Some(from), ..TagReference::default() }];
        stream
    }

    fn mapping(image: Image) -> ImageStreamMapping {
        ImageStreamMapping { tag: "t".into(), image, ..ImageStreamMapping::default() }
    }

    #[test]
    fn manifest_must_match_the_name() {
        let (text, other) = (r#"{"schemaVersion":2}"#, Digest::sha256_of("other"));
        let own = Digest::sha256_of(text);
        assert_eq!(manifest_digest_error(&image(own.as_str(), manifest::SCHEMA2, text)), None);
        let text_of_error = manifest_digest_error(&image(other.as_str(), manifest::SCHEMA2, text))
            .unwrap()
            .to_string();
        let rule = format!("must be the digest of the manifest, which is {own}");
        assert_eq!(
            text_of_error,
            format!("image.metadata.name: Invalid value: \"{other}\": {rule}")
        );
    }

    #[test]
    fn only_digests_with_a_manifest_are_compared() {
        assert_eq!(manifest_digest_error(&image("app", "", "{}")), None);
        assert_eq!(manifest_digest_error(&image(Digest::sha256_of("x").as_str(), "", "")), None);
    }

    #[test]
    fn signed_manifest_is_named_after_its_payload() {
        let payload = "{\n \"schemaVersion\": 1\n}";
        let own = Digest::sha256_of(payload);
        let text = signed_manifest::sign(payload);
        for media_type in [manifest::SCHEMA1, manifest::SCHEMA1_SIGNED, ""] {
            assert_eq!(
                manifest_digest_error(&image(own.as_str(), media_type, &text)),
                None,
                "{media_type}"
            );
        }
        assert!(manifest_digest_error(&image(own.as_str(), manifest::SCHEMA2, &text)).is_some());
    }

    #[test]
    fn fields_beside_the_signatures_are_rejected() {
        let payload = "{\n \"schemaVersion\": 1\n}";
        let own = Digest::sha256_of(payload);
        let text = signed_manifest::sign(payload);
        for more in [r#""FSLayers":[],"signatures""#, r#""schemaVersion":2,"signatures""#] {
            let false_text = text.replacen("\"signatures\"", more, 1);
            assert_eq!(signed_manifest::payload(&false_text).unwrap(), payload.as_bytes());
            assert!(
                manifest_digest_error(&image(own.as_str(), manifest::SCHEMA1, &false_text))
                    .is_some(),
                "{more}"
            );
        }
    }

    #[test]
    fn push_updates_the_tag_and_its_tracking_tags() {
        let mut stream = stream();
        let (max_history, now) = (MaxTagHistory(None), Time::from_unix_seconds(7));
        let sent = mapping(image("i", "", ""));
        assert_eq!(
            push(&mut stream, &sent, PushedImage::New, max_history, now),
            PushOutcome::Added
        );
        let histories: Vec<_> =
            stream.status.tags.iter().map(|tag| (tag.tag.as_str(), tag.items[0].clone())).collect();
        let event = TagEvent {
            created: Some(now),
            docker_image_reference: "r.io/a".into(),
            image: "i".into(),
            generation: 4,
        };
        assert_eq!(histories, [("f", event.clone()), ("t", event)]);
        assert_eq!(
            push(&mut stream, &sent, PushedImage::Existing, max_history, now),
            PushOutcome::Unchanged
        );
    }

    #[test]
    fn known_internal_image_is_pulled_through_the_stream() {
        let reference = |managed: bool, state: PushedImage, spec: &str| {
            let (mut stream, mut sent) = (stream(), mapping(image("i", "", "")));
            if !spec.is_empty() {
                stream.status.docker_image_repository.clear();
                stream.spec.docker_image_repository = spec.into();
            }
            if managed {
                sent.image.metadata.annotations.insert(MANAGED.into(), "true".into());
            }
            push(&mut stream, &sent, state, MaxTagHistory(None), Time::from_unix_seconds(7));
            stream.status.tags[1].items[0].docker_image_reference.clone()
        };
        assert_eq!(reference(true, PushedImage::Existing, ""), "in/ns/s:i");
        assert_eq!(reference(true, PushedImage::Existing, "out/x"), "out/x:i");
        assert_eq!(reference(true, PushedImage::New, ""), "r.io/a");
        assert_eq!(reference(false, PushedImage::Existing, ""), "r.io/a");
    }

    #[test]
    fn missing_reference_means_internal_registry() {
        let mut sent = mapping(image("i", "", ""));
        (sent.metadata.namespace, sent.metadata.name) = ("ns".into(), "s".into());
        sent.image.signatures.push(Default::default());
        sent.image.docker_image_reference.clear();
        prepare(&mut sent, &Registries { internal: Some("in".into()), ..Registries::default() });
        assert_eq!(
            (sent.image.docker_image_reference.as_str(), sent.image.signatures.len()),
            ("in/ns/s:i", 0)
        );
    }
}
