//! A limit that flows share fairly.
//!
//! What the limit counts (requests, bytes) cannot be taken back from its holder, so each level and
//! each flow has a maximum of its own: a flow that never releases its part leaves the rest to
//! others. Within these maxima an acquisition succeeds at once while there is capacity. Otherwise
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
    flow: Flow,
    amount: u64,
    granted: oneshot::Sender<FairShare>,
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
        let (granted, grant) = oneshot::channel();
        let ticket = self.enqueue(flow, amount, granted)?;
        let _waiting = Waiting { limiter: self, flow, ticket };
        // Capacity may have been released since the attempt above.
        self.dispatch();
        let grant = timeout(self.options.wait, grant).await.map_err(|_| Refusal::TimedOut)?;
        Ok(grant.expect("only this future removes an ungranted waiter"))
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
        granted: oneshot::Sender<FairShare>,
    ) -> Result<u64, Refusal> {
        let amount = self.charged(flow, amount);
        let mut state = self.state.lock();
        if state.queues.get(&key(flow)).map_or(0, VecDeque::len) >= self.options.queue {
            return Err(Refusal::QueueFull);
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let waiter = Waiter { ticket, flow, amount, granted };
        state.queues.entry(key(flow)).or_default().push_back(waiter);
        Ok(ticket)
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
mod tests {
    use std::num::NonZeroU32;

    use futures_util::FutureExt;

    use super::*;

    const LIMIT: FairLimit = FairLimit { capacity: 32, queue: 2, wait: Duration::from_secs(3600) };

    fn user(id: u64) -> Flow {
        Flow { level: PriorityLevel::Users, id, shares: NonZeroU32::MIN }
    }

    fn stranger(id: u64) -> Flow {
        Flow { level: PriorityLevel::Unauthenticated, ..user(id) }
    }

    fn system(id: u64) -> Flow {
        Flow { level: PriorityLevel::System, ..user(id) }
    }

    fn with_shares(id: u64, shares: u32) -> Flow {
        Flow { shares: NonZeroU32::new(shares).unwrap(), ..user(id) }
    }

    fn take_all(limiter: &Arc<FairLimiter>, flow: Flow) -> Vec<FairShare> {
        std::iter::from_fn(|| limiter.try_acquire(flow, 1)).collect()
    }

    #[test]
    fn flow_and_level_have_a_maximum() {
        let limiter = FairLimiter::new(LIMIT);
        let held: Vec<_> = (0..9).map(|id| take_all(&limiter, user(id))).collect();
        let sizes: Vec<_> = held.iter().map(Vec::len).collect();
        assert_eq!(sizes, [6, 6, 6, 6, 0, 0, 0, 0, 0]);
        assert_eq!(take_all(&limiter, stranger(1)).len(), 1);
        assert_eq!(take_all(&limiter, system(1)).len(), 8);
        assert!(limiter.try_acquire(Flow::INTERNAL, 100).is_some());
        drop(held);
        assert_eq!(limiter.usage(), [LevelUsage::default(); 4]);
    }

    #[test]
    fn shares_multiply_the_maximum_of_a_flow() {
        let limiter = FairLimiter::new(LIMIT);
        assert_eq!(take_all(&limiter, with_shares(1, 2)).len(), 12);
        assert_eq!(take_all(&limiter, with_shares(1, 100)).len(), 24);
    }

    #[test]
    fn amount_over_a_maximum_is_granted_alone() {
        let limiter = FairLimiter::new(LIMIT);
        let share = limiter.try_acquire(user(1), u64::MAX).unwrap();
        assert_eq!(share.amount(), 24);
        assert!(limiter.try_acquire(user(2), 1).is_none());
        drop(share);
        let mut large = limiter.try_acquire(user(1), 20).unwrap();
        assert!(limiter.try_acquire(user(1), 1).is_none());
        large.shrink_to(5);
        assert!(limiter.try_acquire(user(1), 1).is_some());
        assert!(limiter.try_acquire(user(2), 20).is_none());
    }

    #[tokio::test]
    async fn released_capacity_goes_to_the_flow_that_holds_least() {
        let limiter = FairLimiter::new(LIMIT);
        let mut held: Vec<_> = (1..=4).map(|id| take_all(&limiter, user(id))).collect();
        let mut greedy = Box::pin(limiter.acquire(user(1), 1));
        assert!(greedy.as_mut().now_or_never().is_none());
        let mut modest = Box::pin(limiter.acquire(user(9), 1));
        assert!(modest.as_mut().now_or_never().is_none());
        // The first waiter is at its own maximum until one of its shares is released.
        held[0].pop();
        let share = modest.now_or_never().unwrap().unwrap();
        assert!(greedy.as_mut().now_or_never().is_none());
        drop(share);
        assert!(greedy.now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn queue_of_a_flow_is_bounded() {
        let limiter = FairLimiter::new(LIMIT);
        let _held = take_all(&limiter, user(1));
        let mut waiting: Vec<_> =
            (0..LIMIT.queue).map(|_| Box::pin(limiter.acquire(user(1), 1))).collect();
        assert!(waiting.iter_mut().all(|each| each.as_mut().now_or_never().is_none()));
        let refused = limiter.acquire(user(1), 1).now_or_never().unwrap();
        assert_eq!(refused.unwrap_err(), Refusal::QueueFull);
        assert!(limiter.acquire(user(2), 1).now_or_never().unwrap().is_ok());
        // A dropped waiter leaves its place to another.
        waiting.pop();
        let mut another = Box::pin(limiter.acquire(user(1), 1));
        assert!(another.as_mut().now_or_never().is_none());
        assert_eq!(limiter.usage()[PriorityLevel::Users as usize].waiting, LIMIT.queue);
    }

    #[tokio::test]
    async fn wait_is_bounded() {
        let limiter = FairLimiter::new(FairLimit { wait: Duration::from_millis(1), ..LIMIT });
        let _held = take_all(&limiter, user(1));
        assert_eq!(limiter.acquire(user(1), 1).await.unwrap_err(), Refusal::TimedOut);
        assert_eq!(limiter.usage()[PriorityLevel::Users as usize].waiting, 0);
    }

    #[tokio::test]
    async fn share_of_a_waiter_that_has_gone_is_released() {
        let limiter = FairLimiter::new(LIMIT);
        let held = take_all(&limiter, user(1));
        let mut waiter = Box::pin(limiter.acquire(user(1), 1));
        assert!(waiter.as_mut().now_or_never().is_none());
        drop(held);
        drop(waiter);
        assert_eq!(limiter.usage(), [LevelUsage::default(); 4]);
    }

    #[tokio::test]
    async fn large_waiter_does_not_delay_small_ones() {
        let limiter = FairLimiter::new(LIMIT);
        let mut held = take_all(&limiter, user(1));
        held.extend(take_all(&limiter, user(2)));
        let mut large = Box::pin(limiter.acquire(user(3), 24));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(limiter.acquire(user(4), 1).now_or_never().unwrap().is_ok());
        drop(held);
        assert!(large.now_or_never().unwrap().is_ok());
    }
}
