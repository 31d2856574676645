//! The format of the data file: its tables and the bytes of their rows.
//!
//! | table | key | row |
//! |---|---|---|
//! | `meta` | name | a number |
//! | `log` | position | key, kind of the change, and the replaced version; no value |
//! | `values` | position | the value of this change |
//! | `current` | key | position of the latest version; of a deletion until it is compacted |
//! | `history` | key, NUL, revision | position of a replaced version until it is compacted |
//!
//! The log is separate from the values, so that compaction and a watcher of another prefix skip a
//! change without reading its value. Numbers are big-endian, so that bytes sort like positions.
//!
//! redb does not verify what it reads, so every row begins with an XXH3 checksum of its key and its
//! content. A row with a wrong checksum decodes to `None`.

use redb::TableDefinition;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::store::Revision;

/// Numbers of the whole file, by name.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Changes in the order of their positions.
pub(super) const LOG: TableDefinition<'_, &[u8; Position::BYTES], &[u8]> =
    TableDefinition::new("log");
/// The values of the versions that can still be read.
pub(super) const VALUES: TableDefinition<'_, &[u8; Position::BYTES], &[u8]> =
    TableDefinition::new("values");
/// The latest version of every key.
pub(super) const CURRENT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("current");
/// The versions before the latest.
pub(super) const HISTORY: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("history");

/// Name in `meta`: the layout of this file, see [`FORMAT`].
pub(super) const META_FORMAT: &str = "format";
/// Name in `meta`: the revision of the latest commit.
pub(super) const META_CURRENT: &str = "current";
/// Name in `meta`: the oldest revision that can be read.
pub(super) const META_COMPACTED: &str = "compacted";

/// Version of this format. Every change of the format increments it. The table `meta` never
/// changes, so that an older program can detect a newer file.
pub(super) const FORMAT: u64 = 1;

/// Bytes of the checksum at the start of every row.
pub(super) const CHECK: usize = 8;

/// The place of a version in the log: the revision of its transaction and its index in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) revision: Revision,
    pub(super) sub: u32,
}

impl Position {
    pub(super) const BYTES: usize = 12;
    const NOWHERE: Self = Self { revision: Revision(0), sub: 0 };

    /// The position after all changes of a revision.
    pub(super) const fn end_of(revision: Revision) -> Self {
        Self { revision, sub: u32::MAX }
    }

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.revision.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.sub.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, sub @ ..] = *bytes;
        Self {
            revision: Revision(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            sub: u32::from_be_bytes(sub),
        }
    }
}

/// The kind of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Value,
    Deletion,
}

/// A row of `current` and of `history`: the position of a version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) at: Position,
    pub(super) kind: Kind,
}

impl Version {
    const BYTES: usize = CHECK + Position::BYTES + 1;

    pub(super) fn encode(self, key: &[u8]) -> [u8; Self::BYTES] {
        let mut row = [0; Self::BYTES];
        row[CHECK..CHECK + Position::BYTES].copy_from_slice(&self.at.encode());
        row[CHECK + Position::BYTES] = u8::from(self.kind == Kind::Value);
        seal(key, Position::NOWHERE, &mut row);
        row
    }

    pub(super) fn decode(key: &[u8], row: &[u8]) -> Option<Self> {
        let (at, rest) = unseal(key, Position::NOWHERE, row)?.split_first_chunk()?;
        let kind = match rest {
            [0] => Kind::Deletion,
            [1] => Kind::Value,
            _ => return None,
        };
        Some(Self { at: Position::decode(at), kind })
    }

    /// The revision that wrote the value; `None` for a deletion.
    pub(super) fn value_revision(self) -> Option<Revision> {
        (self.kind == Kind::Value).then_some(self.at.revision)
    }
}

/// A row of `log`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) key: &'a str,
    pub(super) kind: Kind,
    pub(super) replaced: Option<Version>,
}

impl<'a> Record<'a> {
    const VALUE: u8 = 1;
    const REPLACED: u8 = 2;
    const REPLACED_VALUE: u8 = 4;

    /// Encodes into a reusable buffer.
    pub(super) fn encode(&self, at: Position, row: &mut Vec<u8>) {
        let kind = if self.kind == Kind::Value { Self::VALUE } else { 0 };
        let replaced = match self.replaced.map(|version| version.kind) {
            None => 0,
            Some(Kind::Deletion) => Self::REPLACED,
            Some(Kind::Value) => Self::REPLACED | Self::REPLACED_VALUE,
        };
        row.clear();
        row.extend_from_slice(&[0; CHECK]);
        row.push(kind | replaced);
        row.extend_from_slice(
            &self.replaced.map_or(Position::NOWHERE, |version| version.at).encode(),
        );
        row.extend_from_slice(self.key.as_bytes());
        seal(&[], at, row);
    }

    pub(super) fn decode(at: Position, row: &'a [u8]) -> Option<Self> {
        let (&flags, rest) = unseal(&[], at, row)?.split_first()?;
        let (replaced_at, key) = rest.split_first_chunk()?;
        let replaced_kind =
            if flags & Self::REPLACED_VALUE != 0 { Kind::Value } else { Kind::Deletion };
        Some(Self {
            key: std::str::from_utf8(key).ok()?,
            kind: if flags & Self::VALUE != 0 { Kind::Value } else { Kind::Deletion },
            replaced: (flags & Self::REPLACED != 0)
                .then(|| Version { at: Position::decode(replaced_at), kind: replaced_kind }),
        })
    }
}

/// Writes a row of `values`, which is [`CHECK`] bytes longer than the value.
pub(super) fn encode_value(key: &[u8], at: Position, value: &[u8], row: &mut [u8]) {
    row[CHECK..].copy_from_slice(value);
    seal(key, at, row);
}

/// The value in a row of `values`.
pub(super) fn decode_value<'a>(key: &[u8], at: Position, row: &'a [u8]) -> Option<&'a [u8]> {
    unseal(key, at, row)
}

/// The value in a row of `values`, without verification.
pub(super) fn unverified_value(row: &[u8]) -> &[u8] {
    row.get(CHECK..).unwrap_or_default()
}

/// A row of `meta`.
pub(super) fn encode_number(name: &str, number: u64) -> [u8; CHECK + 8] {
    let mut row = [0; CHECK + 8];
    row[CHECK..].copy_from_slice(&number.to_be_bytes());
    seal(name.as_bytes(), Position::NOWHERE, &mut row);
    row
}

/// The number in a row of `meta`.
pub(super) fn decode_number(name: &str, row: &[u8]) -> Option<u64> {
    let number = unseal(name.as_bytes(), Position::NOWHERE, row)?;
    Some(u64::from_be_bytes(number.try_into().ok()?))
}

/// Writes the key of a row of `history` into a reusable buffer. Keys contain no NUL, so the
/// versions of one key are adjacent and in the order of their revisions.
pub(super) fn history_key(key: &[u8], revision: Revision, buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(key);
    buffer.push(0);
    buffer.extend_from_slice(&revision.0.to_be_bytes());
}

fn seal(place: &[u8], at: Position, row: &mut [u8]) {
    let (check, content) = row.split_at_mut(CHECK);
    check.copy_from_slice(&checksum(place, at, content).to_be_bytes());
}

fn unseal<'a>(place: &[u8], at: Position, row: &'a [u8]) -> Option<&'a [u8]> {
    let (check, content) = row.split_first_chunk::<CHECK>()?;
    (u64::from_be_bytes(*check) == checksum(place, at, content)).then_some(content)
}

/// Covers the key as well as the content, so that an intact row under a wrong key fails too.
fn checksum(place: &[u8], at: Position, content: &[u8]) -> u64 {
    let seed = at.revision.0.rotate_left(32) ^ u64::from(at.sub);
    xxh3_64_with_seed(content, xxh3_64_with_seed(place, seed))
}
