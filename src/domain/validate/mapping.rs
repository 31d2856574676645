//! Rules for image stream mappings.

use super::{MetadataRules, image};
use crate::domain::{limits, names::new_image_name_fault};
use crate::{api::ImageStreamMapping, meta::field};

/// The faults of `mapping`, but for those of its own metadata; those of the image's metadata are here.
pub fn mapping(mapping: &ImageStreamMapping, nested: MetadataRules<'_>) -> field::Errors {
    let mut faults = field::Errors::default();
    if mapping.metadata.name.is_empty() {
        // The second field exists only inside of the reference, but clients are told about it.
        faults.extend(["name", "dockerImageRepository"].map(|field| field::Error::required(field, "")));
    }
    if mapping.tag.is_empty() {
        faults.push_with(|| field::Error::required("tag", ""));
    }
    let metadata = &mapping.image.metadata;
    let of_parts = limits::image(None, &mapping.image).into_iter();
    let name = new_image_name_fault("metadata.name", &metadata.name);
    let inside = of_parts.chain(nested(metadata)).chain(name).chain(image(&mapping.image, nested));
    faults.extend(inside.map(|fault| fault.under("image")));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::ObjectMeta;

    fn faults(object: &ImageStreamMapping) -> String {
        let named = |metadata: &ObjectMeta| match metadata.name.is_empty() {
            true => field::Error::required("metadata.name", "").into(),
            false => field::Errors::default(),
        };
        field::join(&mapping(object, &named))
    }

    #[test]
    fn a_mapping_names_stream_tag_and_image() {
        let mut object = ImageStreamMapping::default();
        assert_eq!(
            faults(&object),
            "[name: Required value, dockerImageRepository: Required value, tag: Required value, image.metadata.name: \
            Required value, image.dockerImageReference: Required value]"
        );
        object.metadata.name = "s".into();
        object.tag = "t".into();
        object.image.metadata.name = "i".into();
        object.image.docker_image_reference = "A B".into();
        let told = "image.dockerImageReference: Invalid value: \"A B\": invalid reference format";
        assert_eq!(faults(&object), told);
        object.image.docker_image_reference = "a".into();
        assert_eq!(faults(&object), "[]");
        object.image.metadata.name = "i\nj".into();
        let told = "image.metadata.name: Invalid value: \"i\\nj\": may not contain control characters";
        assert_eq!(faults(&object), told);
    }
}
