//! Validation of images.

use std::fmt;

use serde_json::json;

use super::{MetadataRules, reference, signature};
use crate::domain::manifest::OCI_INDEX;
use crate::{
    api::{Image, ImageLayer, ImageManifest},
    meta::field,
};

/// Validates `image` except its own metadata, as `validateImage` in openshift-apiserver.
pub fn image(image: &Image, nested: MetadataRules<'_>) -> field::Errors {
    let mut errors = field::Errors::default();
    errors.extend(reference("dockerImageReference", &image.docker_image_reference));
    errors.extend(image.signatures.iter().enumerate().flat_map(|(at, each)| {
        let of_metadata = nested(&each.metadata).into_iter();
        of_metadata
            .chain(signature(each))
            .map(move |error| error.under(format_args!("signatures[{at}]")))
    }));
    let required = PlatformRule::of(image);
    errors.extend(image.docker_image_manifests.iter().enumerate().flat_map(|(at, part)| {
        manifest(part, required)
            .into_iter()
            .map(move |error| error.under(format_args!("dockerImageManifests[{at}]")))
    }));
    if !image.docker_image_manifests.is_empty() && !image.docker_image_layers.is_empty() {
        let rule = "dockerImageLayers should not be set when dockerImageManifests is set";
        errors.push_with(|| {
            field::Error::invalid_value(
                "dockerImageLayers",
                LayersDisplay(&image.docker_image_layers),
                rule,
            )
        });
    }
    errors
}

/// Rule for the platform of a child.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PlatformRule {
    Required,
    /// The OCI image specification allows an index to name no platform for a child. A platform that
    /// is named must be complete.
    Optional,
}

impl PlatformRule {
    fn of(image: &Image) -> Self {
        match image.docker_image_manifest_media_type.as_str() {
            OCI_INDEX => Self::Optional,
            _ => Self::Required,
        }
    }
}

fn manifest(part: &ImageManifest, platform: PlatformRule) -> field::Errors {
    let mut errors = field::Errors::default();
    if !contains_digest(&part.digest) {
        let rule = "digest does not conform with OCI image specification";
        errors.push_with(|| field::Error::invalid("digest", &part.digest, rule));
    }
    if !is_media_type(&part.media_type) {
        errors.push_with(|| {
            field::Error::invalid(
                "mediaType",
                &part.media_type,
                "media type does not conform to RFC6838",
            )
        });
    }
    let has_platform = !(part.architecture.is_empty() && part.os.is_empty());
    let is_required = has_platform || platform == PlatformRule::Required;
    if is_required && part.architecture.is_empty() {
        errors.push_with(|| field::Error::required("architecture", ""));
    }
    if is_required && part.os.is_empty() {
        errors.push_with(|| field::Error::required("os", ""));
    }
    if part.manifest_size < 0 {
        // openshift-apiserver reports the error under `size`, though the field is `manifestSize`.
        errors.push_with(|| {
            field::Error::invalid_value(
                "size",
                part.manifest_size,
                "manifest size cannot be negative",
            )
        });
    }
    errors
}

/// Displays layers as Go marshals the internal type, up to the length of an excerpt.
struct LayersDisplay<'a>(&'a [ImageLayer]);

impl fmt::Display for LayersDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, each) in self.0.iter().enumerate() {
            let layer =
                json!({"Name": each.name, "LayerSize": each.size, "MediaType": each.media_type});
            write!(f, "{}{layer}", if at == 0 { "[" } else { "," })?;
        }
        f.write_str("]")
    }
}

/// Returns true if `text` contains the form of a digest: a word with a letter, a colon and 32 hex
/// digits.
fn contains_digest(text: &str) -> bool {
    text.match_indices(':').any(|(at, _)| {
        let hex = text[at + 1..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let mut word = text[..at].bytes().rev().take_while(u8::is_ascii_alphanumeric);
        hex >= 32 && word.any(|byte| byte.is_ascii_alphabetic())
    })
}

/// Matches type and subtype by RFC 6838. Surrounding spaces are permitted.
fn is_media_type(text: &str) -> bool {
    let part = |text: &str, more: &[u8]| {
        let inner = |byte: u8| {
            byte.is_ascii_alphanumeric() || b"!#$&^_-".contains(&byte) || more.contains(&byte)
        };
        (1..=127).contains(&text.len())
            && text.as_bytes()[0].is_ascii_alphanumeric()
            && text.bytes().all(inner)
    };
    text.trim_matches(' ')
        .split_once('/')
        .is_some_and(|(kind, subtype)| part(kind, b"") && part(subtype, b".+"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ImageSignature;

    fn good() -> ImageManifest {
        ImageManifest {
            digest: format!("sha256:{}", "0".repeat(64)),
            media_type: "application/vnd.docker.distribution.manifest.v2+json".into(),
            manifest_size: 5,
            architecture: "amd64".into(),
            os: "linux".into(),
            variant: String::new(),
        }
    }

    fn errors(image_: Image) -> String {
        field::join(&image(&image_, &|_| field::Error::required("metadata.name", "").into()))
    }

    fn with(manifest: ImageManifest) -> Image {
        Image {
            docker_image_reference: "a".into(),
            docker_image_manifests: vec![manifest],
            ..Image::default()
        }
    }

    #[test]
    fn image_needs_a_reference() {
        assert_eq!(errors(Image::default()), "dockerImageReference: Required value");
        let bad = Image { docker_image_reference: "A B".into(), ..Image::default() };
        assert_eq!(
            errors(bad),
            "dockerImageReference: Invalid value: \"A B\": invalid reference format"
        );
    }

    #[test]
    fn parts_are_validated_field_by_field() {
        assert_eq!(errors(with(good())), "[]");
        let bad = ImageManifest {
            media_type: "a b/c".into(),
            manifest_size: -3,
            ..ImageManifest::default()
        };
        assert_eq!(
            errors(with(bad)),
            "[dockerImageManifests[0].digest: Invalid value: \"\": digest does not conform with OCI image specification, \
            dockerImageManifests[0].mediaType: Invalid value: \"a b/c\": media type does not conform to RFC6838, \
            dockerImageManifests[0].architecture: Required value, dockerImageManifests[0].os: Required value, \
            dockerImageManifests[0].size: Invalid value: -3: manifest size cannot be negative]"
        );
    }

    #[test]
    fn children_of_an_oci_index_need_no_platform() {
        let bare = ImageManifest { architecture: String::new(), os: String::new(), ..good() };
        let index =
            Image { docker_image_manifest_media_type: OCI_INDEX.into(), ..with(bare.clone()) };
        assert_eq!(errors(index), "[]");
        assert!(errors(with(bare)).contains("architecture: Required value"));
    }

    #[test]
    fn digest_may_be_anywhere_in_the_text() {
        let hex = "0".repeat(32);
        assert!(contains_digest(&format!("!! 1a1:{hex} !!")));
        assert!(contains_digest(&format!(":x.y:{hex}")));
        assert!(!contains_digest(&format!("sha256:{}", &hex[1..])));
        assert!(!contains_digest(&format!("256:{hex}")));
        assert!(!contains_digest(&format!("a-:{hex}")));
    }

    #[test]
    fn media_types_have_two_parts() {
        for good in ["a/b", "  a/b ", "application/vnd.x+json"] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in
            ["", "x", "/", "a/", "a.b/c", "a/b/c", "é/b", "a/ b", &format!("{}/b", "a".repeat(128))]
        {
            assert!(!is_media_type(bad), "{bad}");
        }
    }

    #[test]
    fn layers_and_parts_are_exclusive() {
        let layer = ImageLayer { name: "l".into(), size: 1, media_type: "t".into() };
        let both = Image { docker_image_layers: vec![layer], ..with(good()) };
        assert_eq!(
            errors(both),
            "dockerImageLayers: Invalid value: [{\"Name\":\"l\",\"LayerSize\":1,\"MediaType\":\"t\"}]: \
            dockerImageLayers should not be set when dockerImageManifests is set"
        );
    }

    #[test]
    fn signature_errors_have_an_index() {
        let mut image = Image { docker_image_reference: "a".into(), ..Image::default() };
        image.signatures = vec![ImageSignature { r#type: "t".into(), ..ImageSignature::default() }];
        let expected = errors(image);
        assert!(expected.starts_with(
            "[signatures[0].metadata.name: Required value, signatures[0].metadata.name: Invalid"
        ));
        assert!(expected.ends_with("signatures[0].content: Required value]"), "{expected}");
    }
}
