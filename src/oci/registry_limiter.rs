//! `RegistryLimiter`: the pace of requests to one registry, shared by all imports of the process.
//!
//! A request first waits for one of a few slots, which namespaces get in turns, then for a token of
//! the rate. Refusals of the registry (429) reduce both, failed connections reduce the slots, and
//! `Retry-After` pauses requests with the same credential.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{self, Instant};

use super::options::PacingOptions;
use super::pace::RegistryPace;
use super::slot_queue::{QueueTicket, SlotQueue};
use super::throttle::{Throttle, ThrottleReason};
use crate::runtime::TokenBucket;

/// Maximum number of requests of a namespace that wait for a registry.
const MAX_WAITING: usize = 512;
/// Time in which the largest burst of requests is saved up.
const BURST: Duration = Duration::from_secs(5);
/// Time after which a request that could not wait may be tried again.
const BUSY_DELAY: Duration = Duration::from_secs(10);
/// Longest pause that is respected.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// Maximum number of credentials that are paused. Beyond it, the pause that ends first is dropped.
const MAX_PAUSES: usize = 256;

/// The limits of one registry.
#[derive(Debug)]
pub(super) struct RegistryLimiter {
    slots: usize,
    state: Mutex<RegistryState>,
}

#[derive(Debug)]
struct RegistryState {
    held: usize,
    queue: SlotQueue<oneshot::Sender<RequestSlot>>,
    bucket: TokenBucket,
    /// RegistryPace after refusals.
    pace: RegistryPace,
    /// RegistryPace after failed connections.
    health: RegistryPace,
    /// Ends of pauses by credential.
    pauses: HashMap<CredentialHash, Instant>,
}

/// Identity of a credential, or of having none, as a keyed hash.
pub(super) type CredentialHash = u64;

/// A request in flight. The slot is free again after the drop.
#[derive(Debug)]
pub(super) struct RequestSlot {
    limiter: Arc<RegistryLimiter>,
}

/// Removes a waiter from the queue on drop.
struct QueuedRequest<'a> {
    limiter: &'a RegistryLimiter,
    namespace: &'a str,
    ticket: QueueTicket,
}

impl RegistryLimiter {
    /// Limits without requests.
    pub(super) fn new(options: PacingOptions, now: Instant) -> Arc<Self> {
        let rate = options.registry_requests_per_second.per_second();
        let state = RegistryState {
            held: 0,
            queue: SlotQueue::new(MAX_WAITING),
            bucket: TokenBucket::full(rate, rate * BURST.as_secs_f64(), now),
            pace: RegistryPace::usual(now),
            health: RegistryPace::usual(now),
            pauses: HashMap::new(),
        };
        let slots = options.max_requests_inflight_per_registry.get().into();
        Arc::new(Self { slots, state: Mutex::new(state) })
    }

    /// Waits until a request of a namespace may be sent.
    ///
    /// # Errors
    /// The registry asked for a pause, or too many requests of the namespace wait.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        namespace: &Arc<str>,
        credential: CredentialHash,
    ) -> Result<RequestSlot, Throttle> {
        self.check_pause(credential)?;
        let slot = self.slot(namespace).await?;
        let delay = {
            let (mut state, now) = (self.state.lock(), Instant::now());
            let part = state.pace.part(now);
            state.bucket.take(now, part)
        };
        if !delay.is_zero() {
            time::sleep(delay).await;
        }
        // The registry may have asked for a pause meanwhile.
        self.check_pause(credential)?;
        Ok(slot)
    }

    /// Records that the registry refused a request because there were too many.
    pub(super) fn record_refusal(&self, sent: Instant) {
        let (mut state, now) = (self.state.lock(), Instant::now());
        state.pace.halve(now, sent);
        state.bucket.empty();
    }

    /// Records that the registry asked for a pause.
    pub(super) fn record_pause(&self, credential: CredentialHash, pause: Duration) {
        let (mut state, now) = (self.state.lock(), Instant::now());
        let pauses = &mut state.pauses;
        pauses.retain(|_, end| *end > now);
        if pauses.len() >= MAX_PAUSES {
            let first = pauses.iter().min_by_key(|(_, end)| **end).map(|(key, _)| *key);
            if let Some(first) = first {
                pauses.remove(&first);
            }
        }
        let end = now + pause.min(LONGEST_PAUSE);
        let kept = pauses.entry(credential).or_insert(end);
        *kept = (*kept).max(end);
    }

    /// Records that a request got no response.
    pub(super) fn record_failure(&self, sent: Instant) {
        self.state.lock().health.halve(Instant::now(), sent);
    }

    /// Returns true if the limits are those of a registry without requests.
    pub(super) fn is_unused(&self, now: Instant) -> bool {
        let state = self.state.lock();
        let is_usual = |pace: RegistryPace| pace.part(now) >= 1.0;
        state.held == 0
            && state.queue.is_empty()
            && is_usual(state.pace)
            && is_usual(state.health)
            && state.pauses.values().all(|end| *end <= now)
    }

    fn check_pause(&self, credential: CredentialHash) -> Result<(), Throttle> {
        let state = self.state.lock();
        let Some(end) = state.pauses.get(&credential) else { return Ok(()) };
        let retry_after = end.saturating_duration_since(Instant::now());
        match retry_after.is_zero() {
            true => Ok(()),
            false => Err(Throttle { reason: ThrottleReason::Paused, retry_after }),
        }
    }

    async fn slot(self: &Arc<Self>, namespace: &Arc<str>) -> Result<RequestSlot, Throttle> {
        let (sender, granted) = oneshot::channel();
        let ticket = self.state.lock().queue.push(namespace, sender);
        let busy = Throttle { reason: ThrottleReason::Busy, retry_after: BUSY_DELAY };
        let ticket = ticket.ok_or(busy)?;
        let _queued = QueuedRequest { limiter: self, namespace, ticket };
        self.dispatch();
        Ok(granted.await.expect("only this future removes an ungranted waiter"))
    }

    /// Grants free slots to waiters.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let Some(waiter) = self.state.lock().next_waiter(self.slots) else { return };
            // Outside of the lock: a waiter that has gone returns its slot, which takes the lock.
            drop(waiter.send(RequestSlot { limiter: self.clone() }));
        }
    }
}

impl RegistryState {
    /// Takes a slot for the waiter whose turn it is, if one is free.
    fn next_waiter(&mut self, slots: usize) -> Option<oneshot::Sender<RequestSlot>> {
        let now = Instant::now();
        let part = self.pace.part(now).min(self.health.part(now));
        if self.held >= usable(slots, part) {
            return None;
        }
        let waiter = self.queue.pop()?;
        self.held += 1;
        Some(waiter)
    }
}

impl RequestSlot {
    /// The limits that the slot belongs to.
    pub(super) fn limiter(&self) -> &RegistryLimiter {
        &self.limiter
    }
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        self.limiter.state.lock().held -= 1;
        self.limiter.dispatch();
    }
}

impl Drop for QueuedRequest<'_> {
    fn drop(&mut self) {
        self.limiter.state.lock().queue.remove(self.namespace, self.ticket);
    }
}

/// The slots at a part of the usual pace, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the result lies between 0 and a small number of slots"
)]
fn usable(slots: usize, part: f64) -> usize {
    ((slots as f64 * part) as usize).max(1)
}

#[cfg(test)]
mod tests;
