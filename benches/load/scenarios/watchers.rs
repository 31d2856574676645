//! Many watchers of streams of about 1 kB, through the front proxy: the highest write rate at which 99 % of all events
//! arrive within a second, the delay from the due time of a write to the read of its event at that
//! rate, and the cost of an event.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use serde_json::json;

use crate::bench::Bench;
use crate::caller::Caller;
use crate::client_pool::ClientPool;
use crate::comparison::{Comparison, Side};
use crate::figures::{Figures, Latencies};
use crate::multiplexed::{WatchReader, Watches};
use crate::process::Process;
use crate::turn::{GLANCE, nanos};
use crate::usage::{Sample, resident_mib};
use crate::wire::{self, Connector};

const STREAMS: &str = "/apis/image.openshift.io/v1/namespaces/load/imagestreams";
const WATCH: &str = "/apis/image.openshift.io/v1/namespaces/load/imagestreams?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
/// Stream that is written. The watches cover the whole namespace; its other streams do not change.
const NAME: &str = "watched";
/// Annotation with the number and the due time of a write, in nanoseconds from the start.
const MARK: &[u8] = br#""load/mark":""#;
/// Padding to a stream size of about 1 kB.
const PADDING: usize = 600;
/// Maximum 99th percentile of the delay, in microseconds.
const MOST_DELAY: f64 = 1e6;
/// Number of HTTP/2 connections that the watches share.
const CONNECTIONS: usize = 2;
/// First rate, in writes per second; each further rate is half as high again.
const FIRST_RATE: u32 = 10;
/// Deadline for the last events.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    Ok(vec![Comparison::new("watchers", Side::Ours, move || turn(bench))])
}

fn turn(bench: &Bench) -> anyhow::Result<Figures> {
    let (watchers, last_rate) =
        if bench.options.smoke { (20, FIRST_RATE) } else { (1000, u32::MAX) };
    let (server, _copy) = bench.fresh(Duration::ZERO)?;
    let writer = ClientPool { connections: 1, threads: 1, ..bench.pool.clone() };
    let stream = json!({"kind": "ImageStream", "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": NAME, "annotations": {"load/padding": "x".repeat(PADDING)}}});
    let create = wire::post(STREAMS, Caller::Token, stream.to_string().as_bytes());
    writer.run(server.address, PATIENCE, async |connection, _| {
        ensure!(connection.exchange(&create).await?.status == 201, "the stream is not created");
        Ok(())
    })?;
    let readers = bench.site.connector(Caller::FrontProxy)?;
    let mut best: Option<Figures> = None;
    let mut rate = FIRST_RATE;
    loop {
        let step = Step {
            server: &server,
            writer: &writer,
            readers: &readers,
            watchers,
            rate,
            time: bench.times().window,
        };
        match (step.run(), best) {
            (Ok(figures), _) if figures.p99.is_some_and(|p99| p99 < MOST_DELAY) => {
                best = Some(figures)
            }
            (Ok(figures), None) => return Ok(figures),
            (Err(why), None) => return Err(why),
            (_, Some(best)) => return Ok(best),
        }
        if rate >= last_rate {
            return best.context("a rate was measured");
        }
        rate += rate / 2;
    }
}

/// One write rate.
struct Step<'a> {
    server: &'a Process,
    writer: &'a ClientPool,
    readers: &'a Connector,
    watchers: usize,
    rate: u32,
    time: Duration,
}

impl Step<'_> {
    /// Writes at the rate during all watches. Each watch must deliver every write once and in
    /// order.
    fn run(&self) -> anyhow::Result<Figures> {
        let writes = (f64::from(self.rate) * self.time.as_secs_f64()).ceil().max(1.0) as usize;
        let (start, arrived) = (Instant::now(), AtomicUsize::new(0));
        let limit = 2 * PATIENCE + self.time;
        thread::scope(|scope| {
            let watches = Watches {
                connector: self.readers,
                address: self.server.address,
                path: WATCH,
                connections: CONNECTIONS,
                streams: self.watchers / CONNECTIONS,
                limit,
            };
            let reader = || Seen {
                start,
                writes,
                arrived: &arrived,
                next: 0,
                delays: Vec::with_capacity(writes),
            };
            let watching = scope.spawn(move || watches.read(reader));
            while arrived.load(Ordering::Relaxed) < self.watchers && !watching.is_finished() {
                thread::sleep(GLANCE);
            }
            let before = Sample::take(&self.server.ids())?;
            let written = self.write(writes, start, limit);
            let seen = watching.join().map_err(|_| anyhow!("the watchers panicked"))??;
            written?;
            let delays = seen.into_iter().map(|seen| seen.delays).collect();
            let usage = before.until(&Sample::take(&self.server.ids())?);
            let delays = Latencies::of(delays);
            let figures = Figures::of(&delays, self.time).with_usage(usage, delays.count());
            let resident_mib = Some(resident_mib(self.server.id())?);
            Ok(Figures { writes: Some(f64::from(self.rate)), resident_mib, ..figures })
        })
    }

    fn write(&self, writes: usize, start: Instant, limit: Duration) -> anyhow::Result<Vec<()>> {
        self.writer.run(self.server.address, limit, async |connection, _| {
            let begun = Instant::now();
            for number in 0..writes {
                let due = begun + Duration::from_secs_f64(number as f64 / f64::from(self.rate));
                tokio::time::sleep_until(due.into()).await;
                let mark = format!("{number} {}", (due - start).as_nanos());
                let patch = json!({"metadata": {"annotations": {"load/mark": mark}}}).to_string();
                let what = format!("PATCH {STREAMS}/{NAME}");
                let request = wire::send(
                    &what,
                    Caller::Token,
                    "application/merge-patch+json",
                    patch.as_bytes(),
                );
                let status = connection.exchange(&request).await?.status;
                ensure!(status == 200, "the status of a write is {status}");
            }
            Ok(())
        })
    }
}

/// Events seen by one watcher.
struct Seen<'a> {
    start: Instant,
    writes: usize,
    /// Number of watches that have begun.
    arrived: &'a AtomicUsize,
    next: usize,
    delays: Vec<u32>,
}

impl WatchReader for Seen<'_> {
    fn begin(&self) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    /// Records a line and returns false after the last event. An event out of order is not counted,
    /// so its watcher never finishes.
    fn read(&mut self, line: &[u8]) -> bool {
        let mark = line
            .windows(MARK.len())
            .position(|part| part == MARK)
            .map(|at| &line[at + MARK.len()..]);
        let text = mark
            .and_then(|rest| std::str::from_utf8(rest.split(|byte| *byte == b'"').next()?).ok());
        let Some((number, due)) = text.and_then(|text| text.split_once(' ')) else {
            return true;
        };
        if let (Ok(number), Ok(due)) = (number.parse::<usize>(), due.parse::<u64>())
            && number == self.next
        {
            self.next += 1;
            self.delays.push(nanos(self.start.elapsed().saturating_sub(Duration::from_nanos(due))));
        }
        self.next < self.writes
    }
}
