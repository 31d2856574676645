//! Backups of the running server, through a socket in the folder of its data.
//!
//! Whoever connects is sent a backup; there is nothing to ask and nothing to be said. No port, no credentials: who may
//! connect is who may read the data anyway, the user that the server runs as, and root. The socket stays behind when the
//! server ends; then nobody answers there.

use std::fs::{self, Permissions};
use std::io::{self, BufWriter, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

use crate::store::{ArchiveSummary, Backup, BackupError};

/// The name of the socket.
pub const SOCKET: &str = "backup.sock";

/// Whoever reads nothing for so long gets no more: a backup keeps space from being used again.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much is read from the store at a time.
const CHUNK_BYTES: usize = 128 << 10;
/// How much requests come before a backup where both want a processor.
pub const NICENESS: i32 = 10;
/// How long to wait before listening again after a failure, such as too many open files.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes the socket. The folder must be held already, so whatever stands there is left over.
///
/// # Errors
/// What the operating system says; some file systems know no sockets, and paths of sockets are at most 107 bytes long.
pub(super) fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let path = data_dir.join(SOCKET);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Sends backups for ever, one after the other.
pub(super) async fn serve(listener: UnixListener, backup: Arc<dyn Backup>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if is_trusted(&stream) => tell(send(stream, backup.clone()).await),
            Ok(_) => tracing::warn!("a process of another user asked for a backup and got none"),
            Err(error) => {
                tracing::warn!("nobody can ask for a backup: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether the other side is of the user of this process, or root. The permissions of the socket say so too, but for the
/// moment in which it is made.
fn is_trusted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| [0, own].contains(&peer.uid()))
}

/// A backup that was sent.
struct Sent {
    summary: ArchiveSummary,
    took: Duration,
}

/// Sends one backup, on a thread of its own that comes after everything else.
async fn send(stream: UnixStream, backup: Arc<dyn Backup>) -> Result<Sent, BackupError> {
    let stream = stream.into_std()?;
    let (done, outcome) = oneshot::channel();
    thread::Builder::new().name("backup".to_owned()).spawn(move || {
        // On Linux this concerns the calling thread only. A backup that does not give way is still a backup.
        let _ = rustix::process::nice(NICENESS);
        // Nobody waits any more where the server ends.
        let _ = done.send(write(&stream, &*backup));
    })?;
    outcome.await.unwrap_or_else(|_| Err(io::Error::other("the thread ended early").into()))
}

fn write(stream: &BlockingStream, backup: &dyn Backup) -> Result<Sent, BackupError> {
    let begun = Instant::now();
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let summary = backup.write(&mut BufWriter::with_capacity(CHUNK_BYTES, stream))?;
    Ok(Sent { summary, took: begun.elapsed() })
}

fn tell(outcome: Result<Sent, BackupError>) {
    match outcome {
        Ok(Sent { summary: ArchiveSummary { revision, entries, bytes }, took }) => {
            tracing::info!(%revision, entries, bytes, ?took, "a backup was made");
        }
        Err(why) => tracing::warn!("a backup was begun and could not be finished: {why}"),
    }
}
