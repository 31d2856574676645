//! A bounded pool for large requests.
//!
//! Decoding, patching and validating is CPU-bound work that would block other requests on the same
//! runtime worker. A request with a large body, or with large stored objects, therefore acquires
//! one of a few slots. From then on each poll of its future runs in [`block_in_place`], so tokio
//! moves the other tasks of that worker to another thread. Threads and decoded values for large
//! requests are bounded by the number of slots, not by the number of workers. A request that waits
//! for a slot holds little more than the bytes of its body.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::block_in_place;

use crate::meta::Status;

/// The size of a body above which a request is large, in bytes. One byte of a body decodes to up to
/// 250 bytes of values.
pub const LARGE_BODY: usize = 64 << 10;
/// The size of stored objects above which a request is large, in bytes. One stored byte decodes to
/// about ten bytes; objects of this size take a few milliseconds.
pub const LARGE_OBJECT: usize = 256 << 10;

/// The number of slots of a pool.
const SLOTS: usize = 2;
/// The maximum number of waiting requests: half of the requests in flight, so that small requests
/// still get through.
const MAX_WAITING: usize = 100;

/// The slots for large requests of one kind.
#[derive(Debug)]
pub struct Pool {
    slots: Semaphore,
    queue: Semaphore,
}

/// The size of the work of one request, as far as it is known. Clones share the state.
#[derive(Clone, Debug)]
pub struct Workload(Arc<WorkloadState>);

#[derive(Debug)]
struct WorkloadState {
    is_large: AtomicBool,
    has_slot: AtomicBool,
}

/// A pool with all slots free.
impl Default for Pool {
    fn default() -> Self {
        Self { slots: Semaphore::new(SLOTS), queue: Semaphore::new(MAX_WAITING) }
    }
}

impl Pool {
    /// Runs the work of a request: at once while it is small, in a slot once it is large. The slot
    /// is released when the work is done or dropped.
    ///
    /// # Errors
    /// Errors of the work, and 429 if too many requests wait for a slot.
    ///
    /// # Panics
    /// Panics for a large request on a single-threaded runtime, as [`block_in_place`] does.
    pub async fn run<T>(
        &self,
        load: &Workload,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        // Declared before the work, so that the work is dropped before its slot.
        let mut _slot = None;
        let mut work = pin!(work);
        if !load.is_large() {
            let small = poll_fn(|context| match work.as_mut().poll(context) {
                Poll::Pending if load.is_large() => Poll::Ready(None),
                polled => polled.map(Some),
            });
            if let Some(outcome) = small.await {
                return outcome;
            }
        }
        // Boxed, because small requests never get here.
        _slot = Some(Box::pin(self.acquire()).await?);
        load.0.has_slot.store(true, Ordering::Relaxed);
        poll_fn(|context| block_in_place(|| work.as_mut().poll(context))).await
    }

    async fn acquire(&self) -> Result<SemaphorePermit<'_>, Status> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(slot);
        }
        let _turn = self.queue.try_acquire().map_err(|_| Status::too_many_requests())?;
        Ok(self.slots.acquire().await.expect("the semaphore is never closed"))
    }
}

impl Workload {
    /// The workload of a request with a body of this size, which [`Pool::run`] is about to run.
    pub fn of_body(bytes: usize) -> Self {
        let (is_large, has_slot) = (AtomicBool::new(bytes > LARGE_BODY), AtomicBool::new(false));
        Self(Arc::new(WorkloadState { is_large, has_slot }))
    }

    /// Returns true if the request may hold this many bytes of stored objects.
    pub fn fits(&self, bytes: usize) -> bool {
        bytes <= LARGE_OBJECT || self.0.has_slot.load(Ordering::Relaxed)
    }

    /// Waits for a slot unless the request has one. Callers should hold no lock and little memory.
    pub async fn acquire_slot(&self) {
        poll_fn(|context| {
            if self.0.has_slot.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            self.0.is_large.store(true, Ordering::Relaxed);
            // `Pool::run` polls again once it has a slot; combinators in between must poll, too.
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn is_large(&self) -> bool {
        self.0.is_large.load(Ordering::Relaxed)
    }
}

/// The workload outside of a pool, such as that of CLI commands: it never waits.
impl Default for Workload {
    fn default() -> Self {
        let (is_large, has_slot) = (AtomicBool::new(false), AtomicBool::new(true));
        Self(Arc::new(WorkloadState { is_large, has_slot }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    const LARGE: usize = LARGE_BODY + 1;
    const SOON: Duration = Duration::from_secs(30);

    /// A pool with all slots taken until the senders are dropped.
    async fn full_pool() -> (Arc<Pool>, Vec<oneshot::Sender<()>>) {
        let pool = Arc::new(Pool::default());
        let mut ends = Vec::new();
        for _ in 0..SLOTS {
            let (end, ended) = oneshot::channel::<()>();
            let (pool, (begin, begun)) = (pool.clone(), oneshot::channel());
            tokio::spawn(async move {
                let work = async {
                    let _ = begin.send(());
                    let _ = ended.await;
                    Ok(())
                };
                pool.run(&Workload::of_body(LARGE), work).await
            });
            begun.await.unwrap();
            ends.push(end);
        }
        (pool, ends)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn only_worker_stays_free_while_a_slot_is_busy() {
        let (pool, (release, released)) = (Arc::new(Pool::default()), mpsc::channel::<()>());
        let large = tokio::spawn(async move {
            let work = async move { released.recv_timeout(SOON).map_err(|_| Status::success()) };
            pool.run(&Workload::of_body(LARGE), work).await
        });
        // This task needs the worker that the other one blocks.
        tokio::spawn(async move { release.send(()) }).await.unwrap().unwrap();
        assert!(large.await.unwrap().is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 8)]
    async fn large_requests_are_bounded_by_slots() {
        let (pool, counts) =
            (Arc::new(Pool::default()), Arc::new((AtomicUsize::new(0), AtomicUsize::new(0))));
        let work = |_| {
            let (pool, counts) = (pool.clone(), counts.clone());
            tokio::spawn(async move {
                let work = async {
                    let now = counts.0.fetch_add(1, Ordering::SeqCst) + 1;
                    counts.1.fetch_max(now, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    counts.0.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                };
                pool.run(&Workload::of_body(LARGE), work).await
            })
        };
        for done in futures_util::future::join_all((0..50).map(work)).await {
            done.unwrap().unwrap();
        }
        assert!(counts.1.load(Ordering::SeqCst) <= SLOTS);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn small_request_needs_a_slot_only_once_it_grows() {
        let (pool, ends) = full_pool().await;
        let small = Workload::of_body(LARGE_BODY);
        assert_eq!(
            pool.run(&small, async { Ok(small.fits(LARGE_OBJECT)) }).now_or_never(),
            Some(Ok(true))
        );
        let growing = async {
            assert!(!small.fits(LARGE_OBJECT + 1));
            small.acquire_slot().await;
            Ok(small.fits(LARGE_OBJECT + 1))
        };
        let mut growing = Box::pin(pool.run(&small, growing));
        assert!(growing.as_mut().now_or_never().is_none());
        drop(ends);
        assert_eq!(timeout(SOON, growing).await.unwrap(), Ok(true));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn full_queue_rejects_requests_at_once() {
        let (pool, ends) = full_pool().await;
        let load = Workload::of_body(LARGE);
        let mut waiting: Vec<_> =
            (0..MAX_WAITING).map(|_| Box::pin(pool.run(&load, async { Ok(()) }))).collect();
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
        let pool = Pool::default();
        for _ in 0..=SLOTS {
            let endless = pool
                .run(&Workload::of_body(LARGE), std::future::pending::<Result<(), _>>())
                .now_or_never();
            assert!(endless.is_none());
            let load = Workload::of_body(LARGE);
            let panics =
                std::panic::AssertUnwindSafe(pool.run::<()>(&load, async { panic!("a bug") }));
            assert!(panics.catch_unwind().await.is_err());
        }
        assert_eq!(pool.slots.available_permits(), SLOTS);
    }
}
