//! A server in a process of its own, the real one or the HTTP baseline. Both log their address.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, stdin};
use std::net::SocketAddr;
use std::process::{self, Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a server may take to listen.
const DEADLINE: Duration = Duration::from_secs(30);
/// So many lines of its log are told when it does not.
const LOG_LINES: usize = 20;

/// A running server. It is killed on drop.
pub(crate) struct Process {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// When the process was started.
    pub(crate) started: Instant,
    child: Child,
    /// Closed when this process ends, however it does.
    _stdin: Option<ChildStdin>,
}

enum News {
    Serves(SocketAddr),
    /// The end of the log, and so of the process: its last lines.
    Ended(String),
}

impl Process {
    /// Starts a command and waits until it serves.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not say in time where it serves.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().context("the process cannot be started")?;
        let stdin = child.stdin.take();
        let log = child.stderr.take().context("the log is piped")?;
        let (sender, news) = mpsc::channel();
        thread::spawn(move || read_log(log, &sender));
        // Made before the address is known, so that the process ends in every case.
        let mut process =
            Self { address: SocketAddr::from(([0, 0, 0, 0], 0)), started, child, _stdin: stdin };
        match news.recv_timeout(DEADLINE) {
            Ok(News::Serves(address)) => process.address = address,
            Ok(News::Ended(log)) => bail!("it ended:\n{log}"),
            Err(_) => bail!("it does not say within {DEADLINE:?} where it serves"),
        }
        Ok(process)
    }

    /// Tells the process to end in good order, and waits for that.
    ///
    /// # Errors
    /// It ends with a failure.
    pub(crate) fn terminate(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .context("the process cannot be told to end")?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the process ended with {status}");
        Ok(())
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail but for a child that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets this process end with the one that started it, however that does.
pub(crate) fn end_with_parent() {
    thread::spawn(|| {
        // Nothing is ever sent: reading ends with the other process, which has no more use for this one.
        let _ = stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
}

/// Reads the log to its end, so that the server is never kept waiting for it.
fn read_log(log: impl Read, news: &Sender<News>) {
    let mut last = VecDeque::new();
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if let Some(address) = serving_address(&line) {
            // Nobody listens any more when the start was given up.
            let _ = news.send(News::Serves(address));
        }
        last.push_back(line);
        if last.len() > LOG_LINES {
            last.pop_front();
        }
    }
    let _ = news.send(News::Ended(Vec::from(last).join("\n")));
}

/// The address in the line of the log that tells it.
fn serving_address(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = (line["message"] == "serving").then(|| line["address"].as_str())?;
    address?.parse().ok()
}
