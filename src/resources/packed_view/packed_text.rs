//! JSON in a compact form: digests and the revision are left out, and the rest is compressed with
//! a dictionary.
//!
//! A third of the JSON of an image is digests. In hexadecimal they are twice as long as their bytes,
//! and LZ4 cannot make them shorter. The dictionary holds the names and values that most images
//! have in common.
//!
//! ```text
//! 4 bytes   length of the JSON without the revision, little-endian
//! 2 bytes   number of digests, little-endian
//! 32 bytes  for each digest
//! LZ4       JSON, with a mark in place of each digest and of the revision
//! ```

use lz4_flex::block;
use memchr::{memchr, memchr2, memmem};

use super::earlier::MAX_LZ4_RATIO;
use crate::meta::hex;

/// Marks, which JSON cannot contain: it escapes control characters.
const DIGEST: u8 = 1;
pub(super) const REVISION: u8 = 2;

const PREFIX: &[u8] = b"sha256:";
const DIGEST_BYTES: usize = 32;
/// Bytes of a digest in the JSON.
const DIGEST_TEXT: usize = PREFIX.len() + 2 * DIGEST_BYTES;
const HEADER_BYTES: usize = 6;

/// The dictionary. It is a part of the stored format, so it never changes.
const DICTIONARY: &[u8] = include_bytes!("dictionary.txt");

/// The parts of packed JSON.
#[derive(Clone, Copy, Debug)]
pub(in crate::resources) struct PackedText<'a> {
    /// The length of the JSON without the revision, in bytes.
    pub(super) length: usize,
    digests: &'a [[u8; DIGEST_BYTES]],
    compressed: &'a [u8],
}

/// Appends the packed form of JSON, in which [`REVISION`] may stand for the revision.
pub(super) fn pack(json: &[u8], out: &mut Vec<u8>) {
    let (mut digests, mut rest) = (Vec::new(), Vec::with_capacity(json.len()));
    let mut copied = 0;
    for at in memmem::find_iter(json, PREFIX) {
        let Some(digest) = digest_at(&json[at..]) else { continue };
        if digests.len() == usize::from(u16::MAX) {
            break;
        }
        rest.extend_from_slice(&json[copied..at]);
        rest.push(DIGEST);
        digests.push(digest);
        copied = at + DIGEST_TEXT;
    }
    rest.extend_from_slice(&json[copied..]);
    let length = json.len() - usize::from(memchr(REVISION, json).is_some());
    let length = u32::try_from(length).expect("stored objects are smaller than 4 GiB");
    let count = u16::try_from(digests.len()).expect("the number has just been limited");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(digests.as_flattened());
    out.extend_from_slice(&block::compress_with_dict(&rest, DICTIONARY));
}

/// The digest that a text begins with.
fn digest_at(text: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
    let digits = text.strip_prefix(PREFIX)?.first_chunk()?;
    hex::decode_sha256(digits)
}

impl<'a> PackedText<'a> {
    /// Splits packed JSON into its parts.
    ///
    /// # Errors
    /// A sentence for the log if the bytes are damaged.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let header = bytes.split_first_chunk::<HEADER_BYTES>();
        let (&[a, b, c, d, e, f], rest) = header.ok_or("the view is shorter than its header")?;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let count = usize::from(u16::from_le_bytes([e, f]));
        let parts = rest.split_at_checked(count * DIGEST_BYTES);
        let (digests, compressed) = parts.ok_or("the digests of the view are truncated")?;
        let (digests, _) = digests.as_chunks();
        // One mark stands for the revision, which the length does not count.
        let template = (length + 1).checked_sub(count * (DIGEST_TEXT - 1));
        if template.is_none_or(|template| template > compressed.len() * MAX_LZ4_RATIO) {
            return Err("the view is longer than its compressed form allows");
        }
        Ok(Self { length, digests, compressed })
    }

    /// Appends the JSON, with these digits in place of the revision.
    ///
    /// # Errors
    /// A sentence for the log if the bytes are damaged.
    pub(super) fn unpack(&self, revision: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let start = out.len();
        // The compressed part is decompressed to the end of its place, and expanded from there to
        // the start. It never overtakes itself, because expanding only closes the gap.
        out.resize(start + self.length + revision.len(), 0);
        let place = &mut out[start..];
        let gap = self.digests.len() * (DIGEST_TEXT - 1) + revision.len().saturating_sub(1);
        let target = place.get_mut(gap..).ok_or(DAMAGED)?;
        match block::decompress_into_with_dict(self.compressed, target, DICTIONARY) {
            Ok(size) if size == target.len() => expand(place, gap, self.digests, revision),
            _ => Err(DAMAGED),
        }
    }
}

const DAMAGED: &str = "the compressed part of the view is damaged";

/// Expands the marks of the text that follows a gap, into the whole place.
fn expand(
    place: &mut [u8],
    gap: usize,
    digests: &[[u8; DIGEST_BYTES]],
    revision: &[u8],
) -> Result<(), &'static str> {
    let (mut read, mut written) = (gap, 0);
    let mut digests = digests.iter();
    let mut revision = Some(revision).filter(|digits| !digits.is_empty());
    while read > written || revision.is_some() {
        let at = memchr2(DIGEST, REVISION, &place[read..]).ok_or(DAMAGED)?;
        place.copy_within(read..read + at, written);
        let mark = place[read + at];
        (read, written) = (read + at + 1, written + at);
        let end = match mark {
            DIGEST => written + DIGEST_TEXT,
            _ => written + revision.map_or(0, <[u8]>::len),
        };
        let target = place.get_mut(written..end).filter(|_| end <= read).ok_or(DAMAGED)?;
        match mark {
            DIGEST => {
                let (prefix, digits) = target.split_at_mut(PREFIX.len());
                prefix.copy_from_slice(PREFIX);
                hex::encode_into(digests.next().ok_or(DAMAGED)?, digits);
            }
            _ => target.copy_from_slice(revision.take().ok_or(DAMAGED)?),
        }
        written = end;
    }
    Ok(())
}
