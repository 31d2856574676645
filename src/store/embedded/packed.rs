//! Rows of `packed`: values, compressed with LZ4 if that makes them smaller.
//!
//! Objects are JSON, of which LZ4 removes more than half in microseconds. A dictionary of the names
//! and values that most objects have in common removes half of the rest. A row then takes fewer
//! pages, which are also fewer pages to write for each commit.
//!
//! ```text
//! 8 bytes  checksum of the key, the position and the value
//! 1 byte   form: AS_IS, LZ4 or LZ4_WITH_DICTIONARY
//! 4 bytes  length of the value, if it is compressed
//! n bytes  the value
//! ```
//!
//! The checksum is that of the value, so it also covers its decompression.

use bytes::Bytes;
use lz4_flex::block;

use super::layout::{CHECK, Position, value_checksum};

const AS_IS: u8 = 0;
/// Without a dictionary, as format 4 compressed values.
const LZ4: u8 = 1;
const LZ4_WITH_DICTIONARY: u8 = 2;
/// The dictionary. It is a part of the format, so it never changes. Another one would get a form of
/// its own.
const DICTIONARY: &[u8] = include_bytes!("dictionary.txt");
/// Length of a value in bytes from which it is compressed. Shorter ones share a page anyway.
const MIN_COMPRESSED: usize = 512;
/// The maximum compression ratio of LZ4.
const MAX_LZ4_RATIO: usize = 255;

/// Encodes a row.
pub(super) fn encode(key: &[u8], at: Position, value: &[u8]) -> Vec<u8> {
    let check = value_checksum(key, at, value).to_be_bytes();
    if value.len() >= MIN_COMPRESSED
        && let Ok(length) = u32::try_from(value.len())
    {
        const HEAD: usize = CHECK + 1 + size_of::<u32>();
        let mut row = vec![0; HEAD + block::get_maximum_output_size(value.len())];
        let (head, body) = row.split_at_mut(HEAD);
        head[..CHECK].copy_from_slice(&check);
        head[CHECK] = LZ4_WITH_DICTIONARY;
        head[CHECK + 1..].copy_from_slice(&length.to_be_bytes());
        if let Ok(bytes) = block::compress_into_with_dict(value, body, DICTIONARY)
            && bytes < value.len() - value.len() / 8
        {
            row.truncate(HEAD + bytes);
            return row;
        }
    }
    [&check[..], &[AS_IS], value].concat()
}

/// The verified value in a row; `None` if it is damaged.
pub(super) fn decode(key: &[u8], at: Position, row: &[u8]) -> Option<Bytes> {
    let check = row.first_chunk()?;
    unverified(row).filter(|value| value_checksum(key, at, value) == u64::from_be_bytes(*check))
}

/// The value in a row, which may be wrong; `None` if there is none.
pub(super) fn unverified(row: &[u8]) -> Option<Bytes> {
    let (form, rest) = row.get(CHECK..)?.split_first()?;
    match *form {
        AS_IS => Some(Bytes::copy_from_slice(rest)),
        LZ4 => decompress(rest, &[]),
        LZ4_WITH_DICTIONARY => decompress(rest, DICTIONARY),
        _ => None,
    }
}

/// Decompresses a value behind its length; `None` if it is damaged.
fn decompress(bytes: &[u8], dictionary: &[u8]) -> Option<Bytes> {
    let (length, compressed) = bytes.split_first_chunk()?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > compressed.len().saturating_mul(MAX_LZ4_RATIO) {
        return None;
    }
    let mut value = vec![0; length];
    let decompressed = block::decompress_into_with_dict(compressed, &mut value, dictionary).ok()?;
    (decompressed == length).then(|| value.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::Revision;

    const AT: Position = Position { revision: Revision(7), sub: 3 };
    const KEY: &[u8] = b"/key";

    #[test]
    fn text_is_compressed_and_noise_is_not() {
        let text = "a line of text that resembles the next one\n".repeat(100);
        let row = encode(KEY, AT, text.as_bytes());
        assert!(row.len() < text.len() / 4, "{} bytes", row.len());
        assert_eq!(decode(KEY, AT, &row).unwrap(), text);
        let noise: Vec<u8> = (0..1000_u64)
            .flat_map(|n| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).to_be_bytes())
            .collect();
        let row = encode(KEY, AT, &noise);
        assert_eq!(row.len(), CHECK + 1 + noise.len());
        assert_eq!(decode(KEY, AT, &row).unwrap(), noise);
    }

    #[test]
    fn dictionary_never_changes() {
        assert_eq!(
            xxhash_rust::xxh3::xxh3_64(DICTIONARY),
            14_698_393_369_894_394_402,
            "stored values depend on it"
        );
    }

    #[test]
    fn value_of_format_4_is_decoded() {
        let text = "a line of text that resembles the next one\n".repeat(100);
        let check = value_checksum(KEY, AT, text.as_bytes()).to_be_bytes();
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        let row = [&check[..], &[LZ4], &length, &block::compress(text.as_bytes())].concat();
        assert_eq!(decode(KEY, AT, &row).unwrap(), text);
    }

    #[test]
    fn row_belongs_to_its_key_and_position() {
        let row = encode(KEY, AT, b"value");
        assert!(decode(KEY, AT, &row).is_some());
        assert!(decode(b"/other", AT, &row).is_none());
        assert!(decode(KEY, Position { sub: 4, ..AT }, &row).is_none());
    }

    proptest! {
        #[test]
        fn values_round_trip_and_flipped_bits_never_change_them(
            text in ".{0,60}", repeats in 1..60_usize, bit: prop::sample::Index,
        ) {
            let value = text.repeat(repeats);
            let mut row = encode(KEY, AT, value.as_bytes());
            prop_assert_eq!(&decode(KEY, AT, &row).unwrap(), &value);
            let bit = bit.index(row.len() * 8);
            row[bit / 8] ^= 1 << (bit % 8);
            // Another encoding of the same value is right.
            prop_assert!(decode(KEY, AT, &row).is_none_or(|decoded| decoded == value));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, form in 0..4_u8, length: u16) {
            let head = [&[0; CHECK][..], &[form], &u32::from(length).to_be_bytes()].concat();
            for row in [bytes.clone(), [head, bytes].concat()] {
                decode(KEY, AT, &row);
            }
        }
    }
}
