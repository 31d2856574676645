//! Requests at a fixed rate, whatever the server does: each has a time at which it is due, and its latency counts from
//! then, also when its connection was still waiting for an earlier answer. So a server that stands still for a moment
//! pays for all the requests of that moment.

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

/// Asks at this many requests a second until the window is over; gives the latencies of those that were due in it. Its
/// connections are among the clients of the clock.
///
/// # Errors
/// An answer that has not the right status and length, and everything that keeps the client from asking.
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
        // A thread of its own, because timers of a runtime are too coarse: they would send bursts.
        scope.spawn(move || pace(&senders, rate, clock));
        let parts = pool.run(server.address, clock.limit(), async |connection, number| {
            let due = receivers[number].lock().unwrap_or_else(PoisonError::into_inner).take();
            let mut due = due.context("a connection has its own times")?;
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

/// Tells one connection after the other when its next request is due, once all clients are there.
fn pace(connections: &[UnboundedSender<Instant>], rate: u32, clock: &Clock) {
    let deadline = Instant::now() + clock.limit();
    let window = loop {
        match clock.window() {
            Some(window) => break window,
            // Some client failed, and has told so.
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
        // A connection that failed has told so.
        let _ = connection.send(due);
    }
}
