//! One call at a time for all callers that wait for its result.

use std::future::Future;

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::error::CallError;

/// The most rounds in which a call waits for callers that are about to arrive.
const MAX_ROUNDS: usize = 8;

/// A call whose result all waiting callers share.
///
/// A call begins after every caller that it serves has arrived. Callers who arrive during a call
/// wait for the next one, unless the call fails, which they share. So one caller pays one round
/// trip, any number of callers two at most, and a failure takes the time of one call.
pub(super) struct SharedCall<T> {
    callers: mpsc::UnboundedSender<Caller<T>>,
    task: AbortHandle,
}

type Caller<T> = oneshot::Sender<Result<T, CallError>>;

impl<T: Clone + Send + 'static> SharedCall<T> {
    /// Starts the task that makes the calls.
    pub(super) fn start<F>(mut call: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<T, CallError>> + Send,
    {
        let (callers, mut queue) = mpsc::unbounded_channel::<Caller<T>>();
        let task = tokio::spawn(async move {
            let mut waiting = Vec::new();
            while queue.recv_many(&mut waiting, usize::MAX).await > 0 {
                gather(&mut queue, &mut waiting).await;
                // Callers that are gone need no call.
                waiting.retain(|caller| !caller.is_closed());
                if waiting.is_empty() {
                    continue;
                }
                let result = call().await;
                if result.is_err() {
                    // A failed call has used up its time. Those who came meanwhile need not wait for
                    // another one.
                    receive_ready(&mut queue, &mut waiting);
                }
                for caller in waiting.drain(..) {
                    // The caller may have gone away.
                    let _ = caller.send(result.clone());
                }
            }
        });
        Self { callers, task: task.abort_handle() }
    }

    /// Waits for the result of a call that begins after this one.
    ///
    /// # Errors
    /// The error of the call.
    pub(super) async fn get(&self) -> Result<T, CallError> {
        let (caller, result) = oneshot::channel();
        let closed = || CallError::other("the store is closed");
        self.callers.send(caller).map_err(|_| closed())?;
        result.await.map_err(|_| closed())?
    }
}

/// Receives callers as long as other tasks that are ready add further ones. Those of a busy server
/// add many, which then share one call instead of two. Without them, it takes no time.
async fn gather<C>(queue: &mut mpsc::UnboundedReceiver<C>, waiting: &mut Vec<C>) {
    for _ in 0..MAX_ROUNDS {
        tokio::task::yield_now().await;
        if !receive_ready(queue, waiting) {
            return;
        }
    }
}

/// Receives the callers that have arrived. Returns true if there are any.
fn receive_ready<C>(queue: &mut mpsc::UnboundedReceiver<C>, waiting: &mut Vec<C>) -> bool {
    let before = waiting.len();
    while let Ok(caller) = queue.try_recv() {
        waiting.push(caller);
    }
    waiting.len() > before
}

impl<T> Drop for SharedCall<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn waiting_callers_share_the_next_call() {
        let started = Arc::new(AtomicU64::new(0));
        let count = started.clone();
        let shared = SharedCall::start(move || {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            async move {
                tokio::task::yield_now().await;
                Ok(number)
            }
        });
        for round in 1..=3 {
            let results = join_all((0..100).map(|_| shared.get())).await;
            assert!(results.into_iter().all(|result| result.unwrap() == round));
        }
        assert_eq!(started.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn callers_that_are_ready_share_the_first_call() {
        let mut number = 0;
        let shared = Arc::new(SharedCall::start(move || {
            number += 1;
            async move {
                tokio::task::yield_now().await;
                Ok(number)
            }
        }));
        assert_eq!(shared.get().await.unwrap(), 1);
        // The worker that runs the first caller would run the call next.
        let callers = tokio::spawn(async move {
            let call = |_| {
                let shared = shared.clone();
                tokio::spawn(async move { shared.get().await.unwrap() })
            };
            join_all((0..100).map(call).collect::<Vec<_>>()).await
        });
        for result in callers.await.unwrap() {
            assert_eq!(result.unwrap(), 2);
        }
    }

    #[tokio::test]
    async fn failure_reaches_callers_who_came_during_the_call() {
        let (started, first) = tokio::sync::oneshot::channel();
        let (proceed, may_fail) = tokio::sync::oneshot::channel::<()>();
        let mut parts = Some((started, may_fail));
        let shared = Arc::new(SharedCall::<()>::start(move || {
            let parts = parts.take();
            async move {
                let Some((started, may_fail)) = parts else { return Ok(()) };
                started.send(()).unwrap();
                may_fail.await.unwrap();
                Err(CallError::other("no member answers"))
            }
        }));
        let call = |shared: Arc<SharedCall<()>>| tokio::spawn(async move { shared.get().await });
        let early = call(shared.clone());
        first.await.unwrap();
        let mut late = std::pin::pin!(shared.get());
        assert!(futures_util::FutureExt::now_or_never(late.as_mut()).is_none());
        proceed.send(()).unwrap();
        assert!(early.await.unwrap().is_err());
        assert!(late.await.is_err());
        assert!(shared.get().await.is_ok());
    }
}
