//! A process that ends with the test process, however that ends: a test process runs several tests that share a control
//! plane in a static, which is never dropped. A shell stands between: it kills its child when its own input ends.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs "$@" until the input ends, passing on the signals that are named there, a line each. Then removes $FOLDER.
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
/// How much of a log a failing test prints.
const LOG_LINES: usize = 40;

/// A running program with a log of its own.
pub(crate) struct Child {
    minder: Mutex<std::process::Child>,
    /// Closing it kills the child.
    orders: Option<ChildStdin>,
}

impl Child {
    /// Starts a program that adds to a log.
    pub(crate) fn start(program: &Path, arguments: &[String], log: &Path) -> io::Result<Self> {
        Self::start_and_remove(program, arguments, log, None)
    }

    /// Starts a program, and removes a folder after its end.
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

    /// Whether the program runs no more.
    pub(crate) fn end(&self) -> Option<ExitStatus> {
        self.minder().try_wait().ok().flatten()
    }

    fn minder(&self) -> MutexGuard<'_, std::process::Child> {
        self.minder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the program to end (SIGTERM).
    pub(crate) fn terminate(&mut self) -> io::Result<()> {
        self.orders.as_mut().map_or(Ok(()), |orders| orders.write_all(b"TERM\n"))
    }

    /// Kills the program and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.orders = None;
        // It cannot fail but for a process that was waited for already.
        let _ = self.minder().wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Prints the ends of logs when the test that holds it fails.
pub(crate) struct LogsOfFailure(pub(crate) Vec<PathBuf>);

impl Drop for LogsOfFailure {
    fn drop(&mut self) {
        for log in self.0.iter().filter(|_| std::thread::panicking()) {
            eprintln!("{}", end_of(log));
        }
    }
}

/// The last lines of a log.
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

/// A free port of 127.0.0.1 that stays free until somebody asks for exactly this one.
///
/// It is not one that the system would give to an outgoing connection: those could take it while its server restarts,
/// and a client that tries to reach the server then can even be connected with itself.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    // Test processes that run at the same time begin at different places.
    let offset = (std::process::id() % u32::from(COUNT)) as u16;
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(next < COUNT, "no port of {FIRST} and the {COUNT} after it is free");
        let port = FIRST + (offset.wrapping_mul(97) % COUNT + next) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
