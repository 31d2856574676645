//! The server binary as a child process: start, kill, log and restart.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{sync::watch, time};

use super::server::{DEADLINE, ServerFolder, TestServer, print_log_of_failure};

/// The interval between two checks of a process that is about to exit.
const INTERVAL: Duration = Duration::from_millis(20);

/// Settings of a server beyond the default flags.
#[derive(Clone, Copy, Default)]
pub(crate) struct Launch<'a> {
    /// Additional flags.
    pub(crate) flags: &'a [&'a str],
    /// Additional environment variables.
    pub(crate) variables: &'a [(&'a str, &'a str)],
    /// Additional lines of the token file: `token,user,uid,"group1,group2"`.
    pub(crate) users: &'a str,
}

/// A server in its own process, for tests of signals, exit codes, logs, memory, or a killed
/// process. Killed on drop.
pub(crate) struct ServerProcess {
    site: ServerFolder,
    variables: Vec<(String, String)>,
    process: Process,
}

impl TestServer for ServerProcess {
    async fn start(flags: &[&str]) -> Self {
        Self::launch(Launch { flags, ..Launch::default() }).await
    }

    async fn stop(&mut self) {
        let status = self.terminate().await;
        assert!(status.success(), "the server ended with {status}");
    }

    async fn restart(&mut self) {
        self.process.kill();
        self.begin_restart();
        self.wait_until_ready().await;
    }

    fn log(&self) -> Vec<String> {
        self.process.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn site(&self) -> &ServerFolder {
        &self.site
    }

    fn address(&self) -> SocketAddr {
        let known = *self.process.address.borrow();
        known.expect("a started server has an address")
    }
}

impl ServerProcess {
    /// Starts the server with these settings on a new folder and waits until it is ready. Panics
    /// with the log if it does not become ready.
    pub(crate) async fn launch(launch: Launch<'_>) -> Self {
        let server = Self::begin(launch);
        server.wait_until_ready().await;
        server
    }

    /// Starts the server with these settings on a new folder without waiting for readiness.
    pub(crate) fn begin(launch: Launch<'_>) -> Self {
        let site = ServerFolder::new(launch.flags, launch.users);
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = launch.variables.iter().map(own).collect();
        let process = Process::spawn(&site, &variables);
        Self { site, variables, process }
    }

    /// Waits until the process listens. Panics if it does not listen in time.
    pub(crate) async fn wait_until_listening(&self) {
        time::timeout(DEADLINE, self.process.address_known())
            .await
            .expect("the server logs its address in time");
    }

    /// The ID of the current process.
    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Closes the read end of the log for good, as if the log reader died.
    pub(crate) fn stop_reading_the_log(&self) {
        // The reader thread checks the flag at the next line.
        self.process.is_read.store(false, Ordering::SeqCst);
    }

    /// Kills the process with SIGKILL and waits for its exit.
    pub(crate) fn kill9(&mut self) {
        self.process.kill();
    }

    /// Sends SIGTERM and waits for the exit. Panics if the process does not exit in time.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.send_sigterm();
        self.wait().await
    }

    /// Sends SIGTERM without waiting.
    pub(crate) fn send_sigterm(&self) {
        kill_process(self.process.pid(), Signal::TERM).expect("the signal is sent");
    }

    /// Waits for the exit of the process. Panics if it does not exit in time.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        time::timeout(DEADLINE, self.process.log_ended()).await.expect("the server exits in time");
        let begun = Instant::now();
        let mut interval = time::interval(INTERVAL);
        loop {
            interval.tick().await;
            if let Some(status) =
                self.process.child.try_wait().expect("the child can be waited for")
            {
                return status;
            }
            assert!(begun.elapsed() < DEADLINE, "the server is still running after {DEADLINE:?}");
        }
    }

    /// Starts a new process on the same folder without waiting for readiness. The old process must
    /// have exited.
    pub(crate) fn begin_restart(&mut self) {
        self.process = Process::spawn(&self.site, &self.variables);
    }

    /// Waits until the process is ready. Panics with the log if it does not become ready.
    pub(crate) async fn wait_until_ready(&self) {
        self.wait_until_listening().await;
        self.become_ready(|server| server.process.has_ended()).await;
    }
}

/// One run of the binary.
struct Process {
    child: Child,
    /// The address from the log. The channel closes when the log ends, which is when the process
    /// exits.
    address: watch::Receiver<Option<SocketAddr>>,
    log: Arc<Mutex<Vec<String>>>,
    is_read: Arc<AtomicBool>,
}

impl Process {
    fn spawn(site: &ServerFolder, variables: &[(String, String)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"))
            .args(["serve", "--logging-format=json"])
            .args(&site.arguments)
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let stderr = child.stderr.take().expect("the log is piped");
        let (sender, address) = watch::channel(None);
        let log = Arc::default();
        let is_read = Arc::new(AtomicBool::new(true));
        let (lines, goes_on) = (Arc::clone(&log), Arc::clone(&is_read));
        thread::spawn(move || read_log(stderr, &lines, &sender, &goes_on));
        Self { child, address, log, is_read }
    }

    async fn address_known(&self) {
        self.address.clone().wait_for(Option::is_some).await.expect("the server logs its address");
    }

    async fn log_ended(&self) {
        let mut address = self.address.clone();
        while address.changed().await.is_ok() {}
    }

    fn has_ended(&self) -> bool {
        self.address.has_changed().is_err()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn kill(&mut self) {
        // Both calls fail only for a child that has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        print_log_of_failure(&self.log.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn read_log(
    stderr: ChildStderr,
    log: &Mutex<Vec<String>>,
    address: &watch::Sender<Option<SocketAddr>>,
    goes_on: &AtomicBool,
) {
    let goes_on = |_: &Vec<u8>| goes_on.load(Ordering::SeqCst);
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok).take_while(goes_on) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some(found) = serving_address(&line) {
            address.send_replace(Some(found));
        }
        log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// Returns the listen address if this log line reports it.
fn serving_address(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = (line["message"] == "serving").then(|| line["address"].as_str())?;
    address?.parse().ok()
}
