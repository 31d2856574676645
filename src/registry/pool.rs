//! A bounded pool for large requests.
//!
//! Decoding, patching and validating is CPU-bound work that would block other requests on the same
//! runtime worker. A request with a large body, or with large stored objects, is therefore polled
//! in one of a few slots, and in [`block_in_place`], so that tokio moves the other tasks of that
//! worker to another thread. A slot is held during one poll only: a request that waits for the
//! store or for an access review holds none. What it holds in memory is charged to its
//! [`Workload`].

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::task::block_in_place;

use super::workload::Workload;
use crate::meta::Status;
use crate::runtime::{FairLimit, FairShare, MeteredLimiter, PriorityLevel, Refusal, bounded};
use crate::telemetry::flow_metrics::SharedLimit;
use crate::telemetry::metrics::Metrics;

/// The size of a body above which a request is large, in bytes.
pub const LARGE_BODY: usize = 64 << 10;

/// The slots of a pool. One user gets a slot at most, and the other one stays free for others. A
/// queue takes half of the mutating requests in flight, so that small ones still get through.
const SLOTS: FairLimit = FairLimit { capacity: 2, queue: 100, wait: Duration::from_secs(10) };

/// The slots for large requests of one kind.
pub struct Pool {
    slots: MeteredLimiter,
}

impl Pool {
    /// A pool with all slots free.
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self { slots: MeteredLimiter::new(SharedLimit::LargeRequests, SLOTS, metrics) }
    }

    /// Runs the work of a request: at once while it is small, in slots once it is large.
    ///
    /// # Errors
    /// Errors of the work, and 429 if the request gets no slot in time.
    ///
    /// # Panics
    /// Panics for a large request on a single-threaded runtime, as [`block_in_place`] does.
    pub async fn run<T>(
        &self,
        load: &Workload,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let mut work = pin!(work);
        if let Some(outcome) = while_small(load, work.as_mut()).await {
            return outcome;
        }
        // Boxed, because small requests never get here.
        let slot = Box::pin(self.acquire(load)).await.map_err(|_| Status::too_many_requests())?;
        Box::pin(self.run_in_slots(load, slot, work)).await
    }

    /// The items of a stream, each of which is produced in slots if it is large.
    pub fn stream<T: Send + 'static>(
        self: &Arc<Self>,
        load: &Workload,
        items: BoxStream<'static, T>,
    ) -> BoxStream<'static, T> {
        let state = (Arc::clone(self), load.clone(), items);
        let items = stream::unfold(state, |(pool, load, mut items)| async move {
            load.begin_part();
            let mut next = items.next();
            let item = match while_small(&load, Pin::new(&mut next)).await {
                Some(item) => item,
                None => Box::pin(pool.continue_in_slots(&load, Pin::new(&mut next))).await,
            };
            Some((item?, (pool, load, items)))
        });
        items.boxed()
    }

    async fn continue_in_slots<W: Future>(&self, load: &Workload, work: Pin<&mut W>) -> W::Output {
        let slot = self.acquire_continued(load).await;
        self.run_in_slots(load, slot, work).await
    }

    async fn run_in_slots<W: Future>(
        &self,
        load: &Workload,
        mut slot: FairShare,
        mut work: Pin<&mut W>,
    ) -> W::Output {
        load.slot_entered();
        loop {
            let polled =
                poll_fn(|context| Poll::Ready(block_in_place(|| work.as_mut().poll(context))));
            if let Poll::Ready(outcome) = polled.await {
                return outcome;
            }
            drop(slot);
            woken().await;
            slot = self.acquire_continued(load).await;
        }
    }

    /// Users that are exempt from limits wait, too, because the slots bound the threads.
    async fn acquire(&self, load: &Workload) -> Result<FairShare, Refusal> {
        match load.flow().level {
            PriorityLevel::Exempt => Ok(self.acquire_continued(load).await),
            _ => self.slots.acquire(load.flow(), 1).await,
        }
    }

    async fn acquire_continued(&self, load: &Workload) -> FairShare {
        self.slots.acquire_continued(bounded(load.flow()), 1).await
    }
}

/// Polls work until it is done; none once it is large.
async fn while_small<W: Future>(load: &Workload, mut work: Pin<&mut W>) -> Option<W::Output> {
    if load.is_large() {
        return None;
    }
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Pending if load.is_large() => Poll::Ready(None),
        polled => polled.map(Some),
    })
    .await
}

/// Waits until the task is woken, by the work that has just been polled.
async fn woken() {
    let mut is_woken = false;
    poll_fn(|_| match std::mem::replace(&mut is_woken, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures_util::FutureExt;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;
    use crate::registry::workload::tests::account;
    use crate::registry::workload::{LARGE_OBJECT, MemoryFactor, WorkKind};

    const SOON: Duration = Duration::from_secs(30);

    fn small(user: u64) -> Workload {
        Workload::charged(account(user), WorkKind::Read, MemoryFactor::Read)
    }

    fn large(user: u64) -> Workload {
        let load = small(user);
        load.set_large();
        load
    }

    fn pool() -> Arc<Pool> {
        Arc::new(Pool::new(&Arc::new(Metrics::new())))
    }

    /// Takes the slots of these users until the senders are dropped.
    async fn fill(pool: &Arc<Pool>, users: &[u64]) -> Vec<mpsc::Sender<()>> {
        let mut ends = Vec::new();
        for user in users {
            let (end, ended) = mpsc::channel::<()>();
            let (pool, load, (begin, begun)) = (pool.clone(), large(*user), oneshot::channel());
            tokio::spawn(async move {
                let work = async move {
                    let _ = begin.send(());
                    let _ = ended.recv_timeout(SOON);
                    Ok(())
                };
                pool.run(&load, work).await
            });
            begun.await.unwrap();
            ends.push(end);
        }
        ends
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn only_worker_stays_free_while_a_slot_is_busy() {
        let (pool, (release, released)) = (pool(), mpsc::channel::<()>());
        let busy = tokio::spawn(async move {
            let work = async move { released.recv_timeout(SOON).map_err(|_| Status::success()) };
            pool.run(&large(1), work).await
        });
        // This task needs the worker that the other one blocks.
        tokio::spawn(async move { release.send(()) }).await.unwrap().unwrap();
        assert!(busy.await.unwrap().is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 8)]
    async fn polls_of_large_requests_are_bounded_by_slots() {
        let (pool, counts) = (pool(), Arc::new((AtomicUsize::new(0), AtomicUsize::new(0))));
        let work = |user| {
            let (pool, counts) = (pool.clone(), counts.clone());
            tokio::spawn(async move {
                let work = async {
                    for _ in 0..3 {
                        let now = counts.0.fetch_add(1, Ordering::SeqCst) + 1;
                        counts.1.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        counts.0.fetch_sub(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                    }
                    Ok(())
                };
                pool.run(&large(user), work).await
            })
        };
        for done in futures_util::future::join_all((0..50).map(work)).await {
            done.unwrap().unwrap();
        }
        assert!(counts.1.load(Ordering::SeqCst) <= SLOTS.capacity as usize);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn request_that_waits_holds_no_slot() {
        let pool = pool();
        let mut waiting: Vec<_> = (0..50)
            .map(|_| Box::pin(async { pool.run(&large(1), std::future::pending()).await }))
            .collect();
        for each in &mut waiting {
            assert!(each.as_mut().now_or_never().is_none_or(|done: Result<(), _>| done.is_ok()));
        }
        let load = large(1);
        let other = pool.run(&load, async { Ok(()) });
        assert!(timeout(SOON, other).await.unwrap().is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn small_request_needs_a_slot_only_once_it_grows() {
        let pool = pool();
        let ends = fill(&pool, &[1, 2]).await;
        let load = small(3);
        let fits = async { Ok(load.fits(LARGE_OBJECT / 1024)) };
        assert_eq!(pool.run(&load, fits).now_or_never(), Some(Ok(true)));
        let growing = async {
            assert!(!load.fits(LARGE_OBJECT + 1));
            load.reserve(LARGE_OBJECT + 1).await?;
            Ok(load.fits(LARGE_OBJECT + 1))
        };
        let mut growing = Box::pin(pool.run(&load, growing));
        assert!(growing.as_mut().now_or_never().is_none());
        drop(ends);
        assert_eq!(timeout(SOON, growing).await.unwrap(), Ok(true));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_user_leaves_a_slot_to_others() {
        let pool = pool();
        let _ends = fill(&pool, &[1]).await;
        let mut second = Box::pin(async { pool.run(&large(1), async { Ok(()) }).await });
        assert!(second.as_mut().now_or_never().is_none());
        let other = pool.run(&large(2), async { Ok(()) }).now_or_never();
        assert_eq!(other, Some(Ok(())));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn full_queue_of_a_user_rejects_requests_at_once() {
        let pool = pool();
        let ends = fill(&pool, &[1, 2]).await;
        let load = large(1);
        let mut waiting: Vec<_> =
            (0..SLOTS.queue).map(|_| Box::pin(pool.run(&load, async { Ok(()) }))).collect();
        assert!(waiting.iter_mut().all(|each| each.as_mut().now_or_never().is_none()));
        let refused = pool.run(&load, async { Ok(()) }).now_or_never().unwrap().unwrap_err();
        assert_eq!((refused.code, refused.details.unwrap().retry_after_seconds), (429, 1));
        // A dropped request frees its place in the queue.
        waiting.pop();
        let again = pool.run(&load, async { Ok(()) });
        assert!(again.now_or_never().is_none());
        drop(ends);
        for each in waiting {
            timeout(SOON, each).await.unwrap().unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn dropped_or_panicking_work_releases_its_slot() {
        let pool = pool();
        for _ in 0..=SLOTS.capacity {
            let endless =
                pool.run(&large(1), std::future::pending::<Result<(), _>>()).now_or_never();
            assert!(endless.is_none());
            let load = large(1);
            let panics =
                std::panic::AssertUnwindSafe(pool.run::<()>(&load, async { panic!("a bug") }));
            assert!(panics.catch_unwind().await.is_err());
        }
        let users = PriorityLevel::Users as usize;
        assert_eq!(pool.slots.limiter().usage()[users].held, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_large_item_of_a_stream_takes_a_slot() {
        let pool = pool();
        let (load, ends) = (small(3), fill(&pool, &[1, 2]).await);
        let sizes = stream::iter([0, LARGE_OBJECT + 1, 0]).then({
            let load = load.clone();
            move |size| {
                let load = load.clone();
                async move { load.reserve(size).await.map(|()| size) }
            }
        });
        let mut items = pool.stream(&load, sizes.boxed());
        assert_eq!(items.next().now_or_never(), Some(Some(Ok(0))));
        assert_eq!(items.next().now_or_never(), None);
        drop(ends);
        assert_eq!(timeout(SOON, items.next()).await.unwrap(), Some(Ok(LARGE_OBJECT + 1)));
        let _ends = fill(&pool, &[1, 2]).await;
        assert_eq!(items.next().now_or_never(), Some(Some(Ok(0))));
    }
}
