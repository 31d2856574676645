//! The space in a data file by its use.

use std::collections::BTreeMap;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use crate::store::{SpaceUse, StoreError};

use super::error::{damaged_row, store_error};
use super::layout::{
    ACCOUNTS, CURRENT, DELTAS, HISTORY, LOG, META, PACKED, VALUES, Version, split_history_key,
};
use super::read::{Snapshot, decode_latest, decode_version, live};

/// Bytes of all tables.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TableBytes {
    /// Keys and rows.
    stored: u64,
    /// Branches, and the parts of pages that are not used.
    overhead: u64,
}

impl TableBytes {
    /// Sums the tables of a snapshot. Reads every page.
    pub(super) fn of(snapshot: &Snapshot) -> Result<Self, StoreError> {
        let mut sum = Self::default();
        sum.add(&snapshot.table(PACKED)?)?;
        sum.add(&snapshot.table(VALUES)?)?;
        sum.add(&snapshot.table(DELTAS)?)?;
        sum.add(&snapshot.table(LOG)?)?;
        sum.add(&snapshot.table(CURRENT)?)?;
        sum.add(&snapshot.table(HISTORY)?)?;
        sum.add(&snapshot.table(ACCOUNTS)?)?;
        sum.add(&snapshot.table(META)?)?;
        Ok(sum)
    }

    pub(super) fn total(self) -> u64 {
        self.stored + self.overhead
    }

    fn add(&mut self, table: &impl ReadableTableMetadata) -> Result<(), StoreError> {
        let stats = table.stats().map_err(store_error)?;
        self.stored += stats.stored_bytes();
        self.overhead += stats.metadata_bytes() + stats.fragmented_bytes();
        Ok(())
    }
}

/// The use of a file of this length.
pub(super) fn space_use(database: &Database, length: u64) -> Result<SpaceUse, StoreError> {
    let snapshot = database.begin_read().map_err(store_error).and_then(Snapshot::new)?;
    let tables = TableBytes::of(&snapshot)?;
    let mut space = SpaceUse { overhead: tables.overhead, ..SpaceUse::default() };
    for row in snapshot.table(CURRENT)?.iter().map_err(store_error)? {
        let (key, row) = row.map_err(store_error)?;
        let version = decode_latest(key.value(), row.value())?.version;
        add(&mut space.latest, &snapshot, key.value(), version)?;
    }
    for row in snapshot.table(HISTORY)?.iter().map_err(store_error)? {
        let (place, row) = row.map_err(store_error)?;
        let split = split_history_key(place.value());
        let (key, _) = split.ok_or_else(|| damaged_row("the history"))?;
        add(&mut space.replaced, &snapshot, key, decode_version(key, row.value())?)?;
    }
    let values: u64 = space.latest.values().chain(space.replaced.values()).sum();
    space.index = tables.stored.saturating_sub(values);
    space.free = length.saturating_sub(tables.total());
    Ok(space)
}

/// Adds the stored bytes of a version to those of its resource.
fn add(
    sums: &mut BTreeMap<String, u64>,
    snapshot: &Snapshot,
    key: &[u8],
    version: Version,
) -> Result<(), StoreError> {
    if let Some(at) = live(version) {
        *sums.entry(resource(key)).or_default() += snapshot.values().stored_bytes(at)?;
    }
    Ok(())
}

/// The second part of a key `/GROUP/RESOURCE/…`; empty for other keys.
fn resource(key: &[u8]) -> String {
    let part = key.split(|byte| *byte == b'/').nth(2).unwrap_or_default();
    String::from_utf8_lossy(part).into_owned()
}
