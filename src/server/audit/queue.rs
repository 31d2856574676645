//! The queue of audit lines between requests and the sink, bounded in bytes.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use prometheus_client::metrics::counter::Counter;

use super::sink::Sink;
use crate::runtime::Backoff;
use crate::telemetry::OnceEach;

/// Queue of lines for the sink.
pub(super) struct AuditQueue {
    state: Mutex<QueueState>,
    /// Notified when the writer thread has work.
    work: Condvar,
    max_bytes: usize,
    /// Counter of lost events.
    errors: Counter,
}

#[derive(Default)]
struct QueueState {
    /// Chunks of whole lines.
    chunks: VecDeque<Vec<u8>>,
    /// Size in bytes, including the chunk that is being written.
    bytes: usize,
    /// Number of lines, including that chunk.
    lines: usize,
    is_closed: bool,
    /// Number of lines lost in the current overflow, if there is one.
    overflow: Option<u64>,
}

/// Maximum size of a write to the sink in bytes.
const CHUNK: usize = 64 << 10;

impl AuditQueue {
    /// An empty queue.
    pub(super) fn new(max_bytes: usize, errors: Counter) -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), max_bytes, errors }
    }

    /// Appends a line, or counts it as lost if the queue is full or closed.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.is_closed {
            self.errors.inc();
            return;
        }
        if state.bytes + line.len() > self.max_bytes {
            let is_first = state.overflow.is_none();
            *state.overflow.get_or_insert(0) += 1;
            drop(state);
            self.errors.inc();
            if is_first {
                tracing::error!("audit queue is full, dropping events (--audit-log-path)");
            }
            return;
        }
        let was_idle = state.chunks.is_empty();
        state.append(line);
        drop(state);
        if was_idle {
            self.work.notify_one();
        }
    }

    /// Accepts no more lines. The writer thread ends when it has written the queued ones.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.work.notify_one();
    }

    /// Number of lines that are not written.
    pub(super) fn waiting(&self) -> usize {
        self.lock().lines
    }

    /// Writes lines until the queue is closed and either empty or the sink fails again.
    ///
    /// Until then, failed writes are retried.
    pub(super) fn drain_into(&self, sink: &mut dyn Sink) {
        let mut errors = SinkErrors::none();
        let mut is_last_try = false;
        while let Some(chunk) = self.next() {
            while let Err(why) = sink.append(&chunk) {
                errors.log(&why);
                if is_last_try {
                    return self.drop_all();
                }
                is_last_try = self.pause(errors.backoff.next_delay());
            }
            errors.recover();
            self.release(&chunk);
        }
    }

    /// Waits for lines. None once the queue is closed and empty.
    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        self.work.wait_while(&mut state, |state| state.chunks.is_empty() && !state.is_closed);
        state.chunks.pop_front()
    }

    /// Frees the space of a written chunk. An overflow ends when half of the queue is free, so that
    /// a queue that stays almost full logs once.
    fn release(&self, chunk: &[u8]) {
        let mut state = self.lock();
        state.bytes -= chunk.len();
        state.lines -= lines(chunk);
        let over = if state.bytes <= self.max_bytes / 2 { state.overflow.take() } else { None };
        drop(state);
        if let Some(lost) = over {
            tracing::warn!(
                lost,
                "audit queue has space again, events were dropped (--audit-log-path)"
            );
        }
    }

    /// Waits at most for `pause`. Returns true if the queue is closed.
    fn pause(&self, pause: Duration) -> bool {
        let mut state = self.lock();
        self.work.wait_while_for(&mut state, |state| !state.is_closed, pause);
        state.is_closed
    }

    fn drop_all(&self) {
        let mut state = self.lock();
        let lost = state.lines;
        *state = QueueState { is_closed: true, ..QueueState::default() };
        drop(state);
        self.errors.inc_by(lost as u64);
        tracing::error!(
            lost,
            "cannot write the last audit events, dropping them (--audit-log-path)"
        );
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock()
    }
}

impl QueueState {
    fn append(&mut self, line: &[u8]) {
        self.bytes += line.len();
        self.lines += 1;
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() + line.len() <= CHUNK => chunk.extend_from_slice(line),
            _ => self.chunks.push_back(line.to_vec()),
        }
    }
}

fn lines(chunk: &[u8]) -> usize {
    chunk.iter().filter(|byte| **byte == b'\n').count()
}

/// Errors of the sink. Each cause is logged once until a write succeeds, and retries back off.
struct SinkErrors {
    causes: OnceEach<String>,
    backoff: Backoff,
}

impl SinkErrors {
    fn none() -> Self {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        Self { causes: OnceEach::default(), backoff }
    }

    fn log(&mut self, error: &io::Error) {
        if self.causes.record(error.to_string()) {
            tracing::error!(%error, "cannot write the audit log, retrying (--audit-log-path)");
        }
    }

    fn recover(&mut self) {
        if self.causes.reset() {
            tracing::info!("writing the audit log again (--audit-log-path)");
            self.backoff.reset();
        }
    }
}
