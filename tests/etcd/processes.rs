//! Tests of the processes and links that other tests rely on.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::link::Condition;
use crate::members::{Members, Security, Settings};
use crate::proxy::Front;

/// Time in which nothing may arrive.
const SILENCE: Duration = Duration::from_millis(200);
const DEADLINE: Duration = Duration::from_secs(30);

/// Sends a byte and waits for its echo.
async fn echo(stream: &mut TcpStream) -> std::io::Result<u8> {
    stream.write_u8(7).await?;
    stream.read_u8().await
}

/// A connection through a proxy to a server that echoes.
async fn echo_server() -> (Front, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let front = Front::start(listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
    let front = front.expect("a proxy can listen");
    let stream = TcpStream::connect(front.address).await.expect("the proxy accepts");
    (front, stream)
}

#[tokio::test]
async fn held_data_arrives_after_the_link_is_open_again() {
    for condition in [Condition::Held, Condition::Mute] {
        let (front, mut stream) = echo_server().await;
        assert_eq!(echo(&mut stream).await.expect("the link is open"), 7);
        front.link.set(condition);
        stream.write_u8(8).await.expect("nobody notices");
        assert!(timeout(SILENCE, stream.read_u8()).await.is_err(), "{condition:?}");
        front.link.set(Condition::Open);
        let late = timeout(DEADLINE, stream.read_u8()).await.expect("it arrives");
        assert_eq!(late.expect("the connection is whole"), 8);
    }
}

#[tokio::test]
async fn cut_link_resets_connections_and_refuses_new_ones() {
    let (front, mut stream) = echo_server().await;
    echo(&mut stream).await.expect("the link is open");
    front.link.set(Condition::Cut);
    let ended = timeout(DEADLINE, stream.read_u8()).await.expect("the connection ends");
    assert_eq!(ended.expect_err("it is cut").kind(), std::io::ErrorKind::ConnectionReset);
    let mut other = TcpStream::connect(front.address).await.expect("the proxy listens");
    echo(&mut other).await.expect_err("the link is cut");
    front.link.set(Condition::Open);
    let mut other = TcpStream::connect(front.address).await.expect("the proxy listens");
    assert_eq!(echo(&mut other).await.expect("the link is open"), 7);
}

#[tokio::test]
async fn slow_link_delays_both_directions() {
    let (front, mut stream) = echo_server().await;
    front.link.set(Condition::Slow(Duration::from_millis(50)));
    let begun = Instant::now();
    echo(&mut stream).await.expect("the link is slow");
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn members_elect_another_leader_when_theirs_is_cut_off() {
    let members = Members::start(3).await;
    let first = members.wait_for_leader().await;
    members.set_peers(first, Condition::Cut);
    let begun = Instant::now();
    let other = (first + 1) % 3;
    loop {
        let key = json!({"key": "a2V5", "value": "dmFsdWU="});
        let leader = members.leader().await;
        if leader.is_some_and(|leader| leader != first) {
            members.call(other, "/v3/kv/put", &key).await;
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{leader:?} leads");
        sleep(Duration::from_millis(50)).await;
    }
    members.set_peers(first, Condition::Open);
    members.healthy().await;
    let read = members.call(first, "/v3/kv/range", &json!({"key": "a2V5"})).await;
    assert_eq!(read["kvs"][0]["value"], "dmFsdWU=");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_stopped_members_return_with_their_data() {
    let mut members = Members::start(3).await;
    let put = json!({"key": "a2V5", "value": "dmFsdWU="});
    members.call(0, "/v3/kv/put", &put).await;
    members.kill(0);
    members.pause(1);
    members.start_member(0);
    members.resume(1);
    members.healthy().await;
    let read = members.call(0, "/v3/kv/range", &json!({"key": "a2V5"})).await;
    assert_eq!(read["kvs"][0]["value"], "dmFsdWU=");
}

#[tokio::test(flavor = "multi_thread")]
async fn single_member_serves_without_tls() {
    let members = Members::launch(Settings { security: Security::Plain, ..Settings::of(1) }).await;
    assert!(members.endpoints()[0].starts_with("http://127.0.0.1:"));
    assert_eq!(members.leader().await, Some(0));
}
