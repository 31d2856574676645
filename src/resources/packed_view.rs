//! The stored view of an image as streams show it: a row that is derived from the image and written
//! in the same transaction.
//!
//! Reads of images through streams are by far the most frequent requests. All work for them is done
//! when the image is written: its metadata is filled in, manifest and configuration are removed,
//! and the JSON is encoded. A read decompresses it and inserts the revision, which is that of the
//! row and not known before the commit.
//!
//! Most of the JSON is compressed with LZ4. Decompression takes about a microsecond, which is less
//! than reading twice as many cold bytes, and twice as many views fit into the cache.
//!
//! ```text
//! 1 byte      format: OPEN, or CLOSED if streams do not show the image as a child of a list
//! 1 byte      length of the creation time
//! 4 bytes     length of the head, little-endian; NO_VIEW if the rest is an error Status
//! 4 bytes     length of the decompressed rest, little-endian
//! n bytes     creation time as in JSON, without quotes
//! n bytes     head: JSON of the image up to its resourceVersion
//! compressed  rest: JSON of the image after its resourceVersion, or of the Status
//! ```

use std::borrow::Cow;

use bytes::Bytes;
use lz4_flex::block;

use crate::api::{GROUP, Image};
use crate::domain::{image_metadata, presentable, unproved};
use crate::machinery::json;
use crate::meta::{GroupResource, Status};
use crate::store::{Change, Key, Revision};

const OPEN: u8 = 2;
const CLOSED: u8 = 3;
const NO_VIEW: u32 = u32::MAX;

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
    Image(SplitJson<'a>),
    /// The JSON of the Status that explains why there is no view.
    Error(Compressed<'a>),
}

/// The JSON of an image, split at its resourceVersion.
#[derive(Debug)]
pub(super) struct SplitJson<'a> {
    head: &'a [u8],
    rest: Compressed<'a>,
}

/// Compressed bytes.
#[derive(Debug)]
pub(super) struct Compressed<'a> {
    length: usize,
    bytes: &'a [u8],
}

impl SplitJson<'_> {
    /// The length of the JSON without the resourceVersion, in bytes.
    pub(super) fn length(&self) -> usize {
        self.head.len() + self.rest.length
    }

    /// Appends the JSON of the image with this resourceVersion.
    ///
    /// # Errors
    /// A sentence for the log if the compressed bytes are damaged.
    pub(super) fn write(&self, revision: Revision, out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.extend_from_slice(self.head);
        json::encode_into(&revision.0, out);
        self.rest.decompress_into(out)
    }
}

impl Compressed<'_> {
    /// Appends the decompressed bytes.
    ///
    /// # Errors
    /// The errors of [`SplitJson::write`].
    pub(super) fn decompress_into(&self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let start = out.len();
        out.resize(start + self.length, 0);
        match block::decompress_into(self.bytes, &mut out[start..]) {
            Ok(length) if length == self.length => Ok(()),
            _ => Err("the compressed part of the view is damaged"),
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
    let (head, rest) = match present(image) {
        Ok(shown) => view_of(shown),
        Err(status) => (None, json::encode(&status)),
    };
    let created =
        image.metadata.creation_timestamp.map(|time| time.to_string()).unwrap_or_default();
    let packed = block::compress(&rest);
    let head_bytes = head.as_deref().unwrap_or_default();
    let mut bytes =
        Vec::with_capacity(HEADER_BYTES + created.len() + head_bytes.len() + packed.len());
    let form = if unproved::is_open(image) { OPEN } else { CLOSED };
    bytes
        .extend_from_slice(&[form, u8::try_from(created.len()).expect("a timestamp has 20 bytes")]);
    bytes.extend_from_slice(&head.as_ref().map_or(NO_VIEW, |head| length(head)).to_le_bytes());
    bytes.extend_from_slice(&length(&rest).to_le_bytes());
    bytes.extend_from_slice(created.as_bytes());
    bytes.extend_from_slice(head_bytes);
    bytes.extend_from_slice(&packed);
    bytes.into()
}

/// Returns true if streams show the image of a row as a child of a list.
pub(super) fn is_open(row: &[u8]) -> bool {
    row.first() == Some(&OPEN)
}

/// The bytes of a row that do not depend on the version that wrote it, for comparisons.
///
/// This is the whole row, except for one with a Status: versions truncate long messages
/// differently, so only code and reason count. A damaged row counts as a whole.
pub(super) fn comparable<'a>(key: &Key, row: &'a [u8]) -> Cow<'a, [u8]> {
    let error = if key.as_str().starts_with(PREFIX) { comparable_error(row) } else { None };
    error.map_or(Cow::Borrowed(row), Cow::Owned)
}

/// Format, creation time, code and reason of a row with a Status; none for other rows.
fn comparable_error(row: &[u8]) -> Option<Vec<u8>> {
    let PackedView { created, content: ViewContent::Error(packed) } = PackedView::read(row).ok()?
    else {
        return None;
    };
    let mut text = Vec::new();
    packed.decompress_into(&mut text).ok()?;
    let Status { code, reason, .. } = serde_json::from_slice(&text).ok()?;
    // Format and length of the creation time come first, then the marker of a row without a view.
    let mut bytes =
        [&row[..HEADER_BYTES - size_of::<u32>()], created, &code.to_be_bytes()].concat();
    bytes.extend_from_slice(reason.as_bytes());
    Some(bytes)
}

/// The length of the header before the creation time, in bytes.
const HEADER_BYTES: usize = 10;

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("stored objects are smaller than 4 GiB")
}

impl<'a> PackedView<'a> {
    /// Splits a row into its parts.
    ///
    /// # Errors
    /// A sentence for the log if the row is damaged.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (numbers, body) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or("the view is shorter than its header")?;
        let [OPEN | CLOSED, created, lengths @ ..] = numbers else {
            return Err("the format of the view is unknown");
        };
        let [a, b, c, d, e, f, g, h] = *lengths;
        let (head, length) =
            (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]) as usize);
        let (created, body) =
            body.split_at_checked(usize::from(*created)).ok_or("the creation time is truncated")?;
        let parts =
            if head == NO_VIEW { Some((body, body)) } else { body.split_at_checked(head as usize) };
        let (start, bytes) = parts.ok_or("the revision is outside of the view")?;
        if length > bytes.len().saturating_mul(MAX_LZ4_RATIO) {
            return Err("the view is longer than its compressed form allows");
        }
        let rest = Compressed { length, bytes };
        let content = if head == NO_VIEW {
            ViewContent::Error(rest)
        } else {
            ViewContent::Image(SplitJson { head: start, rest })
        };
        Ok(Self { created, content })
    }
}

/// The maximum compression ratio of LZ4.
const MAX_LZ4_RATIO: usize = 255;

/// The image as streams show it, or the Status that the OpenShift API server returns instead.
fn present(image: &Image) -> Result<Image, Status> {
    let kind = GroupResource { group: GROUP, name: "" };
    presentable::validate_presentable(image)
        .map_err(|errors| Status::invalid(kind, "", &errors))?;
    let mut shown = image.clone();
    image_metadata::fill_for_view(&mut shown).map_err(|why| Status::internal(why.to_string()))?;
    Ok(shown)
}

/// The JSON of an image before and after its resourceVersion.
fn view_of(mut image: Image) -> (Option<Vec<u8>>, Vec<u8>) {
    // The first match is the field: only escaped strings precede it.
    const FIELD: &[u8] = br#""resourceVersion":"?"#;
    image.metadata.resource_version = "?".into();
    let mut head = json::encode(&image);
    let field = head.windows(FIELD.len()).position(|part| part == FIELD);
    let place = field.expect("the field was just set") + FIELD.len() - 1;
    let rest = head.split_off(place + 1);
    head.truncate(place);
    (Some(head), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Evidence, Proof};

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
                view.write(Revision(7), &mut json).unwrap();
                assert_eq!(json.len(), view.length() + 1);
            }
            ViewContent::Error(status) => status.decompress_into(&mut json).unwrap(),
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

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, created: u8, head in 0_u32..40, length: u16) {
            let numbers = [&[OPEN, created][..], &head.to_le_bytes(), &u32::from(length).to_le_bytes()].concat();
            for bytes in [bytes.clone(), [numbers, bytes].concat()] {
                let mut out = Vec::new();
                let _ = match PackedView::read(&bytes).map(|row| row.content) {
                    Ok(ViewContent::Image(view)) => view.write(Revision(1), &mut out),
                    Ok(ViewContent::Error(status)) => status.decompress_into(&mut out),
                    Err(why) => Err(why),
                };
            }
        }
    }
}
