//! Turn: its schedule, and clients that send requests at full speed until it ends.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use crate::client_pool::ClientPool;
use crate::figures::{Figures, Latencies};
use crate::process::Process;
use crate::questions::Questions;
use crate::usage::{Sample, Usage, resident_mib};
use crate::wire::Connection;
use fastrand::Rng;

/// Deadline of all clients' start and of the last response, together.
const GRACE: Duration = Duration::from_secs(30);
/// Interval between checks that all clients have started.
pub(crate) const GLANCE: Duration = Duration::from_millis(1);
/// Interval between memory samples.
const LOOK: Duration = Duration::from_millis(50);

/// Schedule of a turn. The warm-up begins when all clients have started; the window, in which
/// responses count, follows.
pub(crate) struct Clock {
    clients: usize,
    arrived: AtomicUsize,
    times: Times,
    window: OnceLock<Window>,
}

/// Durations of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Warm-up, which does not count.
    pub(crate) warm_up: Duration,
    /// Window, which counts.
    pub(crate) window: Duration,
}

/// Window in which responses count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    start: Instant,
    /// End of the window.
    pub(crate) end: Instant,
}

impl Clock {
    /// Schedule of a turn with this number of clients.
    pub(crate) fn new(clients: usize, times: Times) -> Self {
        Self { clients, arrived: AtomicUsize::new(0), times, window: OnceLock::new() }
    }

    /// Counts a client that has started.
    pub(crate) fn arrive(&self) {
        if self.arrived.fetch_add(1, Ordering::Relaxed) + 1 == self.clients {
            let start = Instant::now() + self.times.warm_up;
            // The last client starts the warm-up.
            let _ = self.window.set(Window { start, end: start + self.times.window });
        }
    }

    /// Window; `None` before all clients have started.
    pub(crate) fn window(&self) -> Option<Window> {
        self.window.get().copied()
    }

    /// Duration of the window.
    pub(crate) fn length(&self) -> Duration {
        self.times.window
    }

    /// Deadline of the whole turn.
    pub(crate) fn limit(&self) -> Duration {
        self.times.warm_up + self.times.window + GRACE
    }
}

impl Window {
    /// Returns true if the window is open at this time.
    pub(crate) fn holds(self, at: Instant) -> bool {
        self.start <= at && at < self.end
    }
}

/// Measurements of one client.
pub(crate) struct Stopwatch<'a> {
    clock: &'a Clock,
    begun: Instant,
    /// Latency in nanoseconds of each response in the window.
    pub(crate) latencies: Vec<u32>,
}

impl<'a> Stopwatch<'a> {
    /// Starts a client with its first request, which is never refused.
    pub(crate) fn start(clock: &'a Clock) -> Self {
        clock.arrive();
        Self { clock, begun: Instant::now(), latencies: Vec::with_capacity(1 << 14) }
    }

    /// Returns true if there is time for another request.
    pub(crate) fn runs(&self) -> bool {
        self.clock.window().is_none_or(|window| self.begun < window.end)
    }

    /// Starts the next request and discards the current one.
    pub(crate) fn skip(&mut self) {
        self.begun = Instant::now();
    }

    /// Ends a request and starts the next. The time between them counts for the second.
    pub(crate) fn lap(&mut self) {
        let now = Instant::now();
        if self.clock.window().is_some_and(|window| window.holds(now)) {
            self.latencies.push(nanos(now - self.begun));
        }
        self.begun = now;
    }
}

/// Nanoseconds in the stored width.
pub(crate) fn nanos(time: Duration) -> u32 {
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}

/// Observations of a server during a window.
pub(crate) struct Seen {
    /// Resource usage.
    pub(crate) usage: Usage,
    /// Peak memory of the server in MiB.
    pub(crate) resident_mib: f64,
}

/// Runs a job and samples a server while the window is open.
///
/// # Errors
/// Errors of the job, or the server has ended.
pub(crate) fn observe<T: Send>(
    server: &Process,
    clock: &Clock,
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<(Seen, T)> {
    thread::scope(|scope| {
        let working = scope.spawn(work);
        let window = loop {
            match clock.window() {
                None if !working.is_finished() => thread::sleep(GLANCE),
                window => break window,
            }
        };
        let seen = window
            .context("the turn ended before all clients were there")
            .and_then(|each| look(server, each));
        // The error of the job is more specific.
        let done = working.join().map_err(|_| anyhow!("the client panicked"))??;
        Ok((seen?, done))
    })
}

fn look(server: &Process, window: Window) -> anyhow::Result<Seen> {
    thread::sleep(window.start.saturating_duration_since(Instant::now()));
    let before = Sample::take(&server.ids())?;
    let mut most = resident_mib(server.id())?;
    while let Some(left) =
        window.end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    {
        thread::sleep(left.min(LOOK));
        most = most.max(resident_mib(server.id())?);
    }
    Ok(Seen { usage: before.until(&Sample::take(&server.ids())?), resident_mib: most })
}

/// Runs a job on every client of a pool until the window closes.
///
/// # Errors
/// Errors of the job, or a failure of the clients.
pub(crate) fn drive<J>(
    pool: &ClientPool,
    server: &Process,
    times: Times,
    job: J,
) -> anyhow::Result<Figures>
where
    J: AsyncFn(&mut Connection, usize, &mut Stopwatch<'_>) -> anyhow::Result<()> + Sync,
{
    let clock = Clock::new(pool.connections, times);
    let (seen, latencies) = observe(server, &clock, || {
        let parts = pool.run(server.address, clock.limit(), async |connection, number| {
            let mut watch = Stopwatch::start(&clock);
            job(connection, number, &mut watch).await?;
            Ok(watch.latencies)
        })?;
        Ok(Latencies::of(parts))
    })?;
    let figures = Figures::of(&latencies, times.window).with_usage(seen.usage, latencies.count());
    Ok(Figures { resident_mib: Some(seen.resident_mib), ..figures })
}

/// Sends requests on every connection, each when the previous response is complete.
///
/// # Errors
/// A response with a wrong status or length, and the errors of [`drive`].
pub(crate) fn ask(
    pool: &ClientPool,
    server: &Process,
    questions: &Questions,
    times: Times,
) -> anyhow::Result<Figures> {
    drive(pool, server, times, async |connection, number, watch| {
        let mut rng = Rng::with_seed(number as u64);
        while watch.runs() {
            let number = rng.usize(..questions.len());
            let answer = connection.exchange(questions.request(number)).await?;
            questions.check_shape(number, &answer)?;
            watch.lap();
        }
        Ok(())
    })
}
