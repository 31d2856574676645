//! Input of maintenance commands: a running server, the data folder, a file or standard input.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use anyhow::bail;

use super::DataFolder;
use super::damage::DamagePolicy;
use crate::controllers::{NICENESS, SOCKET};
use crate::meta::file_error;
use crate::store::{ArchiveSummary, BackupError, OpenError, Opened};

/// Readable input.
pub(super) type Input = Box<dyn Read + Send>;

/// Size of a read from the store, in bytes.
const CHUNK_BYTES: usize = 128 << 10;

/// Backup of a store, from the server that runs on the folder or else from the folder itself. With
/// [`DamagePolicy::Skip`] it may have gaps.
pub(super) fn store(folder: &DataFolder, damage: DamagePolicy) -> anyhow::Result<Input> {
    let socket = folder.path.join(SOCKET);
    let refused = match UnixStream::connect(&socket) {
        Ok(stream) => {
            // Requests to the server have priority, also over the processing of the backup here.
            let _ = rustix::process::nice(NICENESS);
            return Ok(Box::new(stream));
        }
        Err(error) => error,
    };
    match folder.maintenance().open_read_only() {
        Ok(store) => Ok(Box::new(of(store)?)),
        Err(OpenError::InUse { .. }) => {
            let remedy = match refused.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                    "it is starting or shutting down: try again"
                }
                _ => {
                    "run this as the user of the server; the path of the folder must be shorter than 90 characters"
                }
            };
            bail!(
                "a server is running on {}, but {}: {refused}; {remedy}",
                folder.path.display(),
                socket.display()
            )
        }
        Err(damaged @ OpenError::Corrupt { .. }) if damage == DamagePolicy::Skip => {
            tracing::warn!(error = %damaged, "the structure of the data file is damaged; saving what it still reaches");
            let salvage = folder.maintenance().salvage()?;
            Ok(Box::new(piped(move |out| salvage.write(out))?))
        }
        Err(other) => Err(other.into()),
    }
}

/// Backup of an open store. It contains the error if the store cannot be read.
pub(super) fn of(opened: Opened) -> io::Result<impl Read + Send + use<>> {
    let Some(backup) = opened.backup.clone() else {
        return Err(io::Error::new(
            ErrorKind::Unsupported,
            "this storage backend does not support backups",
        ));
    };
    piped(move |out| {
        // Keeps the store open until the backup ends.
        let _open = opened;
        backup.write(out)
    })
}

/// Output of a backup, which a thread writes.
fn piped(
    write: impl FnOnce(&mut dyn Write) -> Result<ArchiveSummary, BackupError> + Send + 'static,
) -> io::Result<impl Read + Send> {
    let (reader, writer) = io::pipe()?;
    thread::Builder::new().name("backup".to_owned()).spawn(move || {
        if let Err(error) = write(&mut BufWriter::with_capacity(CHUNK_BYTES, writer)) {
            tracing::debug!(%error, "the backup was not read to its end");
        }
    })?;
    Ok(reader)
}

/// File; `-` is standard input.
pub(super) fn file(path: &Path) -> anyhow::Result<Input> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).map_err(|why| {
        anyhow::anyhow!("cannot read {}: {}", path.display(), file_error::reading(&why))
    })?;
    Ok(Box::new(file))
}

/// File with its size; none for standard input and other files without one.
pub(super) fn sized_file(path: &Path) -> anyhow::Result<(Input, Option<u64>)> {
    let size = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
    Ok((file(path)?, size.map(|size| size.len())))
}
