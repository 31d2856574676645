//! Internal fields: data that is stored with an object and is not part of the API.
//!
//! The stored form is the JSON of the object with one more field in front:
//! `{"<field>":…,"metadata":…`. API encoders never write it and API decoders never read it, because
//! serde skips the field of the Rust type. Objects with the default value are stored without it, as
//! are objects of versions before the field existed.

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::machinery::json;

/// Encodes an object with an internal field.
pub(super) fn encode<F: Serialize, T: Serialize>(name: &str, field: &F, object: &T) -> Vec<u8> {
    let mut head = start(name).into_bytes();
    json::encode_into(field, &mut head);
    let mut bytes = Vec::with_capacity(1024);
    json::encode_behind(&head, object, &mut bytes);
    bytes
}

/// Decodes an internal field; the default if it is missing.
///
/// # Errors
/// A sentence for the log if [`encode`] did not write the field.
pub(super) fn decode<F: DeserializeOwned + Default>(name: &str, bytes: &[u8]) -> Result<F, String> {
    let Some(rest) = bytes.strip_prefix(start(name).as_bytes()) else {
        return Ok(F::default());
    };
    let field = serde_json::Deserializer::from_slice(rest).into_iter().next();
    field.ok_or("the internal field is truncated")?.map_err(|why| why.to_string())
}

/// The position of the first field of the object in a stored form, after the internal field if there
/// is one.
pub(super) fn end(name: &str, bytes: &[u8]) -> Option<usize> {
    let start = start(name);
    let Some(rest) = bytes.strip_prefix(start.as_bytes()) else {
        return Some(1);
    };
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    let end = start.len() + values.byte_offset();
    (bytes.get(end) == Some(&b',')).then_some(end + 1)
}

/// The first bytes of a stored form with this field.
fn start(name: &str) -> String {
    format!("{{\"{name}\":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Image;

    #[test]
    fn internal_field_and_object_round_trip() {
        let mut image = Image::default();
        image.metadata.name = "i".into();
        let bytes = encode("m", &vec![1, 2], &image);
        assert!(
            bytes.starts_with(br#"{"m":[1,2],"metadata":{"name":"i""#),
            "{}",
            String::from_utf8_lossy(&bytes)
        );
        assert_eq!(decode::<Vec<i32>>("m", &bytes).unwrap(), [1, 2]);
        assert_eq!(serde_json::from_slice::<Image>(&bytes).unwrap().metadata.name, "i");
    }

    #[test]
    fn missing_field_decodes_to_the_default() {
        let bytes = json::encode(&Image::default());
        assert_eq!(decode::<Vec<i32>>("m", &bytes).unwrap(), [0; 0]);
        assert_eq!(decode::<Vec<i32>>("m", br#"{"n":[1],"m":[2]}"#).unwrap(), [0; 0]);
    }

    #[test]
    fn damaged_field_is_an_error() {
        assert!(decode::<Vec<i32>>("m", br#"{"m":"#).is_err());
        assert!(decode::<Vec<i32>>("m", br#"{"m":7,"#).is_err());
    }
}
