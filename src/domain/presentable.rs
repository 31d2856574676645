//! Validation of an image for views of its stream.

use super::manifest;
use crate::{api::Image, meta::field};

/// Checks an image as openshift-apiserver does before it shows the layers of a stream
/// (pkg/image/apis/image/validation/validation.go).
///
/// Checks the stored image, *before* [`fill`](super::image_metadata::fill), which could repair it.
/// For example, a schema 2 or OCI image without an ID, as after a push without a configuration, is
/// rejected.
///
/// Deliberate difference: openshift-apiserver checks all images of the stream and their children on
/// each request, so one invalid image hides the others. This function checks one image.
///
/// # Errors
/// All errors of the image, in a fixed order, below `images[<name>]`.
pub fn validate_presentable(image: &Image) -> Result<(), field::Errors> {
    let path = format!("images[{}]", image.metadata.name);
    let mut errors = field::Errors::default();
    let layers: Vec<&str> =
        image.docker_image_layers.iter().map(|layer| layer.name.as_str()).collect();
    for (at, _) in layers.iter().enumerate().filter(|(_, name)| name.is_empty()) {
        errors.push_with(|| {
            field::Error::invalid(format_args!("{path}.layers[{at}]"), "", "layer cannot be empty")
        });
    }
    let config = config(image);
    if config == Some("") {
        errors.push_with(|| {
            field::Error::invalid(
                format_args!("{path}.config"),
                "",
                "config cannot be an empty string",
            )
        });
    }
    if !image.docker_image_manifests.is_empty() {
        if let Some(config) = config {
            let rule = "config must be null if manifests are present";
            errors.push_with(|| field::Error::invalid(format_args!("{path}.config"), config, rule));
        }
        if !layers.is_empty() {
            let value = serde_json::Value::from(layers);
            let rule = "layers must be empty if manifests are present";
            errors.push_with(|| {
                field::Error::invalid_value(format_args!("{path}.layers"), value, rule)
            });
        }
    }
    for (at, _) in
        image.docker_image_manifests.iter().enumerate().filter(|(_, part)| part.digest.is_empty())
    {
        errors.push_with(|| {
            field::Error::invalid(
                format_args!("{path}.manifests[{at}]"),
                "",
                "manifest cannot be empty",
            )
        });
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Returns the digest of the configuration, if the media type has one.
fn config(image: &Image) -> Option<&str> {
    manifest::has_config(&image.docker_image_manifest_media_type)
        .then(|| image.docker_image_metadata.image().id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ImageLayer, ImageManifest};

    fn image(media_type: &str, id: &str, layers: &[&str], parts: &[&str]) -> Image {
        let layer = |name: &&str| ImageLayer { name: (*name).into(), ..ImageLayer::default() };
        let part =
            |digest: &&str| ImageManifest { digest: (*digest).into(), ..ImageManifest::default() };
        let mut image = Image {
            docker_image_manifest_media_type: media_type.into(),
            docker_image_layers: layers.iter().map(layer).collect(),
            docker_image_manifests: parts.iter().map(part).collect(),
            ..Image::default()
        };
        image.metadata.name = "n".into();
        image.docker_image_metadata.image_mut().id = id.into();
        image
    }

    fn errors(image: &Image) -> String {
        validate_presentable(image).map_or_else(|errors| field::join(&errors), |()| String::new())
    }

    #[test]
    fn image_with_configuration_needs_an_id() {
        let error = "images[n].config: Invalid value: \"\": config cannot be an empty string";
        assert_eq!(errors(&image(manifest::SCHEMA2, "", &[], &[])), error);
        assert_eq!(errors(&image(manifest::OCI_MANIFEST, "", &[], &[])), error);
        assert_eq!(errors(&image(manifest::SCHEMA2, "x", &["a"], &[])), "");
    }

    #[test]
    fn images_without_configuration_need_no_id() {
        for media_type in ["", manifest::SCHEMA1, manifest::OCI_INDEX] {
            assert_eq!(errors(&image(media_type, "", &[], &[])), "", "{media_type}");
        }
    }

    #[test]
    fn layers_and_parts_need_a_name() {
        let layer = "images[n].layers[1]: Invalid value: \"\": layer cannot be empty";
        assert_eq!(errors(&image("", "", &["a", ""], &[])), layer);
        let part = "images[n].manifests[0]: Invalid value: \"\": manifest cannot be empty";
        assert_eq!(errors(&image("", "", &[], &[""])), part);
    }

    #[test]
    fn manifest_list_has_neither_config_nor_layers() {
        let both = "[images[n].config: Invalid value: \"x\": config must be null if manifests are present, \
            images[n].layers: Invalid value: [\"a\"]: layers must be empty if manifests are present]";
        assert_eq!(errors(&image(manifest::SCHEMA2, "x", &["a"], &["p"])), both);
    }
}
