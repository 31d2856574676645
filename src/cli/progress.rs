//! Progress of a command: a bar on a terminal, or lines in the log.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::size::size;

/// The interval between two drawings of the bar.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);
/// The interval between two lines of the log. A shorter command logs none.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// The width of the bar.
const WIDTH: u64 = 30;

/// The unit of a progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProgressUnit {
    Bytes,
    Objects,
}

/// The progress of a command. It is shown until this is dropped.
pub(super) struct Progress {
    done: Arc<AtomicU64>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The shown part of a progress.
struct Display {
    action: &'static str,
    unit: ProgressUnit,
    done: Arc<AtomicU64>,
    /// The size of the whole work; none if unknown.
    total: Option<u64>,
    start: Instant,
}

impl Progress {
    /// Shows the progress of work on `total` bytes, or on an unknown number.
    pub(super) fn start(action: &'static str, total: Option<u64>) -> Self {
        Self::start_in(ProgressUnit::Bytes, action, total)
    }

    /// Shows the progress of work of another unit.
    pub(super) fn start_in(unit: ProgressUnit, action: &'static str, total: Option<u64>) -> Self {
        let done = Arc::new(AtomicU64::new(0));
        let display = Display { action, unit, done: done.clone(), total, start: Instant::now() };
        let (stop, stopped) = mpsc::channel::<()>();
        let is_terminal = io::stderr().is_terminal();
        let interval = if is_terminal { DRAW_INTERVAL } else { LOG_INTERVAL };
        let show = move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                if is_terminal { display.draw() } else { display.log() }
            }
            if is_terminal {
                // A terminal that is gone needs no bar.
                let _ = io::stderr().write_all(b"\r\x1b[K");
            }
        };
        // Without a thread, the command works and shows nothing.
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(show).ok();
        Self { done, stop: Some(stop), thread }
    }

    /// Counts one unit.
    pub(super) fn advance(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the bytes that are read from `input`.
    pub(super) fn watch<R: Read>(&self, input: R) -> Watched<R> {
        Watched { input, done: self.done.clone() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}

/// A reader whose bytes count as progress.
pub(super) struct Watched<R> {
    input: R,
    done: Arc<AtomicU64>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.done.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

impl Display {
    fn draw(&self) {
        let done = self.done.load(Ordering::Relaxed);
        let line = line(self.action, self.unit, done, self.total, self.start.elapsed());
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }

    fn log(&self) {
        let (done, elapsed) = (self.done.load(Ordering::Relaxed), self.start.elapsed().as_secs());
        let (action, total) = (self.action, self.total);
        match self.unit {
            ProgressUnit::Bytes => {
                tracing::info!(action, bytes = done, total, elapsed, "in progress");
            }
            ProgressUnit::Objects => {
                tracing::info!(action, objects = done, total, elapsed, "in progress");
            }
        }
    }
}

/// The line of a terminal.
fn line(
    action: &str,
    unit: ProgressUnit,
    done: u64,
    total: Option<u64>,
    elapsed: Duration,
) -> String {
    let seconds = elapsed.as_secs();
    let amount = |number: u64| match unit {
        ProgressUnit::Bytes => size(number),
        ProgressUnit::Objects => format!("{number} objects"),
    };
    let part = |number: u64| match unit {
        ProgressUnit::Bytes => size(number),
        ProgressUnit::Objects => number.to_string(),
    };
    match total.filter(|total| *total > 0) {
        Some(total) => {
            let filled = done.min(total) * WIDTH / total;
            let bar = "#".repeat(usize::try_from(filled).unwrap_or_default());
            let percent = done.min(total) * 100 / total;
            let width = usize::try_from(WIDTH).unwrap_or_default();
            format!(
                "{action} [{bar:<width$}] {percent} %, {} of {}, {seconds} s",
                part(done),
                amount(total)
            )
        }
        None if done > 0 => format!("{action} {}, {seconds} s", amount(done)),
        None => format!("{action}, {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_the_part_and_the_time() {
        let time = Duration::from_secs(7);
        let line = |done, total| line("importing", ProgressUnit::Bytes, done, total, time);
        let half = format!(
            "importing [{}{}] 50 %, 1.0 MiB of 2.0 MiB, 7 s",
            "#".repeat(15),
            " ".repeat(15)
        );
        assert_eq!(line(1 << 20, Some(2 << 20)), half);
        assert!(line(3 << 20, Some(2 << 20)).contains("100 %"), "the file has grown");
        assert_eq!(line(1 << 20, None), "importing 1.0 MiB, 7 s");
        assert_eq!(line(0, None), "importing, 7 s");
        let copying = super::line("copying", ProgressUnit::Objects, 3, None, time);
        assert_eq!(copying, "copying 3 objects, 7 s");
        let copying = super::line("copying", ProgressUnit::Objects, 3, Some(3), time);
        assert!(copying.ends_with(" 100 %, 3 of 3 objects, 7 s"), "{copying}");
    }

    #[test]
    fn read_bytes_count() {
        let progress = Progress::start("reading", None);
        let mut text = String::new();
        progress.watch(&b"content"[..]).read_to_string(&mut text).unwrap();
        assert_eq!(progress.done.load(Ordering::Relaxed), 7);
    }
}
