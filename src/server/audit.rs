//! The audit log: who asked what, when, and how it was answered, as lines of JSON (`audit.k8s.io/v1`, level `Metadata`).
//!
//! Requests only queue bytes; a thread of its own writes them. A sink that is slow, full or gone costs events, which are
//! counted and told, never requests. Credentials and bodies have no field here.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;

mod context;
pub(super) mod event;
mod file;
mod queue;
mod sink;

pub(super) use context::AuditContext;

use self::event::Event;
use self::file::LogFile;
use self::queue::Queue;
use self::sink::{Sink, Stream};
use crate::telemetry::metrics::Metrics;

/// Flags of the audit log.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Audit and logging")]
pub struct Options {
    /// Audit log file, or - for standard output; no audit log if not set.
    ///
    /// The file has one JSON object for each event and mode 0600.
    #[arg(long, value_name = "FILE")]
    pub audit_log_path: Option<PathBuf>,
    /// Size in megabytes at which the audit log is rotated; 0 for no rotation.
    #[arg(long, value_name = "MEGABYTES", default_value_t = 100)]
    pub audit_log_maxsize: u64,
    /// Maximum number of rotated audit logs to keep; 0 for all.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub audit_log_maxbackup: usize,
}

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuditError {
    /// The file cannot be written.
    #[error(
        "--audit-log-path: {path} cannot be opened for writing: {why}; name a file in a folder that is there and that this \
         user may write to, or - for stdout"
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// The thread that writes cannot be had.
    #[error("--audit-log-path: the thread that writes the audit log cannot be started: {0}")]
    NoThread(io::Error),
}

/// The audit log of a server.
pub(super) struct AuditLog {
    queue: Arc<Queue>,
    events: Counter,
    /// Closed when the thread that writes has ended.
    ended: watch::Receiver<()>,
}

/// Memory for lines that are not written yet, in bytes: about ten thousand of them.
const QUEUE_BYTES: usize = 8 << 20;
/// How long the end of the server waits for lines to be written.
const PATIENCE: Duration = Duration::from_secs(5);

impl AuditLog {
    /// Opens the log that the flags ask for, if they ask for one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn open(options: &Options, metrics: &Metrics) -> Result<Option<Self>, AuditError> {
        let Options { audit_log_path, audit_log_maxsize, audit_log_maxbackup } = options;
        let Some(path) = audit_log_path else {
            return Ok(None);
        };
        let unwritable = |why| AuditError::Unwritable { path: path.clone(), why };
        let sink: Box<dyn Sink> = if path == Path::new("-") {
            // Not through the standard library's own buffer, which keeps what could not be written.
            let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(unwritable)?;
            Box::new(Stream::new(File::from(stdout)))
        } else {
            let most_bytes = audit_log_maxsize.saturating_mul(1 << 20);
            Box::new(LogFile::open(path, most_bytes, *audit_log_maxbackup).map_err(unwritable)?)
        };
        Self::writing_to(sink, QUEUE_BYTES, metrics).map(Some)
    }

    /// A log that goes to `sink` and keeps at most `most_bytes` waiting.
    fn writing_to(mut sink: Box<dyn Sink>, most_bytes: usize, metrics: &Metrics) -> Result<Self, AuditError> {
        let queue = Arc::new(Queue::new(most_bytes, metrics.audit_errors()));
        let (end, ended) = watch::channel(());
        let work = {
            let queue = queue.clone();
            move || {
                queue.drain_into(sink.as_mut());
                drop(end);
            }
        };
        thread::Builder::new().name("audit-writer".to_owned()).spawn(work).map_err(AuditError::NoThread)?;
        Ok(Self { queue, events: metrics.audit_events(), ended })
    }

    /// Queues an event. Never waits for the sink: where there is no room the event is lost and counted.
    pub(super) fn write(&self, event: &Event<'_>) {
        self.events.inc();
        self.queue.push(&event.line());
    }

    /// Takes no more events, and returns once those that are queued are written, or given up after a while.
    pub(super) async fn close(&self) {
        self.close_within(PATIENCE).await;
    }

    async fn close_within(&self, patience: Duration) {
        self.queue.close();
        let mut ended = self.ended.clone();
        // The channel carries nothing: it changes only by being closed.
        if tokio::time::timeout(patience, ended.changed()).await.is_err() {
            let lines = self.queue.waiting();
            tracing::error!(lines, "audit log (--audit-log-path): its sink takes nothing, lines are given up");
        }
    }
}

impl Drop for AuditLog {
    /// Lets the thread end once it has written what is queued.
    fn drop(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests;
