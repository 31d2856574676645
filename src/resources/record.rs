//! What a stream shows of an image, ready to be sent: a row beside the image, written in the same transaction.
//!
//! Showing an image through its stream is the most frequent request by far, so all work for it is done when the image is
//! written: its metadata is filled in, manifest and configuration are left out, and the JSON is written down. A read
//! copies bytes and puts in the revision, which nobody knows before the commit and which is that of the row.
//!
//! ```text
//! 1 byte    form, 1
//! 4 bytes   place of the revision in the view, little-endian; NO_VIEW where the view is the status that says why there is none
//! 1 byte    length of the creation time
//! n bytes   creation time as it is written in JSON, without quotes
//! view      JSON of the image, or of the status
//! ```

use bytes::Bytes;

use crate::api::{GROUP, Image};
use crate::domain::{layers, metadata};
use crate::meta::{Resource, Status};
use crate::rest::json;
use crate::store::{Change, Key};

const FORM: u8 = 1;
const NO_VIEW: u32 = u32::MAX;

/// A row, taken apart.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// When the image was created, as JSON without quotes; empty where that is not known.
    pub(super) created: &'a [u8],
    /// What a stream shows of the image.
    pub(super) view: View<'a>,
}

/// What a stream shows of an image.
#[derive(Debug)]
pub(super) enum View<'a> {
    /// The image's JSON: the revision belongs between the two parts.
    Image(&'a [u8], &'a [u8]),
    /// The JSON of the status that says why it cannot be shown.
    Broken(&'a [u8]),
}

/// The key of the row of an image.
pub(super) fn key(image: &str) -> Key {
    const PREFIX: &str = "/image.openshift.io/views/";
    let mut key = String::with_capacity(PREFIX.len() + image.len());
    key.push_str(PREFIX);
    key.push_str(image);
    Key::new(key)
}

/// The change that keeps the row of the image `name` beside the image.
pub(super) fn change(name: &str, image: Option<&Image>) -> Change {
    match image {
        Some(image) => Change::Put(key(name), encode(image)),
        None => Change::Delete(key(name)),
    }
}

/// The row of an image.
fn encode(image: &Image) -> Bytes {
    let (view, place) = match present(image) {
        Ok(shown) => view_of(shown),
        Err(status) => (json::encode(&status), NO_VIEW),
    };
    let created = image.metadata.creation_timestamp.map(|time| time.to_string()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(view.len() + created.len() + 6);
    bytes.push(FORM);
    bytes.extend_from_slice(&place.to_le_bytes());
    bytes.push(u8::try_from(created.len()).expect("a time has twenty letters"));
    bytes.extend_from_slice(created.as_bytes());
    bytes.extend_from_slice(&view);
    bytes.into()
}

impl<'a> Record<'a> {
    /// Takes a row apart.
    ///
    /// # Errors
    /// A sentence for the log, when the bytes are none that this module writes.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (head, body) = bytes.split_first_chunk::<6>().ok_or("the record is shorter than its head")?;
        let [FORM, place @ .., created] = head else {
            return Err("the form of the record is not known");
        };
        let place = u32::from_le_bytes([place[0], place[1], place[2], place[3]]);
        let (created, view) = body.split_at_checked(usize::from(*created)).ok_or("the creation time is cut off")?;
        let view = match place {
            NO_VIEW => View::Broken(view),
            place => {
                let parts = view.split_at_checked(place as usize).ok_or("the revision is outside of the view")?;
                View::Image(parts.0, parts.1)
            }
        };
        Ok(Self { created, view })
    }
}

/// What a stream shows of an image, or the status that the reference answers instead.
fn present(image: &Image) -> Result<Image, Status> {
    let kind = Resource { group: GROUP, name: "" };
    layers::check_presentable(image).map_err(|faults| Status::invalid(kind, "", &faults))?;
    let mut shown = image.clone();
    metadata::present(&mut shown).map_err(|why| Status::internal(why.to_string()))?;
    Ok(shown)
}

/// The JSON of an image and the place in it where the revision belongs.
fn view_of(mut image: Image) -> (Vec<u8>, u32) {
    // The first such text is the field: before it stand only texts, in which quotes are escaped.
    const FIELD: &[u8] = br#""resourceVersion":"?"#;
    image.metadata.resource_version = "?".into();
    let mut view = json::encode(&image);
    let field = view.windows(FIELD.len()).position(|part| part == FIELD);
    let place = field.expect("the field was set a moment ago") + FIELD.len() - 1;
    view.remove(place);
    (view, u32::try_from(place).expect("names are short"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(manifest: &str, config: &str) -> Image {
        let text = r#"{"metadata":{"name":"x","uid":"u","creationTimestamp":"2020-01-01T00:00:00Z"}}"#;
        let mut image: Image = serde_json::from_str(text).unwrap();
        image.docker_image_manifest = manifest.into();
        image.docker_image_config = config.into();
        image
    }

    fn shown(image: &Image) -> String {
        let bytes = encode(image);
        let record = Record::read(&bytes).unwrap();
        assert_eq!(record.created, b"2020-01-01T00:00:00Z");
        match record.view {
            View::Image(before, after) => String::from_utf8([before, b"7", after].concat()).unwrap(),
            View::Broken(status) => String::from_utf8(status.to_vec()).unwrap(),
        }
    }

    #[test]
    fn the_view_has_room_for_the_revision_and_neither_manifest_nor_configuration() {
        let mut named = image("", "");
        named.metadata.name = "\"resourceVersion\":\"?".into();
        let told = shown(&named);
        assert!(told.contains(r#""uid":"u","resourceVersion":"7","creationTimestamp""#), "{told}");
        assert!(!shown(&image(r#"{"schemaVersion":2}"#, "{}")).contains("schemaVersion"));
    }

    #[test]
    fn an_image_that_cannot_be_shown_leaves_the_reason() {
        assert!(shown(&image("{oops", "")).contains("\"code\":500"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, place: u32, created: u8) {
            let head = [&[FORM][..], &place.to_le_bytes(), &[created]].concat();
            let _ = (Record::read(&bytes).is_ok(), Record::read(&[head, bytes].concat()).is_ok());
        }
    }
}
