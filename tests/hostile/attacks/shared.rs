//! HTTP/2 connections that several users share, as with kube-apiserver's proxy: no request of one
//! user ends the streams of others.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

use crate::bodies::{digest, image};
use crate::frames::{Block, Connection, END_STREAM, Frame, RST_STREAM};
use crate::row::{Finding, Form, Row, Seen, Table};
use crate::site::{Site, V1, post};
use crate::support::client::Request;

const TOKEN: &str = "token-of-mal";
const CANCEL: [u8; 4] = [0, 0, 0, 8];

pub(crate) fn tables(form: Form) -> Vec<Table> {
    vec![Table::new("http2 shared", ended_streams(form)), Table::new("http2 odd", odd()).shared()]
}

/// Streams that are cancelled, or that get a response before their body is read.
fn ended_streams(form: Form) -> Vec<Row> {
    let (lists, posts) = (form.of(200, 2_000), form.of(1_200, 4_000));
    let images = || {
        let annotated = |n: usize| {
            let mut image = image(&digest(&format!("{n:x}f")));
            image["metadata"]["annotations"] = json!({"a": "x".repeat(20_000)});
            post("images", &image)
        };
        (0..60).map(annotated).collect::<Vec<Request>>()
    };
    vec![
        Row::script(format!("{lists} cancelled lists"), move |site: Rc<Site>| async move {
            cancelled_lists(&site, lists).await.map_err(|why| why.to_string())
        })
        .after(images)
        .cpu(form.of(5.0, 40.0))
        // Responses that wait for their readers share 256 MiB.
        .memory(form.of(64, 320)),
        Row::script(format!("{posts} refused POSTs of 300 kB"), move |site: Rc<Site>| async move {
            refused_posts(&site, posts).await
        })
        .cpu(form.of(5.0, 20.0)),
    ]
}

/// Lists that are reset at the start of their response, beside a watch that must continue.
async fn cancelled_lists(site: &Site, count: usize) -> io::Result<Seen> {
    let mut connection = Connection::open(&site.mal, &[]).await?;
    let watch = format!("{V1}/images?watch=true");
    let watch = connection
        .writer
        .begin(&Block::request("GET", watch.as_bytes(), TOKEN), END_STREAM)
        .await?;
    connection.answer(watch).await?;
    let list = format!("{V1}/images");
    let list = Block::request("GET", list.as_bytes(), TOKEN);
    for _ in 0..count / 20 {
        let mut streams = Vec::new();
        for _ in 0..20 {
            streams.push(connection.writer.begin(&list, END_STREAM).await?);
        }
        let reset = |stream: &u32| Frame::new(RST_STREAM, 0, *stream, CANCEL);
        let resets: Vec<_> = streams.iter().map(reset).collect();
        connection.writer.send(&resets).await?;
    }
    let last =
        connection.writer.begin(&Block::request("GET", b"/livez", TOKEN), END_STREAM).await?;
    connection.answer(last).await?;
    if connection.reset.contains(&watch) {
        return Err(io::Error::other("the watch on the connection has ended"));
    }
    Ok(Seen { largest: 0, note: format!("{count} cancelled") })
}

/// POSTs without credentials, whose bodies the server does not read, from a client that waits for
/// each.
async fn refused_posts(site: &Site, count: usize) -> Finding {
    let failed = |what: &str, why: &dyn std::fmt::Display| format!("{what}: {why}");
    let stream = site.mal.open(&["h2"]).await.map_err(|why| failed("no connection", &why))?;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|why| failed("no HTTP/2", &why))?;
    let connection = tokio::spawn(connection);
    let body = Bytes::from(vec![b' '; 300_000]);
    for round in 0..count / 30 {
        let posts = (0..30).map(|_| {
            let request = http::Request::post(format!("https://localhost{V1}/images"))
                .body(Full::new(body.clone()));
            let mut sender = sender.clone();
            async move { sender.send_request(request.expect("the request is valid")).await }
        });
        for answer in join_all(posts).await {
            let answer =
                answer.map_err(|why| failed(&format!("round {round} of 30 POSTs"), &why))?;
            if answer.status() != 401 {
                return Err(format!("a POST without credentials gets status {}", answer.status()));
            }
        }
    }
    drop(sender);
    connection.abort();
    Ok(Seen { largest: 0, note: format!("401 x {count}") })
}

/// Requests that are valid HTTP/2 frames but invalid requests: a client error each, on their stream
/// only.
fn odd() -> Vec<Row> {
    let path = |rest: &str| format!("{V1}/images{rest}").into_bytes();
    let get = |path: Vec<u8>| Block::request("GET", &path, TOKEN);
    let plain = || Block::request("GET", format!("{V1}/images").as_bytes(), TOKEN);
    let long = |length: usize| path(&format!("?x={}", "a".repeat(length)));
    vec![
        undecodable("path with 0xff", get(b"/livez?x=\xff".to_vec())),
        answered("an ordinary path", &[200], plain()),
        answered("path with <", &[400], get(path("?x=<"))),
        answered("path with >", &[400], get(path("?x=>"))),
        answered("path with a quote", &[400], get(path("?x=\""))),
        answered("path with a space", &[400], get(path("?x= "))),
        answered("path with a backtick", &[200, 400], get(path("?x=`"))),
        answered("path with a brace", &[200, 400], get(path("?x={"))),
        answered("path without a slash", &[400, 404], get(b"images".to_vec())),
        answered("empty path", &[400, 404], get(Vec::new())),
        answered("TE: gzip", &[400], plain().with("te", b"gzip")),
        answered("Connection", &[400], plain().with("connection", b"close")),
        answered("Transfer-Encoding", &[400], plain().with("transfer-encoding", b"chunked")),
        undecodable("upper case name", plain().with("X-Upper", b"1")),
        undecodable(
            "unknown pseudo-header",
            Block::request("GET", b"/livez", "").with(":evil", b"1"),
        ),
        answered("pseudo-header after a header", &[400], plain().with(":path", b"/")),
        answered(
            "two paths",
            &[400],
            Block::request("GET", b"/livez", "").with(":path", b"/readyz"),
        ),
        answered(
            "no path",
            &[400],
            Block::default()
                .with(":method", b"GET")
                .with(":scheme", b"https")
                .with(":authority", b"a"),
        ),
        answered(
            "no method",
            &[400],
            Block::default()
                .with(":scheme", b"https")
                .with(":path", b"/livez")
                .with(":authority", b"a"),
        ),
        undecodable("method with a space", Block::request("G T", b"/livez", "")),
        answered("URL of 60 KiB", &[200], get(long((60 << 10) - 200))),
        answered("URL of 66,000 bytes", &[400, 414], get(long(66_000))),
        answered("URL of 300,000 bytes", &[400, 414, 431], get(long(300_000))),
        answered("URL of 1.1 MB", &[414, 431], get(long(1_100_000))),
        answered(
            "header of 1.1 MB",
            &[431],
            plain().with("x-long", "a".repeat(1_100_000).as_bytes()),
        ),
        answered(
            "5,000 headers",
            &[200, 431],
            (0..5_000).fold(plain(), |block, n| block.with("x-one", n.to_string().as_bytes())),
        ),
    ]
}

/// The response has one of these statuses and the connection continues: another user's earlier
/// stream is not reset, and a later one gets a response.
fn answered(name: &str, statuses: &'static [u16], block: Block) -> Row {
    Row::script(name, move |site: Rc<Site>| {
        let block = block.clone();
        async move {
            let failed = |what: &str, why: io::Error| format!("{what}: {why}");
            let open = Connection::open(&site.mal, &[]).await;
            let mut connection = open.map_err(|why| failed("no connection", why))?;
            let status = connection.ask(&block).await.map_err(|why| failed("no answer", why))?;
            if !statuses.contains(&status) {
                return Err(format!("status {status} instead of {statuses:?}"));
            }
            is_unharmed(&mut connection, &block)
                .await
                .map_err(|why| failed("the connection has ended", why))?;
            Ok(Seen { largest: 0, note: status.to_string() })
        }
    })
}

/// The HTTP library cannot decode the request, so it may end the connection; a proxy with its own
/// HTTP library does not forward such a request.
fn undecodable(name: &str, block: Block) -> Row {
    Row::script(name, move |site: Rc<Site>| {
        let block = block.clone();
        async move {
            let open = Connection::open(&site.mal, &[]).await;
            let answer = open.map_err(|why| format!("no connection: {why}"))?.ask(&block).await;
            match answer {
                Ok(400) => Ok(Seen { largest: 0, note: "400".into() }),
                Err(why) if why.kind() != io::ErrorKind::TimedOut => {
                    Ok(Seen { largest: 0, note: why.to_string() })
                }
                other => {
                    Err(format!("neither status 400 nor the end of the connection: {other:?}"))
                }
            }
        }
    })
}

/// # Errors
/// The request ends the connection or a watch on it.
async fn is_unharmed(connection: &mut Connection, block: &Block) -> io::Result<()> {
    let watch = Block::request("GET", format!("{V1}/images?watch=true").as_bytes(), TOKEN);
    let watch = connection.writer.begin(&watch, END_STREAM).await?;
    connection.answer(watch).await?;
    let again = connection.writer.begin(block, END_STREAM).await?;
    connection.answer(again).await?;
    let next =
        connection.writer.begin(&Block::request("GET", b"/livez", TOKEN), END_STREAM).await?;
    connection.answer(next).await?;
    if connection.reset.contains(&watch) {
        return Err(io::Error::other("a watch has ended"));
    }
    Ok(())
}
