//! Objects that move from the embedded store to etcd and back, behind one kube-apiserver. On etcd two
//! replicas serve them, of which one is killed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::backend::{Backend, Certificate, Prepared, path};
use super::objects::{self, V1, stream};
use super::plane::ControlPlane;
use super::site::own;
use super::wait::INTERVAL;
use crate::support::client::Request;

const NAMESPACE: &str = "relocation";
/// Longest time without a success after a replica was killed.
const GAP: Duration = Duration::from_secs(5);
/// Pushes before and after each event of the test.
const PUSHES: usize = 15;

/// A port that leads to the servers in turn, as a Service does. Stops on drop.
struct Balancer {
    address: SocketAddr,
    task: AbortHandle,
}

impl Balancer {
    async fn start(servers: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let task = tokio::spawn(forward(listener, servers)).abort_handle();
        Self { address, task }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Forwards each connection to the next server that accepts it.
async fn forward(listener: TcpListener, mut servers: Vec<SocketAddr>) {
    while let Ok((mut client, _)) = listener.accept().await {
        for _ in 0..servers.len() {
            servers.rotate_left(1);
            if let Ok(mut server) = TcpStream::connect(servers[0]).await {
                tokio::spawn(async move {
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
                break;
            }
        }
    }
}

/// Clients that push images through kube-apiserver.
struct Pusher<'a> {
    plane: &'a ControlPlane,
    pushed: Vec<String>,
    last: Instant,
    longest_gap: Duration,
}

impl<'a> Pusher<'a> {
    fn new(plane: &'a ControlPlane) -> Self {
        Self { plane, pushed: Vec::new(), last: Instant::now(), longest_gap: Duration::ZERO }
    }

    /// Pushes images, each until it is acknowledged.
    async fn push(&mut self) {
        for _ in 0..PUSHES {
            let number = self.pushed.len();
            let digest: String = Sha256::digest(number.to_string())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let image = format!("sha256:{digest}");
            let mapping = objects::mapping(&format!("stream-{}", number % 3), &image);
            self.last = Instant::now();
            loop {
                let request =
                    Request::new("POST", &path(NAMESPACE, "imagestreammappings")).json(&mapping);
                let answer = self.plane.admin().send_unchecked(request).await;
                match answer {
                    Ok(answer) if answer.status == 201 => break,
                    // kube-apiserver answers for a replica that it cannot reach.
                    Ok(answer) => assert!(
                        matches!(answer.status, 429 | 502 | 503 | 504),
                        "{} {}",
                        answer.status,
                        String::from_utf8_lossy(&answer.body)
                    ),
                    Err(why) => panic!("no response of kube-apiserver: {why}"),
                }
                assert!(self.last.elapsed() < GAP, "no push succeeds for {GAP:?}");
                tokio::time::sleep(INTERVAL).await;
            }
            self.longest_gap = self.longest_gap.max(self.last.elapsed());
            self.pushed.push(image);
        }
    }
}

/// Streams and images as kube-apiserver shows them, without the versions of a store.
async fn shown(plane: &ControlPlane) -> Vec<Value> {
    let mut all = Vec::new();
    for list in [path(NAMESPACE, "imagestreams"), format!("{V1}/images")] {
        let list = plane.get(&list).await.expect("the list is served");
        for item in list["items"].as_array().expect("a list has items") {
            let mut item = item.clone();
            item["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
            all.push(item);
        }
    }
    all
}

/// Runs `transfer`, which must succeed. Returns its last line, which has the digest.
fn transfer(from: &str, to: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"))
        .args(["transfer", "--from", from, "--to", to])
        .output()
        .expect("the binary can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().last().expect("transfer prints its result").to_owned()
}

fn folder(path: &Path) -> String {
    format!("embedded:{}", path.display())
}

/// Registers servers behind an address.
async fn register(plane: &ControlPlane, port: u16, backend: &Backend) {
    let authority = backend.authority().expect("the authority of the server is known");
    plane.apply(&[objects::service(), objects::api_service(port, Some(&authority))]);
    plane.available().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_move_to_etcd_with_two_replicas_and_back() {
    let plane = own().await;
    let place = tempfile::tempdir().expect("a temporary folder can be created");
    let [first, last] = ["first", "last"].map(|name| place.path().join(name));
    let on_folder = |path: &Path| {
        vec!["--storage-backend=embedded".to_owned(), format!("--data-dir={}", path.display())]
    };
    let prefix = place.path().display().to_string();
    let etcd = plane.etcd();
    let on_etcd = vec![
        "--storage-backend=etcd3".to_owned(),
        format!("--etcd-servers={etcd}"),
        format!("--etcd-prefix={prefix}"),
    ];
    let start = |storage: Vec<String>| async {
        Prepared::new(&plane, Certificate::Issued).await.storage(storage).start().await
    };

    let mut embedded = start(on_folder(&first)).await;
    register(&plane, embedded.port(), &embedded).await;
    plane.create_namespace(NAMESPACE).await;
    for number in 0..3 {
        let object = stream(&format!("stream-{number}"));
        plane.create(&path(NAMESPACE, "imagestreams"), &object).await;
    }
    let mut pusher = Pusher::new(&plane);
    pusher.push().await;
    let before = shown(&plane).await;
    assert!(embedded.terminate().await.success());

    let place_in_etcd = format!("etcd:{etcd}?prefix={prefix}");
    transfer(&folder(&first), &place_in_etcd);
    let mut replicas = [start(on_etcd.clone()).await, start(on_etcd).await];
    let balancer = Balancer::start(replicas.iter().map(Backend::address).collect()).await;
    register(&plane, balancer.address.port(), &replicas[0]).await;
    assert_eq!(shown(&plane).await, before);
    pusher.push().await;
    replicas[0].kill();
    pusher.push().await;
    println!("longest gap of pushes: {:?}", pusher.longest_gap);
    let after = shown(&plane).await;
    let names: Vec<&str> =
        after.iter().filter_map(|object| object["metadata"]["name"].as_str()).collect();
    for image in &pusher.pushed {
        assert!(names.contains(&image.as_str()), "{image} is lost");
        let events = after.iter().filter(|object| {
            let tags = object["status"]["tags"].as_array().into_iter().flatten();
            let mut events = tags.flat_map(|tag| tag["items"].as_array().into_iter().flatten());
            events.any(|event| event["image"] == json!(image))
        });
        assert_eq!(events.count(), 1, "the event of {image}");
    }
    assert!(replicas[1].terminate().await.success());

    let home = transfer(&place_in_etcd, &folder(&last));
    let again = transfer(&folder(&last), &place_in_etcd);
    assert_eq!(home, again, "both places have the same objects");
    let embedded = start(on_folder(&last)).await;
    register(&plane, embedded.port(), &embedded).await;
    assert_eq!(shown(&plane).await, after);
}
