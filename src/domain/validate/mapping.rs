//! Validation of image stream mappings.

use super::{MetadataRules, image};
use crate::domain::{limits, names::new_image_name_error};
use crate::{api::ImageStreamMapping, meta::field};

/// Validates `mapping` except its own metadata, as `ValidateImageStreamMapping` in
/// openshift-apiserver.
pub fn mapping(mapping: &ImageStreamMapping, nested: MetadataRules<'_>) -> field::Errors {
    let mut errors = field::Errors::default();
    if mapping.metadata.name.is_empty() {
        // The second field exists only in the internal type of openshift-apiserver.
        errors.extend(
            ["name", "dockerImageRepository"].map(|field| field::Error::required(field, "")),
        );
    }
    if mapping.tag.is_empty() {
        errors.push_with(|| field::Error::required("tag", ""));
    }
    let metadata = &mapping.image.metadata;
    let of_parts = limits::image(None, &mapping.image).into_iter();
    let name = new_image_name_error("metadata.name", &metadata.name);
    let inside = of_parts.chain(nested(metadata)).chain(name).chain(image(&mapping.image, nested));
    errors.extend(inside.map(|error| error.under("image")));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::ObjectMeta;

    fn errors(object: &ImageStreamMapping) -> String {
        let named = |metadata: &ObjectMeta| match metadata.name.is_empty() {
            true => field::Error::required("metadata.name", "").into(),
            false => field::Errors::default(),
        };
        field::join(&mapping(object, &named))
    }

    #[test]
    fn mapping_needs_stream_tag_and_image() {
        let mut object = ImageStreamMapping::default();
        assert_eq!(
            errors(&object),
            "[name: Required value, dockerImageRepository: Required value, tag: Required value, image.metadata.name: \
            Required value, image.dockerImageReference: Required value]"
        );
        object.metadata.name = "s".into();
        object.tag = "t".into();
        object.image.metadata.name = "i".into();
        object.image.docker_image_reference = "A B".into();
        let expected =
            "image.dockerImageReference: Invalid value: \"A B\": invalid reference format";
        assert_eq!(errors(&object), expected);
        object.image.docker_image_reference = "a".into();
        assert_eq!(errors(&object), "[]");
        object.image.metadata.name = "i\nj".into();
        let expected =
            "image.metadata.name: Invalid value: \"i\\nj\": may not contain control characters";
        assert_eq!(errors(&object), expected);
    }
}
