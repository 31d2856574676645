//! The format of a backup: a stream of every entry of a store at one revision, with a checksum at
//! its end.
//!
//! ```text
//! head     8 bytes   "ISTORE", 0x1a, 0x0a
//!          4 bytes   version of the format, 2
//!          8 bytes   revision of the store
//!          8 bytes   time of the backup, in seconds since 1970
//! entry    1 byte    1, or 4 if the key belongs to an account
//!          1 byte    only with 4: length of the account, then the account
//!          2 bytes   length of the key, then the key
//!          8 bytes   revision that wrote the value
//!          4 bytes   index of the change in that revision
//!          4 bytes   length of the value, then the value
//! end      1 byte    2
//!          8 bytes   number of entries
//!          32 bytes  SHA-256 of everything before it
//! gaps     1 byte    5, in place of the end if values could not be read
//!          8 bytes   number of entries
//!          4 bytes   number of missing entries, each of them:
//!            2 bytes   length of the key, then the key
//!            8 bytes   revision that wrote the value; 0 if unknown
//!          32 bytes  SHA-256 of everything before it
//! failure  1 byte    3, in place of the end
//!          2 bytes   length of the reason, then the reason
//! ```
//!
//! Version 1 has no entries of accounts. Numbers are big-endian; entries are in the order of their
//! keys. A reader must be able to undo its use of entries until the end is verified. It rejects a
//! backup with gaps unless it skips damaged entries.

mod format;
mod hashing;
mod writer;

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;

use self::format::{ACCOUNT_ENTRY, END, ENTRY, FAILURE, FIRST_FORMAT, FORMAT, GAPS, MAGIC};
pub use self::format::{ArchiveHead, ArchiveSummary, MissingEntry};
pub(crate) use self::format::{MAX_GAPS, REVISION_LIMIT};
use self::hashing::Hashing;
pub(crate) use self::writer::ArchiveWriter;
use super::{Account, Entry, Key, MAX_KEY_BYTES, MAX_VALUE_BYTES, Revision, StoreError};

/// An error of reading a backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The input is not a backup.
    #[error("this is no backup of a store: name a file that `store backup` wrote, unpacked")]
    Foreign,
    /// A newer version of this program wrote the backup.
    #[error(
        "the backup has format {found}, version {} of this program reads formats up to {FORMAT}: use the version that wrote it",
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// Its format version.
        found: u32,
    },
    /// The backup ends early.
    #[error(
        "the backup is cut off after {bytes} bytes: nothing of it can be relied on, take another"
    )]
    CutOff {
        /// Its length.
        bytes: u64,
    },
    /// The content or its checksum is wrong.
    #[error("the backup is damaged: {reason}; nothing of it can be relied on, take another")]
    Damaged {
        /// The problem.
        reason: String,
    },
    /// The writer of the backup failed.
    #[error("the backup could not be finished: {reason}")]
    Unfinished {
        /// The error of the writer.
        reason: String,
    },
    /// The backup is intact and lacks damaged entries.
    #[error(
        "the backup could not be finished: {}; --skip-damaged of `store backup` and `store export` keeps the rest",
        described(missing)
    )]
    Gaps {
        /// The missing entries.
        missing: Vec<MissingEntry>,
    },
    /// The input cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a backup, as an iterator over its entries.
///
/// It returns `None` once the complete backup is verified; from then on [`ArchiveReader::summary`]
/// returns a value. After an error it returns `None` without a summary.
pub struct ArchiveReader<R> {
    input: Hashing<R>,
    head: ArchiveHead,
    last: Option<Key>,
    entries: u64,
    state: State,
    gaps: GapPolicy,
    missing: Vec<MissingEntry>,
}

/// The treatment of a backup that lacks damaged entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GapPolicy {
    Accept,
    Reject,
}

/// An entry of a backup.
pub(crate) struct ArchiveEntry {
    pub(crate) entry: Entry,
    /// The index of the change in its revision.
    pub(crate) sub: u32,
    /// The account that the key belongs to.
    pub(crate) account: Option<Account>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Whole,
    Broken,
}

impl<R: Read> ArchiveReader<R> {
    /// Reads the head.
    ///
    /// # Errors
    /// The input is not a backup, or has a newer format.
    pub fn begin(input: R) -> Result<Self, ArchiveError> {
        let mut input = Hashing::new(input);
        if input.array().map_err(|error| located(error.into(), 0))? != MAGIC {
            return Err(ArchiveError::Foreign);
        }
        let head = head(&mut input).map_err(|error| located(error, input.bytes))?;
        let (gaps, missing) = (GapPolicy::Reject, Vec::new());
        Ok(Self { input, head, last: None, entries: 0, state: State::Open, gaps, missing })
    }

    /// Accepts a backup that lacks damaged entries.
    pub fn skipping_damaged(self) -> Self {
        Self { gaps: GapPolicy::Accept, ..self }
    }

    /// The entries that the backup lacks. Complete once the backup is read to its end.
    pub fn missing(&self) -> &[MissingEntry] {
        &self.missing
    }

    /// The head of the backup.
    pub fn head(&self) -> ArchiveHead {
        self.head
    }

    /// The contents; `None` until the complete backup is verified.
    pub fn summary(&self) -> Option<ArchiveSummary> {
        let Self { head: ArchiveHead { revision, .. }, entries, ref input, .. } = *self;
        (self.state == State::Whole).then_some(ArchiveSummary {
            revision,
            entries,
            bytes: input.bytes,
            missing: self.missing.len() as u64,
        })
    }

    /// The next entry; `None` at the end.
    pub(crate) fn next_entry(&mut self) -> Option<Result<ArchiveEntry, ArchiveError>> {
        if self.state != State::Open {
            return None;
        }
        let read = self.read().map_err(|error| located(error, self.input.bytes));
        match &read {
            Ok(Some(_)) => {}
            Ok(None) => self.state = State::Whole,
            Err(_) => self.state = State::Broken,
        }
        read.transpose()
    }

    fn read(&mut self) -> Result<Option<ArchiveEntry>, ArchiveError> {
        match self.input.array()? {
            [ENTRY] => self.entry(None).map(Some),
            [ACCOUNT_ENTRY] => {
                let [length] = self.input.array()?;
                let account = String::from_utf8(self.input.bytes(length.into())?).ok();
                let account = account
                    .map(Account::new)
                    .filter(Account::is_storable)
                    .ok_or_else(|| damaged("an account cannot be one"))?;
                self.entry(Some(account)).map(Some)
            }
            [END] => self.end().map(|()| None),
            [GAPS] => self.gaps().map(|()| None),
            [FAILURE] => {
                let length = u16::from_be_bytes(self.input.array()?);
                let reason = self.input.bytes(length.into())?;
                Err(ArchiveError::Unfinished {
                    reason: String::from_utf8_lossy(&reason).into_owned(),
                })
            }
            [other] => Err(damaged(format_args!("there is no part of kind {other}"))),
        }
    }

    fn key(&mut self) -> Result<Key, ArchiveError> {
        let length = usize::from(u16::from_be_bytes(self.input.array()?));
        let key = if length <= MAX_KEY_BYTES {
            String::from_utf8(self.input.bytes(length)?).ok()
        } else {
            None
        };
        key.map(Key::new).filter(Key::is_storable).ok_or_else(|| damaged("a key cannot be one"))
    }

    fn entry(&mut self, account: Option<Account>) -> Result<ArchiveEntry, ArchiveError> {
        let key = self.key()?;
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(damaged(format_args!("{key} is out of order")));
        }
        let revision = Revision(u64::from_be_bytes(self.input.array()?));
        let sub = u32::from_be_bytes(self.input.array()?);
        if revision > self.head.revision || revision == Revision(0) {
            return Err(damaged(format_args!("{key} is of revision {revision}")));
        }
        let length = u32::from_be_bytes(self.input.array()?) as usize;
        if length > MAX_VALUE_BYTES {
            return Err(damaged(format_args!("the value of {key} has {length} bytes")));
        }
        let value = Bytes::from(self.input.bytes(length)?);
        self.entries += 1;
        self.last = Some(key.clone());
        Ok(ArchiveEntry { entry: Entry { key, value, revision }, sub, account })
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        let said = u64::from_be_bytes(self.input.array()?);
        self.verify_end(said)
    }

    /// Reads the end of a backup that lacks entries.
    fn gaps(&mut self) -> Result<(), ArchiveError> {
        let said = u64::from_be_bytes(self.input.array()?);
        let number = u32::from_be_bytes(self.input.array()?) as usize;
        if number > MAX_GAPS {
            return Err(damaged(format_args!("it lacks {number} entries")));
        }
        for _ in 0..number {
            let key = self.key()?;
            let revision = Revision(u64::from_be_bytes(self.input.array()?));
            self.missing.push(MissingEntry { key, revision });
        }
        self.verify_end(said)?;
        match self.gaps {
            GapPolicy::Accept => Ok(()),
            GapPolicy::Reject => Err(ArchiveError::Gaps { missing: self.missing.clone() }),
        }
    }

    fn verify_end(&mut self, said: u64) -> Result<(), ArchiveError> {
        let sum = self.input.sum();
        if self.input.array::<32>()? != sum {
            return Err(damaged("its checksum does not match"));
        }
        if said != self.entries {
            return Err(damaged(format_args!(
                "it has {} entries and should have {said}",
                self.entries
            )));
        }
        match self.input.array::<1>() {
            Err(error) if is_end(&error) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(damaged("something follows after its end")),
        }
    }
}

impl<R: Read> Iterator for ArchiveReader<R> {
    type Item = Result<Entry, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().map(|read| read.map(|read| read.entry))
    }
}

/// Reads the head after the magic bytes.
fn head(input: &mut Hashing<impl Read>) -> Result<ArchiveHead, ArchiveError> {
    let format = u32::from_be_bytes(input.array()?);
    if !(FIRST_FORMAT..=FORMAT).contains(&format) {
        return Err(ArchiveError::Newer { found: format });
    }
    let revision = u64::from_be_bytes(input.array()?);
    let taken = u64::from_be_bytes(input.array()?);
    match UNIX_EPOCH.checked_add(Duration::from_secs(taken)) {
        Some(taken) if (1..REVISION_LIMIT).contains(&revision) => {
            Ok(ArchiveHead { revision: Revision(revision), taken })
        }
        _ => Err(damaged("its head makes no sense")),
    }
}

/// The first missing entry and the number of the others, for an error message.
fn described(missing: &[MissingEntry]) -> String {
    let Some(MissingEntry { key, revision }) = missing.first() else { return String::new() };
    let error = StoreError::Damaged { key: key.clone(), revision: *revision };
    match missing.len() - 1 {
        0 => error.to_string(),
        more => format!("{error}, and {more} more"),
    }
}

fn damaged(reason: impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Damaged { reason: reason.to_string() }
}

/// Turns an early end of the input into `CutOff`.
fn located(error: ArchiveError, bytes: u64) -> ArchiveError {
    match error {
        ArchiveError::Io(error) if is_end(&error) => ArchiveError::CutOff { bytes },
        other => other,
    }
}

fn is_end(error: &io::Error) -> bool {
    error.kind() == ErrorKind::UnexpectedEof
}

#[cfg(test)]
mod tests;
