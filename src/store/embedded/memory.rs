//! A store in memory, for tests and for commands that need a store but no data.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redb::Database;
use redb::backends::InMemoryBackend;

use crate::store::OpenError;

use super::backend::{BackendLayer, FileOpener, Layered, StorageBackend};
use super::lock::LockWait;
use super::open;
use super::options::Options;

/// A file in memory. Clones are the same file, so that a store can close and reopen it.
#[derive(Clone, Debug, Default)]
struct MemoryFile(Arc<InMemoryBackend>);

impl BackendLayer for MemoryFile {
    fn inner(&self) -> &dyn StorageBackend {
        &*self.0
    }
}

/// Options whose opener returns one new file in memory. The folder is a name for error messages.
pub(super) fn options() -> Options {
    let file = MemoryFile::default();
    let opener = FileOpener(Arc::new(move |_: &Path| {
        Ok(Box::new(Layered(file.clone())) as Box<dyn StorageBackend>)
    }));
    Options { opener, lock_timeout: Duration::ZERO, ..Options::new("memory") }
}

/// Writes an empty store to the file of these options, and opens it.
pub(super) fn create(options: &Options) -> Result<Database, OpenError> {
    let path = options.data_file();
    let failed = |source| OpenError::NotWritable { path: path.clone(), source };
    let file = (options.opener.0)(&path).map_err(failed)?;
    open::initialise_backend(Layered(file), options.first_revision)
        .map_err(|error| failed(io::Error::other(error)))?;
    open::open_database(&path, options, &mut LockWait::new(&options.dir, Duration::ZERO))
}
