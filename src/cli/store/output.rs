//! Where bytes go: standard output, or a file that is there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::server::options::{SPACE_RESERVE, free_space};

/// After so many bytes they are brought to the disk: a server beside must not wait for all of them at once.
const STEP_BYTES: u64 = 8 << 20;
/// So much room is left for a server beside, in bytes.
const ROOM: u64 = 2 * SPACE_RESERVE;

/// Where bytes go.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output.
    Standard(io::Stdout),
    /// A file.
    File(Aside),
}

/// A file under another name, until it is whole. Removed on drop.
#[derive(Debug)]
pub(super) struct Aside {
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
        if path.try_exists().with_context(|| format!("{} cannot be looked at", path.display()))? {
            bail!("{} is there already: name a new file", path.display());
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial);
        let file = file.with_context(|| format!("{} cannot be written", partial.display()))?;
        Ok(Self::File(Aside { file, name: path.to_owned(), partial, pending: 0 }))
    }

    /// Whether somebody looks at it who does not want to see any bytes.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Standard(output) if output.is_terminal())
    }

    /// Makes what was written last; a file gets its name.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.flush()?;
        let Self::File(aside) = &self else { return Ok(()) };
        let folder = aside.name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let placed = aside
            .file
            .sync_all()
            .and_then(|()| fs::rename(&aside.partial, &aside.name))
            .and_then(|()| File::open(folder)?.sync_all());
        placed.with_context(|| format!("{} cannot be written", aside.name.display()))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(output) => output.write(bytes),
            Self::File(aside) => aside.write(bytes).map_err(|why| {
                io::Error::new(why.kind(), format!("{} cannot be written: {why}", aside.partial.display()))
            }),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(output) => output.flush(),
            Self::File(aside) => aside.file.flush(),
        }
    }
}

impl Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.pending += written as u64;
        if self.pending >= STEP_BYTES {
            self.pending = 0;
            self.file.sync_data()?;
            let folder = self.partial.parent().filter(|folder| !folder.as_os_str().is_empty());
            let free = free_space(folder.unwrap_or(Path::new(".")))?;
            if free < ROOM {
                let reason = format!("only {free} bytes are left there, and {ROOM} are kept for the server");
                return Err(io::Error::new(io::ErrorKind::StorageFull, reason));
            }
        }
        Ok(written)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Nothing is there any more once it has its name.
        let _ = fs::remove_file(&self.partial);
    }
}
