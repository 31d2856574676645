//! The stored view of an image as streams show it: a row that is derived from the image and written
//! in the same transaction.
//!
//! Reads of images through streams are by far the most frequent requests. All work for them is done
//! when the image is written: its metadata is filled in, manifest and configuration are removed,
//! and the JSON is encoded. A read decompresses it and inserts the revision, which is that of the
//! row and not known before the commit.
//!
//! The JSON is packed ([`packed_text`]), so that three times as many views fit into the cache and a
//! read of one that is not cached reads fewer pages. Unpacking takes little more than a microsecond.
//!
//! ```text
//! 1 byte    format: OPEN, or CLOSED if streams do not show the image as a child of a list
//! 1 byte    content: IMAGE, or STATUS for an error
//! 1 byte    length of the creation time
//! n bytes   creation time as in JSON, without quotes
//! n bytes   packed JSON of the image, with a mark for its revision, or of the Status
//! ```

mod earlier;
mod packed_text;

use std::borrow::Cow;

use self::earlier::{EarlierView, SplitJson};
use self::packed_text::PackedText;
use crate::api::{GROUP, Image};
use crate::domain::{image_metadata, presentable, unproved};
use crate::machinery::json;
use crate::meta::{GroupResource, Status};
use crate::store::{Change, Key, Revision};
use bytes::Bytes;

const OPEN: u8 = 4;
const CLOSED: u8 = 5;
const IMAGE: u8 = 0;
const STATUS: u8 = 1;

/// The parts of a row.
#[derive(Debug)]
pub(super) struct PackedView<'a> {
    /// The creation time of the image as in JSON, without quotes; empty if unknown.
    pub(super) created: &'a [u8],
    /// The view of the image.
    pub(super) content: ViewContent<'a>,
}

/// The content of a view.
#[derive(Debug)]
pub(super) enum ViewContent<'a> {
    /// The JSON of the image.
    Image(PackedJson<'a>),
    /// The JSON of the Status that explains why there is no view.
    Error(PackedJson<'a>),
}

/// The JSON of a view.
#[derive(Debug)]
pub(super) enum PackedJson<'a> {
    Text(PackedText<'a>),
    /// In a row that an earlier version stored.
    Split(SplitJson<'a>),
}

impl PackedJson<'_> {
    /// The length of the JSON without the resourceVersion, in bytes.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.length,
            Self::Split(split) => split.length(),
        }
    }

    /// Appends the JSON of the image with this resourceVersion.
    ///
    /// # Errors
    /// A sentence for the log if the row is damaged.
    pub(super) fn write_image(
        &self,
        revision: Revision,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let mut digits = itoa::Buffer::new();
        self.write(digits.format(revision.0).as_bytes(), out)
    }

    /// Appends the JSON of the Status.
    ///
    /// # Errors
    /// The errors of [`PackedJson::write_image`].
    pub(super) fn write_status(&self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.write(&[], out)
    }

    fn write(&self, revision: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Self::Text(text) => text.unpack(revision, out),
            Self::Split(split) => split.write(revision, out),
        }
    }
}

/// The prefix of the keys.
const PREFIX: &str = "/image.openshift.io/views/";

/// The key of the view of an image.
pub(super) fn key(image: &str) -> Key {
    let mut key = String::with_capacity(PREFIX.len() + image.len());
    key.push_str(PREFIX);
    key.push_str(image);
    Key::new(key)
}

/// The change of the view that goes with a change of the image `name`.
pub(super) fn change(name: &str, image: Option<&Image>) -> Change {
    match image {
        Some(image) => Change::Put(key(name), encode(image)),
        None => Change::Delete(key(name)),
    }
}

/// Encodes the view of an image.
pub(super) fn encode(image: &Image) -> Bytes {
    let (content, json) = match present(image) {
        Ok(shown) => (IMAGE, view_of(shown)),
        Err(status) => (STATUS, json::encode(&status)),
    };
    let created =
        image.metadata.creation_timestamp.map(|time| time.to_string()).unwrap_or_default();
    let format = if unproved::is_open(image) { OPEN } else { CLOSED };
    let created_bytes = u8::try_from(created.len()).expect("a timestamp has 20 bytes");
    let mut bytes = vec![format, content, created_bytes];
    bytes.extend_from_slice(created.as_bytes());
    packed_text::pack(&json, &mut bytes);
    // Copied, because the cache keeps the bytes.
    Bytes::copy_from_slice(&bytes)
}

/// Returns true if streams show the image of a row as a child of a list.
pub(super) fn is_open(row: &[u8]) -> bool {
    row.first().is_some_and(|format| [OPEN, earlier::OPEN].contains(format))
}

/// The content of a row that does not depend on the version that wrote it, for comparisons.
///
/// Of a Status, this is code and reason: versions truncate long messages differently. A damaged row
/// counts as a whole.
pub(super) fn comparable<'a>(key: &Key, row: &'a [u8]) -> Cow<'a, [u8]> {
    let content = if key.as_str().starts_with(PREFIX) { comparable_view(row) } else { None };
    content.map_or(Cow::Borrowed(row), Cow::Owned)
}

fn comparable_view(row: &[u8]) -> Option<Vec<u8>> {
    let PackedView { created, content } = PackedView::read(row).ok()?;
    let mut bytes = vec![u8::from(is_open(row))];
    bytes.extend_from_slice(created);
    match content {
        ViewContent::Image(image) => {
            bytes.push(IMAGE);
            image.write_image(Revision(0), &mut bytes).ok()?;
        }
        ViewContent::Error(status) => {
            let mut text = Vec::new();
            status.write_status(&mut text).ok()?;
            let Status { code, reason, .. } = serde_json::from_slice(&text).ok()?;
            bytes.push(STATUS);
            bytes.extend_from_slice(&code.to_be_bytes());
            bytes.extend_from_slice(reason.as_bytes());
        }
    }
    Some(bytes)
}

/// The length of the header before the creation time, in bytes.
const HEADER_BYTES: usize = 3;

impl<'a> PackedView<'a> {
    /// Splits a row into its parts.
    ///
    /// # Errors
    /// A sentence for the log if the row is damaged.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (header, body) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or("the view is shorter than its header")?;
        let [OPEN | CLOSED, content, created] = header else {
            return earlier::read(bytes).map(Self::from);
        };
        let (created, body) =
            body.split_at_checked(usize::from(*created)).ok_or("the creation time is truncated")?;
        let json = PackedJson::Text(PackedText::read(body)?);
        let content = match *content {
            IMAGE => ViewContent::Image(json),
            STATUS => ViewContent::Error(json),
            _ => return Err("the content of the view is unknown"),
        };
        Ok(Self { created, content })
    }
}

impl<'a> From<EarlierView<'a>> for PackedView<'a> {
    fn from(EarlierView { created, is_status, json }: EarlierView<'a>) -> Self {
        let json = PackedJson::Split(json);
        let content = if is_status { ViewContent::Error(json) } else { ViewContent::Image(json) };
        Self { created, content }
    }
}

/// The image as streams show it, or the Status that the OpenShift API server returns instead.
fn present(image: &Image) -> Result<Image, Status> {
    let kind = GroupResource { group: GROUP, name: "" };
    presentable::validate_presentable(image)
        .map_err(|errors| Status::invalid(kind, "", &errors))?;
    let mut shown = image.clone();
    image_metadata::fill_for_view(&mut shown).map_err(|why| Status::internal(why.to_string()))?;
    Ok(shown)
}

/// The JSON of an image with a mark in place of its resourceVersion.
fn view_of(mut image: Image) -> Vec<u8> {
    // The first match is the field: only escaped strings precede it.
    const FIELD: &[u8] = br#""resourceVersion":"?"#;
    image.metadata.resource_version = "?".into();
    let mut json = json::encode(&image);
    let field = json.windows(FIELD.len()).position(|part| part == FIELD);
    let place = field.expect("the field was just set") + FIELD.len() - 1;
    json[place] = packed_text::REVISION;
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Evidence, Proof};
    use crate::domain::digest::Digest;

    fn image(manifest: &str, config: &str) -> Image {
        let text =
            r#"{"metadata":{"name":"x","uid":"u","creationTimestamp":"2020-01-01T00:00:00Z"}}"#;
        let mut image: Image = serde_json::from_str(text).unwrap();
        image.docker_image_manifest = manifest.into();
        image.docker_image_config = config.into();
        image
    }

    fn view_json(image: &Image) -> String {
        let bytes = encode(image);
        let row = PackedView::read(&bytes).unwrap();
        assert_eq!(row.created, b"2020-01-01T00:00:00Z");
        let mut json = Vec::new();
        match row.content {
            ViewContent::Image(view) => {
                view.write_image(Revision(7), &mut json).unwrap();
                assert_eq!(json.len(), view.length() + 1);
            }
            ViewContent::Error(status) => status.write_status(&mut json).unwrap(),
        }
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn row_records_whether_lists_may_show_its_image() {
        let mut image = image("", "");
        assert!(is_open(&encode(&image)), "stored before evidence was recorded");
        image.evidence.proof = Proof::Full;
        assert!(!is_open(&encode(&image)));
        image.evidence = Evidence::authority();
        assert!(is_open(&encode(&image)));
    }

    #[test]
    fn view_omits_manifest_and_config() {
        let mut named = image("", "");
        named.metadata.name = "\"resourceVersion\":\"?".into();
        let json = view_json(&named);
        assert!(json.contains(r#""uid":"u","resourceVersion":"7","creationTimestamp""#), "{json}");
        assert!(!view_json(&image(r#"{"schemaVersion":2}"#, "{}")).contains("schemaVersion"));
    }

    #[test]
    fn image_without_a_view_keeps_the_error() {
        assert!(view_json(&image("{oops", "")).contains("\"code\":500"));
    }

    #[test]
    fn view_holds_every_digest_and_revision() {
        let digests: Vec<_> = (0..40).map(|each| Digest::sha256_of([each])).collect();
        let layer = |digest| format!(r#"{{"name":"{digest}","size":1,"mediaType":"m"}}"#);
        let layers: Vec<_> = digests.iter().map(layer).collect();
        let text =
            format!(r#"{{"metadata":{{"name":"x"}},"dockerImageLayers":[{}]}}"#, layers.join(","));
        let image: Image = serde_json::from_str(&text).unwrap();
        let (row, plain) = (encode(&image), json::encode(&present(&image).unwrap()));
        let ViewContent::Image(view) = PackedView::read(&row).unwrap().content else {
            panic!("the image can be shown");
        };
        for revision in [0, 7, 10, 123_456, u64::MAX] {
            let mut out = b"before".to_vec();
            view.write_image(Revision(revision), &mut out).unwrap();
            let mut expected: serde_json::Value = serde_json::from_slice(&plain).unwrap();
            expected["metadata"]["resourceVersion"] = revision.to_string().into();
            let written: serde_json::Value = serde_json::from_slice(&out[6..]).unwrap();
            assert_eq!(written, expected);
            assert_eq!(out.len(), 6 + view.length() + revision.to_string().len());
        }
        let digits: usize = digests.iter().map(|digest| digest.as_str().len()).sum();
        assert!(row.len() < plain.len() - digits / 2, "{} of {}", row.len(), plain.len());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, format in 2_u8..6, created: u8, head in 0_u32..40, length: u16) {
            let numbers = [&[format, created][..], &head.to_le_bytes(), &u32::from(length).to_le_bytes()].concat();
            let packed = [&[format, IMAGE, 0][..], &u32::from(length).to_le_bytes(), &[created % 4, 0]].concat();
            for bytes in [bytes.clone(), [numbers, bytes.clone()].concat(), [packed, bytes].concat()] {
                let mut out = Vec::new();
                let _ = match PackedView::read(&bytes).map(|row| row.content) {
                    Ok(ViewContent::Image(view)) => view.write_image(Revision(1), &mut out),
                    Ok(ViewContent::Error(status)) => status.write_status(&mut out),
                    Err(why) => Err(why),
                };
            }
        }

        #[test]
        fn text_survives_packing(text in "(sha256:|[0-9a-fA-F]{60,70}|sha256:[0-9a-f]{64}|[ -~]{0,9}){0,12}") {
            let (mut packed, mut out) = (Vec::new(), Vec::new());
            packed_text::pack(text.as_bytes(), &mut packed);
            PackedText::read(&packed).unwrap().unpack(&[], &mut out).unwrap();
            proptest::prop_assert_eq!(out, text.into_bytes());
        }

        #[test]
        fn damaged_text_is_an_error_or_has_its_length(at: proptest::sample::Index, byte: u8) {
            let digests: Vec<_> = (0..9).map(|each| Digest::sha256_of([each]).to_string()).collect();
            let mut packed = Vec::new();
            packed_text::pack(&[digests.join(" ").as_bytes(), &[packed_text::REVISION]].concat(), &mut packed);
            let at = at.index(packed.len());
            packed[at] = byte;
            if let Ok(text) = PackedText::read(&packed) {
                let mut out = Vec::new();
                if text.unpack(b"12", &mut out).is_ok() {
                    proptest::prop_assert_eq!(out.len(), text.length + 2);
                }
            }
        }
    }
}
