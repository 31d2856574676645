//! Panics that the process survives: caught ones become errors of their callers, all others one
//! line of the log.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::panic::{self, AssertUnwindSafe, Location, PanicHookInfo};
use std::pin::pin;
use std::task::Poll;

/// A panic that was caught, with its place in the code if it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaughtPanic {
    /// Message of the panic.
    pub message: String,
    /// `FILE:LINE:COLUMN`. Only binaries know it: see [`set_hook`].
    pub location: Option<String>,
}

// A panic hook has no argument of its own, and the payload that `catch_unwind` returns has no
// location. The thread is all that connects them.
thread_local! {
    /// Number of enclosing scopes whose panics are caught.
    static SCOPES: Cell<u32> = const { Cell::new(0) };
    /// Last panic in such a scope.
    static LAST: RefCell<Option<CaughtPanic>> = const { RefCell::new(None) };
}

/// Sets the panic hook of the process. A panic in [`catch`] or [`catch_in`] prints nothing, because
/// its caller reports it. Any other is one line of the log, with a backtrace if `RUST_BACKTRACE`
/// asks for one. Only binaries call this.
pub fn set_hook() {
    panic::set_hook(Box::new(|info| {
        let panic = CaughtPanic::from_hook(info);
        if SCOPES.get() > 0 {
            LAST.with_borrow_mut(|last| *last = Some(panic));
            return;
        }
        let CaughtPanic { message, location } = panic;
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured)
            .then(|| tracing::field::display(backtrace));
        tracing::error!(error = message, location, backtrace, "panicked");
    }));
}

/// Runs work.
///
/// # Errors
/// The work panicked.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, CaughtPanic> {
    let scope = CatchScope::enter();
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    drop(scope);
    outcome.map_err(|payload| CaughtPanic::from_payload(&*payload))
}

/// Awaits a future.
///
/// # Errors
/// The future panicked.
pub async fn catch_in<F: Future>(future: F) -> Result<F::Output, CaughtPanic> {
    let mut future = pin!(future);
    poll_fn(|context| match catch(|| future.as_mut().poll(context)) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// A part of the stack of this thread whose panics are caught.
struct CatchScope;

impl CatchScope {
    fn enter() -> Self {
        SCOPES.set(SCOPES.get() + 1);
        Self
    }
}

impl Drop for CatchScope {
    fn drop(&mut self) {
        SCOPES.set(SCOPES.get() - 1);
    }
}

impl CaughtPanic {
    fn from_hook(info: &PanicHookInfo<'_>) -> Self {
        let message = message(info.payload()).to_owned();
        Self { message, location: info.location().map(Location::to_string) }
    }

    fn from_payload(payload: &(dyn Any + Send)) -> Self {
        let message = message(payload);
        // A resumed panic does not call the hook, so the last one may be another.
        let last = LAST.take().filter(|last| last.message == message);
        last.unwrap_or_else(|| Self { message: message.to_owned(), location: None })
    }
}

impl fmt::Display for CaughtPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panic: {}", self.message)?;
        self.location.as_ref().map_or(Ok(()), |location| write!(f, " at {location}"))
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caught_panic_has_its_message() {
        assert_eq!(catch(|| 7), Ok(7));
        let panic = catch(|| panic!("{} words", 2)).unwrap_err();
        assert_eq!(panic.message, "2 words");
        assert_eq!(catch(|| panic!("a word")).unwrap_err().message, "a word");
        assert_eq!(SCOPES.get(), 0, "the scope ends with the panic");
    }

    #[tokio::test]
    async fn future_that_panics_after_an_await_is_caught() {
        assert_eq!(catch_in(async { 7 }).await, Ok(7));
        let late = async {
            tokio::task::yield_now().await;
            panic!("late");
        };
        let panic: Result<(), _> = catch_in(late).await;
        assert_eq!(panic.unwrap_err().to_string(), "panic: late");
    }

    #[test]
    fn location_of_another_panic_is_not_used() {
        let stale = CaughtPanic { message: "first".into(), location: Some("a.rs:1:1".into()) };
        LAST.set(Some(stale.clone()));
        let same = catch(|| panic::resume_unwind(Box::new("first"))).unwrap_err();
        assert_eq!(same.to_string(), "panic: first at a.rs:1:1");
        LAST.set(Some(stale));
        let other = catch(|| panic::resume_unwind(Box::new("second"))).unwrap_err();
        assert_eq!(other.location, None);
    }
}
