//! Tests of the limits of a registry.

use std::num::NonZeroU16;

use super::*;

const ANONYMOUS: CredentialHash = 0;
const SOON: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(30);

fn limiter(rate: &str, slots: u16) -> Arc<RegistryLimiter> {
    let options = PacingOptions {
        registry_requests_per_second: rate.parse().unwrap(),
        max_requests_inflight_per_registry: NonZeroU16::new(slots).unwrap(),
    };
    RegistryLimiter::new(options, Instant::now())
}

fn namespace() -> Arc<str> {
    "ns".into()
}

/// Sends requests of a namespace in the background, each for a time.
async fn crowd(limiter: &Arc<RegistryLimiter>, namespace: &str, count: usize, held: Duration) {
    for _ in 0..count {
        let (limiter, namespace) = (limiter.clone(), Arc::from(namespace));
        tokio::spawn(async move {
            let slot = limiter.acquire(&namespace, ANONYMOUS).await;
            time::sleep(held).await;
            drop(slot);
        });
    }
    // All of them run up to their first wait.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// The number of requests that are in flight at once.
async fn in_flight(limiter: &Arc<RegistryLimiter>) -> usize {
    let namespace = namespace();
    let mut held = Vec::new();
    while let Ok(slot) = time::timeout(SOON, limiter.acquire(&namespace, ANONYMOUS)).await {
        held.push(slot.unwrap());
    }
    held.len()
}

#[tokio::test]
async fn other_namespaces_have_their_turns() {
    let limiter = limiter("10000", 2);
    crowd(&limiter, "busy", 400, Duration::from_millis(100)).await;
    // The whole crowd takes 20 s, one turn of it 100 ms.
    let namespace = "quiet".into();
    let quiet = limiter.acquire(&namespace, ANONYMOUS);
    assert!(time::timeout(Duration::from_secs(5), quiet).await.unwrap().is_ok());
}

#[tokio::test]
async fn rate_holds_after_the_burst() {
    let limiter = limiter("100", 4);
    let namespace = namespace();
    let begun = Instant::now();
    for _ in 0..600 {
        drop(limiter.acquire(&namespace, ANONYMOUS).await.unwrap());
    }
    assert!(begun.elapsed() >= Duration::from_millis(990), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn pause_holds_for_its_credential_only() {
    let limiter = limiter("1000", 4);
    let namespace = namespace();
    limiter.record_pause(7, Duration::from_secs(40));
    limiter.record_pause(7, Duration::from_secs(20));
    limiter.record_pause(8, SOON);
    let refused = limiter.acquire(&namespace, 7).await.unwrap_err();
    assert_eq!(refused.reason, ThrottleReason::Paused);
    let range = Duration::from_secs(21)..=Duration::from_secs(40);
    assert!(range.contains(&refused.retry_after), "{:?}", refused.retry_after);
    assert!(limiter.acquire(&namespace, ANONYMOUS).await.is_ok());
    let over = async {
        while let Err(throttle) = limiter.acquire(&namespace, 8).await {
            time::sleep(throttle.retry_after).await;
        }
    };
    time::timeout(DEADLINE, over).await.unwrap();
}

#[tokio::test]
async fn pause_begins_for_requests_that_wait_already() {
    let limiter = limiter("1000", 1);
    let namespace = namespace();
    let held = limiter.acquire(&namespace, ANONYMOUS).await.unwrap();
    let (outcome, ()) = tokio::join!(limiter.acquire(&namespace, ANONYMOUS), async {
        tokio::task::yield_now().await;
        limiter.record_pause(ANONYMOUS, Duration::MAX);
        drop(held);
    });
    assert!(outcome.unwrap_err().retry_after <= LONGEST_PAUSE);
}

#[tokio::test]
async fn refusals_reduce_rate_and_slots() {
    let limiter = limiter("100", 8);
    let namespace = namespace();
    assert_eq!(in_flight(&limiter).await, 8);
    for _ in 0..2 {
        let sent = Instant::now();
        // A burst of refusals counts once.
        (0..8).for_each(|_| limiter.record_refusal(sent));
        time::sleep(Duration::from_millis(1)).await;
        (0..8).for_each(|_| limiter.record_refusal(sent));
    }
    let begun = Instant::now();
    for _ in 0..10 {
        drop(limiter.acquire(&namespace, ANONYMOUS).await.unwrap());
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(250), "25 requests in a second, no burst: {took:?}");
    assert_eq!(in_flight(&limiter).await, 2);
}

#[tokio::test]
async fn registry_that_fails_keeps_one_slot() {
    let limiter = limiter("1000", 8);
    for _ in 0..4 {
        limiter.record_failure(Instant::now());
        time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(in_flight(&limiter).await, 1);
    assert!(!limiter.is_unused(Instant::now()));
}

#[tokio::test]
async fn waiters_that_leave_return_their_slots() {
    let limiter = limiter("1000", 1);
    let namespace = namespace();
    let held = limiter.acquire(&namespace, ANONYMOUS).await.unwrap();
    for _ in 0..3 {
        let waiting = limiter.acquire(&namespace, ANONYMOUS);
        assert!(time::timeout(Duration::from_millis(5), waiting).await.is_err());
    }
    drop(held);
    assert!(limiter.acquire(&namespace, ANONYMOUS).await.is_ok());
    assert!(limiter.is_unused(Instant::now()));
}

#[tokio::test]
async fn number_of_waiting_requests_is_limited() {
    let limiter = limiter("1000", 1);
    crowd(&limiter, "busy", MAX_WAITING + 1, DEADLINE).await;
    let refused = limiter.acquire(&"busy".into(), ANONYMOUS).await.unwrap_err();
    assert_eq!(refused.reason, ThrottleReason::Busy);
    assert_eq!(limiter.state.lock().held, 1);
}
