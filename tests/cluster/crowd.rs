//! A Go client that cancels requests and sends rejected bodies and malformed requests on a
//! connection shared with other users. The watches and requests of the other users continue, and no
//! client has to reconnect.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::backend::{Certificate, Prepared};
use super::grants::user;
use super::objects;
use super::pki::Pair;
use super::plane::ControlPlane;
use super::site::{front_proxy, own, shared};
use super::tools::peers;

/// Result of one part of the program, as the program prints it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    /// Responses to the disruptive user by status, or by error text.
    crowd: BTreeMap<String, usize>,
    reads: usize,
    /// Failed reads of the other user.
    failed: Vec<String>,
    watches: usize,
    /// Watches of the other user that report a stream created at the end.
    told: usize,
    /// Connections that the clients opened.
    connections: usize,
}

impl Report {
    /// Asserts that the other user was not disturbed and that the disruptive user got only
    /// `statuses`.
    fn is_quiet(&self, part: &str, statuses: &[&str]) {
        println!("{part}: {self:?}");
        assert!(self.reads > 0 && self.failed.is_empty(), "{part}: {self:?}");
        assert_eq!(self.told, self.watches, "{part}: {self:?}");
        let others = self.crowd.keys().filter(|outcome| !statuses.contains(&outcome.as_str()));
        assert_eq!(others.count(), 0, "{part}: {self:?}");
    }
}

async fn run(site: Value, part: &str) -> Report {
    let program = peers().expect("the third-party clients are built").join("crowd");
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be created");
    write!(file, "{site}").expect("the file can be written");
    let part = part.to_owned();
    // The program connects through the proxy in this process, so the test must not block its
    // thread.
    let output = tokio::task::spawn_blocking(move || {
        Command::new(program).arg(file.path()).arg(part).output()
    });
    let output = output.await.expect("the task ends").expect("the program can be run");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    serde_json::from_slice(&output.stdout).expect("the program prints a report")
}

fn in_json(pair: &Pair, headers: &Value) -> Value {
    json!({"Certificate": pair.certificate, "Key": pair.key, "Headers": headers})
}

fn six_hundred_groups() -> Vec<String> {
    (0..600).map(|number| format!("group-{number}")).collect()
}

#[tokio::test]
async fn a_crowd_on_a_front_proxys_connection_disturbs_nobody() {
    const NAMESPACE: &str = "crowd-direct";
    let site = shared().await;
    site.plane.apply(&[objects::namespace(NAMESPACE)]);
    site.plane.bind(NAMESPACE, &user("crowd"), "edit", ("list", "imagestreams")).await;
    let proxy = front_proxy(&site.plane);
    let watcher = json!({"X-Remote-User": ["watcher"], "X-Remote-Group": ["system:masters"]});
    let crowd = json!({"X-Remote-User": ["crowd"], "X-Remote-Group": six_hundred_groups()});
    let described = json!({
        "URL": format!("https://{}", site.backend.address()),
        "Authority": site.backend.authority().expect("the authority of the server is known"),
        "Namespace": NAMESPACE, "Shared": true,
        "Watcher": in_json(&proxy, &watcher), "Crowd": in_json(&proxy, &crowd),
    });
    for (part, statuses) in [
        ("cancelled", &["200", "cancelled"][..]),
        ("refused", &["403"]),
        ("odd", &["400", "414", "431"]),
        ("websockets", &["101 Switching Protocols"]),
    ] {
        let report = run(described.clone(), part).await;
        report.is_quiet(part, statuses);
        if part != "cancelled" {
            // Go's client counts cancelled streams as open until the reset is acknowledged, so it
            // may need a second connection.
            assert_eq!(report.connections, 1, "{part}: {report:?}");
        }
    }
}

/// A TCP proxy that counts the connections to a server.
struct Counted {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Counted {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { address, connections }
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Registers a server under another port, on which a proxy listens.
async fn register_at(plane: &ControlPlane, port: u16, authority: &str) {
    plane.apply(&[objects::service(), objects::api_service(port, Some(authority))]);
    plane.available().await;
}

#[tokio::test]
async fn a_crowd_behind_kube_apiserver_disturbs_nobody() {
    const NAMESPACE: &str = "crowd-behind";
    let plane = own().await;
    let backend = Prepared::new(&plane, Certificate::Issued).await.start().await;
    let way = Counted::to(backend.address()).await;
    register_at(
        &plane,
        way.address.port(),
        &backend.authority().expect("the authority of the server is known"),
    )
    .await;
    plane.create_namespace(NAMESPACE).await;
    plane.bind(NAMESPACE, &user("crowd"), "edit", ("list", "imagestreams")).await;
    let admin = plane.user("admin", Some("system:masters"));
    let impersonated =
        json!({"Impersonate-User": ["crowd"], "Impersonate-Group": six_hundred_groups()});
    for (part, headers, statuses, most) in [
        ("cancelled", json!({}), &["200", "cancelled"][..], 5),
        ("refused", json!({}), &["405"], 5),
        ("odd", json!({}), &["200", "400", "414", "431"], 5),
        ("connect", json!({}), &["503"], 5),
        // Each WebSocket has its own connection.
        ("websockets", impersonated, &["101 Switching Protocols"], 15),
    ] {
        let before = way.count();
        let described = json!({
            "URL": plane.url(), "Authority": plane.authority(), "Namespace": NAMESPACE, "Shared": false,
            "Watcher": in_json(&admin, &json!({})), "Crowd": in_json(&admin, &headers),
        });
        run(described, part).await.is_quiet(part, statuses);
        let opened = way.count() - before;
        println!("{part}: kube-apiserver opened {opened} connections");
        assert!(opened <= most, "{part}: kube-apiserver opened {opened} connections");
    }
}
