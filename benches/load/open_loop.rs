//! Open-loop load: requests at a fixed rate, independent of the server's speed. Latency counts from
//! the due time of a request, even if its connection still waits for an earlier response, so a
//! stalled server is charged for all requests due during the stall.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::client_pool::ClientPool;
use crate::figures::Latencies;
use crate::process::Process;
use crate::questions::Questions;
use crate::turn::{Clock, GLANCE, nanos};
use fastrand::Rng;

/// Sends this many requests per second until the window closes and returns the latencies of those
/// due in it. Its connections count as clients of the clock.
///
/// # Errors
/// A response with a wrong status or length, or a failure of the client.
pub(crate) fn ask(
    pool: &ClientPool,
    server: &Process,
    questions: &Questions,
    rate: u32,
    clock: &Clock,
) -> anyhow::Result<Latencies> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..pool.connections).map(|_| unbounded_channel()).unzip();
    let receivers: Vec<Mutex<Option<UnboundedReceiver<Instant>>>> =
        receivers.into_iter().map(|receiver| Mutex::new(Some(receiver))).collect();
    thread::scope(|scope| {
        // A separate thread, because runtime timers are too coarse: they would send bursts.
        scope.spawn(move || pace(&senders, rate, clock));
        let parts = pool.run(server.address, clock.limit(), async |connection, number| {
            let due = receivers[number].lock().unwrap_or_else(PoisonError::into_inner).take();
            let mut due = due.context("a connection has its own schedule")?;
            clock.arrive();
            let (mut rng, mut latencies) = (Rng::with_seed(number as u64), Vec::new());
            while let Some(due) = due.recv().await {
                let number = rng.usize(..questions.len());
                let answer = connection.exchange(questions.request(number)).await?;
                questions.check_shape(number, &answer)?;
                if clock.window().is_some_and(|window| window.holds(due)) {
                    latencies.push(nanos(due.elapsed()));
                }
            }
            Ok(latencies)
        })?;
        Ok(Latencies::of(parts))
    })
}

/// Sends each connection its next due time, once all clients are ready.
fn pace(connections: &[UnboundedSender<Instant>], rate: u32, clock: &Clock) {
    let deadline = Instant::now() + clock.limit();
    let window = loop {
        match clock.window() {
            Some(window) => break window,
            // A client failed and has already reported it.
            None if Instant::now() >= deadline => return,
            None => thread::sleep(GLANCE),
        }
    };
    let begun = Instant::now();
    for (number, connection) in (0_u32..).zip(connections.iter().cycle()) {
        let due = begun + Duration::from_secs(1) * number / rate;
        if due >= window.end {
            return;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A failed connection has already reported its error.
        let _ = connection.send(due);
    }
}
