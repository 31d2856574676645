//! The real binary as a process with a folder of its own: start it, ask it, kill it, start it again. It must not know
//! what the server is asked for.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, path::PathBuf, thread};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::watch, time};

use super::client::{Client, Identity, Request};

/// The longest time that the server may take to listen, to become ready, and to end.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often readiness is asked for until then.
const INTERVAL: Duration = Duration::from_millis(20);
/// How much of the log a failing test prints.
const LOG_LINES: usize = 60;

const ADMIN_TOKEN: &str = "token-of-admin";
const ALICE_TOKEN: &str = "token-of-alice";

/// Settings of a server beyond the usual flags.
#[derive(Clone, Copy, Default)]
pub(crate) struct Launch<'a> {
    /// More flags.
    pub(crate) flags: &'a [&'a str],
    /// More variables in the environment of the process.
    pub(crate) variables: &'a [(&'a str, &'a str)],
    /// More lines of the token file: `token,user,uid,"group1,group2"`.
    pub(crate) users: &'a str,
}

/// A running server on a free port of 127.0.0.1, with its data, its certificates and its log. It is killed on drop;
/// in a test that fails, the end of its log is printed first.
pub(crate) struct Server {
    folder: TempDir,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    process: Process,
}

impl Server {
    /// Starts the server on a new folder and waits until it is ready. Panics, with the log, when it does not get there.
    pub(crate) async fn start(extra_arguments: &[&str]) -> Self {
        Self::start_in(extra_arguments, &[]).await
    }

    /// The same with more variables in its environment.
    pub(crate) async fn start_in(extra_arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::launch(Launch { flags: extra_arguments, variables, ..Launch::default() }).await
    }

    /// Starts the server with these settings on a new folder and waits until it is ready. Panics, with
    /// the log, when it does not become ready.
    pub(crate) async fn launch(launch: Launch<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut users =
            format!("{ADMIN_TOKEN},admin,uid-of-admin,\"system:masters\"\n{ALICE_TOKEN},alice,uid-of-alice\n");
        users.push_str(launch.users);
        fs::write(folder.path().join("tokens.csv"), users).expect("the token file can be written");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mode = "--authorization-mode";
        let says_mode = launch.flags.iter().any(|flag| flag.starts_with(mode));
        let mut arguments = vec![
            "serve".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            "--secure-port=0".to_owned(),
            format!("--data-dir={}", at("data")),
            format!("--cert-dir={}", at("certs")),
            format!("--token-auth-file={}", at("tokens.csv")),
            "--internal-registry-hostname=image-registry.openshift-image-registry.svc:5000".to_owned(),
            "--logging-format=json".to_owned(),
        ];
        arguments.extend((!says_mode).then(|| format!("{mode}=AlwaysAllow")));
        arguments.extend(launch.flags.iter().map(|&each| each.to_owned()));
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = launch.variables.iter().map(own).collect();
        let process = Process::spawn(&arguments, &variables);
        let server = Self { folder, arguments, variables, process };
        server.wait_until_ready().await;
        server
    }

    /// The present process.
    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Where the server listens; another port after a restart.
    pub(crate) fn address(&self) -> SocketAddr {
        let known = *self.process.address.borrow();
        known.expect("a server that was started has an address")
    }

    /// The folder that holds `data`, `certs` and `tokens.csv`.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The certificate that the server made for itself, in PEM: what a client must trust.
    pub(crate) fn certificate(&self) -> String {
        fs::read_to_string(self.folder.path().join("certs/apiserver.crt")).expect("the server wrote its certificate")
    }

    /// A client of the present process. It trusts the certificate that the server made for itself.
    pub(crate) fn client(&self, identity: Identity) -> Client {
        Client::new(self.address(), self.certificate().as_bytes(), identity)
    }

    /// A client that is `admin`, a member of `system:masters`.
    pub(crate) fn admin(&self) -> Client {
        self.client(Self::identity_of_admin())
    }

    /// How to be `admin`.
    pub(crate) fn identity_of_admin() -> Identity {
        Identity::token(ADMIN_TOKEN)
    }

    /// A client that is `alice`, who is in no group.
    pub(crate) fn alice(&self) -> Client {
        self.client(Identity::token(ALICE_TOKEN))
    }

    /// What the present process wrote to its log so far, a line an element.
    pub(crate) fn log(&self) -> Vec<String> {
        self.process.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the log for good, as when its reader dies.
    pub(crate) fn stop_reading_the_log(&self) {
        // The thread that reads sees it with the next line.
        self.process.is_read.store(false, Ordering::SeqCst);
    }

    /// Kills the process as a power failure would, and waits for its end.
    pub(crate) fn kill9(&mut self) {
        self.process.kill();
    }

    /// Asks the process to end (SIGTERM) and waits for it. Panics when it does not end in time.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let id = self.process.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("the command `kill` exists");
        assert!(sent.success(), "SIGTERM could not be sent to the server");
        self.wait().await
    }

    /// Asks the process to end (SIGTERM) and does not wait for it.
    pub(crate) fn ask_to_end(&self) {
        let id = self.process.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("the command `kill` exists");
        assert!(sent.success(), "SIGTERM could not be sent to the server");
    }

    /// Waits for the end of the process. Panics when it does not end in time.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        time::timeout(DEADLINE, self.process.log_ended()).await.expect("the server ends in time");
        let begun = Instant::now();
        let mut interval = time::interval(INTERVAL);
        loop {
            interval.tick().await;
            if let Some(status) = self.process.child.try_wait().expect("the end of a child can be awaited") {
                return status;
            }
            assert!(begun.elapsed() < DEADLINE, "the server has not ended after {DEADLINE:?}");
        }
    }

    /// Starts a new process on the same folder, killing the old one if it still runs.
    pub(crate) async fn restart(&mut self) {
        self.process.kill();
        self.begin_restart();
        self.wait_until_ready().await;
    }

    /// Starts a new process on the same folder and waits for nothing. The old one must have ended.
    pub(crate) fn begin_restart(&mut self) {
        self.process = Process::spawn(&self.arguments, &self.variables);
    }

    /// Waits until the process is ready. Panics, with the log, when it does not get there.
    pub(crate) async fn wait_until_ready(&self) {
        let begun = Instant::now();
        time::timeout(DEADLINE, self.process.address_known()).await.expect("the server says in time where it serves");
        let client = self.admin();
        let mut interval = time::interval(INTERVAL);
        loop {
            interval.tick().await;
            let answer = client.send_unchecked(Request::new("GET", "/readyz")).await;
            if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                return;
            }
            assert!(!self.process.has_ended(), "the server ended before it was ready");
            assert!(begun.elapsed() < DEADLINE, "the server is not ready after {DEADLINE:?}, but answers {answer:?}");
        }
    }
}

/// One life of the binary.
struct Process {
    child: Child,
    /// What the log says about the address; closed when the log ends, which it does with the process.
    address: watch::Receiver<Option<SocketAddr>>,
    log: Arc<Mutex<Vec<String>>>,
    is_read: Arc<AtomicBool>,
}

impl Process {
    fn spawn(arguments: &[String], variables: &[(String, String)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"))
            .args(arguments)
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
        self.address.clone().wait_for(Option::is_some).await.expect("the server says where it serves");
    }

    async fn log_ended(&self) {
        let mut address = self.address.clone();
        while address.changed().await.is_ok() {}
    }

    fn has_ended(&self) -> bool {
        self.address.has_changed().is_err()
    }

    fn kill(&mut self) {
        // Neither can fail but for a child that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            let skipped = log.len().saturating_sub(LOG_LINES);
            eprintln!("--- log of the server, without its first {skipped} lines\n{}\n---", log[skipped..].join("\n"));
        }
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

/// The address in the line of the log that tells it.
fn serving_address(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = (line["message"] == "serving").then(|| line["address"].as_str())?;
    address?.parse().ok()
}
