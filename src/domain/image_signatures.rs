//! Signatures in their image: lookup, addition and removal.

use super::names;
use crate::api::{GROUP, Image, ImageSignature};
use crate::meta::{GroupResource, Status};

/// Resource in errors about a signature.
const SIGNATURES: GroupResource<'static> = GroupResource { group: GROUP, name: "imageSignatures" };

/// Name of a signature: `<image>@<signature>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureName<'a> {
    /// The complete name, which is the signature's name in the image.
    pub whole: &'a str,
    /// Name of the image.
    pub image: &'a str,
}

impl<'a> SignatureName<'a> {
    /// Parses a name with exactly one `@` between two non-empty parts.
    ///
    /// # Errors
    /// 400 for any other name.
    pub fn parse(name: &'a str) -> Result<Self, Status> {
        let (image, _) = names::two_parts(name, '@').ok_or_else(|| {
            Status::bad_request("ImageSignatures must be accessed with <imageName>@<signatureName>")
        })?;
        Ok(Self { whole: name, image })
    }
}

/// Drops the fields of a new signature that only its verifier may set.
pub fn prepare(signature: &mut ImageSignature) {
    let ImageSignature { metadata, r#type, content, .. } = std::mem::take(signature);
    *signature = ImageSignature { metadata, r#type, content, ..ImageSignature::default() };
}

/// Returns the signature with this name.
pub fn find<'a>(image: &'a Image, name: &str) -> Option<&'a ImageSignature> {
    image.signatures.iter().find(|each| each.metadata.name == name)
}

/// Appends a signature to those of the image.
///
/// # Errors
/// 409 if the image has a signature with the same name, or with the same type and content.
pub fn add(image: &mut Image, signature: &ImageSignature) -> Result<(), Status> {
    let is_same = |each: &ImageSignature| {
        each.metadata.name == signature.metadata.name
            || (each.r#type == signature.r#type && each.content == signature.content)
    };
    if image.signatures.iter().any(is_same) {
        return Err(Status::already_exists(SIGNATURES, &signature.metadata.name));
    }
    image.signatures.push(signature.clone());
    Ok(())
}

/// Removes the signature with this name. The others keep their order.
///
/// # Errors
/// 404 if the image has no signature with this name.
pub fn remove(image: &mut Image, name: &SignatureName<'_>) -> Result<(), Status> {
    let at = image.signatures.iter().position(|each| each.metadata.name == name.whole);
    image.signatures.remove(at.ok_or_else(|| Status::not_found(SIGNATURES, name.whole))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;
    use crate::api::SignatureIssuer;

    fn signature(name: &str, content: &str) -> ImageSignature {
        let mut signature = ImageSignature {
            r#type: "t".into(),
            content: ByteString(content.into()),
            ..ImageSignature::default()
        };
        signature.metadata.name = name.into();
        signature
    }

    fn names(image: &Image) -> Vec<&str> {
        image.signatures.iter().map(|each| each.metadata.name.as_str()).collect()
    }

    #[test]
    fn signature_name_begins_with_the_image() {
        assert_eq!(SignatureName::parse("i@s").unwrap().image, "i");
        for bad in ["bad", "a@b@c", "@b", "a@", ""] {
            let status = SignatureName::parse(bad).unwrap_err();
            assert_eq!(
                status.message, "ImageSignatures must be accessed with <imageName>@<signatureName>",
                "{bad}"
            );
            assert_eq!(status.code, 400);
        }
    }

    #[test]
    fn new_signature_loses_verified_fields() {
        let mut sent = ImageSignature {
            conditions: vec![Default::default()],
            image_identity: "x".into(),
            issued_by: Some(SignatureIssuer::default()),
            ..signature("i@s", "c")
        };
        prepare(&mut sent);
        assert_eq!(sent, signature("i@s", "c"));
    }

    #[test]
    fn signatures_are_appended_and_removed_in_place() {
        let mut image = Image::default();
        for (name, content) in [("i@a", "1"), ("i@b", "2"), ("i@c", "3")] {
            add(&mut image, &signature(name, content)).unwrap();
        }
        remove(&mut image, &SignatureName::parse("i@b").unwrap()).unwrap();
        assert_eq!(names(&image), ["i@a", "i@c"]);
        let status = remove(&mut image, &SignatureName::parse("i@b").unwrap()).unwrap_err();
        assert_eq!(status.message, "imageSignatures.image.openshift.io \"i@b\" not found");
    }

    #[test]
    fn duplicate_name_or_content_is_rejected() {
        let mut image = Image::default();
        add(&mut image, &signature("i@a", "1")).unwrap();
        for (name, content) in [("i@a", "2"), ("i@b", "1")] {
            let status = add(&mut image, &signature(name, content)).unwrap_err();
            let text = format!("imageSignatures.image.openshift.io \"{name}\" already exists");
            assert_eq!((status.code, status.message), (409, text));
        }
        let other = ImageSignature { r#type: "other".into(), ..signature("i@b", "1") };
        add(&mut image, &other).unwrap();
        assert_eq!(names(&image), ["i@a", "i@b"]);
    }
}
