//! Places for imports, which last longer than other writes.

use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::User;
use crate::meta::Status;
use crate::runtime::{FairLimit, FairLimiter, FairShare, Flow, PriorityLevel, Refusal};

/// Limit on concurrent imports: 24 of users, at most 6 of each.
const LIMIT: FairLimit = FairLimit { capacity: 32, queue: 16, wait: Duration::from_secs(10) };

/// Limit on concurrent imports, in total and for each user.
pub(super) struct ImportPlaces {
    limiter: Arc<FairLimiter>,
    hasher: std::hash::RandomState,
}

impl ImportPlaces {
    /// Places with none taken.
    pub(super) fn new() -> Self {
        Self::with(LIMIT)
    }

    fn with(limit: FairLimit) -> Self {
        Self { limiter: FairLimiter::new(limit), hasher: std::hash::RandomState::new() }
    }

    /// Takes a place for an import of a user, after waiting if necessary.
    ///
    /// # Errors
    /// 429 if too many imports run.
    pub(super) async fn take(&self, user: &User) -> Result<FairShare, Status> {
        let flow = Flow {
            level: PriorityLevel::Users,
            id: self.hasher.hash_one(&user.name),
            shares: NonZeroU32::MIN,
        };
        self.limiter.acquire(flow, 1).await.map_err(|refusal| {
            let why = match refusal {
                Refusal::QueueFull | Refusal::AtLimit => "you have too many imports waiting",
                Refusal::TimedOut => "other imports are still running",
            };
            let text = format!("the import could not be started: {why}; please try again later");
            Status::failure(429, "TooManyRequests", text).retry_after(LIMIT.wait.as_secs() as u32)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        User { name: name.into(), ..User::default() }
    }

    #[tokio::test]
    async fn one_user_leaves_places_to_others() {
        let places = ImportPlaces::with(FairLimit { wait: Duration::from_millis(20), ..LIMIT });
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(places.take(&user("a")).await.unwrap());
        }
        let status = places.take(&user("a")).await.unwrap_err();
        assert_eq!((status.code, status.details.unwrap().retry_after_seconds), (429, 10));
        places.take(&user("b")).await.unwrap();
        held.pop();
        places.take(&user("a")).await.unwrap();
    }
}
