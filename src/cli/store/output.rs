//! Output of maintenance commands: standard output, or a file that appears when it is complete.

use std::fs;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, bail};

use crate::store::partial_file::PartialFile;

/// Output of a command.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output.
    Standard(io::Stdout),
    /// File.
    File(PartialFile),
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
        Ok(Self::File(PartialFile::create(path)?))
    }

    /// Returns true for a terminal, which must not get binary data.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Standard(output) if output.is_terminal())
    }

    /// Writes buffered data, and renames a file to its final name.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.flush()?;
        match self {
            Self::Standard(_) => Ok(()),
            Self::File(partial_file) => Ok(partial_file.finish()?),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(output) => output.write(bytes),
            Self::File(partial_file) => partial_file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(output) => output.flush(),
            Self::File(partial_file) => partial_file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

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
