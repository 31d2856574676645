//! Building blocks for asynchronous work.

mod backoff;
mod fair_limiter;
mod flow;
mod keyed_mutex;
mod memory_budget;
mod memory_limit;
mod metered_limiter;
mod reloadable;
mod single_flight;
mod token_bucket;

pub use backoff::Backoff;
pub use fair_limiter::{FairLimit, FairLimiter, FairShare, LevelUsage, Refusal};
pub use flow::{Flow, PriorityLevel};
pub use keyed_mutex::{KeyedGuard, KeyedMutex};
pub(crate) use memory_budget::bounded;
pub use memory_budget::{BudgetAccount, ChosenBudget, MemoryBudget, MemoryOptions, MemoryUse};
pub use memory_limit::{MemoryLimit, MemorySource};
pub use metered_limiter::MeteredLimiter;
pub use reloadable::{Reload, Reloadable};
pub use single_flight::SingleFlight;
pub use token_bucket::TokenBucket;
