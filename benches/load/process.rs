//! Server in its own process: the real server or the HTTP baseline. Both log their address.

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

/// Deadline for a server to listen.
const DEADLINE: Duration = Duration::from_secs(30);
/// Number of log lines in the error if the server does not start.
const LOG_LINES: usize = 20;

/// Running server, killed on drop.
pub(crate) struct Process {
    /// Address of the listener.
    pub(crate) address: SocketAddr,
    /// Start time of the process.
    pub(crate) started: Instant,
    child: Child,
    /// Other processes whose CPU time counts for the server.
    pub(crate) companions: Vec<u32>,
    /// Pipe that closes when this process ends for any reason.
    _stdin: Option<ChildStdin>,
}

enum News {
    Serves(SocketAddr),
    /// End of the log, and so of the process, with its last lines.
    Ended(String),
}

impl Process {
    /// Starts a command and waits until it serves.
    ///
    /// # Errors
    /// The process cannot be started, ends, or does not log its address in time.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().context("the process cannot be started")?;
        let stdin = child.stdin.take();
        let log = child.stderr.take().context("the log is piped")?;
        let (sender, news) = mpsc::channel();
        thread::spawn(move || read_log(log, &sender));
        // Created before the address is known, so that the process ends in every case.
        let mut process = Self {
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            started,
            child,
            companions: Vec::new(),
            _stdin: stdin,
        };
        match news.recv_timeout(DEADLINE) {
            Ok(News::Serves(address)) => process.address = address,
            Ok(News::Ended(log)) => bail!("it ended:\n{log}"),
            Err(_) => bail!("it does not log its address within {DEADLINE:?}"),
        }
        Ok(process)
    }

    /// Sends SIGTERM and waits for the end of the process.
    ///
    /// # Errors
    /// The process exits with a failure.
    pub(crate) fn terminate(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .context("the process cannot be signalled")?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the process ended with {status}");
        Ok(())
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Process ids of the server and its companions.
    pub(crate) fn ids(&self) -> Vec<u32> {
        [self.id()].into_iter().chain(self.companions.iter().copied()).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both calls fail only for a child that has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends this process when its parent ends for any reason.
pub(crate) fn end_with_parent() {
    thread::spawn(|| {
        // Nothing is ever sent: the read ends when the parent ends.
        let _ = stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
}

/// Reads the log to its end, so that a full pipe never blocks the server.
fn read_log(log: impl Read, news: &Sender<News>) {
    let mut last = VecDeque::new();
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if let Some(address) = serving_address(&line) {
            // The receiver is gone if the start was given up.
            let _ = news.send(News::Serves(address));
        }
        last.push_back(line);
        if last.len() > LOG_LINES {
            last.pop_front();
        }
    }
    let _ = news.send(News::Ended(Vec::from(last).join("\n")));
}

/// Address in the log line of the listener.
fn serving_address(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = (line["message"] == "serving").then(|| line["address"].as_str())?;
    address?.parse().ok()
}
