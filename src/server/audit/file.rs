//! The audit log file and its rotation.
//!
//! Rotated files have the names of lumberjack (`backupName` in gopkg.in/natefinch/lumberjack.v2),
//! which kube-apiserver uses, so that log collectors find them. One process writes a file. Before
//! each write it detects that another process moved, truncated or removed the file.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::sink::{Sink, write_all};

/// A log file with rotation.
pub(super) struct LogFile {
    path: PathBuf,
    /// Maximum size in bytes; 0 for no limit.
    max_bytes: u64,
    /// Maximum number of rotated files; 0 for all.
    max_backups: usize,
    /// None after an error, so that the next attempt opens the file again.
    opened: Option<OpenLogFile>,
    /// True if the failure of rotation has been logged.
    is_rotation_failure_logged: bool,
}

struct OpenLogFile {
    file: File,
    /// Device and inode of the file.
    identity: (u64, u64),
    /// True for a regular file. Other files have no size and are not rotated.
    is_regular: bool,
    /// True if the last line is incomplete.
    has_partial_line: bool,
}

impl LogFile {
    /// Opens the file, or creates it with mode 0600.
    ///
    /// # Errors
    /// Error of the operating system.
    pub(super) fn open(path: &Path, max_bytes: u64, max_backups: usize) -> io::Result<Self> {
        let opened = Some(OpenLogFile::open(path)?);
        Ok(Self {
            path: path.to_owned(),
            max_bytes,
            max_backups,
            opened,
            is_rotation_failure_logged: false,
        })
    }

    /// The file, after rotation if `count` more bytes would exceed its size.
    fn open_with_room(&mut self, count: usize) -> io::Result<OpenLogFile> {
        let opened = match self.opened.take().filter(|opened| opened.is_at(&self.path)) {
            Some(opened) => opened,
            None => OpenLogFile::open(&self.path)?,
        };
        let size = opened.size()?;
        if self.max_bytes == 0 || size == 0 || size.saturating_add(count as u64) <= self.max_bytes {
            return Ok(opened);
        }
        match rotate(&self.path, Timestamp::now(), self.max_backups) {
            Ok(()) => self.is_rotation_failure_logged = false,
            // Exceeding the size is better than losing events.
            Err(why) if !self.is_rotation_failure_logged => {
                self.is_rotation_failure_logged = true;
                tracing::error!(path = %self.path.display(), error = %why, "cannot rotate the audit log (--audit-log-path)");
            }
            Err(_) => {}
        }
        if opened.is_at(&self.path) { Ok(opened) } else { OpenLogFile::open(&self.path) }
    }
}

impl Sink for LogFile {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut opened = self.open_with_room(lines.len())?;
        opened.append(lines)?;
        self.opened = Some(opened);
        Ok(())
    }
}

impl OpenLogFile {
    fn open(path: &Path) -> io::Result<Self> {
        // Also for reading: to check the last line, and to open a named pipe before it has a
        // reader.
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let is = file.metadata()?;
        let mut last = [b'\n'];
        if is.is_file() && is.len() > 0 {
            file.read_exact_at(&mut last, is.len() - 1)?;
        }
        let (identity, has_partial_line) = ((is.dev(), is.ino()), last != *b"\n");
        Ok(Self { file, identity, is_regular: is.is_file(), has_partial_line })
    }

    /// Returns true if the path still refers to this file.
    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|is| (is.dev(), is.ino()) == self.identity)
    }

    /// Size in bytes; 0 if it is not a regular file.
    fn size(&self) -> io::Result<u64> {
        if self.is_regular { Ok(self.file.metadata()?.len()) } else { Ok(0) }
    }

    /// Appends lines. After an error, removes the part that was written.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.has_partial_line {
            // Ends the incomplete line of an earlier process.
            self.file.write_all(b"\n")?;
            self.has_partial_line = false;
        }
        let before = self.size()?;
        write_all(&mut self.file, lines).map_err(|(written, why)| {
            if self.is_regular && self.size().is_ok_and(|now| now == before + written as u64) {
                // If this fails too, the incomplete line is detected when the file is opened again.
                let _ = self.file.set_len(before);
            }
            why
        })
    }
}

/// Time format in the name of a rotated file.
const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";

/// Renames the file to a name with the time, and removes the oldest rotated files.
fn rotate(path: &Path, now: Timestamp, max: usize) -> io::Result<()> {
    // Truncated to the precision of the name.
    let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let mut backups = backups(path)?;
    // Names determine the order, also if the clock went back or rotations are in the same
    // millisecond.
    let next = backups.last().map(|last| last.checked_add(1.millisecond()));
    let now = now.max(next.transpose().map_err(io::Error::other)?.unwrap_or(now));
    fs::rename(path, backup(path, now))?;
    let surplus = if max == 0 { 0 } else { (backups.len() + 1).saturating_sub(max) };
    backups.drain(..surplus).try_for_each(|time| fs::remove_file(backup(path, time)))
}

/// `audit.log` becomes `audit-2006-01-02T15-04-05.000.log`.
fn backup(path: &Path, time: Timestamp) -> PathBuf {
    let (mut name, suffix) = affixes(path);
    name.push(time.strftime(TIME).to_string());
    name.push(suffix);
    path.with_file_name(name)
}

/// Times of the rotated files, in ascending order.
fn backups(path: &Path) -> io::Result<Vec<Timestamp>> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut times = Vec::new();
    for entry in fs::read_dir(folder)? {
        times.extend(time_of(path, &entry?.file_name()));
    }
    times.sort_unstable();
    Ok(times)
}

/// Time in the name of a rotated file; none for other names.
fn time_of(path: &Path, name: &OsStr) -> Option<Timestamp> {
    let (prefix, suffix) = affixes(path);
    let time = name.as_bytes().strip_prefix(prefix.as_bytes())?.strip_suffix(suffix.as_bytes())?;
    let time = DateTime::strptime(TIME, time).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    (backup(path, time).file_name() == Some(name)).then_some(time)
}

/// Text before and after the time in the name.
fn affixes(path: &Path) -> (OsString, OsString) {
    let (mut prefix, mut suffix) =
        (path.file_stem().unwrap_or_default().to_owned(), OsString::new());
    prefix.push("-");
    if let Some(extension) = path.extension() {
        suffix.push(".");
        suffix.push(extension);
    }
    (prefix, suffix)
}
