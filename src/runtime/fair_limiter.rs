//! A limit that flows share fairly.
//!
//! A place or a byte cannot be taken back from its holder, so each level and each flow has a maximum
//! of its own: a flow that never releases its part leaves the rest to others. Within these maxima an acquisition succeeds at once while there is capacity. Otherwise
//! it waits in the queue of its flow. Released capacity goes to the waiting flow that holds the
//! least in proportion to its shares.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::flow::{Flow, PriorityLevel};

/// A capacity that is shared fairly.
#[derive(Debug)]
pub struct FairLimiter {
    options: FairLimit,
    state: Mutex<LimiterState>,
}

/// The settings of a [`FairLimiter`].
#[derive(Clone, Copy, Debug)]
pub struct FairLimit {
    /// The capacity in units, such as requests or bytes.
    pub capacity: u64,
    /// The maximum number of acquisitions of one flow that wait.
    pub queue: usize,
    /// The maximum time that an acquisition waits.
    pub wait: Duration,
}

/// A part of the capacity, released on drop.
#[derive(Debug)]
pub struct FairShare {
    limiter: Arc<FairLimiter>,
    flow: Flow,
    amount: u64,
}

/// The reason why an acquisition failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Too many acquisitions of the flow wait.
    QueueFull,
    /// No capacity was released in time.
    TimedOut,
    /// The amount does not fit, and the acquisition does not wait.
    AtLimit,
}

/// The use of a limit by the flows of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelUsage {
    /// The units in use.
    pub held: u64,
    /// The number of acquisitions that wait.
    pub waiting: usize,
}

#[derive(Debug, Default)]
struct LimiterState {
    held_in_all: u64,
    held_by_level: [u64; PriorityLevel::ALL.len()],
    held_by_flow: FlowMap<u64>,
    queues: FlowMap<VecDeque<Waiter>>,
    next_ticket: u64,
}

type FlowKey = (PriorityLevel, u64);
type FlowMap<V> = HashMap<FlowKey, V, BuildHasherDefault<FlowHasher>>;

/// A hasher for the identities of flows, which are keyed hashes already.
#[derive(Default)]
struct FlowHasher(u64);

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    turn: Turn,
    flow: Flow,
    amount: u64,
    granted: oneshot::Sender<FairShare>,
}

/// The place of a waiter in the queue of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Before all new work, in a queue without a limit.
    Continued,
    /// At the end of a queue with a limit.
    New,
}

/// Removes a waiter from its queue on drop.
struct Waiting<'a> {
    limiter: &'a FairLimiter,
    flow: Flow,
    ticket: u64,
}

impl FairLimit {
    /// The maximum that the flows of a level hold together. Users leave a part to the system.
    pub fn of_level(&self, level: PriorityLevel) -> u64 {
        match level {
            PriorityLevel::Exempt => u64::MAX,
            PriorityLevel::System => self.capacity,
            PriorityLevel::Users => self.capacity - self.capacity / 4,
            PriorityLevel::Unauthenticated => self.capacity.div_ceil(16),
        }
    }

    /// The maximum that a flow holds: a quarter of its level for each share.
    pub fn of_flow(&self, flow: Flow) -> u64 {
        let level = self.of_level(flow.level);
        level.div_ceil(4).saturating_mul(flow.shares.get().into()).min(level)
    }
}

impl FairLimiter {
    /// A limiter with all of its capacity free.
    pub fn new(options: FairLimit) -> Arc<Self> {
        Arc::new(Self { options, state: Mutex::default() })
    }

    /// Takes an amount without waiting; none if it does not fit or the flow has waiters.
    ///
    /// A flow that holds nothing may exceed its own maximum. An amount over the maximum of the
    /// level counts as that maximum, so it is granted when the level is idle.
    pub fn try_acquire(self: &Arc<Self>, flow: Flow, amount: u64) -> Option<FairShare> {
        let amount = self.charged(flow, amount);
        let mut state = self.state.lock();
        let is_next = !state.queues.contains_key(&key(flow));
        (is_next && state.take(&self.options, flow, amount)).then(|| self.share(flow, amount))
    }

    /// Takes an amount, after waiting if necessary. See [`Self::try_acquire`].
    ///
    /// # Errors
    /// The queue of the flow is full, or the time is over.
    pub async fn acquire(self: &Arc<Self>, flow: Flow, amount: u64) -> Result<FairShare, Refusal> {
        if let Some(share) = self.try_acquire(flow, amount) {
            return Ok(share);
        }
        let waiting = self.enqueue(flow, amount, Turn::New)?;
        timeout(self.options.wait, self.granted(waiting)).await.map_err(|_| Refusal::TimedOut)
    }

    /// Takes an amount for work that has begun, which can no longer be refused: it waits as long as
    /// necessary, before new acquisitions of its flow. Such work should hold little of the capacity
    /// while it waits.
    pub async fn acquire_continued(self: &Arc<Self>, flow: Flow, amount: u64) -> FairShare {
        if let Some(share) = self.try_acquire(flow, amount) {
            return share;
        }
        match self.enqueue(flow, amount, Turn::Continued) {
            Ok(waiting) => self.granted(waiting).await,
            Err(_) => unreachable!("the queue of continued work has no limit"),
        }
    }

    async fn granted(
        self: &Arc<Self>,
        (ticket, flow, grant): (u64, Flow, oneshot::Receiver<FairShare>),
    ) -> FairShare {
        let _waiting = Waiting { limiter: self, flow, ticket };
        // Capacity may have been released since the last attempt.
        self.dispatch();
        grant.await.expect("only this future removes an ungranted waiter")
    }

    /// The use of the limit, in the order of [`PriorityLevel::ALL`].
    pub fn usage(&self) -> [LevelUsage; PriorityLevel::ALL.len()] {
        let state = self.state.lock();
        PriorityLevel::ALL.map(|level| {
            let queues = state.queues.iter().filter(|((of, _), _)| *of == level);
            LevelUsage {
                held: state.held_by_level[level as usize],
                waiting: queues.map(|(_, queue)| queue.len()).sum(),
            }
        })
    }

    /// The settings.
    pub fn options(&self) -> &FairLimit {
        &self.options
    }

    fn charged(&self, flow: Flow, amount: u64) -> u64 {
        amount.min(self.options.of_level(flow.level))
    }

    fn share(self: &Arc<Self>, flow: Flow, amount: u64) -> FairShare {
        FairShare { limiter: Arc::clone(self), flow, amount }
    }

    fn enqueue(
        &self,
        flow: Flow,
        amount: u64,
        turn: Turn,
    ) -> Result<(u64, Flow, oneshot::Receiver<FairShare>), Refusal> {
        let amount = self.charged(flow, amount);
        let mut state = self.state.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let queue = state.queues.get(&key(flow));
        let length = queue.map_or(0, VecDeque::len);
        let continued =
            queue.map_or(0, |queue| queue.partition_point(|each| each.turn == Turn::Continued));
        let position = match turn {
            Turn::Continued => continued,
            Turn::New if length - continued < self.options.queue => length,
            Turn::New => return Err(Refusal::QueueFull),
        };
        let (granted, grant) = oneshot::channel();
        let waiter = Waiter { ticket, turn, flow, amount, granted };
        state.queues.entry(key(flow)).or_default().insert(position, waiter);
        Ok((ticket, flow, grant))
    }

    /// Grants free capacity to waiters.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let Some(waiter) = self.state.lock().next_waiter(&self.options) else {
                return;
            };
            let share = self.share(waiter.flow, waiter.amount);
            // Outside of the lock: a waiter that has gone returns its share, which takes the lock.
            drop(waiter.granted.send(share));
        }
    }

    fn release(self: &Arc<Self>, flow: Flow, amount: u64) {
        let has_waiters = {
            let mut state = self.state.lock();
            state.give_back(flow, amount);
            !state.queues.is_empty()
        };
        if has_waiters {
            self.dispatch();
        }
    }
}

fn key(flow: Flow) -> FlowKey {
    (flow.level, flow.id)
}

impl Refusal {
    /// The reason in metrics, as in k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing.
    pub fn reason(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::TimedOut => "time-out",
            Self::AtLimit => "concurrency-limit",
        }
    }
}

impl Hasher for FlowHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = self.0.rotate_left(32) ^ word;
    }

    fn write_isize(&mut self, discriminant: isize) {
        self.write_u64(discriminant as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl LimiterState {
    fn held(&self, flow: Flow) -> u64 {
        self.held_by_flow.get(&key(flow)).copied().unwrap_or(0)
    }

    fn fits(&self, options: &FairLimit, flow: Flow, amount: u64) -> bool {
        if flow.level == PriorityLevel::Exempt {
            return true;
        }
        let held = self.held(flow);
        let level = self.held_by_level[flow.level as usize];
        self.held_in_all.saturating_add(amount) <= options.capacity
            && level.saturating_add(amount) <= options.of_level(flow.level)
            && (held == 0 || held.saturating_add(amount) <= options.of_flow(flow))
    }

    /// Takes an amount if it fits.
    fn take(&mut self, options: &FairLimit, flow: Flow, amount: u64) -> bool {
        let fits = self.fits(options, flow, amount);
        if fits {
            self.held_in_all = self.held_in_all.saturating_add(amount);
            let level = &mut self.held_by_level[flow.level as usize];
            *level = level.saturating_add(amount);
            let held = self.held_by_flow.entry(key(flow)).or_default();
            *held = held.saturating_add(amount);
        }
        fits
    }

    fn give_back(&mut self, flow: Flow, amount: u64) {
        self.held_in_all = self.held_in_all.saturating_sub(amount);
        let level = &mut self.held_by_level[flow.level as usize];
        *level = level.saturating_sub(amount);
        if let Some(held) = self.held_by_flow.get_mut(&key(flow)) {
            *held = held.saturating_sub(amount);
            if *held == 0 {
                self.held_by_flow.remove(&key(flow));
            }
        }
    }

    /// Takes the amount of the waiter that comes next, if any fits.
    ///
    /// A waiter that does not fit does not delay smaller ones of other flows: it waits for a
    /// bounded time, and they are not at fault.
    fn next_waiter(&mut self, options: &FairLimit) -> Option<Waiter> {
        let heads = self.queues.values().filter_map(VecDeque::front);
        let fitting = heads.filter(|head| self.fits(options, head.flow, head.amount));
        let next = fitting.min_by_key(|head| {
            let per_share = self.held(head.flow) / u64::from(head.flow.shares.get());
            (head.flow.level as usize, per_share, head.ticket)
        });
        let flow = next?.flow;
        let waiter = self.remove_waiter(flow, 0)?;
        self.take(options, waiter.flow, waiter.amount);
        Some(waiter)
    }

    fn remove_waiter(&mut self, flow: Flow, position: usize) -> Option<Waiter> {
        let queue = self.queues.get_mut(&key(flow))?;
        let waiter = queue.remove(position);
        if queue.is_empty() {
            self.queues.remove(&key(flow));
        }
        waiter
    }
}

impl FairShare {
    /// The amount that it counts.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Releases what exceeds `amount`.
    pub fn shrink_to(&mut self, amount: u64) {
        let excess = self.amount.saturating_sub(amount);
        if excess > 0 {
            self.amount = amount;
            self.limiter.release(self.flow, excess);
        }
    }

    /// Splits off a share of `amount`, or of everything if it is less.
    pub fn split(&mut self, amount: u64) -> Self {
        let amount = amount.min(self.amount);
        self.amount -= amount;
        Self { limiter: Arc::clone(&self.limiter), flow: self.flow, amount }
    }
}

impl Drop for FairShare {
    fn drop(&mut self) {
        self.limiter.release(self.flow, self.amount);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.state.lock();
        let queue = state.queues.get(&key(self.flow));
        let position =
            queue.and_then(|queue| queue.iter().position(|each| each.ticket == self.ticket));
        if let Some(position) = position {
            state.remove_waiter(self.flow, position);
        }
    }
}

#[cfg(test)]
mod tests;
