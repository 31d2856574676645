//! Verification of manifest and configuration against their digests.

use super::digest::Digest;
use super::manifest::{self, Manifest};
use super::mapping;
use crate::api::Image;
use crate::meta::field;

/// Returns the errors of a manifest or configuration that does not match its digest.
///
/// The name of the image is the digest of the manifest, for a signed manifest without the
/// signatures. The manifest holds the digest of the configuration. Missing content, and content
/// without a digest, is not checked.
pub fn digest_errors(image: &Image) -> field::Errors {
    let manifest = mapping::manifest_digest_error(image)
        .map(|error| field::Error { field: "metadata.name".into(), ..error });
    manifest.into_iter().chain(config_error(image)).collect()
}

fn config_error(image: &Image) -> Option<field::Error> {
    let config = &image.docker_image_config;
    if config.is_empty() || !manifest::has_config(&image.docker_image_manifest_media_type) {
        return None;
    }
    let expected: Digest =
        Manifest::read(&image.docker_image_manifest).ok()?.config.digest.parse().ok()?;
    let actual = expected.digest_of(config);
    let rule = || format!("its digest must be {expected}, as in the manifest");
    (actual != expected)
        .then(|| field::Error::invalid("dockerImageConfig", actual.as_str(), rule()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"architecture":"amd64"}"#;

    fn image() -> Image {
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{}"}}}}"#,
            Digest::sha256_of(CONFIG)
        );
        let mut image = Image {
            docker_image_manifest_media_type: manifest::OCI_MANIFEST.into(),
            docker_image_config: CONFIG.into(),
            ..Image::default()
        };
        image.metadata.name = Digest::sha256_of(&manifest).to_string();
        image.docker_image_manifest = manifest;
        image
    }

    fn fields(image: &Image) -> Vec<String> {
        digest_errors(image).into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn matching_content_has_no_errors() {
        assert!(fields(&image()).is_empty());
        let bare = Image { docker_image_config: String::new(), ..image() };
        assert!(fields(&bare).is_empty(), "the configuration is optional");
        let bare = Image { docker_image_manifest: String::new(), ..image() };
        assert!(fields(&bare).is_empty(), "the manifest is optional");
    }

    #[test]
    fn mismatched_content_is_an_error() {
        let mut other = image();
        other.docker_image_manifest.push(' ');
        assert_eq!(fields(&other), ["metadata.name"]);
        let other = Image { docker_image_config: "{}".into(), ..image() };
        assert_eq!(fields(&other), ["dockerImageConfig"]);
        let text = field::join(&digest_errors(&other));
        assert!(
            text.contains(&format!("its digest must be {}", Digest::sha256_of(CONFIG))),
            "{text}"
        );
    }

    #[test]
    fn name_without_digest_is_not_checked() {
        let mut named = image();
        named.metadata.name = "latest".into();
        named.docker_image_manifest.push(' ');
        assert!(fields(&named).is_empty());
    }

    #[test]
    fn invalid_manifest_is_checked_by_digest_only() {
        let mut broken = Image { docker_image_manifest: "{oops".into(), ..image() };
        assert_eq!(fields(&broken), ["metadata.name"]);
        broken.metadata.name = Digest::sha256_of("{oops").to_string();
        assert!(fields(&broken).is_empty());
    }
}
