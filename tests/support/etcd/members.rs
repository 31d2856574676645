//! Members of an etcd cluster as processes on loopback.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::child::{Child, LogsOfFailure, free_port};
use crate::link::{Condition, Link};
use crate::pki::{Authority, Pair};
use crate::proxy::{Front, PeerProxy};
use crate::support::client::{Client, Request};
use crate::tools::Tools;

/// Deadline of a member or a cluster that starts.
pub(crate) const START: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(50);
/// Longest wait for a response of a member that may be stopped.
const PATIENCE: Duration = Duration::from_secs(2);

/// Protocol of clients. Members always use TLS among themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// TLS with client certificates.
    Tls,
    Plain,
}

/// Paths between members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    Direct,
    /// Each member reaches the others through a proxy of its own, so that a test can cut single
    /// directions. Needs a Tokio runtime that lives as long as the cluster.
    Proxied,
}

/// Durability of what members acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    Fsync,
    /// Survives the process, not the machine.
    Process,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) count: usize,
    pub(crate) security: Security,
    pub(crate) durability: Durability,
    pub(crate) peers: Peers,
    /// Additional flags of every member.
    pub(crate) flags: Vec<String>,
}

impl Settings {
    /// TLS, no fsync, and proxies between several members.
    pub(crate) fn of(count: usize) -> Self {
        Self {
            count,
            security: Security::Tls,
            durability: Durability::Process,
            peers: if count == 1 { Peers::Direct } else { Peers::Proxied },
            flags: Vec::new(),
        }
    }
}

/// A running cluster. Killed on drop.
pub(crate) struct Members {
    settings: Settings,
    tools: Tools,
    /// Issues the certificates of the members and of their clients.
    pub(crate) authority: Authority,
    members: Vec<Member>,
    _logs: LogsOfFailure,
    // Removed after the processes have ended.
    folder: TempDir,
}

struct Member {
    ports: Ports,
    arguments: Vec<String>,
    proxy: Option<PeerProxy>,
    process: Option<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    peer: u16,
    metrics: u16,
}

/// Files of a client of the cluster, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct ClientFiles {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Members {
    /// Starts a cluster with TLS and waits until it is healthy.
    pub(crate) async fn start(count: usize) -> Self {
        Self::launch(Settings::of(count)).await
    }

    /// Starts a cluster and waits until it is healthy.
    pub(crate) async fn launch(settings: Settings) -> Self {
        let cluster = Self::begin(settings);
        cluster.healthy().await;
        cluster
    }

    /// Starts a cluster without waiting for it.
    pub(crate) fn begin(settings: Settings) -> Self {
        let tools = Tools::find().unwrap_or_else(|why| panic!("{why:#}"));
        let folder = tempfile::Builder::new().prefix("etcd-").tempdir().expect("a folder");
        let authority = Authority::new("etcd-ca");
        let hosts: Vec<String> = (0..settings.count).map(host).collect();
        let names = ["127.0.0.1", "localhost"].into_iter();
        let names: Vec<&str> = names.chain(hosts.iter().map(String::as_str)).collect();
        write_pair(folder.path(), "member", &authority.member(&names));
        write(folder.path(), "ca.crt", &authority.pem());
        let ports: Vec<Ports> = (0..settings.count).map(|_| Ports::free()).collect();
        let member = |at: usize| Member {
            ports: ports[at],
            arguments: arguments(&settings, folder.path(), at, &ports),
            proxy: (settings.peers == Peers::Proxied).then(|| proxy(at, &ports)),
            process: None,
        };
        let members: Vec<Member> = (0..settings.count).map(member).collect();
        let logs = (0..settings.count).map(|at| log(folder.path(), at)).collect();
        let logs = LogsOfFailure(logs);
        let mut cluster = Self { settings, tools, authority, members, _logs: logs, folder };
        for at in 0..cluster.size() {
            cluster.start_member(at);
        }
        cluster
    }

    pub(crate) fn size(&self) -> usize {
        self.members.len()
    }

    /// The URLs of all members.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| self.url(loopback(member.ports.client))).collect()
    }

    /// Starts proxies between one client and each member.
    pub(crate) fn fronts(&self) -> Vec<Front> {
        let start = |member: &Member| Front::start(loopback(member.ports.client));
        self.members.iter().map(|member| start(member).expect("a proxy can listen")).collect()
    }

    /// The URL of a member at this address.
    pub(crate) fn url(&self, address: SocketAddr) -> String {
        match self.settings.security {
            Security::Tls => format!("https://{address}"),
            Security::Plain => format!("http://{address}"),
        }
    }

    /// Writes the files of a new client to a folder.
    pub(crate) fn client_files(&self, folder: &Path) -> ClientFiles {
        self.write_client_files(folder, &self.authority.user("client", None))
    }

    /// Writes the files of a client with this certificate to a folder.
    pub(crate) fn write_client_files(&self, folder: &Path, pair: &Pair) -> ClientFiles {
        write(folder, "etcd-ca.crt", &self.authority.pem());
        write_pair(folder, "etcd-client", pair);
        ClientFiles {
            authority: folder.join("etcd-ca.crt"),
            certificate: folder.join("etcd-client.crt"),
            key: folder.join("etcd-client.key"),
        }
    }

    /// Starts a member that was killed, without waiting for it.
    pub(crate) fn start_member(&mut self, at: usize) {
        let log = log(self.folder.path(), at);
        let member = &mut self.members[at];
        // The program `env` sets the proxy and becomes etcd.
        let etcd = self.tools.path("etcd").display().to_string();
        let proxy = member.proxy.as_ref().map(|proxy| format!("http://{}", proxy.address));
        let proxy = format!("HTTPS_PROXY={}", proxy.unwrap_or_default());
        let environment = [&proxy, "https_proxy=", "NO_PROXY=", "no_proxy="].map(str::to_owned);
        let all: Vec<String> =
            environment.into_iter().chain([etcd]).chain(member.arguments.iter().cloned()).collect();
        let process = Child::start(Path::new("env"), &all, &log);
        member.process = Some(process.expect("etcd can be started"));
    }

    /// Kills a member with SIGKILL.
    pub(crate) fn kill(&mut self, at: usize) {
        self.members[at].process = None;
    }

    /// Stops a member with SIGSTOP: its connections stay open, and nothing responds.
    pub(crate) fn pause(&mut self, at: usize) {
        self.signal(at, "STOP");
    }

    pub(crate) fn resume(&mut self, at: usize) {
        self.signal(at, "CONT");
    }

    fn signal(&mut self, at: usize, signal: &str) {
        let process = self.members[at].process.as_mut().expect("the member is running");
        process.signal(signal).expect("the signal is sent");
    }

    /// The link by which a member reaches another one. The opposite direction is another link.
    pub(crate) fn peer_link(&self, from: usize, to: usize) -> &Link {
        let proxy = self.members[from].proxy.as_ref().expect("the members have proxies");
        &proxy.links[&host(to)]
    }

    /// Sets the condition of all links from and to a member.
    pub(crate) fn set_peers(&self, at: usize, condition: Condition) {
        for other in (0..self.size()).filter(|other| *other != at) {
            self.peer_link(at, other).set(condition);
            self.peer_link(other, at).set(condition);
        }
    }

    /// Waits until every member reads from a quorum. Panics at the deadline.
    pub(crate) async fn healthy(&self) {
        let begun = Instant::now();
        for at in 0..self.size() {
            loop {
                let response = self.plain(at, "/health").await;
                if response.as_ref().is_some_and(|text| text.contains(r#""health":"true""#)) {
                    break;
                }
                assert!(begun.elapsed() < START, "member {at} is not healthy: {response:?}");
                sleep(INTERVAL).await;
            }
        }
    }

    /// The member that leads, in its own view. `None` during an election.
    pub(crate) async fn leader(&self) -> Option<usize> {
        for at in 0..self.size() {
            let metrics = self.plain(at, "/metrics").await.unwrap_or_default();
            if metrics.lines().any(|line| line == "etcd_server_is_leader 1") {
                return Some(at);
            }
        }
        None
    }

    /// Waits for a leader.
    pub(crate) async fn wait_for_leader(&self) -> usize {
        let begun = Instant::now();
        loop {
            if let Some(leader) = self.leader().await {
                return leader;
            }
            assert!(begun.elapsed() < START, "no member leads");
            sleep(INTERVAL).await;
        }
    }

    /// Calls a method of etcd's API in JSON, such as `/v3/kv/compaction`. Needs [`Security::Tls`].
    pub(crate) async fn call(&self, at: usize, method: &str, body: &Value) -> Value {
        let answer = self.try_call(at, method, body).await;
        answer.unwrap_or_else(|why| panic!("{method} of member {at}: {why}"))
    }

    /// Calls a method as [`Members::call`] does. Returns the text of an error.
    pub(crate) async fn try_call(
        &self,
        at: usize,
        method: &str,
        body: &Value,
    ) -> Result<Value, String> {
        let identity = self.authority.user("root", None).identity();
        let address = loopback(self.members[at].ports.client);
        let client = Client::new(address, self.authority.pem().as_bytes(), identity);
        let answer = client.send_unchecked(Request::new("POST", method).json(body)).await;
        let answer = answer.map_err(|why| why.to_string())?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status != 200 {
            return Err(text);
        }
        serde_json::from_str(&text).map_err(|why| format!("{why}: {text}"))
    }

    /// The number of reads that a member has answered.
    pub(crate) async fn reads(&self, at: usize) -> u64 {
        let metrics = self.plain(at, "/metrics").await.expect("the member responds");
        let is_read = |line: &&str| {
            line.starts_with("grpc_server_handled_total{") && line.contains("grpc_method=\"Range\"")
        };
        let counts = metrics.lines().filter(is_read).filter_map(|line| line.rsplit(' ').next());
        counts.map(|count| count.parse::<f64>().expect("it is a number") as u64).sum()
    }

    /// Sends a GET request to the port for metrics, which uses no TLS. Returns the response with
    /// its head, or none if the member does not respond.
    async fn plain(&self, at: usize, path: &str) -> Option<String> {
        let exchange = async {
            let address = loopback(self.members[at].ports.metrics);
            let mut stream = TcpStream::connect(address).await.ok()?;
            let request = format!("GET {path} HTTP/1.0\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut response = String::new();
            stream.read_to_string(&mut response).await.ok()?;
            Some(response)
        };
        timeout(PATIENCE, exchange).await.ok().flatten()
    }
}

impl Ports {
    fn free() -> Self {
        Self { client: free_port(), peer: free_port(), metrics: free_port() }
    }
}

/// Host of a member for the others. It is not resolved: the proxies know it.
fn host(at: usize) -> String {
    format!("member-{at}.test")
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn log(folder: &Path, at: usize) -> PathBuf {
    folder.join(format!("etcd-{at}.log"))
}

/// The proxy of a member to the others.
fn proxy(at: usize, ports: &[Ports]) -> PeerProxy {
    let others = ports.iter().enumerate().filter(|(other, _)| *other != at);
    let others = others.map(|(other, ports)| (host(other), loopback(ports.peer)));
    PeerProxy::start(others.collect::<BTreeMap<_, _>>()).expect("a proxy can listen")
}

fn arguments(settings: &Settings, folder: &Path, at: usize, all: &[Ports]) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
    let peer = |at: usize| match settings.peers {
        Peers::Direct => format!("https://127.0.0.1:{}", all[at].peer),
        // The environment variable of Go's HTTP client does not apply to loopback addresses.
        Peers::Proxied => format!("https://{}:2380", host(at)),
    };
    let ports = all[at];
    let cluster: Vec<String> =
        (0..settings.count).map(|at| format!("member-{at}={}", peer(at))).collect();
    let scheme = if settings.security == Security::Tls { "https" } else { "http" };
    let client = format!("{scheme}://127.0.0.1:{}", ports.client);
    let mut all = vec![
        format!("--name=member-{at}"),
        file("data-dir", &format!("data-{at}")),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-metrics-urls=http://127.0.0.1:{}", ports.metrics),
        format!("--listen-peer-urls=https://127.0.0.1:{}", ports.peer),
        format!("--initial-advertise-peer-urls={}", peer(at)),
        format!("--initial-cluster={}", cluster.join(",")),
        file("peer-trusted-ca-file", "ca.crt"),
        file("peer-cert-file", "member.crt"),
        file("peer-key-file", "member.key"),
        "--peer-client-cert-auth".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    if settings.security == Security::Tls {
        all.extend([
            file("trusted-ca-file", "ca.crt"),
            file("cert-file", "member.crt"),
            file("key-file", "member.key"),
            "--client-cert-auth".to_owned(),
        ]);
    }
    all.extend(
        (settings.durability == Durability::Process).then(|| "--unsafe-no-fsync".to_owned()),
    );
    all.extend(settings.flags.iter().cloned());
    all
}

fn write(folder: &Path, name: &str, content: &str) {
    // Another process may be reading the file.
    let new = folder.join(format!("{name}.new"));
    fs::write(&new, content).expect("a file can be written");
    fs::rename(&new, folder.join(name)).expect("a file can be renamed");
}

fn write_pair(folder: &Path, name: &str, pair: &Pair) {
    write(folder, &format!("{name}.key"), &pair.key);
    write(folder, &format!("{name}.crt"), &pair.certificate);
}
