//! `BodyMemory`: the memory of large bodies while they are read, which namespaces share.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::throttle::{Throttle, ThrottleReason};
use crate::runtime::{FairLimit, FairLimiter, FairShare, Flow, PriorityLevel};

/// Memory of all bodies, in bytes. A namespace has at most a quarter: two of the largest bodies.
const ALL_BODIES: u64 = 64 << 20;
/// The limit, of which a level of flows has three quarters.
const LIMIT: FairLimit =
    FairLimit { capacity: ALL_BODIES / 3 * 4, queue: 1_024, wait: Duration::from_secs(30) };
/// Bytes of each body that are not counted. Most manifests and configurations are smaller, and the
/// number of bodies is bounded.
const UNCOUNTED: usize = 64 << 10;
/// Bytes that are reserved at once for a body of unknown length.
const STEP: usize = 256 << 10;

/// Memory of the bodies of all imports.
pub(super) struct BodyMemory {
    limiter: Arc<FairLimiter>,
    hasher: RandomState,
}

/// Memory of one body, released on drop.
pub(super) struct BodyShare {
    limiter: Arc<FairLimiter>,
    flow: Flow,
    reserved: usize,
    shares: Vec<FairShare>,
}

impl BodyMemory {
    /// Memory with nothing in use.
    pub(super) fn new() -> Self {
        Self::with(LIMIT)
    }

    fn with(limit: FairLimit) -> Self {
        Self { limiter: FairLimiter::new(limit), hasher: RandomState::new() }
    }

    /// Starts a body for a namespace.
    pub(super) fn share(&self, namespace: &str) -> BodyShare {
        let id = self.hasher.hash_one(namespace);
        let flow = Flow { level: PriorityLevel::Users, id, shares: NonZeroU32::MIN };
        let limiter = self.limiter.clone();
        BodyShare { limiter, flow, reserved: UNCOUNTED, shares: Vec::new() }
    }
}

impl BodyShare {
    /// Reserves memory for a body of `bytes` in all, after waiting if necessary. Called when the
    /// first bytes have arrived, with the declared length, so that a registry that sends nothing
    /// holds nothing, and bodies of a known length do not wait for each other half-way.
    ///
    /// # Errors
    /// Other bodies hold the memory for too long.
    pub(super) async fn grow_to(&mut self, bytes: usize) -> Result<(), Throttle> {
        if self.reserved < bytes {
            let missing = (bytes - self.reserved).next_multiple_of(STEP);
            let share = self.limiter.acquire(self.flow, missing as u64).await;
            let retry_after = self.limiter.options().wait;
            let refused = |_| Throttle { reason: ThrottleReason::Memory, retry_after };
            self.shares.push(share.map_err(refused)?);
            self.reserved += missing;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn namespace_leaves_memory_to_others() {
        let wait = Duration::from_millis(20);
        let memory = BodyMemory::with(FairLimit { wait, ..LIMIT });
        let mut bodies = Vec::new();
        for _ in 0..2 {
            let mut body = memory.share("busy");
            body.grow_to(UNCOUNTED).await.unwrap();
            body.grow_to(8 << 20).await.unwrap();
            bodies.push(body);
        }
        let refused = memory.share("busy").grow_to(8 << 20).await.unwrap_err();
        assert_eq!((refused.reason, refused.retry_after), (ThrottleReason::Memory, wait));
        memory.share("busy").grow_to(UNCOUNTED).await.unwrap();
        memory.share("quiet").grow_to(8 << 20).await.unwrap();
        bodies.pop();
        memory.share("busy").grow_to(8 << 20).await.unwrap();
    }
}
