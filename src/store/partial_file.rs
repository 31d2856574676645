//! Files that appear under their names when they are complete.
//!
//! The folder may be writable by others, such as `/tmp`. They cannot guess the name of the
//! incomplete file or make it open through a symbolic link.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::disk_usage::{RESERVE_BYTES, free_space};
use super::private_file::create_new;

/// The number of bytes after which a file is synced, so that a server on the same disk does not
/// wait for all of them at once.
const SYNC_BYTES: u64 = 8 << 20;
/// The free space that is left for a server, in bytes.
const MIN_FREE_BYTES: u64 = 2 * RESERVE_BYTES;
/// The end of the names of incomplete files.
pub const PARTIAL: &str = ".partial";

/// A file under a temporary name until it is complete. Removed on drop.
#[derive(Debug)]
pub struct PartialFile {
    file: File,
    name: PathBuf,
    partial: PathBuf,
    /// Bytes since the last sync.
    pending: u64,
}

impl PartialFile {
    /// Creates the incomplete file `name`.
    ///
    /// # Errors
    /// The error of open(2), with the path.
    pub fn create(name: &Path) -> io::Result<Self> {
        let unique = uuid::Uuid::new_v4();
        let partial = folder_of(name).join(format!("{}{PARTIAL}", unique.simple()));
        let file = create_new(&partial).map_err(|why| {
            io::Error::new(
                why.kind(),
                format!("cannot write {}: {}: {why}", name.display(), partial.display()),
            )
        })?;
        Ok(Self { file, name: name.to_owned(), partial, pending: 0 })
    }

    /// The path of the incomplete file.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Makes the content durable, and gives the file its name.
    ///
    /// # Errors
    /// The error of the operating system, with the path.
    pub fn finish(self) -> io::Result<()> {
        let placed = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.partial, &self.name))
            .and_then(|()| File::open(folder_of(&self.name))?.sync_all());
        placed.map_err(|why| self.named(&why))
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.pending += written as u64;
        if self.pending >= SYNC_BYTES {
            self.pending = 0;
            self.file.sync_data()?;
            let free = free_space(folder_of(&self.name))?;
            if free < MIN_FREE_BYTES {
                let reason = format!(
                    "only {free} bytes are free on its volume, and {MIN_FREE_BYTES} are kept for the server"
                );
                return Err(io::Error::new(io::ErrorKind::StorageFull, reason));
            }
        }
        Ok(written)
    }

    fn named(&self, why: &io::Error) -> io::Error {
        io::Error::new(why.kind(), format!("cannot write {}: {why}", self.name.display()))
    }
}

impl Write for PartialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_some(bytes).map_err(|why| self.named(&why))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The folder of a file.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // A complete file has been renamed, and nothing is left to remove.
        let _ = fs::remove_file(&self.partial);
    }
}
