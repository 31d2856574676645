//! Differences of two versions of a value: which parts of the old one the new one repeats, and the
//! bytes between them.
//!
//! A change of a large object is small: a push inserts one event into a list and removes another.
//! So a value is compared from both ends, and after a difference the next equal part is searched
//! close to it. Values that differ more are stored as they are.

use std::ops::Range;

use memchr::memmem;

/// Bytes that must be equal for both values to continue there. Shorter texts repeat in each element
/// of a list.
const ANCHOR: usize = 128;
/// Distance between the places of the new value whose anchors are searched in the old one.
const STEP: usize = 64;
/// The part of the old value in which an anchor is searched.
const WINDOW: usize = 32 << 10;
/// The most bytes of a new value that may be missing in the old one.
const MAX_INSERTED: usize = 32 << 10;
/// Bytes of an encoded hunk besides the bytes that it inserts.
const HUNK_HEAD: usize = 12;

/// A part of a new value: bytes of the old one, and then bytes that are inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hunk {
    copied: Range<usize>,
    /// Place of the inserted bytes, in the new value or in its encoded difference.
    inserted: Range<usize>,
}

/// Encodes the difference of two values; `None` if it is not much smaller than the new one.
pub(super) fn encode(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let hunks = compare(old, new)?;
    let inserted: usize = hunks.iter().map(|hunk| hunk.inserted.len()).sum();
    let length = hunks.len() * HUNK_HEAD + inserted;
    if length > new.len() / 4 {
        return None;
    }
    let mut out = Vec::with_capacity(length);
    for Hunk { copied, inserted } in hunks {
        for number in [copied.start, copied.len(), inserted.len()] {
            out.extend_from_slice(&u32::try_from(number).ok()?.to_be_bytes());
        }
        out.extend_from_slice(&new[inserted]);
    }
    Some(out)
}

/// Compares two values; `None` if they differ too much.
fn compare(old: &[u8], new: &[u8]) -> Option<Vec<Hunk>> {
    let (mut hunks, mut inserted) = (Vec::new(), 0);
    let prefix = common_prefix(old, new);
    let suffix = common_suffix(&old[prefix..], &new[prefix..]);
    let (old_end, new_end) = (old.len() - suffix, new.len() - suffix);
    let (mut at_old, mut at) = (0, 0);
    loop {
        let equal = common_prefix(&old[at_old..old_end], &new[at..new_end]);
        let copied = at_old..at_old + equal;
        at += equal;
        let (next_old, next) = next_equal(&old[..old_end], copied.end, &new[..new_end], at);
        inserted += next - at;
        if inserted > MAX_INSERTED {
            return None;
        }
        hunks.push(Hunk { copied, inserted: at..next });
        (at_old, at) = (next_old, next);
        if at == new_end {
            hunks.push(Hunk { copied: old_end..old.len(), inserted: new_end..new_end });
            return Some(hunks);
        }
    }
}

/// The next places at which both values are equal again; their ends if there are none.
fn next_equal(old: &[u8], at_old: usize, new: &[u8], at: usize) -> (usize, usize) {
    let window = &old[at_old..old.len().min(at_old + WINDOW)];
    let places = (at..new.len().min(at + MAX_INSERTED)).step_by(STEP);
    for place in places {
        let Some(anchor) = new.get(place..place + ANCHOR) else { break };
        if let Some(found) = memmem::find(window, anchor) {
            let earlier = common_suffix(&window[..found], &new[at..place]);
            return (at_old + found - earlier, place - earlier);
        }
    }
    (old.len(), new.len())
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut equal = 0;
    for size in [4096, 64, 1] {
        let chunks = a[equal..].chunks_exact(size).zip(b[equal..].chunks_exact(size));
        equal += chunks.take_while(|(a, b)| a == b).count() * size;
    }
    equal
}

fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let mut equal = 0;
    for size in [4096, 64, 1] {
        let (a, b) = (&a[..a.len() - equal], &b[..b.len() - equal]);
        let chunks = a.rchunks_exact(size).zip(b.rchunks_exact(size));
        equal += chunks.take_while(|(a, b)| a == b).count() * size;
    }
    equal
}

/// A decoded difference.
pub(super) struct Delta<'a> {
    bytes: &'a [u8],
    hunks: Vec<Hunk>,
    /// Ends of the hunks in the new value.
    ends: Vec<usize>,
}

impl<'a> Delta<'a> {
    /// Decodes what [`encode`] returned.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut delta = Self { bytes, hunks: Vec::new(), ends: Vec::new() };
        let (mut at, mut end) = (0, 0);
        while at < bytes.len() {
            let [from, copied, inserted] = [0, 4, 8].map(|offset| {
                let number = bytes.get(at + offset..)?.first_chunk()?;
                Some(u32::from_be_bytes(*number) as usize)
            });
            let (from, copied, inserted) = (from?, copied?, inserted?);
            at += HUNK_HEAD;
            let hunk = Hunk { copied: from..from + copied, inserted: at..at + inserted };
            bytes.get(hunk.inserted.clone())?;
            at += inserted;
            end += copied + inserted;
            delta.ends.push(end);
            delta.hunks.push(hunk);
        }
        Some(delta)
    }

    /// Bytes of the new value.
    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    /// Replaces a range of the new value by ranges of the old one and inserted bytes.
    fn resolve(&self, range: Range<usize>, pieces: &mut Vec<Piece<'a>>) -> Option<()> {
        let mut at = range.start;
        let first = self.ends.partition_point(|end| *end <= at);
        for (hunk, end) in self.hunks.iter().zip(&self.ends).skip(first) {
            if at == range.end {
                break;
            }
            let inserted = end - hunk.inserted.len();
            let start = inserted - hunk.copied.len();
            let until = range.end.min(*end);
            if at < inserted {
                let (from, to) = (at - start, until.min(inserted) - start);
                let copied = hunk.copied.start;
                pieces.push(Piece::Old(copied + from..copied + to));
            }
            if until > inserted {
                let bytes = self.bytes.get(hunk.inserted.clone())?;
                pieces.push(Piece::New(&bytes[at.max(inserted) - inserted..until - inserted]));
            }
            at = until;
        }
        (at == range.end).then_some(())
    }
}

/// A part of a value.
enum Piece<'a> {
    /// A range of the value before.
    Old(Range<usize>),
    /// These bytes.
    New(&'a [u8]),
}

/// Applies differences, newest first, to the value that is older than all of them. `None` if they do
/// not fit.
pub(super) fn apply(deltas: &[Delta<'_>], oldest: &[u8]) -> Option<Vec<u8>> {
    let length = deltas.first().map_or(oldest.len(), Delta::len);
    let mut pieces = vec![Piece::Old(0..length)];
    for delta in deltas {
        let mut before = Vec::with_capacity(pieces.len() + 4);
        for piece in pieces {
            match piece {
                Piece::New(_) => before.push(piece),
                Piece::Old(range) => delta.resolve(range, &mut before)?,
            }
        }
        pieces = before;
    }
    let mut value = Vec::with_capacity(length);
    for piece in pieces {
        value.extend_from_slice(match piece {
            Piece::New(bytes) => bytes,
            Piece::Old(range) => oldest.get(range)?,
        });
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A list of records, as large objects are stored.
    fn records(seeds: &[u64]) -> Vec<u8> {
        let record = |seed: &u64| {
            let [a, b, c] = [1, 2, 3].map(|n| (seed + n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            format!(
                "{{\"reference\":\"registry.example.com:5000/space/name@{a:x}{b:x}\",\"image\":\"{a:x}{b:x}{c:x}\"}},"
            )
        };
        seeds.iter().map(record).collect::<String>().into_bytes()
    }

    fn apply_one(old: &[u8], encoded: &[u8]) -> Option<Vec<u8>> {
        apply(&[Delta::decode(encoded)?], old)
    }

    #[test]
    fn difference_of_a_push_is_the_event() {
        let old: Vec<u64> = (0..4000).collect();
        let mut new = old.clone();
        // A head, an event that is inserted, and the oldest one that is dropped.
        new[3] = 90_000;
        new.insert(2000, 90_001);
        new.remove(2020);
        let (old, new) = (records(&old), records(&new));
        let encoded = encode(&old, &new).unwrap();
        let event = old.len() / 4000;
        assert!(encoded.len() < 3 * event, "{} bytes, an event has {event}", encoded.len());
        assert_eq!(apply_one(&old, &encoded).unwrap(), new);
    }

    #[test]
    fn very_different_values_have_no_difference() {
        let [a, b] = [0, 50_000].map(|from| records(&(from..from + 1000).collect::<Vec<_>>()));
        assert_eq!(encode(&a, &b), None);
        assert_eq!(encode(&[], &a), None);
        assert_eq!(encode(&a, &[]), None, "nothing is smaller than an empty value");
    }

    #[test]
    fn equal_values_have_a_short_difference() {
        let value = records(&[1, 2, 3]);
        let encoded = encode(&value, &value).unwrap();
        assert!(encoded.len() <= 2 * HUNK_HEAD, "{encoded:?}");
        assert_eq!(apply_one(&value, &encoded).unwrap(), value);
    }

    #[test]
    fn malformed_differences_are_refused() {
        let value = records(&(0..100).collect::<Vec<_>>());
        let mut shorter = value.clone();
        shorter.truncate(value.len() - 10);
        let encoded = encode(&value, &value).unwrap();
        assert!(Delta::decode(&encoded[..encoded.len() - 1]).is_none());
        assert!(Delta::decode(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).is_none(), "no byte follows");
        assert_eq!(apply_one(&shorter, &encoded), None);
    }

    /// An edit of a list: replace, insert or remove at a place.
    fn edits() -> impl Strategy<Value = Vec<(u8, usize, u64)>> {
        prop::collection::vec((0..3_u8, any::<usize>(), 100_000..200_000_u64), 1..8)
    }

    proptest! {
        #[test]
        fn applied_chains_give_the_newest_value(versions in prop::collection::vec(edits(), 1..12)) {
            let mut list: Vec<u64> = (0..200).collect();
            let oldest = records(&list);
            let (mut value, mut chain) = (oldest.clone(), Vec::new());
            for edits in versions {
                for (kind, at, seed) in edits {
                    let at = at % list.len();
                    match kind {
                        0 => list[at] = seed,
                        1 => list.insert(at, seed),
                        _ => drop(list.remove(at)),
                    }
                }
                let next = records(&list);
                if let Some(encoded) = encode(&value, &next) {
                    chain.insert(0, encoded);
                    let deltas: Option<Vec<_>> = chain.iter().map(|each| Delta::decode(each)).collect();
                    prop_assert_eq!(&apply(&deltas.unwrap(), &oldest).unwrap(), &next);
                    value = next;
                }
            }
            prop_assert!(!chain.is_empty());
        }

        #[test]
        fn any_two_values_round_trip(old in ".{0,400}", new in ".{0,400}", repeats in 1..40_usize) {
            let [old, new] = [old, new].map(|text| text.repeat(repeats).into_bytes());
            let both = [&old[..], &new[..], &old[..]].concat();
            for (from, to) in [(&old, &new), (&old, &both), (&both, &old)] {
                if let Some(encoded) = encode(from, to) {
                    prop_assert_eq!(&apply_one(from, &encoded).unwrap(), to);
                }
            }
        }
    }
}
