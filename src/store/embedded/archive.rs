//! The form of a backup: a stream of bytes that holds every entry of a store at one revision, and says at its end whether
//! all of it has arrived.
//!
//! ```text
//! head     8 bytes   "ISTORE", 0x1a, 0x0a
//!          4 bytes   form of what follows, 1
//!          8 bytes   revision of the store
//!          8 bytes   when the backup was begun, in seconds since 1970
//! entry    1 byte    1
//!          2 bytes   length of the key, then the key
//!          8 bytes   revision that wrote the value
//!          4 bytes   number of the change in that revision
//!          4 bytes   length of the value, then the value
//! end      1 byte    2
//!          8 bytes   number of entries
//!          32 bytes  SHA-256 of everything before it
//! failure  1 byte    3, in place of the end
//!          2 bytes   length of the reason, then the reason
//! ```
//!
//! Numbers are big-endian; entries come in the order of their keys. Nothing that was read counts before the end is
//! there: whoever uses entries earlier must be able to take that back.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::store::{Entry, Key, MAX_KEY_BYTES, Revision};

use super::MAX_VALUE_BYTES;
use super::layout::Position;

const MAGIC: [u8; 8] = *b"ISTORE\x1a\n";
const FORM: u32 = 1;

const ENTRY: u8 = 1;
const END: u8 = 2;
const FAILURE: u8 = 3;

/// No store gets here: a revision must stay below what clients can read as a signed number, with room to count on.
pub(super) const REVISION_LIMIT: u64 = 1 << 62;

/// What a backup says of itself before its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The state that the backup holds is that after this commit.
    pub revision: Revision,
    /// When the backup was begun, in whole seconds.
    pub taken: SystemTime,
}

/// What a whole backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The state that it holds is that after this commit.
    pub revision: Revision,
    /// How many keys have a value.
    pub entries: u64,
    /// The length of the backup, in bytes.
    pub bytes: u64,
}

/// Why a backup cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It begins with something else.
    #[error("this is no backup of a store: name a file that `store backup` wrote, unpacked")]
    Foreign,
    /// A newer version of this program wrote it.
    #[error("the backup has form {found}, this version reads form {FORM}: use a newer version")]
    Newer {
        /// Its form.
        found: u32,
    },
    /// It ends in the middle.
    #[error("the backup is cut off after {bytes} bytes: nothing of it can be relied on, take another")]
    CutOff {
        /// How much there is of it.
        bytes: u64,
    },
    /// It is not what was written.
    #[error("the backup is damaged: {reason}; nothing of it can be relied on, take another")]
    Damaged {
        /// What was found.
        reason: String,
    },
    /// Whoever made it could not go on.
    #[error("the backup could not be finished: {reason}")]
    Unfinished {
        /// What stood in the way.
        reason: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a backup.
pub(super) struct ArchiveWriter<W> {
    out: Hashing<W>,
    entries: u64,
}

impl<W: Write> ArchiveWriter<W> {
    pub(super) fn begin(out: W, head: Head) -> io::Result<Self> {
        let mut out = Hashing::new(out);
        let taken = head.taken.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        out.write_all(&MAGIC)?;
        out.write_all(&FORM.to_be_bytes())?;
        out.write_all(&head.revision.0.to_be_bytes())?;
        out.write_all(&taken.to_be_bytes())?;
        Ok(Self { out, entries: 0 })
    }

    pub(super) fn entry(&mut self, key: &Key, at: Position, value: &[u8]) -> io::Result<()> {
        let key = key.as_str().as_bytes();
        self.out.write_all(&[ENTRY])?;
        self.out.write_all(&length::<u16>(key)?.to_be_bytes())?;
        self.out.write_all(key)?;
        self.out.write_all(&at.encode())?;
        self.out.write_all(&length::<u32>(value)?.to_be_bytes())?;
        self.out.write_all(value)?;
        self.entries += 1;
        Ok(())
    }

    /// Ends the backup; gives its length in bytes and how many entries it has.
    pub(super) fn end(mut self) -> io::Result<(u64, u64)> {
        self.out.write_all(&[END])?;
        self.out.write_all(&self.entries.to_be_bytes())?;
        let sum = self.out.sum();
        self.out.write_all(&sum)?;
        self.out.inner.flush()?;
        Ok((self.out.bytes, self.entries))
    }

    /// Says instead why there is no end.
    pub(super) fn fail(mut self, reason: &str) -> io::Result<()> {
        let reason = &reason.as_bytes()[..reason.len().min(usize::from(u16::MAX))];
        self.out.write_all(&[FAILURE])?;
        self.out.write_all(&length::<u16>(reason)?.to_be_bytes())?;
        self.out.write_all(reason)?;
        self.out.inner.flush()
    }
}

fn length<T: TryFrom<usize>>(bytes: &[u8]) -> io::Result<T> {
    T::try_from(bytes.len()).map_err(|_| io::Error::new(ErrorKind::InvalidInput, "too long for a backup"))
}

/// Reads a backup, as an iterator over its entries.
///
/// It yields `None` only once the whole backup has been verified; [`ArchiveReader::summary`] is there from then on.
/// After an error it yields nothing more.
pub struct ArchiveReader<R> {
    input: Hashing<R>,
    head: Head,
    last: Option<Key>,
    entries: u64,
    state: State,
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
    /// It is no backup, or one of a newer form.
    pub fn begin(input: R) -> Result<Self, ArchiveError> {
        let mut input = Hashing::new(input);
        if input.array().map_err(|error| located(error.into(), 0))? != MAGIC {
            return Err(ArchiveError::Foreign);
        }
        let head = head(&mut input).map_err(|error| located(error, input.bytes))?;
        Ok(Self { input, head, last: None, entries: 0, state: State::Open })
    }

    /// What the backup says of itself.
    pub fn head(&self) -> Head {
        self.head
    }

    /// What the backup holds; none before all of it was read and verified.
    pub fn summary(&self) -> Option<Summary> {
        let Self { head: Head { revision, .. }, entries, ref input, .. } = *self;
        (self.state == State::Whole).then_some(Summary { revision, entries, bytes: input.bytes })
    }

    /// The next entry and its place; none at the end.
    pub(super) fn next_placed(&mut self) -> Option<Result<(Entry, Position), ArchiveError>> {
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

    fn read(&mut self) -> Result<Option<(Entry, Position)>, ArchiveError> {
        match self.input.array()? {
            [ENTRY] => self.entry().map(Some),
            [END] => self.end().map(|()| None),
            [FAILURE] => {
                let length = u16::from_be_bytes(self.input.array()?);
                let reason = self.input.bytes(length.into())?;
                Err(ArchiveError::Unfinished { reason: String::from_utf8_lossy(&reason).into_owned() })
            }
            [other] => Err(damaged(format_args!("there is no part of kind {other}"))),
        }
    }

    fn entry(&mut self) -> Result<(Entry, Position), ArchiveError> {
        let length = usize::from(u16::from_be_bytes(self.input.array()?));
        let key = if length <= MAX_KEY_BYTES { String::from_utf8(self.input.bytes(length)?).ok() } else { None };
        let key = key.map(Key::new).filter(Key::is_storable).ok_or_else(|| damaged("a key cannot be one"))?;
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(damaged(format_args!("{key} is out of order")));
        }
        let at = Position::decode(&self.input.array()?);
        if at.revision > self.head.revision || at.revision == Revision(0) {
            return Err(damaged(format_args!("{key} is of revision {}", at.revision)));
        }
        let length = u32::from_be_bytes(self.input.array()?) as usize;
        if length > MAX_VALUE_BYTES {
            return Err(damaged(format_args!("the value of {key} has {length} bytes")));
        }
        let value = Bytes::from(self.input.bytes(length)?);
        self.entries += 1;
        self.last = Some(key.clone());
        Ok((Entry { key, value, revision: at.revision }, at))
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        let said = u64::from_be_bytes(self.input.array()?);
        let sum = self.input.sum();
        if self.input.array::<32>()? != sum {
            return Err(damaged("its checksum does not match"));
        }
        if said != self.entries {
            return Err(damaged(format_args!("it has {} entries and should have {said}", self.entries)));
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
        self.next_placed().map(|read| read.map(|(entry, _)| entry))
    }
}

/// The head behind the first bytes.
fn head(input: &mut Hashing<impl Read>) -> Result<Head, ArchiveError> {
    let form = u32::from_be_bytes(input.array()?);
    if form != FORM {
        return Err(ArchiveError::Newer { found: form });
    }
    let revision = u64::from_be_bytes(input.array()?);
    let taken = u64::from_be_bytes(input.array()?);
    match UNIX_EPOCH.checked_add(Duration::from_secs(taken)) {
        Some(taken) if (1..REVISION_LIMIT).contains(&revision) => Ok(Head { revision: Revision(revision), taken }),
        _ => Err(damaged("its head makes no sense")),
    }
}

fn damaged(reason: impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Damaged { reason: reason.to_string() }
}

/// Tells the end of the stream from other failures of reading.
fn located(error: ArchiveError, bytes: u64) -> ArchiveError {
    match error {
        ArchiveError::Io(error) if is_end(&error) => ArchiveError::CutOff { bytes },
        other => other,
    }
}

fn is_end(error: &io::Error) -> bool {
    error.kind() == ErrorKind::UnexpectedEof
}

/// A stream, with the length and the checksum of what has passed.
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

    /// The checksum of everything until now.
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

    /// So many bytes, which must have been found reasonable. Memory is taken as they come, not as they are announced.
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
