//! A turn: its time, and clients that ask as fast as they are answered until it is over.

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

/// How long it may take until all clients are there, and until the last answer came, together.
const GRACE: Duration = Duration::from_secs(30);
/// How often it is looked whether all clients are there.
pub(crate) const GLANCE: Duration = Duration::from_millis(1);
/// How often the server's memory is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The time of a turn. The warm-up begins when all clients are there, and then the window, in which answers count.
pub(crate) struct Clock {
    clients: usize,
    arrived: AtomicUsize,
    times: Times,
    window: OnceLock<Window>,
}

/// How long a turn takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Of load that does not count, but warms everything up.
    pub(crate) warm_up: Duration,
    /// Of load that counts.
    pub(crate) window: Duration,
}

/// When answers count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    start: Instant,
    /// When it closes.
    pub(crate) end: Instant,
}

impl Clock {
    /// The time of a turn of so many clients.
    pub(crate) fn new(clients: usize, times: Times) -> Self {
        Self { clients, arrived: AtomicUsize::new(0), times, window: OnceLock::new() }
    }

    /// Counts a client that is there.
    pub(crate) fn arrive(&self) {
        if self.arrived.fetch_add(1, Ordering::Relaxed) + 1 == self.clients {
            let start = Instant::now() + self.times.warm_up;
            // There is one last client.
            let _ = self.window.set(Window { start, end: start + self.times.window });
        }
    }

    /// The window; none before all clients are there.
    pub(crate) fn window(&self) -> Option<Window> {
        self.window.get().copied()
    }

    /// How long the window is open.
    pub(crate) fn length(&self) -> Duration {
        self.times.window
    }

    /// How long everything may take.
    pub(crate) fn limit(&self) -> Duration {
        self.times.warm_up + self.times.window + GRACE
    }
}

impl Window {
    /// Whether it is open at this time.
    pub(crate) fn holds(self, at: Instant) -> bool {
        self.start <= at && at < self.end
    }
}

/// What one client measures.
pub(crate) struct Stopwatch<'a> {
    clock: &'a Clock,
    begun: Instant,
    /// The nanoseconds of each answer that came while the window was open.
    pub(crate) latencies: Vec<u32>,
}

impl<'a> Stopwatch<'a> {
    /// Begins with the first request of a client, who thereby is there. There is always time for this one.
    pub(crate) fn start(clock: &'a Clock) -> Self {
        clock.arrive();
        Self { clock, begun: Instant::now(), latencies: Vec::with_capacity(1 << 14) }
    }

    /// Whether there is time for another request.
    pub(crate) fn runs(&self) -> bool {
        self.clock.window().is_none_or(|window| self.begun < window.end)
    }

    /// Begins the next request, as if there had been none.
    pub(crate) fn skip(&mut self) {
        self.begun = Instant::now();
    }

    /// Ends a request and begins the next: the little that is done between them counts for the second.
    pub(crate) fn lap(&mut self) {
        let now = Instant::now();
        if self.clock.window().is_some_and(|window| window.holds(now)) {
            self.latencies.push(nanos(now - self.begun));
        }
        self.begun = now;
    }
}

/// Nanoseconds as they are kept.
pub(crate) fn nanos(time: Duration) -> u32 {
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}

/// What was seen of a server during a window.
pub(crate) struct Seen {
    /// What was taken of the machine.
    pub(crate) usage: Usage,
    /// The most memory of the server, in MiB.
    pub(crate) resident_mib: f64,
}

/// Does some work, and looks at a server while the window is open.
///
/// # Errors
/// Those of the work, or the server is gone.
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
        // What went wrong with the work explains more.
        let done = working.join().map_err(|_| anyhow!("the client panicked"))??;
        Ok((seen?, done))
    })
}

fn look(server: &Process, window: Window) -> anyhow::Result<Seen> {
    thread::sleep(window.start.saturating_duration_since(Instant::now()));
    let before = Sample::take(server.id())?;
    let mut most = resident_mib(server.id())?;
    while let Some(left) =
        window.end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    {
        thread::sleep(left.min(LOOK));
        most = most.max(resident_mib(server.id())?);
    }
    Ok(Seen { usage: before.until(&Sample::take(server.id())?), resident_mib: most })
}

/// Lets every client of a pool do a job until the window is over.
///
/// # Errors
/// Those of the job, and everything that keeps the clients from asking.
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

/// Asks on every connection as soon as it has its answer.
///
/// # Errors
/// An answer that has not the right status and length, and those of [`drive`].
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
