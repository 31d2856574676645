//! Defragmentation: returns unused pages of the data file to the file system. redb needs exclusive
//! access to the file for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::store::{DefragReport, OpenError};

use super::data_file::size;
use super::error::{panicked, store_error};
use super::open::{self, Open};
use super::options::Options;

/// Defragments the data file of an existing store, see [`crate::store::Maintenance::defrag`].
pub(super) fn defrag(options: &Options) -> Result<DefragReport, OpenError> {
    let path = options.data_file();
    let Open { mut database, lock: _held } = open::open_existing(options)?;
    let before = size(&path)?;
    let work = AssertUnwindSafe(|| {
        while database.compact().map_err(store_error)? {}
        database.close().map_err(store_error)
    });
    let done = catch_unwind(work).unwrap_or_else(|panic| Err(panicked(&*panic)));
    done.map_err(|error| open::unwritable(&path, error))?;
    Ok(DefragReport { before, after: size(&path)? })
}
