//! Why a folder cannot be opened. Every message names the path, the reason and the way out, for whoever reads the log
//! of a server that does not start.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::store::Revision;

/// Why [`super::Embedded::open`] failed. Nothing was changed in the file, unless a variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds the folder.
    #[error(
        "{} is still in use by another process after {waited:?}: stop the other server, or raise --data-dir-lock-timeout",
        dir.display()
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The folder or a file in it cannot be made or written.
    #[error(
        "cannot write {}: {source}; mount the volume writable, with room, and owned by the user of this process",
        path.display()
    )]
    NotWritable {
        /// What cannot be written.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The data file is there and cannot be read.
    #[error("cannot read {}: {source}; check the volume, and the owner and mode of the file", path.display())]
    NotReadable {
        /// What cannot be read.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// There is no data file, and none was to be made.
    #[error("there is no store in {}: name the folder that the server's --data-dir names", path.parent().unwrap_or(path).display())]
    Missing {
        /// The data file.
        path: PathBuf,
    },
    /// The data file has no content. It is never filled in, since it may be what is left of lost data.
    #[error("{} is an empty file: restore it from a backup, or remove it to start with an empty store", path.display())]
    Empty {
        /// The data file.
        path: PathBuf,
    },
    /// The data file was written by some other program.
    #[error("{} is not a store of this server: point --data-dir at another folder, or move the file away", path.display())]
    Foreign {
        /// The data file.
        path: PathBuf,
    },
    /// The data file was written by a newer version of this program.
    #[error(
        "{} has format {found}, this version reads format {supported}: run a newer version, or restore an older backup",
        path.display()
    )]
    Newer {
        /// The data file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// What this version reads.
        supported: u64,
    },
    /// The data file is damaged. A repair may have been tried on it.
    #[error("{} is damaged: {reason}; keep a copy of the file and restore a backup", path.display())]
    Corrupt {
        /// The data file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
}

/// Why a store that was open answers nothing but this any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    /// It failed, and opening the file again failed as well.
    #[error("{} failed ({cause}) and could not be opened again: {source}", path.display())]
    NotReopened {
        /// The data file.
        path: PathBuf,
        /// What happened first.
        cause: String,
        /// What happened then.
        source: OpenError,
    },
    /// It failed soon after it was opened again.
    #[error(
        "{} failed ({cause}), {after:?} after it was opened again because of a failure: \
         check the volume and the kernel's log, then start the server again",
        path.display()
    )]
    Again {
        /// The data file.
        path: PathBuf,
        /// What happened this time.
        cause: String,
        /// How long it went well.
        after: Duration,
    },
    /// The file that was opened again does not hold what was acknowledged.
    #[error(
        "{} failed ({cause}) and has lost the commits after revision {found} up to {acknowledged}: \
         keep a copy of the file and restore a backup",
        path.display()
    )]
    Lost {
        /// The data file.
        path: PathBuf,
        /// What happened first.
        cause: String,
        /// The latest revision that was acknowledged.
        acknowledged: Revision,
        /// The latest revision that is there.
        found: Revision,
    },
}
