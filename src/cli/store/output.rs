//! Where bytes go: standard output, or a file that is there whole or not at all.
//!
//! The folder may be one where others can write, such as `/tmp`. They can neither know the name
//! that the file has until it is whole, nor have it opened through a link of theirs.

use std::fs::{self, File};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::store::private_file::create_new;
use crate::store::{RESERVE_BYTES, free_space};

/// After so many bytes they are brought to the disk: a server beside must not wait for all of them at once.
const SYNC_BYTES: u64 = 8 << 20;
/// So much room is left for a server beside, in bytes.
const MIN_FREE_BYTES: u64 = 2 * RESERVE_BYTES;

/// Where bytes go.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output.
    Standard(io::Stdout),
    /// A file.
    File(PartialFile),
}

/// A file under another name, until it is whole. Removed on drop.
#[derive(Debug)]
pub(super) struct PartialFile {
    file: File,
    name: PathBuf,
    partial: PathBuf,
    /// Bytes since the last step.
    pending: u64,
}

impl Output {
    /// Opens an output; `-` is standard output.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Standard(io::stdout()));
        }
        match fs::symlink_metadata(path) {
            Ok(_) => bail!("{} is there already: name a new file", path.display()),
            Err(why) if why.kind() == ErrorKind::NotFound => {}
            Err(why) => return Err(why).with_context(|| format!("{} cannot be looked at", path.display())),
        }
        let partial = folder_of(path).join(format!("{}.partial", uuid::Uuid::new_v4().simple()));
        let file = create_new(&partial);
        let file = file.with_context(|| format!("{} cannot be written: {}", path.display(), partial.display()))?;
        Ok(Self::File(PartialFile { file, name: path.to_owned(), partial, pending: 0 }))
    }

    /// Whether somebody looks at it who does not want to see any bytes.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Standard(output) if output.is_terminal())
    }

    /// Makes what was written last; a file gets its name.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.flush()?;
        let Self::File(partial_file) = &self else { return Ok(()) };
        let placed = partial_file
            .file
            .sync_all()
            .and_then(|()| fs::rename(&partial_file.partial, &partial_file.name))
            .and_then(|()| File::open(folder_of(&partial_file.name))?.sync_all());
        placed.with_context(|| format!("{} cannot be written", partial_file.name.display()))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(output) => output.write(bytes),
            Self::File(partial_file) => partial_file.write(bytes).map_err(|why| {
                io::Error::new(why.kind(), format!("{} cannot be written: {why}", partial_file.name.display()))
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
                let reason = format!("only {free} bytes are left there, and {MIN_FREE_BYTES} are kept for the server");
                return Err(io::Error::new(io::ErrorKind::StorageFull, reason));
            }
        }
        Ok(written)
    }
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // Nothing is there any more once it has its name.
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
    fn a_link_at_the_name_of_the_partial_file_is_not_followed() {
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
        assert_eq!(entries(folder.path()).len(), 3, "nothing else is left");
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_nothing() {
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
    fn a_link_that_leads_nowhere_is_there_already() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("backup");
        symlink(folder.path().join("nothing"), &name).unwrap();
        assert!(Output::open(&name).unwrap_err().to_string().contains("is there already"));
        assert_eq!(entries(folder.path()), [name]);
    }
}
