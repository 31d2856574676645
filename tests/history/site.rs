//! Shared parts of a run: servers, clock, and the pushes that all clients know.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::record::{Moment, Number, Object};
use crate::support::client::Client;

/// Pushes that clients read and, when more follow, whose images they delete.
const PUSHES: usize = 48;

/// Servers that share a store, and the state of a run.
pub(crate) struct Site {
    servers: Vec<RwLock<Client>>,
    begun: Instant,
    numbers: AtomicU64,
    pushes: Mutex<VecDeque<(Object, Number)>>,
    failures: Mutex<BTreeMap<String, u64>>,
    stopped: AtomicBool,
    /// Longest wait of a client for a response.
    pub(crate) patience: Duration,
}

impl Site {
    pub(crate) fn new(servers: Vec<Client>, patience: Duration) -> Self {
        Self {
            servers: servers.into_iter().map(RwLock::new).collect(),
            begun: Instant::now(),
            numbers: AtomicU64::new(1),
            pushes: Mutex::default(),
            failures: Mutex::default(),
            stopped: AtomicBool::new(false),
            patience,
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.servers.len()
    }

    pub(crate) fn server(&self, at: usize) -> Client {
        self.servers[at].read().clone()
    }

    /// Sets the client of a server that was started again.
    pub(crate) fn replace(&self, at: usize, client: Client) {
        *self.servers[at].write() = client;
    }

    pub(crate) fn now(&self) -> Moment {
        u64::try_from(self.begun.elapsed().as_nanos()).expect("a run takes less than 584 years")
    }

    pub(crate) fn next_number(&self) -> Number {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of operations that have been called.
    pub(crate) fn called(&self) -> u64 {
        self.numbers.load(Ordering::Relaxed) - 1
    }

    /// Makes a push known to all clients. Returns one that is old enough to be deleted.
    pub(crate) fn add_push(&self, stream: Object, push: Number) -> Option<Number> {
        let mut pushes = self.pushes.lock();
        pushes.push_back((stream, push));
        let old = pushes.len() > PUSHES;
        old.then(|| pushes.pop_front().map(|(_, push)| push)).flatten()
    }

    /// One of the known pushes, with its stream.
    pub(crate) fn some_push(&self, random: &mut fastrand::Rng) -> Option<(Object, Number)> {
        let pushes = self.pushes.lock();
        (!pushes.is_empty()).then(|| pushes[random.usize(..pushes.len())])
    }

    pub(crate) fn count_failure(&self, cause: String) {
        *self.failures.lock().entry(cause).or_default() += 1;
    }

    /// Failures by cause.
    pub(crate) fn failures(&self) -> BTreeMap<String, u64> {
        self.failures.lock().clone()
    }

    /// Lets all clients end after their current operation.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}
