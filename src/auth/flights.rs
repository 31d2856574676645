//! Answers of the control plane, remembered for a short time; the same question is asked once at a time.

use std::convert::Infallible;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use quick_cache::sync::Cache;

type Outcome<V, E> = Result<V, Arc<E>>;

/// Answers by what was asked. The number of questions is bounded.
pub(super) struct Flights<K, V, E> {
    kept: Cache<K, Arc<Flight<V, E>>>,
    life: Arc<dyn Fn(&V) -> Duration + Send + Sync>,
}

/// A question that is being asked, or was answered.
struct Flight<V, E> {
    outcome: Shared<BoxFuture<'static, Outcome<V, E>>>,
    /// When the answer stops to count, once there is one; an error counts for those only who wait for it.
    until: Arc<OnceLock<Instant>>,
}

impl<K, V, E> Flights<K, V, E>
where
    K: Clone + Eq + Hash,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Room for so many answers. `life` tells how long an answer counts.
    pub(super) fn new(capacity: usize, life: impl Fn(&V) -> Duration + Send + Sync + 'static) -> Self {
        Self { kept: Cache::new(capacity), life: Arc::new(life) }
    }

    /// The answer to a question, which is asked by `ask` where none is kept.
    ///
    /// The question is pursued even if everybody who waits for it goes away.
    pub(super) async fn get<F>(&self, question: &K, ask: impl FnOnce() -> F) -> Outcome<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let kept = self.kept.get(question);
        if let Some(flight) = kept.filter(|flight| !flight.is_over(Instant::now())) {
            return flight.outcome.clone().await;
        }
        self.kept.remove_if(question, |flight| flight.is_over(Instant::now()));
        let begun = self.kept.get_or_insert_with(question, || Ok::<_, Infallible>(Arc::new(self.begin(ask()))));
        let Ok(flight) = begun;
        flight.outcome.clone().await
    }

    fn begin(&self, asking: impl Future<Output = Result<V, E>> + Send + 'static) -> Flight<V, E> {
        let (life, until) = (self.life.clone(), Arc::new(OnceLock::new()));
        let answered = until.clone();
        let outcome = async move {
            let outcome = asking.await.map_err(Arc::new);
            let life = outcome.as_ref().map(|answer| life(answer)).unwrap_or_default();
            answered.get_or_init(|| Instant::now() + life);
            outcome
        };
        let outcome = outcome.boxed().shared();
        tokio::spawn(outcome.clone());
        Flight { outcome, until }
    }
}

impl<V, E> Flight<V, E> {
    fn is_over(&self, now: Instant) -> bool {
        self.until.get().is_some_and(|until| *until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    const LIFE: Duration = Duration::from_secs(60);

    async fn ask(flights: &Flights<&'static str, usize, String>, asked: &Arc<AtomicUsize>) -> usize {
        let asked = asked.clone();
        let answer = flights.get(&"key", || async move { Ok(asked.fetch_add(1, Ordering::Relaxed)) });
        answer.await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_counts_for_its_life() {
        let (flights, asked) = (Flights::new(8, |_| LIFE), Arc::default());
        assert_eq!(ask(&flights, &asked).await, 0);
        assert_eq!(ask(&flights, &asked).await, 0);
        let (flights, asked) = (Flights::new(8, |_| Duration::ZERO), Arc::default());
        assert_eq!(ask(&flights, &asked).await, 0);
        assert_eq!(ask(&flights, &asked).await, 1);
    }

    #[tokio::test]
    async fn those_who_ask_the_same_at_once_share_the_answer_and_its_failure() {
        let (flights, asked) = (Flights::<&str, (), String>::new(8, |()| LIFE), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(Semaphore::new(0));
        let one = || {
            let (asked, gate) = (asked.clone(), gate.clone());
            flights.get(&"key", move || async move {
                asked.fetch_add(1, Ordering::Relaxed);
                let _ = gate.acquire().await;
                Err("away".to_owned())
            })
        };
        let open = async { gate.add_permits(1) };
        let (first, second, ()) = tokio::join!(one(), one(), open);
        assert_eq!((first.unwrap_err().as_str(), second.unwrap_err().as_str()), ("away", "away"));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        // Nobody after them is told of a failure that may be over.
        let _ = one().await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_question_outlives_who_asked_first() {
        let (flights, asked) = (Flights::<&str, usize, String>::new(8, |_| LIFE), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(Semaphore::new(0));
        let question = || {
            let (asked, gate) = (asked.clone(), gate.clone());
            flights.get(&"key", move || async move {
                let _ = gate.acquire().await;
                Ok(asked.fetch_add(1, Ordering::Relaxed))
            })
        };
        assert!(question().now_or_never().is_none());
        gate.add_permits(1);
        assert_eq!(question().await.unwrap(), 0);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_number_of_answers_is_bounded() {
        let flights = Flights::<u32, (), String>::new(8, |()| LIFE);
        for number in 0..100_u32 {
            flights.get(&number, || async { Ok(()) }).await.unwrap();
        }
        assert!(flights.kept.len() <= 8);
    }
}
