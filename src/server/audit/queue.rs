//! Lines on their way from requests to the sink: a queue bounded in bytes, and the loop that empties it.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use prometheus_client::metrics::counter::Counter;

use super::sink::Sink;
use crate::runtime::Backoff;
use crate::telemetry::OnceEach;

/// Lines that wait for the sink.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Told when the thread that writes has something to do.
    work: Condvar,
    most_bytes: usize,
    /// Counts events that were lost.
    errors: Counter,
}

#[derive(Default)]
struct State {
    /// Whole lines each.
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the chunks, and of the one that is being written.
    bytes: usize,
    /// Lines of the same.
    lines: usize,
    is_closed: bool,
    /// How many lines were lost since the queue became full, while it is considered so.
    outage: Option<u64>,
}

/// Lines that the sink gets at once, in bytes.
const CHUNK: usize = 64 << 10;

impl Queue {
    /// An empty queue.
    pub(super) fn new(most_bytes: usize, errors: Counter) -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), most_bytes, errors }
    }

    /// Appends a line, or counts it as lost where there is no room.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.is_closed {
            self.errors.inc();
            return;
        }
        if state.bytes + line.len() > self.most_bytes {
            let is_news = state.outage.is_none();
            *state.outage.get_or_insert(0) += 1;
            drop(state);
            self.errors.inc();
            if is_news {
                tracing::error!("audit log (--audit-log-path): too much waits to be written, events are being lost");
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

    /// Takes no more lines; the thread that writes ends when it has written those that are here.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.work.notify_one();
    }

    /// How many lines are not written yet.
    pub(super) fn waiting(&self) -> usize {
        self.lock().lines
    }

    /// Writes lines until the queue is closed and empty, or closed and the sink takes nothing.
    ///
    /// While the sink fails the lines stay, and are tried again.
    pub(super) fn drain_into(&self, sink: &mut dyn Sink) {
        let mut trouble = Trouble::none();
        let mut is_last_try = false;
        while let Some(chunk) = self.next() {
            while let Err(why) = sink.append(&chunk) {
                trouble.log(&why);
                if is_last_try {
                    return self.give_up();
                }
                is_last_try = self.pause(trouble.backoff.next_delay());
            }
            trouble.is_over();
            self.is_written(&chunk);
        }
    }

    /// Waits for lines. None once the queue is closed and empty.
    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        self.work.wait_while(&mut state, |state| state.chunks.is_empty() && !state.is_closed);
        state.chunks.pop_front()
    }

    /// Makes room. An outage ends only when much of the room is free again, so that each of them is told once.
    fn is_written(&self, chunk: &[u8]) {
        let mut state = self.lock();
        state.bytes -= chunk.len();
        state.lines -= lines(chunk);
        let over = if state.bytes <= self.most_bytes / 2 { state.outage.take() } else { None };
        drop(state);
        if let Some(lost) = over {
            tracing::warn!(lost, "audit log (--audit-log-path): it is written fast enough again, events were lost");
        }
    }

    /// Waits; whether the queue is closed by now.
    fn pause(&self, pause: Duration) -> bool {
        let mut state = self.lock();
        self.work.wait_while_for(&mut state, |state| !state.is_closed, pause);
        state.is_closed
    }

    fn give_up(&self) {
        let mut state = self.lock();
        let lost = state.lines;
        *state = State { is_closed: true, ..State::default() };
        drop(state);
        self.errors.inc_by(lost as u64);
        tracing::error!(lost, "audit log (--audit-log-path): the last events cannot be written");
    }

    /// A panic leaves the state sound, since every change of it is complete before anything can fail.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
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

/// A sink that fails: each cause is logged once until it works again, and pauses grow.
struct Trouble {
    causes: OnceEach<String>,
    backoff: Backoff,
}

impl Trouble {
    fn none() -> Self {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        Self { causes: OnceEach::default(), backoff }
    }

    fn log(&mut self, error: &io::Error) {
        if self.causes.record(error.to_string()) {
            tracing::error!(%error, "audit log (--audit-log-path): it cannot be written, trying again");
        }
    }

    fn is_over(&mut self) {
        if self.causes.reset() {
            tracing::info!("audit log (--audit-log-path): it can be written again");
            self.backoff.reset();
        }
    }
}
