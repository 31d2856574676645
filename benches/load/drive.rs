//! One turn: every connection asks as soon as it has its answer, for a given time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};

use crate::crew::Crew;
use crate::process::Process;
use crate::questions::Questions;
use crate::usage::{Sample, resident_mib};
use crate::wire::Connection;

/// From opening the connections to the start of the clock; they ask meanwhile, which warms everything up.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long after the end of the turn the last answer may come.
const GRACE: Duration = Duration::from_secs(10);

/// What a turn showed. Latencies are as the client sees them, which shares the processors with the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Latency that half of the requests stay below, in microseconds.
    pub(crate) p50: f64,
    /// The same for 99 %.
    pub(crate) p99: f64,
    /// The same for 99.9 %.
    pub(crate) p999: f64,
    /// Processor time of the server for a request, in microseconds.
    pub(crate) server_micros: f64,
    /// Processor time of the client for a request, in microseconds.
    pub(crate) client_micros: f64,
    /// Memory of the server at the end of the turn, in MiB.
    pub(crate) resident_mib: f64,
    /// The share of the machine that neither had, in percent.
    pub(crate) others_percent: f64,
}

/// When answers count.
#[derive(Clone, Copy)]
struct Window {
    start: Instant,
    end: Instant,
}

/// Runs a turn.
///
/// # Errors
/// An answer that has not the right status and length, and everything that keeps the client from asking.
pub(crate) fn drive(crew: &Crew, server: &Process, questions: &Questions, time: Duration) -> anyhow::Result<Turn> {
    let start = Instant::now() + WARM_UP;
    let window = Window { start, end: start + time };
    let limit = WARM_UP + time + GRACE;
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            crew.run(server.address, limit, async |connection, number| {
                ask(connection, questions, window, Dice(number as u64)).await
            })
        });
        thread::sleep(window.start.saturating_duration_since(Instant::now()));
        let before = Sample::take(server.id())?;
        thread::sleep(window.end.saturating_duration_since(Instant::now()));
        let after = Sample::take(server.id())?;
        let resident_mib = resident_mib(server.id())?;
        let latencies = asking.join().map_err(|_| anyhow!("the client panicked"))??;
        let latencies = Latencies::of(latencies);
        ensure!(!latencies.0.is_empty(), "no request was answered");
        let count = latencies.0.len() as f64;
        let usage = before.until(&after);
        let for_each = |time: Duration| time.as_secs_f64() * 1e6 / count;
        Ok(Turn {
            rate: count / time.as_secs_f64(),
            p50: latencies.quantile(0.5),
            p99: latencies.quantile(0.99),
            p999: latencies.quantile(0.999),
            server_micros: for_each(usage.server),
            client_micros: for_each(usage.client),
            resident_mib,
            others_percent: usage.others * 100.0,
        })
    })
}

/// Asks on one connection until the window closes. Gives the nanoseconds of each answer that came while it was open,
/// at most the 4.3 seconds that fit.
async fn ask(
    connection: &mut Connection,
    questions: &Questions,
    window: Window,
    mut dice: Dice,
) -> anyhow::Result<Vec<u32>> {
    let mut latencies = Vec::with_capacity(1 << 16);
    let mut sent = Instant::now();
    ensure!(sent < window.start, "the connections were not open in time");
    while sent < window.end {
        let number = dice.below(questions.len());
        let answer = connection.exchange(questions.request(number)).await?;
        questions.check_shape(number, &answer)?;
        // The little that is done between two requests counts for the second one.
        let now = Instant::now();
        if window.start <= now && now < window.end {
            latencies.push(u32::try_from((now - sent).as_nanos()).unwrap_or(u32::MAX));
        }
        sent = now;
    }
    Ok(latencies)
}

/// Nanoseconds, in order.
struct Latencies(Vec<u32>);

impl Latencies {
    fn of(parts: Vec<Vec<u32>>) -> Self {
        let mut all = parts.concat();
        all.sort_unstable();
        Self(all)
    }

    /// The latency, in microseconds, that a share of all stays below.
    fn quantile(&self, share: f64) -> f64 {
        let place = (share * self.0.len() as f64).ceil() as usize;
        f64::from(self.0[place.clamp(1, self.0.len()) - 1]) / 1e3
    }
}

/// Numbers without a pattern, the same ones in every run: SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * limit as u128) >> 64) as usize
    }
}
