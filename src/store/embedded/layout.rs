//! The format of the data file: its tables and the bytes of their rows.
//!
//! | table | key | row |
//! |---|---|---|
//! | `meta` | name | a number |
//! | `log` | position | key, kind of the change, the replaced version and its charge; no value |
//! | `packed` | position | the value of this change, compressed if that makes it smaller |
//! | `values` | position | the same uncompressed, from formats before 4 |
//! | `deltas` | position | a large value as the difference from the value that it replaced |
//! | `current` | key | position and charge of the latest version; of a deletion until it is compacted |
//! | `history` | key, NUL, revision | position of a replaced version until it is compacted |
//! | `accounts` | account | its usage: the sums of the charges in `current` and in `log` |
//!
//! The log is separate from the values, so that compaction and a watcher of another prefix skip a
//! change without reading its value. Numbers are big-endian, so that bytes sort like positions.
//!
//! A charge is an account and a number of bytes. Format 1 has neither charges nor `accounts`, formats
//! 1 and 2 have no `deltas`, and formats 1 to 3 no `packed`. Format 4 compresses values without a
//! dictionary. Their rows are valid in format 5, and [`super::repack`] moves the values of formats 1
//! to 3 to `packed`.
//!
//! redb does not verify what it reads, so every row begins with an XXH3 checksum of its key and its
//! content. A row with a wrong checksum decodes to `None`.

use redb::TableDefinition;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::store::{Account, AccountUsage, Revision};

/// Numbers of the whole file, by name.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Changes in the order of their positions.
pub(super) const LOG: TableDefinition<'_, &[u8; Position::BYTES], &[u8]> =
    TableDefinition::new("log");
/// The values of the versions that can still be read, see [`super::packed`].
pub(super) const PACKED: TableDefinition<'_, &[u8; Position::BYTES], &[u8]> =
    TableDefinition::new("packed");
/// The values that a format before 4 has stored.
pub(super) const VALUES: TableDefinition<'_, &[u8; Position::BYTES], &[u8]> =
    TableDefinition::new("values");
/// The values of some of these versions as differences, see [`super::values`].
pub(super) const DELTAS: TableDefinition<'_, &[u8; Position::BYTES], &[u8]> =
    TableDefinition::new("deltas");
/// The latest version of every key.
pub(super) const CURRENT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("current");
/// The versions before the latest.
pub(super) const HISTORY: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("history");

/// The usage of every account.
pub(super) const ACCOUNTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("accounts");

/// Name in `meta`: the layout of this file, see [`FORMAT`].
pub(super) const META_FORMAT: &str = "format";
/// Name in `meta`: the revision of the latest commit.
pub(super) const META_CURRENT: &str = "current";
/// Name in `meta`: the oldest revision that can be read.
pub(super) const META_COMPACTED: &str = "compacted";
/// Name in `meta`: bytes of the file that compaction has freed and no value has taken since.
pub(super) const META_REUSABLE: &str = "reusable";

/// Version of this format. Every change of the format increments it. The table `meta` never
/// changes, so that an older program can detect a newer file.
pub(super) const FORMAT: u64 = 5;
/// The format before the dictionary. Opening such a file converts it.
pub(super) const FORMAT_WITHOUT_DICTIONARY: u64 = 4;
/// The format before compression. Opening such a file converts it.
pub(super) const FORMAT_WITHOUT_COMPRESSION: u64 = 3;
/// The format before differences. Opening such a file converts it.
pub(super) const FORMAT_WITHOUT_DELTAS: u64 = 2;
/// The format before accounts. Opening such a file converts it.
pub(super) const FORMAT_WITHOUT_ACCOUNTS: u64 = 1;

/// Bytes of the checksum at the start of every row.
pub(super) const CHECK: usize = 8;

/// The place of a version in the log: the revision of its transaction and its index in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// A row of `history`, and the main part of a row of `current`: the position of a version of a key.
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

    /// Decodes a row of `history`, or the version in a row of `current`.
    pub(super) fn decode(key: &[u8], row: &[u8]) -> Option<Self> {
        Self::split(key, row).map(|(version, _)| version)
    }

    /// The version in a row, and the encoded charge after it.
    fn split<'a>(key: &[u8], row: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (at, rest) = unseal(key, Position::NOWHERE, row)?.split_first_chunk()?;
        let (kind, charge) = match rest {
            [0] => (Kind::Deletion, &[][..]),
            [1, charge @ ..] => (Kind::Value, charge),
            _ => return None,
        };
        Some((Self { at: Position::decode(at), kind }, charge))
    }

    /// The revision that wrote the value; `None` for a deletion.
    pub(super) fn value_revision(self) -> Option<Revision> {
        (self.kind == Kind::Value).then_some(self.at.revision)
    }
}

/// The bytes of a key and its value, and the account that is charged for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowCharge {
    pub(super) account: Account,
    pub(super) bytes: u32,
}

impl RowCharge {
    /// Appends the charge to a row.
    fn append(&self, row: &mut Vec<u8>) {
        let account = self.account.as_str().as_bytes();
        row.extend_from_slice(&self.bytes.to_be_bytes());
        row.push(u8::try_from(account.len()).expect("transactions are validated"));
        row.extend_from_slice(account);
    }

    /// The charge at the start of the bytes, and the bytes after it.
    fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (number, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (account, rest) = rest.split_at_checked(usize::from(*length))?;
        let account = Account::new(std::str::from_utf8(account).ok()?);
        Some((Self { account, bytes: u32::from_be_bytes(*number) }, rest))
    }
}

/// A row of `current`: the latest version of a key, and its charge if it is a value that belongs to
/// an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Latest {
    pub(super) version: Version,
    pub(super) charge: Option<RowCharge>,
}

impl Latest {
    /// Encodes into a reusable buffer.
    pub(super) fn encode(&self, key: &[u8], row: &mut Vec<u8>) {
        row.clear();
        row.extend_from_slice(&self.version.encode(key));
        if let Some(charge) = &self.charge {
            charge.append(row);
            seal(key, Position::NOWHERE, row);
        }
    }

    pub(super) fn decode(key: &[u8], row: &[u8]) -> Option<Self> {
        let (version, rest) = Version::split(key, row)?;
        let charge = match rest {
            [] => None,
            charge => Some(RowCharge::split(charge).filter(|(_, rest)| rest.is_empty())?.0),
        };
        Some(Self { version, charge })
    }
}

/// A row of `log`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) key: &'a str,
    pub(super) kind: Kind,
    pub(super) replaced: Option<Version>,
    /// The charge for the replaced value.
    pub(super) charge: Option<RowCharge>,
}

impl<'a> Record<'a> {
    const VALUE: u8 = 1;
    const REPLACED: u8 = 2;
    const REPLACED_VALUE: u8 = 4;
    const CHARGED: u8 = 8;

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
        row.push(kind | replaced | if self.charge.is_some() { Self::CHARGED } else { 0 });
        row.extend_from_slice(
            &self.replaced.map_or(Position::NOWHERE, |version| version.at).encode(),
        );
        if let Some(charge) = &self.charge {
            charge.append(row);
        }
        row.extend_from_slice(self.key.as_bytes());
        seal(&[], at, row);
    }

    pub(super) fn decode(at: Position, row: &'a [u8]) -> Option<Self> {
        let (&flags, rest) = unseal(&[], at, row)?.split_first()?;
        let (replaced_at, rest) = rest.split_first_chunk()?;
        let (charge, key) = match flags & Self::CHARGED {
            0 => (None, rest),
            _ => RowCharge::split(rest).map(|(charge, key)| (Some(charge), key))?,
        };
        let replaced_kind =
            if flags & Self::REPLACED_VALUE != 0 { Kind::Value } else { Kind::Deletion };
        Some(Self {
            key: std::str::from_utf8(key).ok()?,
            kind: if flags & Self::VALUE != 0 { Kind::Value } else { Kind::Deletion },
            replaced: (flags & Self::REPLACED != 0)
                .then(|| Version { at: Position::decode(replaced_at), kind: replaced_kind }),
            charge,
        })
    }
}

/// Writes a row of `values`, which is [`CHECK`] bytes longer than the value.
#[cfg(test)]
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

/// The checksum of a value that is stored in another form.
pub(super) fn value_checksum(key: &[u8], at: Position, value: &[u8]) -> u64 {
    checksum(key, at, value)
}

/// A row of `deltas`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DeltaRow<'a> {
    /// Position of the value that this one is the difference from.
    pub(super) base: Position,
    /// Number of differences from this one to a whole value, this one included.
    pub(super) depth: u16,
    /// Bytes of their hunks.
    pub(super) chain_bytes: u32,
    /// The [`value_checksum`].
    pub(super) value_check: u64,
    /// The difference, see [`super::delta`].
    pub(super) hunks: &'a [u8],
}

impl<'a> DeltaRow<'a> {
    pub(super) fn encode(&self, key: &[u8], at: Position) -> Vec<u8> {
        let Self { base, depth, chain_bytes, value_check, hunks } = self;
        let mut row = vec![0; CHECK];
        row.extend_from_slice(&base.encode());
        row.extend_from_slice(&depth.to_be_bytes());
        row.extend_from_slice(&chain_bytes.to_be_bytes());
        row.extend_from_slice(&value_check.to_be_bytes());
        row.extend_from_slice(hunks);
        seal(key, at, &mut row);
        row
    }

    pub(super) fn decode(key: &[u8], at: Position, row: &'a [u8]) -> Option<Self> {
        let (base, rest) = unseal(key, at, row)?.split_first_chunk()?;
        let (depth, rest) = rest.split_first_chunk()?;
        let (chain_bytes, rest) = rest.split_first_chunk()?;
        let (value_check, hunks) = rest.split_first_chunk()?;
        Some(Self {
            base: Position::decode(base),
            depth: u16::from_be_bytes(*depth),
            chain_bytes: u32::from_be_bytes(*chain_bytes),
            value_check: u64::from_be_bytes(*value_check),
            hunks,
        })
    }
}

/// Bytes of the file that a value of some bytes takes. redb stores small values together in pages,
/// and a large one in pages of its own, whose number is a power of two.
pub(super) fn file_bytes(value: usize) -> u64 {
    const PAGE: usize = 4096;
    const HEAD: usize = 64;
    let bytes = value + HEAD;
    let bytes =
        if bytes <= PAGE / 2 { bytes } else { bytes.div_ceil(PAGE).next_power_of_two() * PAGE };
    bytes as u64
}

/// A row of `accounts`.
pub(super) fn encode_usage(account: &str, usage: AccountUsage) -> [u8; CHECK + 16] {
    let mut row = [0; CHECK + 16];
    row[CHECK..CHECK + 8].copy_from_slice(&usage.current.to_be_bytes());
    row[CHECK + 8..].copy_from_slice(&usage.history.to_be_bytes());
    seal(account.as_bytes(), Position::NOWHERE, &mut row);
    row
}

/// The usage in a row of `accounts`.
pub(super) fn decode_usage(account: &str, row: &[u8]) -> Option<AccountUsage> {
    let (current, rest) =
        unseal(account.as_bytes(), Position::NOWHERE, row)?.split_first_chunk()?;
    let history = rest.try_into().ok()?;
    let [current, history] = [*current, history].map(u64::from_be_bytes);
    Some(AccountUsage { current, history })
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

/// The key and the revision in a key of the history.
pub(super) fn split_history_key(place: &[u8]) -> Option<(&[u8], Revision)> {
    let (rest, revision) = place.split_last_chunk()?;
    let (0, key) = rest.split_last()? else { return None };
    Some((key, Revision(u64::from_be_bytes(*revision))))
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
