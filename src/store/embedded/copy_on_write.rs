//! A copy-on-write view of the data file: writes stay in memory, and the file does not change.
//!
//! redb writes to a file when it opens it and when it checks its integrity, which repairs it. A
//! check must leave a damaged file unchanged.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::backend::{
    BackendLayer, FileOpener, Layered, StorageBackend, open_file, open_unwritable_file,
};

/// Bytes of a copied block.
const BLOCK: u64 = 4096;

/// Opens the plain file below a view. An exclusive lock requires that the file is writable; on a
/// read-only volume it is not locked.
pub(super) fn opener() -> FileOpener {
    FileOpener(Arc::new(|path| Ok(Box::new(Layered(view(path)?)))))
}

fn view(path: &Path) -> io::Result<CopyOnWrite> {
    match open_file(path) {
        Ok(file) => CopyOnWrite::new(Box::new(file)),
        Err(error) if is_read_only(&error) => {
            CopyOnWrite::new(Box::new(open_unwritable_file(path)?))
        }
        Err(error) => Err(error),
    }
}

/// Returns true for the error of a write to a read-only volume or a file of another user.
pub(super) fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// Opens the plain file below a view in which redb reads the commit before the latest one: its
/// header holds both, and a bit selects the current one.
pub(super) fn previous_commit_opener() -> FileOpener {
    /// The place of the flags behind the magic bytes, and the flag of the current commit.
    const FLAGS: u64 = 9;
    const SECOND_IS_CURRENT: u8 = 1;
    FileOpener(Arc::new(|path| {
        let view = view(path)?;
        let mut flags = [0];
        view.read(FLAGS, &mut flags)?;
        view.write(FLAGS, &[flags[0] ^ SECOND_IS_CURRENT])?;
        Ok(Box::new(Layered(view)))
    }))
}

#[derive(Debug)]
struct CopyOnWrite {
    file: Box<dyn StorageBackend>,
    copies: Mutex<Copies>,
}

/// The written blocks.
#[derive(Debug)]
struct Copies {
    /// The length of the view.
    length: u64,
    /// The length of the part of the file that is visible below the copies.
    visible: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK as usize]>>,
}

impl CopyOnWrite {
    fn new(file: Box<dyn StorageBackend>) -> io::Result<Self> {
        let length = file.len()?;
        Ok(Self {
            file,
            copies: Mutex::new(Copies { length, visible: length, blocks: BTreeMap::new() }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the visible part of the file; zeros beyond its end.
    fn below(&self, copies: &Copies, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let length = usize::try_from(copies.visible.saturating_sub(offset))
            .unwrap_or(usize::MAX)
            .min(out.len());
        let (file, beyond) = out.split_at_mut(length);
        beyond.fill(0);
        if file.is_empty() { Ok(()) } else { self.file.read(offset, file) }
    }
}

/// Splits a range at the borders of blocks.
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
    /// Offset in the block.
    start: usize,
    /// Offset in the range.
    from: usize,
    length: usize,
}

impl BackendLayer for CopyOnWrite {
    fn inner(&self) -> &dyn StorageBackend {
        &*self.file
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let copies = self.lock();
        if offset.saturating_add(out.len() as u64) > copies.length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.below(&copies, offset, out)?;
        for Part { block, start, from, length } in parts(offset, out.len()) {
            if let Some(block) = copies.blocks.get(&block) {
                out[from..from + length].copy_from_slice(&block[start..start + length]);
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut copies = self.lock();
        copies.visible = copies.visible.min(length);
        copies.length = length;
        let mut beyond = copies.blocks.split_off(&(length / BLOCK));
        if let Some(mut last) = beyond.remove(&(length / BLOCK)) {
            last[(length % BLOCK) as usize..].fill(0);
            copies.blocks.insert(length / BLOCK, last);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut copies = self.lock();
        for Part { block, start, from, length } in parts(offset, data.len()) {
            if !copies.blocks.contains_key(&block) {
                let mut below = Box::new([0; BLOCK as usize]);
                self.below(&copies, block * BLOCK, &mut below[..])?;
                copies.blocks.insert(block, below);
            }
            if let Some(block) = copies.blocks.get_mut(&block) {
                block[start..start + length].copy_from_slice(&data[from..from + length]);
            }
        }
        Ok(())
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

    #[test]
    fn file_that_is_only_read_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "content").unwrap();
        let view = CopyOnWrite::new(Box::new(open_unwritable_file(&path).unwrap())).unwrap();
        view.write(3, b"XX").unwrap();
        let mut read = [0; 7];
        BackendLayer::read(&view, 0, &mut read).unwrap();
        assert_eq!(&read, b"conXXnt");
        assert_eq!(fs::read(&path).unwrap(), b"content");
    }

    proptest! {
        #[test]
        fn reads_its_writes_and_keeps_the_file(
            before in proptest::collection::vec(any::<u8>(), 1..10_000),
            steps in proptest::collection::vec(step(), 0..8),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            fs::write(&path, &before).unwrap();
            let view = (opener().0)(&path).unwrap();
            let mut model = before.clone();
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        let end = usize::try_from(at).unwrap() + data.len();
                        // Like redb, which never writes beyond the end.
                        if end > model.len() {
                            model.resize(end, 0);
                            view.set_len(end as u64).unwrap();
                        }
                        model[usize::try_from(at).unwrap()..end].copy_from_slice(&data);
                        view.write(at, &data).unwrap();
                    }
                    Step::SetLen(length) => {
                        model.resize(usize::try_from(length).unwrap(), 0);
                        view.set_len(length).unwrap();
                    }
                }
                let mut read = vec![0; model.len()];
                view.read(0, &mut read).unwrap();
                prop_assert_eq!(&read, &model);
                prop_assert_eq!(view.len().unwrap(), model.len() as u64);
                prop_assert!(view.read(1, &mut read).is_err() || read.is_empty());
            }
            prop_assert_eq!(fs::read(&path).unwrap(), before);
        }
    }
}
