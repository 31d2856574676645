//! What a stream shows of an image, almost ready to be sent: a row beside the image, written in the same transaction.
//!
//! Showing an image through its stream is the most frequent request by far, so all work for it is done when the image is
//! written: its metadata is filled in, manifest and configuration are left out, and the JSON is written down. A read
//! unpacks it and puts in the revision, which nobody knows before the commit and which is that of the row.
//!
//! Most of it is packed, by LZ4: unpacking takes about a microsecond, less than reading twice as much from memory or
//! disk that nobody looked at for a while, and twice as many images are kept in memory.
//!
//! ```text
//! 1 byte    form: OPEN, or CLOSED for an image that a stream does not show which has it only as a part of a list
//! 1 byte    length of the creation time
//! 4 bytes   length of the head, little-endian; NO_VIEW where what follows is the status that says why there is no view
//! 4 bytes   length of the rest when it is unpacked, little-endian
//! n bytes   creation time as it is written in JSON, without quotes
//! n bytes   head: the JSON of the image up to its revision
//! packed    rest: the JSON of the image behind its revision, or of the status
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

/// A row, taken apart.
#[derive(Debug)]
pub(super) struct PackedView<'a> {
    /// When the image was created, as JSON without quotes; empty where that is not known.
    pub(super) created: &'a [u8],
    /// What a stream shows of the image.
    pub(super) content: ViewContent<'a>,
}

/// What a stream shows of an image.
#[derive(Debug)]
pub(super) enum ViewContent<'a> {
    /// The image's JSON.
    Image(SplitJson<'a>),
    /// The JSON of the status that says why it cannot be shown.
    Error(Compressed<'a>),
}

/// The JSON of an image but for its revision.
#[derive(Debug)]
pub(super) struct SplitJson<'a> {
    head: &'a [u8],
    rest: Compressed<'a>,
}

/// Bytes that are packed.
#[derive(Debug)]
pub(super) struct Compressed<'a> {
    length: usize,
    bytes: &'a [u8],
}

impl SplitJson<'_> {
    /// How long the JSON is, but for the revision.
    pub(super) fn length(&self) -> usize {
        self.head.len() + self.rest.length
    }

    /// Appends the JSON of the image at a revision.
    ///
    /// # Errors
    /// A sentence for the log, when the packed bytes are none that this module writes.
    pub(super) fn write(&self, revision: Revision, out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.extend_from_slice(self.head);
        json::encode_into(&revision.0, out);
        self.rest.decompress_into(out)
    }
}

impl Compressed<'_> {
    /// Appends the bytes.
    ///
    /// # Errors
    /// As for [`SplitJson::write`].
    pub(super) fn decompress_into(&self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let start = out.len();
        out.resize(start + self.length, 0);
        match block::decompress_into(self.bytes, &mut out[start..]) {
            Ok(length) if length == self.length => Ok(()),
            _ => Err("the packed part of the row is damaged"),
        }
    }
}

/// The beginning of the keys of these rows.
const PREFIX: &str = "/image.openshift.io/views/";

/// The key of the row of an image.
pub(super) fn key(image: &str) -> Key {
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
pub(super) fn encode(image: &Image) -> Bytes {
    let (head, rest) = match present(image) {
        Ok(shown) => view_of(shown),
        Err(status) => (None, json::encode(&status)),
    };
    let created = image.metadata.creation_timestamp.map(|time| time.to_string()).unwrap_or_default();
    let packed = block::compress(&rest);
    let head_bytes = head.as_deref().unwrap_or_default();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + created.len() + head_bytes.len() + packed.len());
    let form = if unproved::is_open(image) { OPEN } else { CLOSED };
    bytes.extend_from_slice(&[form, u8::try_from(created.len()).expect("a time has twenty letters")]);
    bytes.extend_from_slice(&head.as_ref().map_or(NO_VIEW, |head| length(head)).to_le_bytes());
    bytes.extend_from_slice(&length(&rest).to_le_bytes());
    bytes.extend_from_slice(created.as_bytes());
    bytes.extend_from_slice(head_bytes);
    bytes.extend_from_slice(&packed);
    bytes.into()
}

/// Whether a stream shows the image of a row which has it only as a part of a list.
pub(super) fn is_open(row: &[u8]) -> bool {
    row.first() == Some(&OPEN)
}

/// The bytes of a row under `key` that do not depend on the version that wrote it, for comparing two rows.
///
/// That is the whole row, but for one with a status: versions differ in how they cut long messages, so only code and
/// reason of the status count. A row that cannot be read counts as it is.
pub(super) fn comparable<'a>(key: &Key, row: &'a [u8]) -> Cow<'a, [u8]> {
    let error = if key.as_str().starts_with(PREFIX) { comparable_error(row) } else { None };
    error.map_or(Cow::Borrowed(row), Cow::Owned)
}

/// Form, creation time, code and reason of a row with a status; none for any other row.
fn comparable_error(row: &[u8]) -> Option<Vec<u8>> {
    let PackedView { created, content: ViewContent::Error(packed) } = PackedView::read(row).ok()? else {
        return None;
    };
    let mut text = Vec::new();
    packed.decompress_into(&mut text).ok()?;
    let Status { code, reason, .. } = serde_json::from_slice(&text).ok()?;
    // The form and the length of the creation time come first, then the marker of a row without a view.
    let mut bytes = [&row[..HEADER_BYTES - size_of::<u32>()], created, &code.to_be_bytes()].concat();
    bytes.extend_from_slice(reason.as_bytes());
    Some(bytes)
}

/// Length of what stands before the creation time.
const HEADER_BYTES: usize = 10;

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("it is a part of a stored object, which is far smaller")
}

impl<'a> PackedView<'a> {
    /// Takes a row apart.
    ///
    /// # Errors
    /// A sentence for the log, when the bytes are none that this module writes.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (numbers, body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or("the row is shorter than its head")?;
        let [OPEN | CLOSED, created, lengths @ ..] = numbers else {
            return Err("the form of the row is not known");
        };
        let [a, b, c, d, e, f, g, h] = *lengths;
        let (head, length) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]) as usize);
        let (created, body) = body.split_at_checked(usize::from(*created)).ok_or("the creation time is cut off")?;
        let parts = if head == NO_VIEW { Some((body, body)) } else { body.split_at_checked(head as usize) };
        let (start, bytes) = parts.ok_or("the revision is outside of the view")?;
        if length > bytes.len().saturating_mul(MAX_LZ4_RATIO) {
            return Err("the view is longer than its packed form can be");
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

/// A byte of LZ4 stands for no more bytes than this.
const MAX_LZ4_RATIO: usize = 255;

/// What a stream shows of an image, or the status that the reference answers instead.
fn present(image: &Image) -> Result<Image, Status> {
    let kind = GroupResource { group: GROUP, name: "" };
    presentable::validate_presentable(image).map_err(|faults| Status::invalid(kind, "", &faults))?;
    let mut shown = image.clone();
    image_metadata::fill_for_view(&mut shown).map_err(|why| Status::internal(why.to_string()))?;
    Ok(shown)
}

/// The JSON of an image, before and behind its revision.
fn view_of(mut image: Image) -> (Option<Vec<u8>>, Vec<u8>) {
    // The first such text is the field: before it stand only texts, in which quotes are escaped.
    const FIELD: &[u8] = br#""resourceVersion":"?"#;
    image.metadata.resource_version = "?".into();
    let mut head = json::encode(&image);
    let field = head.windows(FIELD.len()).position(|part| part == FIELD);
    let place = field.expect("the field was set a moment ago") + FIELD.len() - 1;
    let rest = head.split_off(place + 1);
    head.truncate(place);
    (Some(head), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Evidence, Proof};

    fn image(manifest: &str, config: &str) -> Image {
        let text = r#"{"metadata":{"name":"x","uid":"u","creationTimestamp":"2020-01-01T00:00:00Z"}}"#;
        let mut image: Image = serde_json::from_str(text).unwrap();
        image.docker_image_manifest = manifest.into();
        image.docker_image_config = config.into();
        image
    }

    fn shown(image: &Image) -> String {
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
    fn a_row_tells_whether_lists_may_show_its_image() {
        let mut image = image("", "");
        assert!(is_open(&encode(&image)), "it was stored before evidence was recorded");
        image.evidence.proof = Proof::Full;
        assert!(!is_open(&encode(&image)));
        image.evidence = Evidence::authority();
        assert!(is_open(&encode(&image)));
    }

    #[test]
    fn view_has_revision_gap_without_manifest_and_config() {
        let mut named = image("", "");
        named.metadata.name = "\"resourceVersion\":\"?".into();
        let json = shown(&named);
        assert!(json.contains(r#""uid":"u","resourceVersion":"7","creationTimestamp""#), "{json}");
        assert!(!shown(&image(r#"{"schemaVersion":2}"#, "{}")).contains("schemaVersion"));
    }

    #[test]
    fn an_image_that_cannot_be_shown_leaves_the_reason() {
        assert!(shown(&image("{oops", "")).contains("\"code\":500"));
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
