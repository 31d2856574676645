//! Servers over one etcd cluster, each with its own links to the members.

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::link::Condition;
use crate::members::{ClientFiles, Members};
use crate::proxy::Front;
use crate::support::process::{Launch, ServerProcess};
use crate::terms::{ServedTerm, terms};

/// A server, and its links to the members.
pub(crate) struct Replica {
    pub(crate) server: ServerProcess,
    pub(crate) fronts: Vec<Front>,
    pub(crate) files: ClientFiles,
    /// Terms of processes that have ended.
    past: Vec<ServedTerm>,
    _folder: TempDir,
}

impl Replica {
    /// Starts a server with links in this condition, without waiting for readiness.
    pub(crate) fn begin(members: &Members, condition: Condition) -> Self {
        Self::begin_with(members, condition, &[])
    }

    fn begin_with(members: &Members, condition: Condition, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        let files = members.client_files(folder.path());
        let fronts = members.fronts();
        fronts.iter().for_each(|front| front.link.set(condition));
        let servers: Vec<String> = fronts.iter().map(|front| members.url(front.address)).collect();
        let all = [
            "--storage-backend=etcd3".to_owned(),
            format!("--etcd-servers={}", servers.join(",")),
            format!("--etcd-cafile={}", files.authority.display()),
            format!("--etcd-certfile={}", files.certificate.display()),
            format!("--etcd-keyfile={}", files.key.display()),
        ];
        let flags: Vec<&str> = all.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let server = ServerProcess::begin(Launch { flags: &flags, ..Launch::default() });
        Self { server, fronts, files, past: Vec::new(), _folder: folder }
    }

    /// Starts a server and waits until it is ready.
    pub(crate) async fn start(members: &Members) -> Self {
        Self::start_with(members, &[]).await
    }

    /// Starts a server with additional flags and waits until it is ready.
    pub(crate) async fn start_with(members: &Members, flags: &[&str]) -> Self {
        let replica = Self::begin_with(members, Condition::Open, flags);
        replica.server.wait_until_ready().await;
        replica
    }

    /// Starts two servers with additional flags and waits until they are ready.
    pub(crate) async fn start_two(members: &Members, flags: &[&str]) -> [Self; 2] {
        let both = [(); 2].map(|()| Self::begin_with(members, Condition::Open, flags));
        for replica in &both {
            replica.server.wait_until_ready().await;
        }
        both
    }

    /// Sets the condition of the link to one member.
    pub(crate) fn set_link(&self, member: usize, condition: Condition) {
        self.fronts[member].link.set(condition);
    }

    /// Sets the condition of the links to all members.
    pub(crate) fn set_links(&self, condition: Condition) {
        self.fronts.iter().for_each(|front| front.link.set(condition));
    }

    /// Resets all connections to members.
    pub(crate) async fn reset_links(&self) {
        for front in &self.fronts {
            front.link.reset().await;
        }
    }

    /// Stops the server with SIGSTOP: its connections stay open, and nothing responds.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues a stopped server.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("a process ID is positive"), signal).expect("the signal is sent");
    }

    /// Kills the server with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.server.kill9();
        self.keep_terms();
    }

    /// Starts a server that has ended, and waits until it is ready.
    pub(crate) async fn start_again(&mut self) {
        self.server.begin_restart();
        self.server.wait_until_ready().await;
    }

    /// Waits until the server has ended after SIGTERM.
    pub(crate) async fn end(&mut self) {
        assert!(self.server.wait().await.success());
        self.keep_terms();
    }

    /// The terms of all processes.
    pub(crate) fn terms(&self) -> Vec<ServedTerm> {
        self.past.iter().copied().chain(terms(&self.server)).collect()
    }

    /// Keeps the terms of a process that has ended now.
    fn keep_terms(&mut self) {
        let now = Timestamp::now();
        let ended = terms(&self.server).into_iter();
        self.past.extend(ended.map(|term| ServedTerm { to: term.to.or(Some(now)), ..term }));
    }
}
