//! The interface of test servers, which run in the test process or in their own: folder, flags,
//! log, and clients of their users.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time;

use super::client::{Client, Identity, Request};

/// The timeout of start, readiness and shutdown of a server.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// The interval between two requests for readiness.
const INTERVAL: Duration = Duration::from_millis(20);

const ADMIN_TOKEN: &str = "token-of-admin";
/// The lines of the token file: an administrator, two users without groups, and a component of the
/// cluster.
const USERS: &str = "\
token-of-admin,admin,uid-of-admin,\"system:masters\"
token-of-alice,alice,uid-of-alice
token-of-bob,bob,uid-of-bob
token-of-controller,system:kube-controller-manager,uid-of-controller
";

/// A running server on a free port of 127.0.0.1. Stops on drop. If the test fails, the last lines
/// of the log are printed first.
pub(crate) trait TestServer: Sized {
    /// Starts a server with additional flags on a new folder and waits until it is ready. Panics if
    /// it does not become ready.
    async fn start(flags: &[&str]) -> Self;

    /// Stops the server gracefully, as SIGTERM does. Panics if it does not stop in time, or with an
    /// error.
    async fn stop(&mut self);

    /// Starts the server again on the same folder. Ends a running server first.
    async fn restart(&mut self);

    /// The lines of the log since the last start.
    fn log(&self) -> Vec<String>;

    /// The folder and the flags of the server.
    fn site(&self) -> &ServerFolder;

    /// The address of the listener. The port changes with a restart.
    fn address(&self) -> SocketAddr;

    /// The folder that holds `data`, `certs` and `tokens.csv`.
    fn folder(&self) -> PathBuf {
        self.site().path().to_owned()
    }

    /// The certificate that the server issued itself, in PEM. Clients must trust it.
    fn certificate(&self) -> String {
        let path = self.folder().join("certs/apiserver.crt");
        fs::read_to_string(path).expect("the server wrote its certificate")
    }

    /// Creates a client that trusts the server's own certificate.
    fn client(&self, identity: Identity) -> Client {
        Client::new(self.address(), self.certificate().as_bytes(), identity)
    }

    /// Creates a client of the user `admin`, a member of `system:masters`.
    fn admin(&self) -> Client {
        self.client(identity_of_admin())
    }

    /// Creates a client of the user `alice`, a member of no group.
    fn alice(&self) -> Client {
        self.client(Identity::token("token-of-alice"))
    }

    /// Creates a client of the user `bob`, a member of no group.
    fn bob(&self) -> Client {
        self.client(Identity::token("token-of-bob"))
    }

    /// Creates a client of the user `system:kube-controller-manager`.
    fn controller(&self) -> Client {
        self.client(Identity::token("token-of-controller"))
    }

    /// Waits until `/readyz` succeeds. Panics after [`DEADLINE`], or if `has_ended` returns true.
    async fn become_ready(&self, has_ended: impl Fn(&Self) -> bool) {
        let (client, begun) = (self.admin(), Instant::now());
        let mut interval = time::interval(INTERVAL);
        loop {
            interval.tick().await;
            let answer = client.send_unchecked(Request::new("GET", "/readyz")).await;
            if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                return;
            }
            assert!(!has_ended(self), "the server stopped before it was ready");
            assert!(begun.elapsed() < DEADLINE, "not ready after {DEADLINE:?}: {answer:?}");
        }
    }
}

/// The identity of `admin`.
pub(crate) fn identity_of_admin() -> Identity {
    Identity::token(ADMIN_TOKEN)
}

/// The temporary folder of a server, and its `serve` flags.
pub(crate) struct ServerFolder {
    folder: TempDir,
    pub(crate) arguments: Vec<String>,
}

impl ServerFolder {
    /// Prepares a folder. `users` are additional lines of the token file:
    /// `token,user,uid,"group1,group2"`.
    pub(crate) fn new(flags: &[&str], users: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        fs::write(folder.path().join("tokens.csv"), USERS.to_owned() + users)
            .expect("the token file can be written");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mut arguments = vec![
            "--bind-address=127.0.0.1".to_owned(),
            "--secure-port=0".to_owned(),
            format!("--cert-dir={}", at("certs")),
            format!("--token-auth-file={}", at("tokens.csv")),
            "--internal-registry-hostname=image-registry.openshift-image-registry.svc:5000"
                .to_owned(),
        ];
        let has = |name: &str| flags.iter().any(|flag| flag.starts_with(name));
        let mode = "--authorization-mode";
        arguments.extend((!has(mode)).then(|| format!("{mode}=AlwaysAllow")));
        // Streams of tests refer to registries that do not exist.
        let controllers = "--controllers";
        arguments.extend((!has(controllers)).then(|| format!("{controllers}=*,-image-import")));
        if flags.contains(&EMBEDDED) {
            arguments.push(format!("--data-dir={}", at("data")));
        } else if !has("--storage-backend") {
            arguments.extend(storage_flags(folder.path()));
        }
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        Self { folder, arguments }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The flag of a server whose test is about the embedded store, its data folder or its compaction. All
/// others run on etcd if `TEST_ETCD_SERVERS` is set.
pub(crate) const EMBEDDED: &str = "--storage-backend=embedded";

/// The flags of the store of a server with this folder: the folder `data` in it or, if the variable
/// `TEST_ETCD_SERVERS` names the members of etcd, a prefix of its own there, in the layout that
/// `TEST_ETCD_LAYOUT` names.
pub(crate) fn storage_flags(folder: &Path) -> Vec<String> {
    match env::var("TEST_ETCD_SERVERS") {
        Err(_) => vec![format!("--data-dir={}", folder.join("data").display())],
        Ok(servers) => vec![
            "--storage-backend=etcd3".to_owned(),
            format!("--etcd-servers={servers}"),
            format!("--storage-layout={}", etcd_layout()),
            // Unique, as the name of a temporary folder is, and the same after a restart.
            format!("--etcd-prefix={}", folder.display()),
        ],
    }
}

/// The layout of servers on etcd.
pub(crate) fn etcd_layout() -> String {
    env::var("TEST_ETCD_LAYOUT").unwrap_or_else(|_| "native".to_owned())
}

/// Prints the last lines of a server's log if the test panics.
pub(crate) fn print_log_of_failure(lines: &[String]) {
    /// The maximum number of printed lines.
    const MOST: usize = 60;
    if std::thread::panicking() {
        let skipped = lines.len().saturating_sub(MOST);
        eprintln!("--- log of the server without its first {skipped} lines");
        eprintln!("{}\n---", lines[skipped..].join("\n"));
    }
}
