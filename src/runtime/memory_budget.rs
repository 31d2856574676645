//! The memory that requests may use together, shared fairly by their users.
//!
//! The budget has parts, each a [`FairLimiter`](super::FairLimiter) over bytes. A holder of
//! one part may wait for another one, in the order of [`MemoryUse`], but never for more of the same
//! part. So no two requests wait for each other, and clients that read slowly leave memory for
//! work.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::fair_limiter::{FairLimit, FairShare, Refusal};
use super::flow::{Flow, PriorityLevel};
use super::memory_limit::{MemoryLimit, MemorySource};
use super::metered_limiter::MeteredLimiter;
use crate::meta::byte_size;
use crate::telemetry::flow_metrics::SharedLimit;
use crate::telemetry::metrics::Metrics;

/// Flags of the memory budget.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Limits and overload")]
pub struct MemoryOptions {
    /// Memory for requests, at least 64Mi; the default is half of the memory limit.
    ///
    /// Request bodies, what they decode to, stored objects that a request reads, responses and
    /// unread watch events count, from 64 KiB for a request and 4 KiB for a watch. Requests over it
    /// wait up to 10s, then get 429. The memory limit is that of the control group. Without one, the
    /// default is a quarter of the machine's memory, at most 1Gi.
    #[arg(long, value_name = "BYTES", value_parser = budget)]
    pub memory_budget: Option<u64>,
}

/// The memory that requests may use together.
#[derive(Clone)]
pub struct MemoryBudget {
    bodies: MeteredLimiter,
    values: MeteredLimiter,
    requests: MeteredLimiter,
    reviews: MeteredLimiter,
    watches: MeteredLimiter,
}

/// The account that the memory of a request is charged to.
#[derive(Clone)]
pub struct BudgetAccount {
    /// The budget of all requests.
    pub budget: MemoryBudget,
    /// The user.
    pub flow: Flow,
}

/// A use of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryUse {
    /// Bodies of requests as they arrive: an eighth of the budget.
    Bodies,
    /// Decoded values of bodies: five sixteenths.
    Values,
    /// Stored objects and responses: six sixteenths.
    Requests,
    /// Responses of admission webhooks as they arrive: a sixteenth.
    Reviews,
    /// Events that a watch encodes, and that its client has not read: an eighth.
    Watches,
}

/// The part of the budget that the memory limit of the process allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChosenBudget {
    /// The size in bytes.
    pub bytes: u64,
    /// The origin of the size, for the log.
    pub source: &'static str,
}

/// The smallest budget, which lets one request with a body of the maximum size pass.
const MIN_BUDGET: u64 = 64 << 20;
/// The largest default without a memory limit.
const MAX_WITHOUT_LIMIT: u64 = 1 << 30;
/// The maximum number of requests of one user that wait, for each use of memory. A request that
/// waits holds little more than its body, which has its own part of the budget.
const QUEUE: usize = 400;
/// The maximum time that a request waits.
const WAIT: Duration = Duration::from_secs(10);

fn budget(text: &str) -> Result<u64, String> {
    let bytes = byte_size::parse(text)?;
    if bytes < MIN_BUDGET { Err("it must be at least 64Mi".to_owned()) } else { Ok(bytes) }
}

impl MemoryOptions {
    /// The size of the budget: that of the flag, or the default for a memory limit.
    pub fn choose(self, limit: Option<MemoryLimit>) -> ChosenBudget {
        let chosen = |bytes: u64, source| ChosenBudget { bytes: bytes.max(MIN_BUDGET), source };
        match (self.memory_budget, limit) {
            (Some(bytes), _) => chosen(bytes, "--memory-budget"),
            (None, Some(MemoryLimit { bytes, source: MemorySource::ControlGroup })) => {
                chosen(bytes / 2, "half of the control group's limit")
            }
            (None, Some(MemoryLimit { bytes, source: MemorySource::Machine })) => {
                chosen((bytes / 4).min(MAX_WITHOUT_LIMIT), "a quarter of the machine, at most 1Gi")
            }
            (None, None) => chosen(MIN_BUDGET, "the minimum, because the limit is unknown"),
        }
    }

    /// The budget of a server. Its size is logged.
    pub fn open(self, metrics: &Arc<Metrics>) -> MemoryBudget {
        let ChosenBudget { bytes, source } = self.choose(MemoryLimit::detect(Path::new("/")));
        tracing::info!(mebibytes = bytes >> 20, source, "memory budget of requests");
        MemoryBudget::new(bytes, metrics)
    }
}

impl MemoryBudget {
    /// A budget of this size in bytes, with everything free.
    pub fn new(bytes: u64, metrics: &Arc<Metrics>) -> Self {
        let part = |capacity| {
            let options = FairLimit { capacity, queue: QUEUE, wait: WAIT };
            MeteredLimiter::new(SharedLimit::Memory, options, metrics)
        };
        let (eighth, sixteenth) = (bytes / 8, bytes / 16);
        Self {
            bodies: part(eighth),
            values: part(5 * sixteenth),
            requests: part(bytes - 2 * eighth - 6 * sixteenth),
            reviews: part(sixteenth),
            watches: part(eighth),
        }
    }

    /// Takes memory for new work, after waiting if necessary. Users that are exempt from limits
    /// wait as long as necessary instead of being refused.
    ///
    /// # Errors
    /// Too many requests of the user wait already, or no memory was released in time.
    pub async fn acquire(
        &self,
        r#use: MemoryUse,
        flow: Flow,
        bytes: u64,
    ) -> Result<FairShare, Refusal> {
        match flow.level {
            PriorityLevel::Exempt => Ok(self.acquire_continued(r#use, flow, bytes).await),
            _ => self.part(r#use).acquire(flow, bytes).await,
        }
    }

    /// Takes memory if it is free.
    pub fn try_acquire(&self, r#use: MemoryUse, flow: Flow, bytes: u64) -> Option<FairShare> {
        self.part(r#use).limiter().try_acquire(bounded(flow), bytes)
    }

    /// Takes memory for work that has begun, after waiting as long as necessary.
    pub async fn acquire_continued(&self, r#use: MemoryUse, flow: Flow, bytes: u64) -> FairShare {
        self.part(r#use).acquire_continued(bounded(flow), bytes).await
    }

    fn part(&self, r#use: MemoryUse) -> &MeteredLimiter {
        match r#use {
            MemoryUse::Bodies => &self.bodies,
            MemoryUse::Values => &self.values,
            MemoryUse::Requests => &self.requests,
            MemoryUse::Reviews => &self.reviews,
            MemoryUse::Watches => &self.watches,
        }
    }
}

impl fmt::Debug for BudgetAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetAccount").field("flow", &self.flow).finish_non_exhaustive()
    }
}

/// A flow that the limit applies to: nobody can exceed the memory of the process.
pub(crate) fn bounded(flow: Flow) -> Flow {
    match flow.level {
        PriorityLevel::Exempt => Flow { level: PriorityLevel::System, ..flow },
        PriorityLevel::System | PriorityLevel::Users | PriorityLevel::Unauthenticated => flow,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn default_is_a_part_of_the_memory_limit() {
        let limit = |mebibytes: u64, source| Some(MemoryLimit { bytes: mebibytes * MIB, source });
        let choose = |flag, limit| MemoryOptions { memory_budget: flag }.choose(limit).bytes / MIB;
        assert_eq!(choose(None, limit(768, MemorySource::ControlGroup)), 384);
        assert_eq!(choose(None, limit(2048, MemorySource::Machine)), 512);
        assert_eq!(choose(None, limit(65536, MemorySource::Machine)), 1024);
        assert_eq!(choose(None, limit(32, MemorySource::ControlGroup)), 64);
        assert_eq!(choose(None, None), 64);
        assert_eq!(choose(Some(200 * MIB), limit(768, MemorySource::ControlGroup)), 200);
    }

    #[test]
    fn flag_has_a_minimum() {
        assert_eq!(budget("64Mi"), Ok(64 * MIB));
        assert!(budget("63Mi").is_err() && budget("many").is_err());
    }

    #[tokio::test]
    async fn exempt_users_wait_but_are_not_refused() {
        let budget = MemoryBudget::new(64 * MIB, &Arc::new(Metrics::new()));
        let admin = Flow { id: 7, ..Flow::INTERNAL };
        let held = budget.acquire(MemoryUse::Requests, admin, 24 * MIB).await.unwrap();
        let mut waiting: Vec<_> = (0..=QUEUE)
            .map(|_| Box::pin(budget.acquire(MemoryUse::Requests, admin, MIB)))
            .collect();
        assert!(waiting.iter_mut().all(|each| each.as_mut().now_or_never().is_none()));
        drop(held);
        assert!(waiting.remove(0).await.is_ok());
    }
}
