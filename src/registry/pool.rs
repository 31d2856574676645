//! A bounded number of large requests at a time, on threads of their own.
//!
//! Decoding, patching and validating is work that never waits, so on a worker of the runtime it holds up every
//! other request. A request with a large body, or one that meets large stored objects on its way, takes one of a few
//! places first. From then on each poll of its future is announced as blocking, by which tokio hands the other
//! tasks of that worker to another thread: what the server spends on large requests, in threads and in decoded
//! values, depends on the number of places, not on the number of workers. Whoever waits for a place holds the bytes of
//! its body and little else.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::block_in_place;

use crate::meta::Status;

/// Bodies over this size make a request large, in bytes. A byte of a body becomes up to 250 bytes of values.
pub const LARGE_BODY: usize = 64 << 10;
/// Stored objects over this size make a request large, in bytes. They become some ten bytes each, and a few milliseconds
/// of work.
pub const LARGE_OBJECT: usize = 256 << 10;

/// Places of one pool.
const SLOTS: usize = 2;
/// Requests that may wait for a place. Half of the requests that may be in flight, so that small ones get through.
const MAX_WAITING: usize = 100;

/// The places for large requests of one kind.
#[derive(Debug)]
pub struct Pool {
    slots: Semaphore,
    queue: Semaphore,
}

/// The size of one request's work, as far as it is known.
///
/// Clones share the state.
#[derive(Clone, Debug)]
pub struct Workload(Arc<WorkloadState>);

#[derive(Debug)]
struct WorkloadState {
    is_large: AtomicBool,
    has_slot: AtomicBool,
}

/// All places are free.
impl Default for Pool {
    fn default() -> Self {
        Self { slots: Semaphore::new(SLOTS), queue: Semaphore::new(MAX_WAITING) }
    }
}

impl Pool {
    /// Does the work of a request: at once while it is small, with a place from where it is large. The place is given
    /// back when the work is done or dropped.
    ///
    /// # Errors
    /// Those of the work, and 429 where too many wait for a place.
    ///
    /// # Panics
    /// A large request on a runtime of one thread, as [`block_in_place`].
    pub async fn run<T>(&self, load: &Workload, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        // Declared before the work, so that dropping this future drops first what the place stands for.
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
        // On the heap, since small requests never get here.
        _slot = Some(Box::pin(self.acquire()).await?);
        load.0.has_slot.store(true, Ordering::Relaxed);
        poll_fn(|context| block_in_place(|| work.as_mut().poll(context))).await
    }

    async fn acquire(&self) -> Result<SemaphorePermit<'_>, Status> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(slot);
        }
        let _turn = self.queue.try_acquire().map_err(|_| Status::too_many_requests())?;
        Ok(self.slots.acquire().await.expect("nobody closes the semaphore"))
    }
}

impl Workload {
    /// The workload of a request that [`Pool::run`] is about to work on, with a body of so many bytes.
    pub fn of_body(bytes: usize) -> Self {
        let (is_large, has_slot) = (AtomicBool::new(bytes > LARGE_BODY), AtomicBool::new(false));
        Self(Arc::new(WorkloadState { is_large, has_slot }))
    }

    /// Returns true if the request may hold this many bytes of stored objects: few, or any number with a place.
    pub fn fits(&self, bytes: usize) -> bool {
        bytes <= LARGE_OBJECT || self.0.has_slot.load(Ordering::Relaxed)
    }

    /// Waits for a place, unless the request has one. Hold as little as possible meanwhile, and no lock.
    pub async fn acquire_slot(&self) {
        poll_fn(|context| {
            if self.0.has_slot.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            self.0.is_large.store(true, Ordering::Relaxed);
            // `Pool::run` polls again as soon as there is a place; combinators in between must do so as well.
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn is_large(&self) -> bool {
        self.0.is_large.load(Ordering::Relaxed)
    }
}

/// The workload of what no pool runs, such as commands that work on the store: it waits for nothing.
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

    /// A pool whose places are all taken until the senders are dropped.
    async fn full() -> (Arc<Pool>, Vec<oneshot::Sender<()>>) {
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
    async fn the_only_worker_stays_free_while_a_place_is_busy() {
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
    async fn no_more_large_requests_are_worked_on_than_there_are_places() {
        let (pool, counts) = (Arc::new(Pool::default()), Arc::new((AtomicUsize::new(0), AtomicUsize::new(0))));
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
    async fn small_requests_need_no_place_until_they_grow() {
        let (pool, ends) = full().await;
        let small = Workload::of_body(LARGE_BODY);
        assert_eq!(pool.run(&small, async { Ok(small.fits(LARGE_OBJECT)) }).now_or_never(), Some(Ok(true)));
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
    async fn who_comes_when_too_many_wait_is_told_at_once() {
        let (pool, ends) = full().await;
        let load = Workload::of_body(LARGE);
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(pool.run(&load, async { Ok(()) }))).collect();
        assert!(waiting.iter_mut().all(|each| each.as_mut().now_or_never().is_none()));
        let refused = pool.run(&load, async { Ok(()) }).now_or_never().unwrap().unwrap_err();
        assert_eq!((refused.code, refused.details.unwrap().retry_after_seconds), (429, 1));
        // Whoever leaves makes room.
        waiting.pop();
        let again = pool.run(&load, async { Ok(()) });
        assert!(again.now_or_never().is_none());
        drop(ends);
        for each in waiting {
            timeout(SOON, each).await.unwrap().unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_that_is_dropped_or_panics_gives_its_place_back() {
        let pool = Pool::default();
        for _ in 0..=SLOTS {
            let endless = pool.run(&Workload::of_body(LARGE), std::future::pending::<Result<(), _>>()).now_or_never();
            assert!(endless.is_none());
            let load = Workload::of_body(LARGE);
            let panics = std::panic::AssertUnwindSafe(pool.run::<()>(&load, async { panic!("a bug") }));
            assert!(panics.catch_unwind().await.is_err());
        }
        assert_eq!(pool.slots.available_permits(), SLOTS);
    }
}
