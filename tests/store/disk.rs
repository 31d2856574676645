//! A disk in memory that fails on command, and remembers what was written, so that a test can make the disk as it may be
//! after a power failure.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use imagestream_apiserver::store::embedded::{FileOpener, StorageBackend};

/// What the disk never tears.
const SECTOR: usize = 512;
/// What a file takes up space in.
const BLOCK: u64 = 4096;

/// One file on a disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What reads give; none before the file is opened for the first time.
    content: Option<Vec<u8>>,
    /// The content when it was opened for the first time.
    first: Vec<u8>,
    journal: Vec<Written>,
    records: bool,
    faults: Vec<Fault>,
    /// The blocks that may be written; all, if none.
    room: Option<Room>,
    opened: usize,
    /// What the next opening finds instead.
    next: Option<Vec<u8>>,
}

/// Something that was done to the disk.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    Bytes {
        at: usize,
        bytes: Vec<u8>,
    },
    Length(usize),
    /// All of the above is on the disk for good.
    Synced,
    /// All of the above since the last sync may be on the disk or not, whatever is synced later.
    NotSynced,
}

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Open,
    Read,
    Write,
    Sync,
}

#[derive(Debug)]
struct Fault {
    operation: Operation,
    /// How many of these go well before.
    skip: usize,
    times: usize,
    kind: ErrorKind,
}

#[derive(Debug)]
enum Room {
    /// Only these blocks of the file take up space, and there is none for more.
    Blocks(HashSet<u64>),
    /// The file may not be longer.
    Length(u64),
}

impl Disk {
    /// A disk that remembers what is written.
    pub(crate) fn recording() -> Self {
        let disk = Self::default();
        disk.state(|state| state.records = true);
        disk
    }

    /// A disk with this content.
    pub(crate) fn holding(content: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.state(|state| state.content = Some(content));
        disk
    }

    /// Opens this disk in the place of any file. The first time, it takes over what is in the file.
    pub(crate) fn opener(&self) -> FileOpener {
        let disk = self.clone();
        FileOpener(Arc::new(move |path| {
            disk.state(|state| {
                state.fail(Operation::Open)?;
                state.opened += 1;
                if let Some(next) = state.next.take() {
                    state.content = Some(next);
                }
                if state.content.is_none() {
                    state.first = fs::read(path)?;
                    state.content = Some(state.first.clone());
                }
                Ok::<_, io::Error>(())
            })?;
            Ok(Box::new(disk.clone()))
        }))
    }

    /// How often it was opened.
    pub(crate) fn opened(&self) -> usize {
        self.state(|state| state.opened)
    }

    /// Lets an operation fail, after some that go well, so many times.
    pub(crate) fn fail(&self, operation: Operation, skip: usize, times: usize, kind: ErrorKind) {
        self.state(|state| state.faults.push(Fault { operation, skip, times, kind }));
    }

    /// Nothing fails any more, and there is space.
    pub(crate) fn heal(&self) {
        self.state(|state| {
            state.faults.clear();
            state.room = None;
        });
    }

    /// Takes all space that the file does not have yet.
    pub(crate) fn fill(&self) {
        self.state(|state| {
            let content = state.content.as_deref().unwrap_or_default();
            let blocks = content.chunks(BLOCK as usize).enumerate();
            let used = blocks
                .filter(|(_, block)| block.iter().any(|byte| *byte != 0))
                .map(|(at, _)| at as u64);
            state.room = Some(Room::Blocks(used.collect()));
        });
    }

    /// Forbids that the file becomes longer.
    pub(crate) fn limit(&self, length: u64) {
        self.state(|state| state.room = Some(Room::Length(length)));
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        self.state(|state| state.content.clone().unwrap_or_default())
    }

    /// Puts something else on the disk, behind the back of whoever has opened it.
    pub(crate) fn overwrite(&self, content: Vec<u8>) {
        self.state(|state| state.content = Some(content));
    }

    /// Puts something else on the disk once it is opened again.
    pub(crate) fn swap(&self, content: Vec<u8>) {
        self.state(|state| state.next = Some(content));
    }

    /// How much the journal holds.
    pub(crate) fn journal_length(&self) -> usize {
        self.state(|state| state.journal.len())
    }

    /// The content when it was opened for the first time, and what was done since.
    pub(crate) fn journal(&self) -> (Vec<u8>, Vec<Written>) {
        self.state(|state| (state.first.clone(), state.journal.clone()))
    }

    fn state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }
}

impl State {
    fn fail(&mut self, operation: Operation) -> io::Result<()> {
        let Some(fault) =
            self.faults.iter_mut().find(|fault| fault.operation == operation && fault.times > 0)
        else {
            return Ok(());
        };
        if fault.skip > 0 {
            fault.skip -= 1;
            return Ok(());
        }
        fault.times -= 1;
        Err(io::Error::new(fault.kind, "the disk was told to fail"))
    }

    fn note(&mut self, written: impl FnOnce() -> Written) {
        if self.records {
            self.journal.push(written());
        }
    }

    fn content(&mut self) -> &mut Vec<u8> {
        self.content.get_or_insert_default()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state(|state| state.content().len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.state(|state| {
            state.fail(Operation::Read)?;
            let start = usize::try_from(offset).unwrap();
            let there =
                state.content().get(start..start + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(there);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state(|state| {
            if let Some(Room::Length(most)) = state.room
                && len > most
            {
                return Err(ErrorKind::FileTooLarge.into());
            }
            let len = usize::try_from(len).unwrap();
            state.content().resize(len, 0);
            state.note(|| Written::Length(len));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state(|state| {
            let synced = state.fail(Operation::Sync);
            state.note(|| if synced.is_ok() { Written::Synced } else { Written::NotSynced });
            synced
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.state(|state| {
            state.fail(Operation::Write)?;
            let end = offset + data.len() as u64;
            if let Some(Room::Blocks(used)) = &state.room
                && !(offset / BLOCK..end.div_ceil(BLOCK)).all(|block| used.contains(&block))
            {
                return Err(ErrorKind::StorageFull.into());
            }
            let at = usize::try_from(offset).unwrap();
            let written = Written::Bytes { at, bytes: data.to_vec() };
            written.apply(state.content());
            state.note(|| written);
            Ok(())
        })
    }
}

impl Written {
    /// Does it to this content.
    pub(crate) fn apply(&self, content: &mut Vec<u8>) {
        self.apply_torn(content, |_| true);
    }

    /// Does it to some sectors only; `keeps` is asked for each.
    pub(crate) fn apply_torn(&self, content: &mut Vec<u8>, mut keeps: impl FnMut(usize) -> bool) {
        match self {
            Self::Length(length) => content.resize(*length, 0),
            Self::Bytes { at, bytes } => {
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                let mut from = *at;
                while from < end {
                    let to = end.min((from / SECTOR + 1) * SECTOR);
                    if keeps(from / SECTOR) {
                        content[from..to].copy_from_slice(&bytes[from - at..to - at]);
                    }
                    from = to;
                }
            }
            Self::Synced | Self::NotSynced => {}
        }
    }
}
