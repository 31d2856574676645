//! Decoding of objects from JSON: single objects, and lists as kubectl prints them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::api::{Evidence, GROUP_VERSION, Image, ImageStream};
use crate::machinery::value;
use crate::meta::protobuf::UnknownFields;
use crate::meta::{Kind, ObjectMeta};
use crate::resources::strategies::{EVIDENCE, UNPROVED};
use crate::resources::superseded_images::SUPERSEDED_IMAGE;

/// A decoded object.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredObject {
    /// An image.
    Image(Box<Image>),
    /// A stream.
    Stream(Box<ImageStream>),
    /// The unproved form of an image that a proof replaced.
    Superseded(Box<Image>),
}

impl StoredObject {
    /// The metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Image(image) | Self::Superseded(image) => &image.metadata,
            Self::Stream(stream) => &stream.metadata,
        }
    }

    /// The metadata for changes.
    pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Image(image) | Self::Superseded(image) => &mut image.metadata,
            Self::Stream(stream) => &mut stream.metadata,
        }
    }

    /// The fields in the stored protobuf that this version does not know.
    pub fn unknown_fields(&self) -> &UnknownFields {
        match self {
            Self::Image(image) | Self::Superseded(image) => &image.unknown_fields,
            Self::Stream(stream) => &stream.unknown_fields,
        }
    }
}

/// The reason why a value cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value has no `kind` and `apiVersion` strings.
    #[error("not an object: {0}")]
    Form(String),
    /// The kind is not stored.
    #[error(
        "{kind:?} of {version:?} is not stored here: only Image and ImageStream of {GROUP_VERSION} are"
    )]
    Kind {
        /// The kind.
        kind: String,
        /// The API version.
        version: String,
    },
    /// The object does not match the schema of its kind.
    #[error("{kind} {name:?} cannot be read: {why}")]
    Fields {
        /// The kind.
        kind: &'static str,
        /// The name; empty if unknown.
        name: String,
        /// The cause.
        why: String,
    },
}

/// The fields that identify the type of a value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ObjectHead<'a> {
    kind: String,
    api_version: String,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

/// Decodes a value: one object, or a list. Objects in a typed list may omit kind and version.
///
/// # Errors
/// A value that is no object. Errors of single objects take the place of the object.
pub fn decode_objects(
    value: &RawValue,
) -> Result<Vec<Result<StoredObject, DecodeError>>, DecodeError> {
    let list = head(value)?;
    let Some(items) = list.items.as_ref().filter(|_| list.kind.ends_with("List")) else {
        return Ok(vec![object(value, &list)]);
    };
    let kind = list.kind.strip_suffix("List").unwrap_or_default();
    let item = |value: &&RawValue| {
        let mut own = head(value)?;
        if own.kind.is_empty() {
            own.kind = kind.to_owned();
        }
        if own.api_version.is_empty() {
            own.api_version.clone_from(&list.api_version);
        }
        object(value, &own)
    };
    Ok(items.iter().map(item).collect())
}

fn head(value: &RawValue) -> Result<ObjectHead<'_>, DecodeError> {
    serde_json::from_str(value.get()).map_err(|why| DecodeError::Form(why.to_string()))
}

fn object(value: &RawValue, head: &ObjectHead<'_>) -> Result<StoredObject, DecodeError> {
    match (head.kind.as_str(), head.api_version.as_str()) {
        (Image::KIND, GROUP_VERSION) => image(value, Image::KIND).map(StoredObject::Image),
        (SUPERSEDED_IMAGE, GROUP_VERSION) => {
            image(value, SUPERSEDED_IMAGE).map(StoredObject::Superseded)
        }
        (ImageStream::KIND, GROUP_VERSION) => {
            let (mut stream, unproved) =
                fields::<ImageStream, _>(value, ImageStream::KIND, UNPROVED)?;
            stream.unproved = unproved.unwrap_or_default();
            Ok(StoredObject::Stream(stream))
        }
        (kind, version) => {
            Err(DecodeError::Kind { kind: kind.to_owned(), version: version.to_owned() })
        }
    }
}

/// Decodes an image with its evidence. An image without that field counts as vouched for.
fn image(value: &RawValue, kind: &'static str) -> Result<Box<Image>, DecodeError> {
    let (mut image, evidence) = fields::<Image, _>(value, kind, EVIDENCE)?;
    image.evidence = evidence.unwrap_or_else(Evidence::authority);
    Ok(image)
}

/// Decodes an object and an internal field, which may be anywhere, because tools reorder keys.
fn fields<T: Kind, M: DeserializeOwned>(
    value: &RawValue,
    kind: &'static str,
    field: &str,
) -> Result<(Box<T>, Option<M>), DecodeError> {
    let mut fields: serde_json::Value =
        serde_json::from_str(value.get()).map_err(|why| DecodeError::Form(why.to_string()))?;
    let name = fields["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let field_error = |why| DecodeError::Fields { kind, name: name.clone(), why };
    let found = fields.as_object_mut().and_then(|fields| fields.remove(field));
    let found = found.map(serde_json::from_value).transpose();
    let found = found.map_err(|why| field_error(format!("{field}: {why}")))?;
    let mut object = Box::new(value::from_value::<T>(fields).map_err(field_error)?);
    object.default_fields();
    Ok((object, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Result<StoredObject, DecodeError>>, DecodeError> {
        decode_objects(serde_json::from_str(text).unwrap())
    }

    fn decoded(text: &str) -> Vec<String> {
        let name = |object: StoredObject| match object {
            StoredObject::Image(image) => format!("image {}", image.metadata.name),
            StoredObject::Stream(stream) => format!("stream {}", stream.metadata.name),
            StoredObject::Superseded(image) => format!("superseded {}", image.metadata.name),
        };
        let decoded = |object: Result<StoredObject, DecodeError>| {
            object.map_or_else(|why| why.to_string(), name)
        };
        read(text).unwrap().into_iter().map(decoded).collect()
    }

    const IMAGE: &str =
        r#"{"kind":"Image","apiVersion":"image.openshift.io/v1","metadata":{"name":"i"}}"#;

    #[test]
    fn kind_and_version_select_the_type() {
        assert_eq!(decoded(IMAGE), ["image i"]);
        assert_eq!(decoded(&IMAGE.replace("Image", "ImageStream")), ["stream i"]);
        let pod = decoded(r#"{"kind":"Pod","apiVersion":"v1"}"#);
        assert!(pod[0].starts_with(r#""Pod" of "v1" is not stored here"#), "{pod:?}");
        assert!(decoded("{}")[0].contains("is not stored here"));
        assert!(matches!(read("7"), Err(DecodeError::Form(_))));
    }

    #[test]
    fn kubectl_list_is_decoded_object_by_object() {
        let bad = IMAGE.replace(r#""name":"i""#, r#""name":"j","labels":7"#);
        let list = format!(
            r#"{{"apiVersion":"v1","items":[{IMAGE},{bad}],"kind":"List","metadata":{{}}}}"#
        );
        let decoded = decoded(&list);
        assert_eq!(decoded[0], "image i");
        assert!(decoded[1].starts_with(r#"Image "j" cannot be read: "#), "{decoded:?}");
    }

    #[test]
    fn objects_of_a_typed_list_may_omit_their_kind() {
        let list = r#"{"kind":"ImageStreamList","apiVersion":"image.openshift.io/v1","items":[{"metadata":{"name":"s"}}]}"#;
        assert_eq!(decoded(list), ["stream s"]);
    }

    #[test]
    fn internal_fields_are_decoded_at_any_position() {
        let evidence = |text: &str| match read(text).unwrap().remove(0).unwrap() {
            StoredObject::Image(image) => image.evidence,
            other => panic!("{other:?}"),
        };
        assert_eq!(evidence(IMAGE), Evidence::authority());
        for field in [
            r#"{"evidence":{"proof":"nothing","blobs":{}},"kind""#,
            r#"{"evidence":{"blobs":{}},"kind""#,
        ] {
            assert_eq!(evidence(&IMAGE.replace(r#"{"kind""#, field)), Evidence::unproved());
        }
        assert_eq!(
            evidence(&IMAGE.replace("}}", r#"},"evidence":{"blobs":{}}}"#)),
            Evidence::unproved(),
            "at the end"
        );
        assert_eq!(
            evidence(&IMAGE.replace("}}", r#"},"evidence":{}}"#)),
            Evidence::default(),
            "of before evidence"
        );
        assert_eq!(decoded(&IMAGE.replace("Image", "SupersededImage")), ["superseded i"]);
        for bad in ["null", "7", r#"{"proof":"certain"}"#] {
            let decoded = decoded(&IMAGE.replace("}}", &format!(r#"}},"evidence":{bad}}}"#)));
            assert!(
                decoded[0].starts_with(r#"Image "i" cannot be read: evidence: "#),
                "{decoded:?}"
            );
        }
        let stream =
            IMAGE.replace("Image", "ImageStream").replace("}}", r#"},"unproved":{"i":"uid"}}"#);
        match read(&stream).unwrap().remove(0).unwrap() {
            StoredObject::Stream(stream) => {
                assert_eq!(stream.unproved, [("i".to_owned(), "uid".to_owned())].into())
            }
            other => panic!("{other:?}"),
        }
    }

    proptest::proptest! {
        #[test]
        fn no_value_panics(text in r#"\{("kind":"(Image|ImageStream|ImageList)",)?"(items|metadata|spec)":(\[\{\}\]|\{"name":[0-9]\}|null|7)\}"#) {
            let _ = read(&text).is_ok();
        }
    }
}
