//! Output of maintenance commands: standard output, or a file that appears when it is complete.
//!
//! The folder may be writable by others, such as `/tmp`. They cannot guess the name of the
//! incomplete file or make it open through a symbolic link.

use std::fs::{self, File};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::store::private_file::create_new;
use crate::store::{RESERVE_BYTES, free_space};

/// Number of bytes after which the file is synced, so that a server on the same disk does not wait
/// for all of them at once.
const SYNC_BYTES: u64 = 8 << 20;
/// Free space that is left for a server, in bytes.
const MIN_FREE_BYTES: u64 = 2 * RESERVE_BYTES;

/// Output of a command.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output.
    Standard(io::Stdout),
    /// File.
    File(PartialFile),
}

/// File under a temporary name until it is complete. Removed on drop.
#[derive(Debug)]
pub(super) struct PartialFile {
    file: File,
    name: PathBuf,
    partial: PathBuf,
    /// Bytes since the last sync.
    pending: u64,
}

impl Output {
    /// Opens an output; `-` is standard output.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Standard(io::stdout()));
        }
        match fs::symlink_metadata(path) {
            Ok(_) => bail!("{} exists already: pass a new file", path.display()),
            Err(why) if why.kind() == ErrorKind::NotFound => {}
            Err(why) => {
                return Err(why).with_context(|| format!("cannot access {}", path.display()));
            }
        }
        let partial = folder_of(path).join(format!("{}.partial", uuid::Uuid::new_v4().simple()));
        let file = create_new(&partial);
        let file = file
            .with_context(|| format!("cannot write {}: {}", path.display(), partial.display()))?;
        Ok(Self::File(PartialFile { file, name: path.to_owned(), partial, pending: 0 }))
    }

    /// Returns true for a terminal, which must not get binary data.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Standard(output) if output.is_terminal())
    }

    /// Writes buffered data, and renames a file to its final name.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.flush()?;
        let Self::File(partial_file) = &self else { return Ok(()) };
        let placed = partial_file
            .file
            .sync_all()
            .and_then(|()| fs::rename(&partial_file.partial, &partial_file.name))
            .and_then(|()| File::open(folder_of(&partial_file.name))?.sync_all());
        placed.with_context(|| format!("cannot write {}", partial_file.name.display()))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(output) => output.write(bytes),
            Self::File(partial_file) => partial_file.write(bytes).map_err(|why| {
                io::Error::new(
                    why.kind(),
                    format!("cannot write {}: {why}", partial_file.name.display()),
                )
            }),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(output) => output.flush(),
            Self::File(partial_file) => partial_file.file.flush(),
        }
    }
}

impl PartialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
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
}

/// Folder of a file.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // A complete file has been renamed, and nothing is left to remove.
        let _ = fs::remove_file(&self.partial);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn entries(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn symbolic_link_at_a_partial_name_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, name) = (folder.path().join("victim"), folder.path().join("backup"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, folder.path().join("backup.partial")).unwrap();
        let mut output = Output::open(&name).unwrap();
        output.write_all(b"content").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(fs::read(&name).unwrap(), b"content");
        assert!(fs::symlink_metadata(&name).unwrap().is_file());
        assert_eq!(fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(entries(folder.path()).len(), 3, "no other file is left");
    }

    #[test]
    fn unfinished_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::open(&folder.path().join("backup")).unwrap();
        output.write_all(b"content").unwrap();
        let partial = entries(folder.path());
        assert_eq!(partial.len(), 1);
        assert_eq!(fs::metadata(&partial[0]).unwrap().permissions().mode() & 0o777, 0o600);
        drop(output);
        assert!(entries(folder.path()).is_empty());
    }

    #[test]
    fn dangling_symbolic_link_exists_already() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("backup");
        symlink(folder.path().join("nothing"), &name).unwrap();
        assert!(Output::open(&name).unwrap_err().to_string().contains("exists already"));
        assert_eq!(entries(folder.path()), [name]);
    }
}
