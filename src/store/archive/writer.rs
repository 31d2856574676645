//! The writer of a backup.

use std::io::{self, ErrorKind, Write};
use std::time::UNIX_EPOCH;

use super::format::{
    ACCOUNT_ENTRY, ArchiveHead, ArchiveSummary, END, ENTRY, FAILURE, FORMAT, GAPS, MAGIC,
    MissingEntry,
};
use super::hashing::Hashing;
use crate::store::{Account, Entry, Revision};

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

    /// Writes the end, with the entries that are missing because they are damaged.
    pub(crate) fn finish(
        mut self,
        revision: Revision,
        missing: &[MissingEntry],
    ) -> io::Result<ArchiveSummary> {
        self.out.write_all(if missing.is_empty() { &[END] } else { &[GAPS] })?;
        self.out.write_all(&self.entries.to_be_bytes())?;
        if !missing.is_empty() {
            let number = u32::try_from(missing.len())
                .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "too many damaged entries"))?;
            self.out.write_all(&number.to_be_bytes())?;
        }
        for MissingEntry { key, revision } in missing {
            let key = key.as_str().as_bytes();
            self.out.write_all(&length::<u16>(key)?.to_be_bytes())?;
            self.out.write_all(key)?;
            self.out.write_all(&revision.0.to_be_bytes())?;
        }
        let sum = self.out.sum();
        self.out.write_all(&sum)?;
        self.out.inner.flush()?;
        let (bytes, missing) = (self.out.bytes, missing.len() as u64);
        Ok(ArchiveSummary { revision, entries: self.entries, bytes, missing })
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
