//! Work that runs once at a time for equal keys, with a short-lived cache of its outcomes.

use std::convert::Infallible;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use quick_cache::sync::Cache;

/// Outcomes by key, pending or cached, with a bounded capacity.
pub struct SingleFlight<K, V> {
    flights: Cache<K, Arc<Flight<V>>>,
    lifetime: Arc<dyn Fn(&V) -> Duration + Send + Sync>,
}

struct Flight<V> {
    outcome: Shared<BoxFuture<'static, V>>,
    /// End of the outcome's lifetime; unset while the work runs.
    expires: Arc<OnceLock<Instant>>,
}

impl<K, V> SingleFlight<K, V>
where
    K: Clone + Eq + Hash,
    V: Clone + Send + Sync + 'static,
{
    /// Capacity in outcomes. `lifetime` returns the time for which an outcome is cached; zero
    /// shares it only with callers that wait already.
    pub fn new(capacity: usize, lifetime: impl Fn(&V) -> Duration + Send + Sync + 'static) -> Self {
        Self { flights: Cache::new(capacity), lifetime: Arc::new(lifetime) }
    }

    /// Returns the outcome for a key. Starts `work` if none is pending or cached.
    ///
    /// The work runs to its end even if all callers are dropped.
    pub async fn get<F>(&self, key: &K, work: impl FnOnce() -> F) -> V
    where
        F: Future<Output = V> + Send + 'static,
    {
        let kept = self.flights.get(key);
        if let Some(flight) = kept.filter(|flight| !flight.is_over(Instant::now())) {
            return flight.outcome.clone().await;
        }
        self.flights.remove_if(key, |flight| flight.is_over(Instant::now()));
        let flight = self
            .flights
            .get_or_insert_with(key, || Ok::<_, Infallible>(Arc::new(self.start(work()))));
        let Ok(flight) = flight;
        flight.outcome.clone().await
    }

    fn start(&self, work: impl Future<Output = V> + Send + 'static) -> Flight<V> {
        let (lifetime, expires) = (self.lifetime.clone(), Arc::new(OnceLock::new()));
        let ends = expires.clone();
        let outcome = async move {
            let outcome = work.await;
            ends.get_or_init(|| Instant::now() + lifetime(&outcome));
            outcome
        };
        let outcome = outcome.boxed().shared();
        tokio::spawn(outcome.clone());
        Flight { outcome, expires }
    }
}

impl<V> Flight<V> {
    fn is_over(&self, now: Instant) -> bool {
        self.expires.get().is_some_and(|expires| *expires <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    const LIFETIME: Duration = Duration::from_secs(60);

    /// Number of the run that the outcome comes from.
    async fn run(flights: &SingleFlight<&'static str, usize>, runs: &Arc<AtomicUsize>) -> usize {
        let runs = runs.clone();
        flights.get(&"key", || async move { runs.fetch_add(1, Ordering::Relaxed) }).await
    }

    #[tokio::test]
    async fn outcome_is_shared_for_its_lifetime() {
        let (flights, runs) = (SingleFlight::new(8, |_| LIFETIME), Arc::default());
        assert_eq!(run(&flights, &runs).await, 0);
        assert_eq!(run(&flights, &runs).await, 0);
        let (flights, runs) = (SingleFlight::new(8, |_| Duration::ZERO), Arc::default());
        assert_eq!(run(&flights, &runs).await, 0);
        assert_eq!(run(&flights, &runs).await, 1);
    }

    #[tokio::test]
    async fn concurrent_callers_share_one_run_and_its_failure() {
        type Outcome = Result<(), &'static str>;
        let lifetime = |outcome: &Outcome| if outcome.is_ok() { LIFETIME } else { Duration::ZERO };
        let (flights, runs) =
            (SingleFlight::<&str, Outcome>::new(8, lifetime), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(Semaphore::new(0));
        let one = || {
            let (runs, gate) = (runs.clone(), gate.clone());
            flights.get(&"key", move || async move {
                runs.fetch_add(1, Ordering::Relaxed);
                let _ = gate.acquire().await;
                Err("away")
            })
        };
        let open = async { gate.add_permits(1) };
        let (first, second, ()) = tokio::join!(one(), one(), open);
        assert_eq!((first, second), (Err("away"), Err("away")));
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        // The failure is not cached for later callers.
        let _ = one().await;
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn work_outlives_the_caller_that_started_it() {
        let (flights, runs) =
            (SingleFlight::<&str, usize>::new(8, |_| LIFETIME), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(Semaphore::new(0));
        let get = || {
            let (runs, gate) = (runs.clone(), gate.clone());
            flights.get(&"key", move || async move {
                let _ = gate.acquire().await;
                runs.fetch_add(1, Ordering::Relaxed)
            })
        };
        assert!(get().now_or_never().is_none());
        gate.add_permits(1);
        assert_eq!(get().await, 0);
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn number_of_outcomes_is_bounded() {
        let flights = SingleFlight::<u32, ()>::new(8, |()| LIFETIME);
        for number in 0..100_u32 {
            flights.get(&number, || async {}).await;
        }
        assert!(flights.flights.len() <= 8);
    }

    #[tokio::test]
    async fn single_key_needs_a_capacity_of_one() {
        let (flights, runs) = (SingleFlight::new(1, |_| LIFETIME), Arc::default());
        assert_eq!((run(&flights, &runs).await, run(&flights, &runs).await), (0, 0));
    }
}
