//! Where bytes come from: a running server, the folder itself, a file, standard input.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use anyhow::{Context, bail};

use super::DataFolder;
use crate::controllers::{NICENESS, SOCKET};
use crate::store::{OpenError, Opened};

/// Whatever can be read.
pub(super) type Input = Box<dyn Read + Send>;

/// How much is read from the store at a time.
const CHUNK_BYTES: usize = 128 << 10;

/// A backup of a store, from the server that runs on the folder, or else from the folder.
pub(super) fn store(folder: &DataFolder) -> anyhow::Result<Input> {
    let socket = folder.path.join(SOCKET);
    let refused = match UnixStream::connect(&socket) {
        Ok(stream) => {
            // The server's requests come first, also before what is done here with its answer.
            let _ = rustix::process::nice(NICENESS);
            return Ok(Box::new(stream));
        }
        Err(error) => error,
    };
    match folder.maintenance().open_read_only() {
        Ok(store) => Ok(Box::new(of(store)?)),
        Err(OpenError::InUse { .. }) => {
            let remedy = match refused.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => "it is just starting or ending: try again",
                _ => "run this as the user of the server, in a folder whose path is shorter than 90 letters",
            };
            bail!("a server is running on {}, but {}: {refused}; {remedy}", folder.path.display(), socket.display())
        }
        Err(other) => Err(other.into()),
    }
}

/// A backup of an open store. It holds the error if the store cannot be read.
pub(super) fn of(opened: Opened) -> io::Result<impl Read + Send + use<>> {
    let Some(backup) = opened.backup.clone() else {
        return Err(io::Error::new(ErrorKind::Unsupported, "this storage backend cannot be backed up here"));
    };
    let (reader, writer) = io::pipe()?;
    thread::Builder::new().name("backup".to_owned()).spawn(move || {
        // A backup does not keep the store open.
        let _open = opened;
        if let Err(error) = backup.write(&mut BufWriter::with_capacity(CHUNK_BYTES, writer)) {
            tracing::debug!(%error, "the store was not read to its end");
        }
    })?;
    Ok(reader)
}

/// A file; `-` is standard input.
pub(super) fn file(path: &Path) -> anyhow::Result<Input> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Box::new(file))
}
