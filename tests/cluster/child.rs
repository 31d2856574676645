//! A child process that ends with the test process, even when the test process is killed. Tests
//! share a control plane in a static, which is never dropped, so a shell supervises the child and
//! kills it when the standard input of the shell is closed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs "$@" until standard input is closed. Each input line names a signal to forward to the
/// program. Removes $FOLDER at the end.
const MINDER: &str = r#"
exec 3<&0
"$@" 3<&- &
child=$!
{ while read -r signal; do kill -"$signal" $child; done; kill -KILL $child; } <&3 2>/dev/null &
reader=$!
wait $child 2>/dev/null
code=$?
kill $reader 2>/dev/null
[ -z "$FOLDER" ] || rm -rf "$FOLDER"
exit $code
"#;
/// The number of log lines that a failing test prints.
const LOG_LINES: usize = 40;

/// A running program with its own log.
pub(crate) struct Child {
    minder: Mutex<std::process::Child>,
    /// Standard input of the supervising shell. Closing it kills the program.
    orders: Option<ChildStdin>,
}

impl Child {
    /// Starts a program that appends to a log.
    pub(crate) fn start(program: &Path, arguments: &[String], log: &Path) -> io::Result<Self> {
        Self::start_and_remove(program, arguments, log, None)
    }

    /// Starts a program and removes a folder after the program has ended.
    pub(crate) fn start_and_remove(
        program: &Path,
        arguments: &[String],
        log: &Path,
        folder: Option<&Path>,
    ) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut minder = Command::new("sh")
            .args(["-c", MINDER, "minder"])
            .arg(program)
            .args(arguments)
            .env("FOLDER", folder.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let orders = minder.stdin.take();
        Ok(Self { minder: Mutex::new(minder), orders })
    }

    /// Returns the exit status if the program has ended.
    pub(crate) fn end(&self) -> Option<ExitStatus> {
        self.minder().try_wait().ok().flatten()
    }

    fn minder(&self) -> MutexGuard<'_, std::process::Child> {
        self.minder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends SIGTERM to the program.
    pub(crate) fn terminate(&mut self) -> io::Result<()> {
        self.signal("TERM")
    }

    /// Sends a signal, by its name without `SIG`, to the program.
    pub(crate) fn signal(&mut self, name: &str) -> io::Result<()> {
        let order = format!("{name}\n");
        self.orders.as_mut().map_or(Ok(()), |orders| orders.write_all(order.as_bytes()))
    }

    /// Kills the program and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.orders = None;
        // Killing fails only for a process that is already reaped.
        let _ = self.minder().wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Prints the last lines of logs when the owning test fails.
pub(crate) struct LogsOfFailure(pub(crate) Vec<PathBuf>);

impl Drop for LogsOfFailure {
    fn drop(&mut self) {
        for log in self.0.iter().filter(|_| std::thread::panicking()) {
            eprintln!("{}", end_of(log));
        }
    }
}

pub(crate) fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LOG_LINES);
    format!(
        "--- {} without its first {skipped} lines\n{}\n---",
        log.display(),
        lines[skipped..].join("\n")
    )
}

/// Returns a port of 127.0.0.1 that stays free until a server binds it.
///
/// The port lies outside the ephemeral range. An outgoing connection could otherwise take an
/// ephemeral port while its server restarts, and a client that connects to the port could even
/// connect to itself (TCP self-connect).
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    // Concurrent test processes start at different offsets.
    let offset = (std::process::id() % u32::from(COUNT)) as u16;
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(next < COUNT, "no free port among the {COUNT} from {FIRST}");
        let port = FIRST + (offset.wrapping_mul(97) % COUNT + next) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
