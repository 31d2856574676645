//! In-memory disk with error injection. It records all writes, so that a test can build its
//! possible states after a power failure.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use imagestream_apiserver::store::embedded::{FileOpener, StorageBackend};

/// Unit of atomic writes in bytes.
const SECTOR: usize = 512;
/// Unit of space allocation in bytes.
const BLOCK: u64 = 4096;

/// One file on a disk. Clones share the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Current content; `None` before the first open.
    content: Option<Vec<u8>>,
    /// Content at the first open.
    first: Vec<u8>,
    journal: Vec<Written>,
    records: bool,
    faults: Vec<Fault>,
    /// Allocated blocks; `None` if space is unlimited.
    room: Option<Room>,
    opened: usize,
    /// Replacement content for the next open.
    next: Option<Vec<u8>>,
}

/// Operation on the disk.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    Bytes {
        at: usize,
        bytes: Vec<u8>,
    },
    Length(usize),
    /// Sync: all earlier operations are durable.
    Synced,
    /// Failed sync: operations since the last sync may or may not be durable, regardless of later
    /// syncs.
    NotSynced,
}

/// Operations that can fail.
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
    /// Number of operations that succeed before the failure.
    skip: usize,
    times: usize,
    kind: ErrorKind,
}

#[derive(Debug)]
enum Room {
    /// Space is limited to the allocated blocks of the file.
    Blocks(HashSet<u64>),
    /// The file cannot grow.
    Length(u64),
}

impl Disk {
    /// Disk that records writes.
    pub(crate) fn recording() -> Self {
        let disk = Self::default();
        disk.state(|state| state.records = true);
        disk
    }

    /// Disk with this content.
    pub(crate) fn holding(content: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.state(|state| state.content = Some(content));
        disk
    }

    /// Opener of this disk in place of any file. The first open copies the content of the file.
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

    /// Number of opens.
    pub(crate) fn opened(&self) -> usize {
        self.state(|state| state.opened)
    }

    /// Injects failures of an operation: after some that succeed, this number of times.
    pub(crate) fn fail(&self, operation: Operation, skip: usize, times: usize, kind: ErrorKind) {
        self.state(|state| state.faults.push(Fault { operation, skip, times, kind }));
    }

    /// Removes all injected failures and limits.
    pub(crate) fn heal(&self) {
        self.state(|state| {
            state.faults.clear();
            state.room = None;
        });
    }

    /// Fills the disk: only the allocated blocks of the file remain.
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

    /// Prevents the file from growing.
    pub(crate) fn limit(&self, length: u64) {
        self.state(|state| state.room = Some(Room::Length(length)));
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        self.state(|state| state.content.clone().unwrap_or_default())
    }

    /// Replaces the content while the disk is open.
    pub(crate) fn overwrite(&self, content: Vec<u8>) {
        self.state(|state| state.content = Some(content));
    }

    /// Replaces the content at the next open.
    pub(crate) fn swap(&self, content: Vec<u8>) {
        self.state(|state| state.next = Some(content));
    }

    /// Length of the journal.
    pub(crate) fn journal_length(&self) -> usize {
        self.state(|state| state.journal.len())
    }

    /// Content at the first open, and all operations since then.
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
        Err(io::Error::new(fault.kind, "injected disk failure"))
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
    /// Applies the operation to this content.
    pub(crate) fn apply(&self, content: &mut Vec<u8>) {
        self.apply_torn(content, |_| true);
    }

    /// Applies the operation to the sectors that `keeps` selects.
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
