//! Tests of the scanner with frames and reads of any size.

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::frames::{DATA, END_STREAM, Frames};
use super::*;

/// Default maximum frame size of h2 in bytes.
const FRAME: usize = 16 << 10;

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let head = FrameHead { length: to_u32(payload.len()), kind, flags, stream: 1 };
    [&head.bytes()[..], payload].concat()
}

/// A block in frames of these sizes; the last size is repeated.
fn frames(block: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut frames, mut left, mut number) = (Vec::new(), block, 0);
    while number == 0 || !left.is_empty() {
        let size = sizes[number.min(sizes.len() - 1)].min(left.len());
        let (now, later) = left.split_at(size);
        left = later;
        let flags = if left.is_empty() { END_HEADERS } else { 0 };
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        frames.extend(frame(kind, flags, now));
        number += 1;
    }
    frames
}

/// The same with padding and a priority in the first frame.
fn padded_frames(block: &[u8], padding: u8) -> Vec<u8> {
    let (first, rest) = block.split_at(block.len().min(1_000));
    let payload = [&[padding, 0, 0, 0, 0, 9], first, &vec![0; padding.into()]].concat();
    let flags = PADDED | PRIORITY | END_STREAM;
    if rest.is_empty() {
        return frame(HEADERS, flags | END_HEADERS, &payload);
    }
    let mut all = frame(HEADERS, flags, &payload);
    let parts: Vec<_> = rest.chunks(FRAME).collect();
    for (number, part) in parts.iter().enumerate() {
        let flags = if number + 1 == parts.len() { END_HEADERS } else { 0 };
        all.extend(frame(CONTINUATION, flags, part));
    }
    all
}

/// The bytes after a scan in reads of these sizes, repeated, and the number of names found.
fn scanned(bytes: &[u8], reads: &[usize]) -> (Vec<u8>, usize) {
    let (mut frames, mut names, mut found) = (Frames::after(0), LongNameScanner::default(), 0);
    let mut bytes = bytes.to_vec();
    let (mut left, mut sizes) = (&mut bytes[..], reads.iter().cycle());
    while !left.is_empty() {
        let (mut now, later) = left.split_at_mut(left.len().min(*sizes.next().unwrap()));
        left = later;
        while !now.is_empty() {
            let payload = frames.payload(now);
            found += names.pass(&mut now[..payload]);
            let (passed, head) = frames.advance(now);
            now = &mut now[passed..];
            if let Some(head) = head {
                names.begin(head);
            }
        }
    }
    (bytes, found)
}

/// The header block in frames without padding.
fn block_of(mut bytes: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    while let Some(head) = bytes.first_chunk().map(FrameHead::parse) {
        let end = 9 + to_usize(head.length);
        block.extend(&bytes[9..end]);
        bytes = &bytes[end..];
    }
    block
}

/// An integer after the bits of an instruction (RFC 7541, section 5.1).
fn integer(bits: u8, prefix: u8, value: usize) -> Vec<u8> {
    let Some(mut rest) = value.checked_sub(prefix.into()) else { return vec![bits | value as u8] };
    let mut bytes = vec![bits | prefix];
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

fn string(huffman: u8, bytes: &[u8]) -> Vec<u8> {
    [integer(huffman, 0x7f, bytes.len()), bytes.to_vec()].concat()
}

/// A literal with a name.
fn literal(bits: u8, huffman: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![bits], string(huffman, name), string(0, value)].concat()
}

/// Decodes a string that is raw or repeats the Huffman code of `&`.
fn read_string(block: &mut &[u8]) -> Vec<u8> {
    let is_huffman = block[0] & 0x80 != 0;
    let (mut length, mut at) = (usize::from(block[0] & 0x7f), 1);
    if length == 0x7f {
        loop {
            length += usize::from(block[at] & 0x7f) << (7 * (at - 1));
            at += 1;
            if block[at - 1] & 0x80 == 0 {
                break;
            }
        }
    }
    let text = block[at..at + length].to_vec();
    *block = &block[at + length..];
    if is_huffman {
        assert!(text.iter().all(|byte| *byte == 0xf8));
        return vec![b'&'; length];
    }
    text
}

/// Decodes literals without indexing, with names or entries of the static table.
fn read_fields(mut block: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields = Vec::new();
    while !block.is_empty() {
        let name = match *block {
            [0x0f, 13, ..] => b"content-length".to_vec(),
            [0x0f, 0, ..] => b"accept-charset".to_vec(),
            _ => vec![],
        };
        assert!(!name.is_empty() || [0, 0x10].contains(&block[0]), "{:?}", &block[..2]);
        block = &block[if name.is_empty() { 1 } else { 2 }..];
        let name = if name.is_empty() { read_string(&mut block) } else { name };
        fields.push((name, read_string(&mut block)));
    }
    fields
}

#[test]
fn too_long_a_name_becomes_fields_that_h2_rejects() {
    for (huffman, length) in [
        (0, 65_536),
        (0, 70_000),
        (0, 1 << 20),
        (0, (1 << 21) + 126),
        (0x80, 40_960),
        (0x80, 65_000),
    ] {
        let around = literal(0, 0, b"around", b"1");
        let long = literal(0x10, huffman, &vec![b'n'; length], b"value");
        let (bytes, found) =
            scanned(&frames(&[&around[..], &long, &around].concat(), &[FRAME]), &[usize::MAX]);
        assert_eq!(found, 1, "{length}");
        let fields = read_fields(&block_of(&bytes));
        let [first, name, number, value, last] = &fields[..] else { panic!("{}", fields.len()) };
        let around = (b"around".to_vec(), b"1".to_vec());
        assert_eq!((first, last), (&around, &around));
        assert!((127..16_511).contains(&name.0.len()) && name.0.iter().all(|byte| *byte == b'&'));
        assert!(name.1.is_empty());
        assert!(number.0 == b"content-length" && number.1.len() > 30_000);
        assert!(number.1.iter().all(|byte| *byte == b'x'));
        assert_eq!(value, &(b"accept-charset".to_vec(), b"value".to_vec()));
    }
}

#[test]
fn a_name_is_replaced_at_any_read_size() {
    let long = |huffman, length| literal(0, huffman, &vec![b'n'; length], b"value");
    let block =
        [&[0x82, 0x84][..], &long(0, 70_000), &long(0x80, 41_000), &literal(0, 0, b"x", b"y")]
            .concat();
    for bytes in [
        frames(&block, &[FRAME]),
        frames(&block, &[0, 1, 1, 1, 2, 500]),
        padded_frames(&block, 200),
    ] {
        let (expected, found) = scanned(&bytes, &[usize::MAX]);
        assert_eq!(found, 2);
        assert_ne!(expected, bytes);
        // A cut after every byte.
        assert_eq!(scanned(&bytes, &[1]), (expected.clone(), 2));
        // One cut at each of these positions.
        let heads = (0..bytes.len()).step_by(FRAME + 9).flat_map(|at| at..at + 12);
        for at in heads.chain(1..60).chain(990..1_250).filter(|at| (1..bytes.len()).contains(at)) {
            assert!(scanned(&bytes, &[at, usize::MAX]).0 == expected, "{at}");
        }
    }
}

#[test]
fn the_longest_names_pass() {
    for (bits, huffman, length) in [
        (0, 0, 65_535),
        (0x10, 0, 65_535),
        (0, 0x80, 40_959),
        // These enter the dynamic table.
        (0x40, 0, 70_000),
        (0x40, 0x80, 41_000),
        // h2 rejects this length in any case.
        (0, 0, (1 << 21) + 127),
    ] {
        let bytes = frames(&literal(bits, huffman, &vec![b'n'; length], b"v"), &[FRAME]);
        assert!(scanned(&bytes, &[1_000]) == (bytes, 0), "{length}");
    }
}

#[test]
fn an_integer_that_is_too_long_ends_the_scan_of_its_block() {
    let long = literal(0, 0, &[b'n'; 70_000], b"v");
    let bytes = frames(&[&[0, 0x7f, 0x80, 0x80, 0x80, 0x80, 0][..], &long].concat(), &[FRAME]);
    assert!(scanned(&bytes, &[usize::MAX]) == (bytes.clone(), 0));
    let next = [bytes, frames(&long, &[FRAME])].concat();
    assert_eq!(scanned(&next, &[usize::MAX]).1, 1);
}

#[test]
fn only_header_blocks_of_several_frames_are_scanned() {
    let start = &literal(0, 0, &[b'n'; 70_000], b"v")[..10_000];
    let whole = frame(HEADERS, END_HEADERS, start);
    let data = frame(DATA, 0, start);
    let stray = frame(CONTINUATION, END_HEADERS, start);
    let bytes = [&whole[..], &data, &stray].concat();
    assert!(scanned(&bytes, &[usize::MAX]) == (bytes, 0));
    // Later frames do not belong to the block.
    let bytes = [&frames(&[0x82, 0x84], &[1])[..], &data, &stray].concat();
    assert!(scanned(&bytes, &[usize::MAX]) == (bytes, 0));
}

/// An instruction whose name is not too long.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let length =
        || prop_oneof![8 => 0..300_usize, 1 => 40_000..66_000_usize, 1 => 66_000..80_000_usize];
    let huffman = || prop_oneof![Just(0_u8), Just(0x80)];
    let indexed = (1..5_000_usize).prop_map(|index| integer(0x80, 0x7f, index));
    let size = (0..5_000_usize).prop_map(|size| integer(0x20, 0x1f, size));
    let kind = prop_oneof![Just((0_u8, 0x0f_u8)), Just((0x10, 0x0f)), Just((0x40, 0x3f))];
    let with_index = (kind, 1..200_usize, huffman(), length(), any::<u8>()).prop_map(
        |(kind, index, code, length, byte)| {
            [integer(kind.0, kind.1, index), string(code, &vec![byte; length])].concat()
        },
    );
    let bits = prop_oneof![Just(0_u8), Just(0x10), Just(0x40)];
    let with_name = (bits, huffman(), length(), length(), any::<u8>()).prop_map(
        |(bits, code, name, value, byte)| {
            let longest = if bits == 0x40 {
                usize::MAX
            } else if code == 0 {
                65_535
            } else {
                40_959
            };
            literal(bits, code, &vec![byte; name.min(longest)], &vec![byte; value])
        },
    );
    prop_oneof![indexed, size, with_index, with_name]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn other_blocks_pass_unchanged(
        block in prop::collection::vec(instruction(), 0..12),
        sizes in prop::collection::vec(0..400_usize, 0..10),
        padding in any::<u8>(),
        reads in prop::collection::vec(1..20_000_usize, 1..10),
    ) {
        let block = block.concat();
        let sizes = [&sizes[..], &[FRAME]].concat();
        let bytes = [frames(&block, &sizes), padded_frames(&block, padding), frame(DATA, 0, b"data")].concat();
        prop_assert!(scanned(&bytes, &reads) == (bytes, 0));
    }

    /// The scanner finds a name after any instructions, and changes nothing else.
    #[test]
    fn only_the_name_changes_between_other_fields(
        before in prop::collection::vec(instruction(), 0..6),
        after in prop::collection::vec(instruction(), 0..6),
        extra in 0..20_000_usize,
        size in any::<Index>(),
    ) {
        let (before, after) = (before.concat(), after.concat());
        let long = literal(0, 0, &vec![b'n'; 65_536 + extra], b"value");
        let block = [&before[..], &long, &after].concat();
        let bytes = frames(&block, &[1 + size.index(FRAME)]);
        let (bytes, found) = scanned(&bytes, &[1 + size.index(700)]);
        prop_assert_eq!(found, 1);
        let changed = block_of(&bytes);
        prop_assert!(changed[..before.len()] == before[..]);
        prop_assert!(changed[before.len() + long.len()..] == after[..]);
        prop_assert_eq!(read_fields(&changed[before.len()..before.len() + long.len()]).len(), 3);
    }
}
