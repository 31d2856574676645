//! The audit log: one JSON line for each event (`audit.k8s.io/v1`, level `Metadata`).
//!
//! Requests only queue bytes, and a dedicated thread writes them. If the sink is slow, full or
//! closed, events are lost, counted and logged, but requests proceed. No field holds credentials or
//! bodies.

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

use self::event::AuditEvent;
use self::file::LogFile;
use self::queue::AuditQueue;
use self::sink::{Sink, StreamSink};
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

/// Failure to open the audit log.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuditError {
    /// The file cannot be written.
    #[error(
        "--audit-log-path: {path} cannot be opened for writing: {why}; pass a file in an existing folder that this user \
         may write to, or - for stdout"
    )]
    Unwritable {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        why: io::Error,
    },
    /// The writer thread cannot be started.
    #[error("--audit-log-path: the writer thread cannot be started: {0}")]
    NoThread(io::Error),
}

/// The audit log of a server.
pub(super) struct AuditLog {
    queue: Arc<AuditQueue>,
    events: Counter,
    /// Closed when the writer thread has ended.
    ended: watch::Receiver<()>,
}

/// Maximum size of queued lines in bytes, about ten thousand lines.
const QUEUE_BYTES: usize = 8 << 20;
/// Time to write queued lines at shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

impl AuditLog {
    /// Opens the log of the flags; none if they disable it.
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
            // A duplicate descriptor bypasses the buffer of `Stdout`, which would retain failed
            // writes.
            let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(unwritable)?;
            Box::new(StreamSink::new(File::from(stdout)))
        } else {
            let max_bytes = audit_log_maxsize.saturating_mul(1 << 20);
            Box::new(LogFile::open(path, max_bytes, *audit_log_maxbackup).map_err(unwritable)?)
        };
        Self::writing_to(sink, QUEUE_BYTES, metrics).map(Some)
    }

    /// A log that writes to `sink` and queues at most `max_bytes`.
    fn writing_to(
        mut sink: Box<dyn Sink>,
        max_bytes: usize,
        metrics: &Metrics,
    ) -> Result<Self, AuditError> {
        let queue = Arc::new(AuditQueue::new(max_bytes, metrics.audit_errors()));
        let (end, ended) = watch::channel(());
        let work = {
            let queue = queue.clone();
            move || {
                queue.drain_into(sink.as_mut());
                drop(end);
            }
        };
        thread::Builder::new()
            .name("audit-writer".to_owned())
            .spawn(work)
            .map_err(AuditError::NoThread)?;
        Ok(Self { queue, events: metrics.audit_events(), ended })
    }

    /// Queues an event without waiting for the sink. If the queue is full, the event is lost and
    /// counted.
    pub(super) fn write(&self, event: &AuditEvent<'_>) {
        self.events.inc();
        self.queue.push(&event.line());
    }

    /// Accepts no more events, and waits until the queued ones are written or a timeout expires.
    pub(super) async fn close(&self) {
        self.close_within(CLOSE_TIMEOUT).await;
    }

    async fn close_within(&self, timeout: Duration) {
        self.queue.close();
        let mut ended = self.ended.clone();
        // Nothing is sent, so the channel changes only when it is closed.
        if tokio::time::timeout(timeout, ended.changed()).await.is_err() {
            let lines = self.queue.waiting();
            tracing::error!(lines, "audit sink stalled, dropping queued events (--audit-log-path)");
        }
    }
}

impl Drop for AuditLog {
    /// Lets the thread end after it has written the queued lines.
    fn drop(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod tests;
