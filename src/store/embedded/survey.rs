//! Counting what is stored, beside everything else: each value under some prefixes once, then what the log says has
//! changed, in steps of some milliseconds at most. Nothing here is on the way of a read or a write.
//!
//! Values are handed out without a look at their checksums: they are counted, not answered to anybody. Several changes of
//! one key within a step count as one.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadableTableMetadata};
use tokio::sync::watch as signal;

use crate::store::{Revision, StoreError};

use super::layout::{self, CURRENT, HISTORY, LOG, META, Position, Record, VALUES, Version};
use super::read::{Snapshot, before, decode_version, live};
use super::shared::{Shared, damaged_row, fault};
use super::shrink::{self, FileSize};
use super::space::Space;

/// How many keys one step visits.
const STEP_KEYS: usize = 256;
/// How many rows of the log one step passes over, but for the rest of its last transaction.
const STEP_ROWS: usize = 1000;

/// Whoever counts.
pub trait Counting {
    /// All that was told before is void: what follows starts with nothing stored.
    fn begin(&mut self);

    /// The value of a key differs from what was told of it last.
    fn differs(&mut self, difference: Difference<'_>);
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference<'a> {
    /// The key.
    pub key: &'a str,
    /// The value that was told last; none if there was none.
    pub before: Option<&'a [u8]>,
    /// The value that is there now; none if there is none.
    pub after: Option<&'a [u8]>,
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to tell.
    More,
    /// Everything up to the latest revision was told.
    Done,
}

/// The data file from outside, and the revisions that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    /// How large the file is.
    pub size: FileSize,
    /// How many bytes can still be written beside it, where somebody can tell.
    pub available: Option<u64>,
    /// The latest revision.
    pub revision: Revision,
    /// The oldest revision that can be read.
    pub compacted: Revision,
}

/// A count of a store, as long as that is open. Does not keep it open.
pub struct Survey {
    shared: Arc<Shared>,
    space: Arc<Space>,
    latest: signal::Receiver<Revision>,
    prefixes: Vec<String>,
    place: Place,
}

/// What was told so far.
enum Place {
    /// Nothing.
    Start,
    /// The keys as of a revision, up to a place among them.
    Keys(Walk),
    /// Everything up to a revision.
    Log(Revision),
}

#[derive(Clone)]
struct Walk {
    at: Revision,
    /// Which prefix comes next.
    prefix: usize,
    /// The last key that was visited under it.
    after: Option<Vec<u8>>,
}

impl Survey {
    pub(super) fn new(
        shared: Arc<Shared>,
        space: Arc<Space>,
        latest: signal::Receiver<Revision>,
        prefixes: Vec<String>,
    ) -> Self {
        Self { shared, space, latest, prefixes, place: Place::Start }
    }

    /// Tells of some more keys. Blocks for some milliseconds, longer where the disk is slow.
    ///
    /// After an error, and when what is to be told next has been compacted meanwhile, everything is told anew.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn step(&mut self, counting: &mut dyn Counting) -> Result<Step, StoreError> {
        let place = std::mem::replace(&mut self.place, Place::Start);
        let told = self.shared.read(|snapshot| match place {
            Place::Start => {
                counting.begin();
                let at = snapshot.revision();
                self.walk(snapshot, Walk { at, prefix: 0, after: None }, counting)
            }
            Place::Keys(walk) if snapshot.compacted()? <= walk.at => self.walk(snapshot, walk, counting),
            Place::Log(after) if snapshot.compacted()? <= after => self.follow(snapshot, after, counting),
            Place::Keys(_) | Place::Log(_) => Ok(Place::Start),
        })?;
        self.place = told;
        let latest = *self.latest.borrow();
        Ok(if matches!(self.place, Place::Log(revision) if revision >= latest) { Step::Done } else { Step::More })
    }

    /// Tells everything anew from the next step on.
    pub fn restart(&mut self) {
        self.place = Place::Start;
    }

    /// Waits until there is something to tell; for ever, once the store is closed.
    pub async fn changed(&mut self) {
        let Place::Log(told) = self.place else { return };
        if self.latest.wait_for(|latest| *latest > told).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The state of the data file. Cheap.
    ///
    /// # Errors
    /// The store cannot be read, or the system does not tell the size of the file.
    pub fn file(&self) -> Result<FileState, StoreError> {
        let (revision, compacted) = self.shared.read(|snapshot| Ok((snapshot.revision(), snapshot.compacted()?)))?;
        let size = shrink::size(&self.space.data_file())
            .map_err(|error| StoreError::Unavailable(Arc::new(io::Error::other(error))))?;
        Ok(FileState { size, available: self.space.available(), revision, compacted })
    }

    /// How many bytes of the file are in pages that hold something, also of the past. Reads all of them, in one go.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn used_bytes(&self) -> Result<u64, StoreError> {
        fn bytes(table: &impl ReadableTableMetadata) -> Result<u64, StoreError> {
            let stats = table.stats().map_err(fault)?;
            Ok(stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes())
        }
        self.shared.read(|snapshot| {
            Ok(bytes(&snapshot.table(VALUES)?)?
                + bytes(&snapshot.table(LOG)?)?
                + bytes(&snapshot.table(CURRENT)?)?
                + bytes(&snapshot.table(HISTORY)?)?
                + bytes(&snapshot.table(META)?)?)
        })
    }

    /// Tells of some keys as they were at the revision of the walk.
    fn walk(&self, snapshot: &Snapshot, walk: Walk, counting: &mut dyn Counting) -> Result<Place, StoreError> {
        let Walk { at, prefix: number, mut after } = walk;
        let Some(prefix) = self.prefixes.get(number) else { return Ok(Place::Log(at)) };
        let (keys, history, values) = (snapshot.table(CURRENT)?, snapshot.table(HISTORY)?, Values::of(snapshot)?);
        let start = after.as_deref().map_or(Bound::Included(prefix.as_bytes()), Bound::Excluded);
        let mut last = None;
        for (visited, row) in keys.range::<&[u8]>((start, Bound::Unbounded)).map_err(fault)?.enumerate() {
            let (key, row) = row.map_err(fault)?;
            let key = key.value();
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            if visited == STEP_KEYS {
                after = last;
                return Ok(Place::Keys(Walk { at, prefix: number, after }));
            }
            let latest = decode_version(key, row.value())?;
            let then = if latest.at.revision <= at { Some(latest) } else { before(&history, key, at)? };
            values.tell(text(key)?, None, then, counting)?;
            last = Some(key.to_owned());
        }
        Ok(Place::Keys(Walk { at, prefix: number + 1, after: None }))
    }

    /// Tells of the keys that changed after a revision, as far as one step goes.
    fn follow(&self, snapshot: &Snapshot, told: Revision, counting: &mut dyn Counting) -> Result<Place, StoreError> {
        let mut changed = BTreeMap::<String, (Option<Version>, Version)>::new();
        let mut done = told;
        let start = Position::end_of(told).encode();
        let bounds: (Bound<&[u8; Position::BYTES]>, _) = (Bound::Excluded(&start), Bound::Unbounded);
        for (rows, row) in snapshot.table(LOG)?.range::<&[u8; Position::BYTES]>(bounds).map_err(fault)?.enumerate() {
            let (at, row) = row.map_err(fault)?;
            let at = Position::decode(at.value());
            if at.revision > done && rows >= STEP_ROWS {
                break;
            }
            let Record { key, kind, replaced } = Record::decode(at, row.value())
                .ok_or_else(|| damaged_row(format_args!("the log at revision {}", at.revision)))?;
            if self.prefixes.iter().any(|prefix| key.starts_with(prefix)) {
                let version = Version { at, kind };
                changed.entry(key.to_owned()).and_modify(|(_, now)| *now = version).or_insert((replaced, version));
            }
            done = at.revision;
        }
        let values = Values::of(snapshot)?;
        for (key, (before, now)) in &changed {
            values.tell(key, *before, Some(*now), counting)?;
        }
        Ok(Place::Log(done))
    }
}

struct Values(ReadOnlyTable<&'static [u8; Position::BYTES], &'static [u8]>);

impl Values {
    fn of(snapshot: &Snapshot) -> Result<Self, StoreError> {
        snapshot.table(VALUES).map(Self)
    }

    /// Tells of a key. A value that is missing in a damaged file counts as an empty one.
    fn tell(
        &self,
        key: &str,
        before: Option<Version>,
        now: Option<Version>,
        counting: &mut dyn Counting,
    ) -> Result<(), StoreError> {
        let row = |version: Option<Version>| {
            let at = version.and_then(live);
            at.map(|at| self.0.get(&at.encode()).map_err(fault)).transpose()
        };
        let (before, after) = (row(before)?, row(now)?);
        let [before, after] = [&before, &after].map(|row| {
            row.as_ref().map(|row| row.as_ref().map_or(&[][..], |row| layout::unverified_value(row.value())))
        });
        if before.is_some() || after.is_some() {
            counting.differs(Difference { key, before, after });
        }
        Ok(())
    }
}

fn text(key: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(key).map_err(|_| damaged_row(format_args!("the key {}", key.escape_ascii())))
}
