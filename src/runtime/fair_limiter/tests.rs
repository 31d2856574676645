//! Tests of the limiter.

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
async fn continued_work_waits_before_new_work_without_limits() {
    let limiter = FairLimiter::new(FairLimit { queue: 0, ..LIMIT });
    let mut held = take_all(&limiter, user(1));
    let mut waiting: Vec<_> =
        (0..9).map(|_| Box::pin(limiter.acquire_continued(user(1), 1))).collect();
    assert!(waiting.iter_mut().all(|each| each.as_mut().now_or_never().is_none()));
    held.pop();
    assert_eq!(waiting.remove(0).now_or_never().unwrap().amount(), 1);
    drop((held, waiting));
    assert_eq!(limiter.usage(), [LevelUsage::default(); 4]);
    let limiter = FairLimiter::new(LIMIT);
    let mut held = take_all(&limiter, user(1));
    let mut new = Box::pin(limiter.acquire(user(1), 1));
    assert!(new.as_mut().now_or_never().is_none());
    let mut continued = Box::pin(limiter.acquire_continued(user(1), 1));
    assert!(continued.as_mut().now_or_never().is_none());
    held.pop();
    assert!(new.as_mut().now_or_never().is_none());
    assert_eq!(continued.now_or_never().unwrap().amount(), 1);
    assert!(new.now_or_never().unwrap().is_ok());
}

#[test]
fn parts_of_a_share_are_released_separately() {
    let limiter = FairLimiter::new(LIMIT);
    let mut share = limiter.try_acquire(user(1), 6).unwrap();
    let part = share.split(4);
    assert_eq!((part.amount(), share.amount()), (4, 2));
    assert_eq!(share.split(9).amount(), 2);
    assert_eq!(limiter.usage()[PriorityLevel::Users as usize].held, 4);
    drop(part);
    assert_eq!(limiter.usage(), [LevelUsage::default(); 4]);
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
