//! A data file that is looked at and not touched: what is written to it stays in memory and is forgotten.
//!
//! Opening a file writes to it, and so does redb's check of integrity, which repairs what it can. Whoever wants to know
//! what is wrong with a file wants it to stay as it is.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::backend::{BackendError, Opener, StorageBackend, open_file};

/// The file is written over in pieces of this size.
const BLOCK: u64 = 4096;

/// Opens the file itself, to be looked at only. It must be writable all the same, since it is locked as when it is used.
pub(super) fn opener() -> Opener {
    Opener(Arc::new(|path| Ok(Box::new(Overlay::over(Box::new(open_file(path)?))?))))
}

#[derive(Debug)]
struct Overlay {
    file: Box<dyn StorageBackend>,
    over: Mutex<Over>,
}

/// What was written.
#[derive(Debug)]
struct Over {
    /// The length of the file as it would be.
    length: u64,
    /// How much of the file shows through where nothing was written.
    shows: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK as usize]>>,
}

impl Overlay {
    fn over(file: Box<dyn StorageBackend>) -> io::Result<Self> {
        let length = file.len()?;
        Ok(Self { file, over: Mutex::new(Over { length, shows: length, blocks: BTreeMap::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file as it is below what was written; zeros beyond its end.
    fn below(&self, over: &Over, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = usize::try_from(over.shows.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        let (file, beyond) = out.split_at_mut(there);
        beyond.fill(0);
        if file.is_empty() { Ok(()) } else { self.file.read(offset, file) }
    }
}

/// The parts of a range, each in one block.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = Part> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let start = usize::try_from(at % BLOCK).ok()?;
        let length = (BLOCK as usize - start).min(length - done);
        let part = Part { block: at / BLOCK, start, from: done, length };
        done += length;
        (length > 0).then_some(part)
    })
}

struct Part {
    /// The number of the block.
    block: u64,
    /// Where it begins in the block.
    start: usize,
    /// Where it begins in the range.
    from: usize,
    length: usize,
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.lock();
        if offset.saturating_add(out.len() as u64) > over.length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.below(&over, offset, out)?;
        for Part { block, start, from, length } in parts(offset, out.len()) {
            if let Some(block) = over.blocks.get(&block) {
                out[from..from + length].copy_from_slice(&block[start..start + length]);
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut over = self.lock();
        over.shows = over.shows.min(length);
        over.length = length;
        let mut beyond = over.blocks.split_off(&(length / BLOCK));
        if let Some(mut last) = beyond.remove(&(length / BLOCK)) {
            last[(length % BLOCK) as usize..].fill(0);
            over.blocks.insert(length / BLOCK, last);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.lock();
        for Part { block, start, from, length } in parts(offset, data.len()) {
            if !over.blocks.contains_key(&block) {
                let mut below = Box::new([0; BLOCK as usize]);
                self.below(&over, block * BLOCK, &mut below[..])?;
                over.blocks.insert(block, below);
            }
            if let Some(block) = over.blocks.get_mut(&block) {
                block[start..start + length].copy_from_slice(&data[from..from + length]);
            }
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..9000_u64, proptest::collection::vec(1_u8.., 0..6000)).prop_map(|(at, data)| Step::Write(at, data)),
            1 => (0..12_000_u64).prop_map(Step::SetLen),
        ]
    }

    proptest! {
        #[test]
        fn it_reads_like_a_file_that_was_written_and_the_file_stays_as_it_is(
            before in proptest::collection::vec(any::<u8>(), 1..10_000),
            steps in proptest::collection::vec(step(), 0..8),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            fs::write(&path, &before).unwrap();
            let overlay = (opener().0)(&path).unwrap();
            let mut model = before.clone();
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        let end = usize::try_from(at).unwrap() + data.len();
                        // Like redb, which never writes beyond the end.
                        if end > model.len() {
                            model.resize(end, 0);
                            overlay.set_len(end as u64).unwrap();
                        }
                        model[usize::try_from(at).unwrap()..end].copy_from_slice(&data);
                        overlay.write(at, &data).unwrap();
                    }
                    Step::SetLen(length) => {
                        model.resize(usize::try_from(length).unwrap(), 0);
                        overlay.set_len(length).unwrap();
                    }
                }
                let mut read = vec![0; model.len()];
                overlay.read(0, &mut read).unwrap();
                prop_assert_eq!(&read, &model);
                prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
                prop_assert!(overlay.read(1, &mut read).is_err() || read.is_empty());
            }
            prop_assert_eq!(fs::read(&path).unwrap(), before);
        }
    }
}
