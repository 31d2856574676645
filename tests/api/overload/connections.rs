//! Thousands of idle connections.
//!
//! 10,000 connections send nothing at all. TLS handshakes are slow in a test build, so fewer
//! connections complete one; `OVERLOAD_CONNECTIONS=10000` raises their number to 10,000.

use std::env;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::resident;
use crate::harness::{Expect, ProcessApi, TestServer, eventually, request};
use crate::support::client::{Client, Request};

const SILENT: usize = 10_000;
const HANDSHAKES: usize = 600;
/// The maximum memory of a connection before its handshake, in bytes.
const SILENT_COST: usize = 4 << 10;
/// The maximum memory of a connection after its handshake, in bytes.
const IDLE_COST: usize = 60 << 10;
/// Memory that is not due to the connections, in bytes.
const BESIDES: usize = 16 << 20;
/// The maximum response time beside these connections.
const PROMPT: Duration = Duration::from_secs(5);

/// Flags that admit all of these connections from one address.
const ADMIT_ALL: &[&str] = &[
    "--max-connections=60000",
    "--max-connections-per-address=12000",
    "--max-handshakes-per-address=12000",
];

/// Returns the wanted number of connections, or the highest number that the system allows.
fn as_many_as_possible(wanted: usize) -> usize {
    /// File descriptors for other purposes.
    const OTHERS: u64 = 200;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Child processes inherit the limit.
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("the soft limit may be raised to the hard limit");
    let most = maximum.map_or(wanted, |most| most.saturating_sub(OTHERS) as usize);
    if most < wanted {
        println!("only {most} of {wanted} connections: the system allows {maximum:?} open files");
    }
    wanted.min(most)
}

async fn answers_promptly(api: &ProcessApi) {
    let start = Instant::now();
    api.get("images").await.is(200);
    assert_eq!(api.get("nothing").await.status, 404);
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
}

fn check_cost(api: &ProcessApi, before: usize, count: usize, each: usize) {
    let grown = resident(api).saturating_sub(before);
    println!("{count} connections cost {grown} bytes, {} each", grown / count);
    assert!(
        grown < count * each + BESIDES,
        "{count} connections cost {grown} bytes, {} each",
        grown / count
    );
}

#[tokio::test]
async fn connections_that_say_nothing_cost_next_to_nothing_and_end() {
    let count = as_many_as_possible(SILENT);
    let api = ProcessApi::with(ADMIT_ALL).await;
    let before = resident(&api);
    let mut silent = Vec::new();
    for _ in 0..count {
        silent.push(TcpStream::connect(api.server.address()).await.expect("the port is open"));
    }
    // The server accepts connections in order: after this response it has accepted them all.
    answers_promptly(&api).await;
    check_cost(&api, before, count, SILENT_COST);
    // The server closes them when the handshake times out.
    for connection in &mut silent {
        assert_eq!(connection.read(&mut [0]).await.unwrap_or_default(), 0);
    }
    answers_promptly(&api).await;
}

#[tokio::test]
async fn idle_and_half_open_connections_cost_little() {
    let wanted = env::var("OVERLOAD_CONNECTIONS")
        .map_or(HANDSHAKES, |text| text.parse().expect("OVERLOAD_CONNECTIONS is a number"));
    let count = as_many_as_possible(wanted);
    let api = ProcessApi::with(ADMIT_ALL).await;
    let before = resident(&api);
    let mut idle = Vec::new();
    for first in (0..count).step_by(50) {
        idle.extend(
            join_all((first..count.min(first + 50)).map(|number| half_open(&api, number))).await,
        );
    }
    answers_promptly(&api).await;
    check_cost(&api, before, count, IDLE_COST);
    drop(idle);
    answers_promptly(&api).await;
}

/// Opens a connection that stays idle: after the handshake, after a response, or in the middle of a
/// request.
async fn half_open(api: &ProcessApi, number: usize) -> impl Sized + use<> {
    let protocol = if number.is_multiple_of(4) { "h2" } else { "http/1.1" };
    let mut stream = api.client.open(&[protocol]).await.expect("the handshake succeeds");
    let whole = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
    match number % 4 {
        0 => stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await,
        1 => stream.write_all(&whole[..20]).await,
        2 => stream.write_all(whole).await,
        _ => Ok(()),
    }
    .expect("the connection is open");
    stream.flush().await.expect("the connection is open");
    if number % 4 == 2 {
        stream.read_exact(&mut [0; 12]).await.expect("a response");
    }
    stream
}

#[tokio::test]
async fn connections_of_an_address_beyond_its_limit_are_refused() {
    let api = ProcessApi::with(&["--max-connections-per-address=20"]).await;
    let other = api.client.clone().at([127, 0, 0, 2].into());
    // A connection counts until the server sees its end, also that of the check for readiness.
    shows(&other, &["imagestream_apiserver_connections 1\n"]).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(api.server.address()).await.expect("the port is open"));
    }
    let refused = api.client.send_unchecked(request("GET", "images")).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(other.send(request("GET", "images")).await.expect("a response").status, 200);
    let refusals =
        "imagestream_apiserver_connection_refusals_total{reason=\"connections-of-address\"} 1\n";
    shows(&other, &[refusals, "imagestream_apiserver_connections 21\n"]).await;
    drop(silent);
    eventually("the address is served", || async {
        api.client.send_unchecked(request("GET", "images")).await.is_ok_and(|got| got.status == 200)
    })
    .await;
}

/// Waits until `/metrics` shows all of these lines.
async fn shows(client: &Client, lines: &[&str]) {
    eventually(&format!("/metrics shows {lines:?}"), || async {
        let metrics = client.send(Request::new("GET", "/metrics")).await.expect("a response").body;
        let metrics = String::from_utf8(metrics).expect("metrics are text");
        lines.iter().all(|line| metrics.contains(line))
    })
    .await;
}
