//! The stored form of an image: what a stream shows of it, ready to be sent, and beside that what it does not show.
//!
//! Showing an image through its stream is the most frequent request by far, so all work for it is done when the image is
//! written: its metadata is filled in, manifest and configuration are set aside, and the JSON is written down. A read
//! copies bytes and puts in the revision, which nobody knows before the commit.
//!
//! ```text
//! 1 byte    form, 1
//! 4 bytes   length of the view
//! 4 bytes   place of the revision in the view; NO_VIEW where the view is the status that says why there is none
//! 8 bytes   creation time in seconds since 1970; NO_TIME for none
//! view      JSON of the image, or of the status
//! rest      JSON of `Rest`
//! ```
//! Numbers are little-endian.

use serde::{Deserialize, Serialize};

use crate::api::{GROUP, Image};
use crate::domain::{layers, metadata};
use crate::meta::{Resource, Status, Time};
use crate::rest::json;

const FORM: u8 = 1;
const HEAD: usize = 17;
const NO_VIEW: u32 = u32::MAX;
const NO_TIME: i64 = i64::MIN;

/// A stored image, as far as it can be told without decoding it.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// When the image was created.
    pub(super) created: Option<Time>,
    /// What a stream shows of the image.
    pub(super) view: View<'a>,
    rest: &'a [u8],
}

/// What a stream shows of an image.
#[derive(Debug)]
pub(super) enum View<'a> {
    /// The image's JSON: the revision belongs between the two parts.
    Image(&'a [u8], &'a [u8]),
    /// The JSON of the status that says why it cannot be shown.
    Broken(&'a [u8]),
}

/// What the view does not hold.
#[derive(Serialize, Deserialize)]
struct Rest {
    manifest: String,
    config: String,
    /// The image as it was stored, where the view is not just that without manifest and configuration.
    stored: Option<Image>,
}

/// The stored form of an image.
pub(super) fn encode(image: &Image) -> Vec<u8> {
    let mut image = image.clone();
    image.metadata.resource_version.clear();
    let created = image.metadata.creation_timestamp.map_or(NO_TIME, Time::unix_seconds);
    let (view, place, is_plain) = match present(&image) {
        Ok(shown) => {
            let is_plain = shown == without_texts(&image);
            let (view, place) = view_of(shown);
            (view, place, is_plain)
        }
        Err(status) => (json::encode(&status), NO_VIEW, false),
    };
    let rest = match is_plain {
        true => Rest { manifest: image.docker_image_manifest, config: image.docker_image_config, stored: None },
        false => Rest { manifest: String::new(), config: String::new(), stored: Some(image) },
    };
    let mut bytes = Vec::with_capacity(HEAD + view.len() + rest.manifest.len() + rest.config.len() + 256);
    bytes.push(FORM);
    bytes.extend_from_slice(&u32::try_from(view.len()).unwrap_or(NO_VIEW).to_le_bytes());
    bytes.extend_from_slice(&place.to_le_bytes());
    bytes.extend_from_slice(&created.to_le_bytes());
    bytes.extend_from_slice(&view);
    json::encode_into(&rest, &mut bytes);
    bytes
}

/// The stored image, without its resourceVersion.
///
/// # Errors
/// A sentence for the log, when the bytes are none that [`encode`] writes.
pub(super) fn decode(bytes: &[u8]) -> Result<Image, String> {
    let record = Record::read(bytes)?;
    let rest: Rest = serde_json::from_slice(record.rest).map_err(|why| why.to_string())?;
    if let Some(image) = rest.stored {
        return Ok(image);
    }
    let View::Image(before, after) = record.view else {
        return Err("an image without a view must be stored whole".into());
    };
    let mut image: Image = serde_json::from_slice(&[before, after].concat()).map_err(|why| why.to_string())?;
    image.docker_image_manifest = rest.manifest;
    image.docker_image_config = rest.config;
    Ok(image)
}

impl<'a> Record<'a> {
    /// Takes a stored form apart.
    ///
    /// # Errors
    /// A sentence for the log, when the bytes are none that [`encode`] writes.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let (head, body) = bytes.split_at_checked(HEAD).ok_or("the record is shorter than its head")?;
        if head[0] != FORM {
            return Err(format!("form {} of the record is not known", head[0]));
        }
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (length, place) = (number(1) as usize, number(5));
        let seconds = i64::from_le_bytes(std::array::from_fn(|at| head[9 + at]));
        let (view, rest) = body.split_at_checked(length).ok_or("the view is longer than the record")?;
        let view = match place {
            NO_VIEW => View::Broken(view),
            place => {
                let (before, after) =
                    view.split_at_checked(place as usize).ok_or("the revision is outside of the view")?;
                View::Image(before, after)
            }
        };
        Ok(Self { created: (seconds != NO_TIME).then(|| Time::from_unix_seconds(seconds)), view, rest })
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

fn without_texts(image: &Image) -> Image {
    Image { docker_image_manifest: String::new(), docker_image_config: String::new(), ..image.clone() }
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
        let mut image: Image =
            serde_json::from_str(r#"{"metadata":{"name":"x","uid":"u","creationTimestamp":"2020-01-01T00:00:00Z"}}"#)
                .unwrap();
        image.docker_image_manifest = manifest.into();
        image.docker_image_config = config.into();
        image
    }

    fn shown(image: &Image) -> String {
        let bytes = encode(image);
        match Record::read(&bytes).unwrap().view {
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
    fn whatever_can_be_shown_or_not_is_stored_unchanged() {
        for image in [
            image("", ""),
            image(r#"{"schemaVersion":2}"#, "{}"),
            image("{oops", "x"),
            image(r#"{"schemaVersion":2}"#, ""),
        ] {
            assert_eq!(decode(&encode(&image)).unwrap(), image);
        }
        assert!(shown(&image("{oops", "")).contains("\"code\":500"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, length in 0_u32..40, place: u32) {
            let head = [&[FORM][..], &length.to_le_bytes(), &place.to_le_bytes(), &[0; 8]].concat();
            let _ = (decode(&bytes), decode(&[head, bytes].concat()));
        }
    }
}
