//! Client of HTTP/2 with many streams on a connection, as kube-apiserver has to an aggregated
//! server.

use std::net::SocketAddr;

use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, TryStreamExt};
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Builder;

use crate::caller::Caller;
use crate::figures::{Figures, Latencies};
use crate::process::Process;
use crate::questions::Questions;
use crate::turn::{Clock, Stopwatch, Times, observe};
use crate::wire::{AGENT, Answer, Connector, JSON};
use fastrand::Rng;

/// Flow control windows of Go's client, in bytes (`transportDefaultConnFlow` and
/// `transportDefaultStreamFlow` in golang.org/x/net/http2/transport.go).
const CONNECTION_WINDOW: u32 = 1 << 30;
const STREAM_WINDOW: u32 = 4 << 20;

type Sender = SendRequest<Empty<Bytes>>;

/// Sends requests on a number of streams of one connection, on each when its previous response is
/// complete.
///
/// # Errors
/// A response with a wrong status or length, or a failure of the connection.
pub(crate) fn ask(
    connector: &Connector,
    server: &Process,
    questions: &Questions,
    streams: usize,
    times: Times,
) -> anyhow::Result<Figures> {
    let requests = requests(questions, server.address)?;
    let clock = Clock::new(streams, times);
    let (seen, latencies) = observe(server, &clock, || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let parts = runtime.block_on(async {
            let sender = connect(connector, server.address).await?;
            let stream =
                |number| ask_on_stream(sender.clone(), questions, &requests, number, &clock);
            let streams: FuturesUnordered<_> = (0..streams).map(stream).collect();
            tokio::time::timeout(clock.limit(), streams.try_collect::<Vec<_>>())
                .await
                .with_context(|| format!("not done after {:?}", clock.limit()))?
        })?;
        Ok(Latencies::of(parts))
    })?;
    let figures = Figures::of(&latencies, times.window).with_usage(seen.usage, latencies.count());
    Ok(Figures { resident_mib: Some(seen.resident_mib), ..figures })
}

/// Requests with the headers that kube-apiserver passes on.
fn requests(
    questions: &Questions,
    address: SocketAddr,
) -> anyhow::Result<Vec<Request<Empty<Bytes>>>> {
    let caller = questions.scenario.caller();
    (0..questions.len()).map(|number| get(address, &questions.path(number), caller)).collect()
}

fn get(address: SocketAddr, path: &str, caller: Caller) -> anyhow::Result<Request<Empty<Bytes>>> {
    let mut request = Request::get(format!("https://{address}{path}"))
        .header(header::USER_AGENT, AGENT)
        .header(header::ACCEPT, JSON);
    for (name, value) in caller.headers() {
        request = request.header(name, value);
    }
    Ok(request.body(Empty::new())?)
}

/// Watches of one path, with as many streams on each connection. Each connection has a thread.
pub(crate) struct Watches<'a> {
    pub(crate) connector: &'a Connector,
    pub(crate) address: SocketAddr,
    pub(crate) path: &'a str,
    pub(crate) connections: usize,
    pub(crate) streams: usize,
    /// Deadline for all watches together.
    pub(crate) limit: Duration,
}

/// Reader of a watch.
pub(crate) trait WatchReader: Send {
    /// Records that the response has begun.
    fn begin(&self);

    /// Reads a line and returns false after the last one.
    fn read(&mut self, line: &[u8]) -> bool;
}

impl Watches<'_> {
    /// Opens the watches, and returns their readers when all of them have read their last line.
    ///
    /// # Errors
    /// A response with another status than 200, a watch that ends early, or a failure of a
    /// connection.
    pub(crate) fn read<R: WatchReader>(
        &self,
        reader: impl Fn() -> R + Sync,
    ) -> anyhow::Result<Vec<R>> {
        thread::scope(|scope| {
            let start = |_| scope.spawn(|| self.read_on_connection(&reader));
            let threads: Vec<_> = (0..self.connections).map(start).collect();
            let mut readers = Vec::with_capacity(self.connections * self.streams);
            for thread in threads {
                readers.extend(thread.join().map_err(|_| anyhow!("a watcher panicked"))??);
            }
            Ok(readers)
        })
    }

    fn read_on_connection<R: WatchReader>(
        &self,
        reader: &impl Fn() -> R,
    ) -> anyhow::Result<Vec<R>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let sender = connect(self.connector, self.address).await?;
            let watch = |_| self.read_on_stream(sender.clone(), reader());
            let streams: FuturesUnordered<_> = (0..self.streams).map(watch).collect();
            tokio::time::timeout(self.limit, streams.try_collect::<Vec<_>>())
                .await
                .with_context(|| format!("not done after {:?}", self.limit))?
        })
    }

    async fn read_on_stream<R: WatchReader>(
        &self,
        mut sender: Sender,
        mut reader: R,
    ) -> anyhow::Result<R> {
        sender.ready().await?;
        let request = get(self.address, self.path, Caller::FrontProxy)?;
        let response = sender.send_request(request).await?;
        ensure!(response.status() == 200, "the status of a watch is {}", response.status());
        reader.begin();
        let (mut body, mut rest) = (response.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                if !reader.read(&rest[..end]) {
                    return Ok(reader);
                }
                rest.drain(..=end);
            }
        }
        Err(anyhow!("a watch ended early"))
    }
}

async fn connect(connector: &Connector, address: SocketAddr) -> anyhow::Result<Sender> {
    let stream = connector.for_protocol("h2").open_stream(address).await?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .handshake(TokioIo::new(stream))
        .await?;
    // Its error is that of the requests.
    tokio::spawn(connection);
    Ok(sender)
}

/// Returns the latencies of the responses.
async fn ask_on_stream(
    mut sender: Sender,
    questions: &Questions,
    requests: &[Request<Empty<Bytes>>],
    stream: usize,
    clock: &Clock,
) -> anyhow::Result<Vec<u32>> {
    let mut watch = Stopwatch::start(clock);
    let mut rng = Rng::with_seed(stream as u64);
    while watch.runs() {
        let number = rng.usize(..questions.len());
        sender.ready().await?;
        let (head, body) = sender.send_request(requests[number].clone()).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        questions.check_shape(number, &Answer { status: head.status.as_u16(), body: &body })?;
        watch.lap();
    }
    Ok(watch.latencies)
}
