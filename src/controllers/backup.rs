//! Backups of the running server, through a Unix socket in its data folder.
//!
//! Each connection receives a backup; there is no request. The socket has neither port nor
//! credentials: only the user of the server and root can connect, who can read the data anyway. The
//! socket file stays behind when the server ends.

use std::fs::{self, Permissions};
use std::io::{self, BufWriter, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::controller::Controller;
use crate::store::{ArchiveSummary, Backup, BackupError};
use crate::telemetry::log;

/// The name of the socket in the data folder.
pub const SOCKET: &str = "backup.sock";

/// The longest time for which a client may read nothing. A backup in progress keeps old revisions
/// on the disk.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The size of a write to the socket.
const CHUNK_BYTES: usize = 128 << 10;
/// The niceness of the threads of a backup, so that requests have priority for processors.
pub const NICENESS: i32 = 10;
/// The delay before the next `accept` after a failure, such as too many open files.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Sends backups of the open store, one at a time.
pub(super) struct BackupServer {
    listener: UnixListener,
    backup: Arc<dyn Backup>,
}

impl BackupServer {
    /// Creates the socket. If that fails, the reason is logged, and only a stopped server can be
    /// backed up: some file systems have no sockets, and paths of sockets have at most 107 bytes.
    pub(super) fn bind(data_dir: &Path, backup: Arc<dyn Backup>) -> Option<Self> {
        let path = data_dir.join(SOCKET);
        match bind(&path) {
            Ok(listener) => Some(Self { listener, backup }),
            Err(error) => {
                let socket = path.display();
                warn!(%socket, %error, "backups can be made only while the server is stopped");
                None
            }
        }
    }

    async fn serve(&self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if is_trusted(&stream) => {
                    report(send(stream, self.backup.clone()).await)
                }
                Ok(_) => warn!("refused a backup to a process of another user"),
                Err(error) => {
                    warn!(%error, "cannot accept requests for backups; retrying");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
    }
}

impl Controller for BackupServer {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.serve())
    }
}

/// Creates a socket. This process holds the lock of the folder, so an existing socket is left over.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Returns true if the peer runs as the user of this process, or as root. The permissions of the
/// socket require the same, except in the moment before they are set.
fn is_trusted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| [0, own].contains(&peer.uid()))
}

/// A backup that was sent.
struct SentBackup {
    summary: ArchiveSummary,
    took: Duration,
}

/// Sends one backup from a thread with low priority.
async fn send(stream: UnixStream, backup: Arc<dyn Backup>) -> Result<SentBackup, BackupError> {
    let stream = stream.into_std()?;
    let (done, outcome) = oneshot::channel();
    thread::Builder::new().name("backup".to_owned()).spawn(move || {
        // On Linux this is the niceness of the calling thread only. A failure does not harm the
        // backup.
        let _ = rustix::process::nice(NICENESS);
        // The receiver is dropped when the server ends.
        let _ = done.send(write(&stream, &*backup));
    })?;
    outcome.await.unwrap_or_else(|_| Err(io::Error::other("the thread ended early").into()))
}

fn write(stream: &BlockingStream, backup: &dyn Backup) -> Result<SentBackup, BackupError> {
    let begun = Instant::now();
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let summary = backup.write(&mut BufWriter::with_capacity(CHUNK_BYTES, stream))?;
    Ok(SentBackup { summary, took: begun.elapsed() })
}

fn report(outcome: Result<SentBackup, BackupError>) {
    match outcome {
        Ok(SentBackup { summary: ArchiveSummary { revision, entries, bytes, missing }, took }) => {
            if missing > 0 {
                warn!(missing, "a backup lacks damaged entries; `store check` names them");
            }
            let took = log::rounded(took);
            info!(%revision, entries, bytes, ?took, "backup complete");
        }
        Err(error) => warn!(%error, "cannot complete a backup"),
    }
}
