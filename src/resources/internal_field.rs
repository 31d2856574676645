//! Marks: facts that are stored with an object and are no part of the API.
//!
//! The stored form is the object's JSON with one more field in front: `{"<mark>":…,"metadata":…`. No encoder of the API
//! writes it, since the field of the Rust type is skipped, and none reads it. An object without the mark is stored as
//! its JSON alone; so are objects of versions that knew no marks.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::machinery::json;

/// The stored form of an object with a mark.
pub(super) fn encode<M: Serialize, T: Serialize>(name: &str, mark: &M, object: &T) -> Vec<u8> {
    let mut head = start(name).into_bytes();
    json::encode_into(mark, &mut head);
    let mut bytes = Vec::with_capacity(1024);
    json::encode_behind(&head, object, &mut bytes);
    bytes
}

/// The mark in a stored form; the default where it has none.
///
/// # Errors
/// A sentence for the log, when the mark is none that [`encode`] writes.
pub(super) fn decode<M: DeserializeOwned + Default>(name: &str, bytes: &[u8]) -> Result<M, String> {
    let Some(rest) = bytes.strip_prefix(start(name).as_bytes()) else {
        return Ok(M::default());
    };
    let mark = serde_json::Deserializer::from_slice(rest).into_iter().next();
    mark.ok_or("the mark is cut off")?.map_err(|why| why.to_string())
}

/// Beginning of a stored form with this mark.
fn start(name: &str) -> String {
    format!("{{\"{name}\":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Image;

    #[test]
    fn a_mark_is_stored_and_read_and_the_object_beside_it_too() {
        let mut image = Image::default();
        image.metadata.name = "i".into();
        let bytes = encode("m", &vec![1, 2], &image);
        assert!(bytes.starts_with(br#"{"m":[1,2],"metadata":{"name":"i""#), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(decode::<Vec<i32>>("m", &bytes).unwrap(), [1, 2]);
        assert_eq!(serde_json::from_slice::<Image>(&bytes).unwrap().metadata.name, "i");
    }

    #[test]
    fn an_object_without_the_mark_has_the_default() {
        let bytes = json::encode(&Image::default());
        assert_eq!(decode::<Vec<i32>>("m", &bytes).unwrap(), [0; 0]);
        assert_eq!(decode::<Vec<i32>>("m", br#"{"n":[1],"m":[2]}"#).unwrap(), [0; 0]);
    }

    #[test]
    fn a_damaged_mark_is_an_error() {
        assert!(decode::<Vec<i32>>("m", br#"{"m":"#).is_err());
        assert!(decode::<Vec<i32>>("m", br#"{"m":7,"#).is_err());
    }
}
