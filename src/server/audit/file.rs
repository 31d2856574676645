//! The file of the audit log, which is set aside when it is full. Names are those of lumberjack, which kube-apiserver
//! uses, so that whatever collects its files collects these.
//!
//! One process a file: what others do to it (moving it away, making it shorter, removing it) is noticed before each write.

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

/// A file of lines.
pub(super) struct LogFile {
    path: PathBuf,
    /// The size that it may have; 0 for any.
    most_bytes: u64,
    /// How many files that were set aside are kept; 0 for all.
    most_backups: usize,
    /// None after an error, so that the next attempt begins afresh.
    opened: Option<Opened>,
    /// Whether it was told that the file cannot be set aside.
    is_told: bool,
}

struct Opened {
    file: File,
    /// Device and number of the file.
    identity: (u64, u64),
    /// Only these have a size, and can be set aside.
    is_regular: bool,
    /// Whether the last line is cut off.
    is_torn: bool,
}

impl LogFile {
    /// Opens the file, or makes it for this user only.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(path: &Path, most_bytes: u64, most_backups: usize) -> io::Result<Self> {
        let opened = Some(Opened::open(path)?);
        Ok(Self { path: path.to_owned(), most_bytes, most_backups, opened, is_told: false })
    }

    /// The file with room for `count` bytes.
    fn with_room(&mut self, count: usize) -> io::Result<Opened> {
        let opened = match self.opened.take().filter(|opened| opened.is_at(&self.path)) {
            Some(opened) => opened,
            None => Opened::open(&self.path)?,
        };
        let size = opened.size()?;
        if self.most_bytes == 0 || size == 0 || size.saturating_add(count as u64) <= self.most_bytes {
            return Ok(opened);
        }
        match set_aside(&self.path, Timestamp::now(), self.most_backups) {
            Ok(()) => self.is_told = false,
            // A file that is too large is better than no file.
            Err(why) if !self.is_told => {
                self.is_told = true;
                tracing::error!("--audit-log-path: {} cannot be rotated as it should be: {why}", self.path.display());
            }
            Err(_) => {}
        }
        if opened.is_at(&self.path) { Ok(opened) } else { Opened::open(&self.path) }
    }
}

impl Sink for LogFile {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut opened = self.with_room(lines.len())?;
        opened.append(lines)?;
        self.opened = Some(opened);
        Ok(())
    }
}

impl Opened {
    fn open(path: &Path) -> io::Result<Self> {
        // Reading as well, to see how it ends; and a named pipe can be opened this way before anybody reads from it.
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let is = file.metadata()?;
        let mut last = [b'\n'];
        if is.is_file() && is.len() > 0 {
            file.read_exact_at(&mut last, is.len() - 1)?;
        }
        let (identity, is_torn) = ((is.dev(), is.ino()), last != *b"\n");
        Ok(Self { file, identity, is_regular: is.is_file(), is_torn })
    }

    /// Whether the path still leads to this file.
    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|is| (is.dev(), is.ino()) == self.identity)
    }

    /// In bytes; 0 for what is no regular file.
    fn size(&self) -> io::Result<u64> {
        if self.is_regular { Ok(self.file.metadata()?.len()) } else { Ok(0) }
    }

    /// Appends, and takes back what was written before an error.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_torn {
            // What an earlier process could not finish must not run together with what comes now.
            self.file.write_all(b"\n")?;
            self.is_torn = false;
        }
        let before = self.size()?;
        write_all(&mut self.file, lines).map_err(|(written, why)| {
            if self.is_regular && self.size().is_ok_and(|now| now == before + written as u64) {
                // If this fails too the cut line is found when the file is opened again.
                let _ = self.file.set_len(before);
            }
            why
        })
    }
}

/// The form of the time in the name of a file that was set aside.
const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";

/// Gives the file a name with the time, and removes what was set aside before but the newest.
fn set_aside(path: &Path, now: Timestamp, most: usize) -> io::Result<()> {
    // No finer than it can be written.
    let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let mut backups = backups(path)?;
    // Names tell the order, so a clock that went back, or too many files a millisecond, must not disturb it.
    let next = backups.last().map(|last| last.checked_add(1.millisecond()));
    let now = now.max(next.transpose().map_err(io::Error::other)?.unwrap_or(now));
    fs::rename(path, backup(path, now))?;
    let surplus = if most == 0 { 0 } else { (backups.len() + 1).saturating_sub(most) };
    backups.drain(..surplus).try_for_each(|time| fs::remove_file(backup(path, time)))
}

/// `audit.log` becomes `audit-2006-01-02T15-04-05.000.log`.
fn backup(path: &Path, time: Timestamp) -> PathBuf {
    let (mut name, suffix) = affixes(path);
    name.push(time.strftime(TIME).to_string());
    name.push(suffix);
    path.with_file_name(name)
}

/// When the files that lie there were set aside, in order.
fn backups(path: &Path) -> io::Result<Vec<Timestamp>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut times = Vec::new();
    for entry in fs::read_dir(folder)? {
        times.extend(time_of(path, &entry?.file_name()));
    }
    times.sort_unstable();
    Ok(times)
}

/// The time in a name; none where it is not exactly one that [`backup`] gives.
fn time_of(path: &Path, name: &OsStr) -> Option<Timestamp> {
    let (prefix, suffix) = affixes(path);
    let time = name.as_bytes().strip_prefix(prefix.as_bytes())?.strip_suffix(suffix.as_bytes())?;
    let time = DateTime::strptime(TIME, time).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    (backup(path, time).file_name() == Some(name)).then_some(time)
}

/// What stands before and behind the time.
fn affixes(path: &Path) -> (OsString, OsString) {
    let (mut prefix, mut suffix) = (path.file_stem().unwrap_or_default().to_owned(), OsString::new());
    prefix.push("-");
    if let Some(extension) = path.extension() {
        suffix.push(".");
        suffix.push(extension);
    }
    (prefix, suffix)
}
