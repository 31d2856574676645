//! Rows of views as earlier versions stored them.
//!
//! ```text
//! 1 byte      format: OPEN or CLOSED
//! 1 byte      length of the creation time
//! 4 bytes     length of the head, little-endian; NO_VIEW if the rest is an error Status
//! 4 bytes     length of the decompressed rest, little-endian
//! n bytes     creation time as in JSON, without quotes
//! n bytes     head: JSON of the image up to its resourceVersion
//! compressed  rest: JSON of the image after its resourceVersion, or of the Status
//! ```

use lz4_flex::block;

pub(super) const OPEN: u8 = 2;
const CLOSED: u8 = 3;
const NO_VIEW: u32 = u32::MAX;

/// The length of the header before the creation time, in bytes.
const HEADER_BYTES: usize = 10;
/// The maximum compression ratio of LZ4.
pub(super) const MAX_LZ4_RATIO: usize = 255;

/// The parts of a row.
pub(super) struct EarlierView<'a> {
    pub(super) created: &'a [u8],
    /// True if the JSON is that of a Status.
    pub(super) is_status: bool,
    pub(super) json: SplitJson<'a>,
}

/// JSON that is split at the resourceVersion.
#[derive(Debug)]
pub(in crate::resources) struct SplitJson<'a> {
    head: &'a [u8],
    /// The length of the decompressed rest.
    length: usize,
    compressed: &'a [u8],
}

/// Splits a row into its parts.
///
/// # Errors
/// A sentence for the log if the row is damaged.
pub(super) fn read(bytes: &[u8]) -> Result<EarlierView<'_>, &'static str> {
    let (numbers, body) =
        bytes.split_first_chunk::<HEADER_BYTES>().ok_or("the view is shorter than its header")?;
    let [OPEN | CLOSED, created, lengths @ ..] = numbers else {
        return Err("the format of the view is unknown");
    };
    let [a, b, c, d, e, f, g, h] = *lengths;
    let (head, length) =
        (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]) as usize);
    let (created, body) =
        body.split_at_checked(usize::from(*created)).ok_or("the creation time is truncated")?;
    let head_bytes = if head == NO_VIEW { 0 } else { head as usize };
    let parts = body.split_at_checked(head_bytes);
    let (start, compressed) = parts.ok_or("the revision is outside of the view")?;
    if length > compressed.len().saturating_mul(MAX_LZ4_RATIO) {
        return Err("the view is longer than its compressed form allows");
    }
    let json = SplitJson { head: start, length, compressed };
    Ok(EarlierView { created, is_status: head == NO_VIEW, json })
}

impl SplitJson<'_> {
    /// The length of the JSON without the resourceVersion, in bytes.
    pub(super) fn length(&self) -> usize {
        self.head.len() + self.length
    }

    /// Appends the JSON with these digits of the resourceVersion.
    ///
    /// # Errors
    /// A sentence for the log if the compressed bytes are damaged.
    pub(super) fn write(&self, revision: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.extend_from_slice(self.head);
        out.extend_from_slice(revision);
        let start = out.len();
        out.resize(start + self.length, 0);
        match block::decompress_into(self.compressed, &mut out[start..]) {
            Ok(length) if length == self.length => Ok(()),
            _ => Err("the compressed part of the view is damaged"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(head: u32, parts: [&[u8]; 2], rest: &[u8]) -> Vec<u8> {
        let [created, start] = parts;
        let length = u32::try_from(rest.len()).unwrap().to_le_bytes();
        let numbers = [&[CLOSED, created.len() as u8][..], &head.to_le_bytes(), &length].concat();
        [&numbers, created, start, &block::compress(rest)].concat()
    }

    #[test]
    fn rows_of_earlier_versions_are_readable() {
        let bytes = row(3, [b"2020", b"abc"], b"-rest");
        let EarlierView { created, is_status, json } = read(&bytes).unwrap();
        let mut out = Vec::new();
        json.write(b"70", &mut out).unwrap();
        assert_eq!((created, is_status, json.length()), (&b"2020"[..], false, 8));
        assert_eq!(out, b"abc70-rest");
        let bytes = row(NO_VIEW, [b"", b""], b"{}");
        let EarlierView { is_status, json, .. } = read(&bytes).unwrap();
        let mut out = Vec::new();
        json.write(b"", &mut out).unwrap();
        assert_eq!((is_status, &out[..]), (true, &b"{}"[..]));
    }
}
