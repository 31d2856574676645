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
//! failure  1 byte    3, in place of the end
//!          2 bytes   length of the reason, then the reason
//! ```
//!
//! Version 1 has no entries of accounts. Numbers are big-endian; entries are in the order of their keys. A reader must be able to undo
//! its use of entries until the end is verified.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Account, Entry, Key, MAX_KEY_BYTES, MAX_VALUE_BYTES, Revision};

const MAGIC: [u8; 8] = *b"ISTORE\x1a\n";
const FORMAT: u32 = 2;
/// The oldest format that can be read.
const FIRST_FORMAT: u32 = 1;

const ENTRY: u8 = 1;
const END: u8 = 2;
const FAILURE: u8 = 3;
const ACCOUNT_ENTRY: u8 = 4;

/// Upper bound of the revisions in a valid backup: clients read a revision as a signed 64-bit
/// number, and the restored store needs room above.
pub(crate) const REVISION_LIMIT: u64 = 1 << 62;

/// The head of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveHead {
    /// The revision of the entries.
    pub revision: Revision,
    /// The time of the backup, in whole seconds.
    pub taken: SystemTime,
}

/// The contents of a complete backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// The revision of the entries.
    pub revision: Revision,
    /// The number of entries.
    pub entries: u64,
    /// The length of the backup, in bytes.
    pub bytes: u64,
}

/// An error of reading a backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The input is not a backup.
    #[error("this is no backup of a store: name a file that `store backup` wrote, unpacked")]
    Foreign,
    /// A newer version of this program wrote the backup.
    #[error("the backup has form {found}, this version reads form {FORMAT}: use a newer version")]
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
    /// The input cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a backup.
pub(crate) struct ArchiveWriter<W> {
    out: Hashing<W>,
    entries: u64,
}

impl<W: Write> ArchiveWriter<W> {
    pub(crate) fn begin(out: W, head: ArchiveHead) -> io::Result<Self> {
        let mut out = Hashing::new(out);
        let taken = head.taken.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        out.write_all(&MAGIC)?;
        out.write_all(&FORMAT.to_be_bytes())?;
        out.write_all(&head.revision.0.to_be_bytes())?;
        out.write_all(&taken.to_be_bytes())?;
        Ok(Self { out, entries: 0 })
    }

    /// Writes an entry, with its index in its revision and the account that the key belongs to.
    pub(crate) fn entry(
        &mut self,
        entry: &Entry,
        sub: u32,
        account: Option<&Account>,
    ) -> io::Result<()> {
        let Entry { key, value, revision } = entry;
        let key = key.as_str().as_bytes();
        match account {
            None => self.out.write_all(&[ENTRY])?,
            Some(account) => {
                let account = account.as_str().as_bytes();
                self.out.write_all(&[ACCOUNT_ENTRY])?;
                self.out.write_all(&length::<u8>(account)?.to_be_bytes())?;
                self.out.write_all(account)?;
            }
        }
        self.out.write_all(&length::<u16>(key)?.to_be_bytes())?;
        self.out.write_all(key)?;
        self.out.write_all(&revision.0.to_be_bytes())?;
        self.out.write_all(&sub.to_be_bytes())?;
        self.out.write_all(&length::<u32>(value)?.to_be_bytes())?;
        self.out.write_all(value)?;
        self.entries += 1;
        Ok(())
    }

    /// Writes the end. Returns the length in bytes and the number of entries.
    pub(crate) fn end(mut self) -> io::Result<(u64, u64)> {
        self.out.write_all(&[END])?;
        self.out.write_all(&self.entries.to_be_bytes())?;
        let sum = self.out.sum();
        self.out.write_all(&sum)?;
        self.out.inner.flush()?;
        Ok((self.out.bytes, self.entries))
    }

    /// Writes a failure in place of the end.
    pub(crate) fn fail(mut self, reason: &str) -> io::Result<()> {
        let reason = &reason.as_bytes()[..reason.len().min(usize::from(u16::MAX))];
        self.out.write_all(&[FAILURE])?;
        self.out.write_all(&length::<u16>(reason)?.to_be_bytes())?;
        self.out.write_all(reason)?;
        self.out.inner.flush()
    }
}

fn length<T: TryFrom<usize>>(bytes: &[u8]) -> io::Result<T> {
    T::try_from(bytes.len())
        .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "too long for a backup"))
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
        Ok(Self { input, head, last: None, entries: 0, state: State::Open })
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

    fn entry(&mut self, account: Option<Account>) -> Result<ArchiveEntry, ArchiveError> {
        let length = usize::from(u16::from_be_bytes(self.input.array()?));
        let key = if length <= MAX_KEY_BYTES {
            String::from_utf8(self.input.bytes(length)?).ok()
        } else {
            None
        };
        let key = key
            .map(Key::new)
            .filter(Key::is_storable)
            .ok_or_else(|| damaged("a key cannot be one"))?;
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

/// A stream that counts and hashes its bytes.
struct Hashing<S> {
    inner: S,
    hash: Sha256,
    bytes: u64,
}

impl<S> Hashing<S> {
    fn new(inner: S) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The checksum of all bytes so far.
    fn sum(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }
}

impl<W: Write> Hashing<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.pass(bytes);
        Ok(())
    }
}

impl<R: Read> Hashing<R> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.pass(&bytes);
        Ok(bytes)
    }

    /// Reads exactly `length` bytes. Allocates as bytes arrive: a damaged length must not reserve
    /// memory.
    fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.inner.by_ref().take(length as u64).read_to_end(&mut bytes)?;
        if read < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.pass(&bytes);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
