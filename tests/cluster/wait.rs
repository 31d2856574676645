//! Polling for changes of another process.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::time;

/// The deadline of a condition. Certificate files are reloaded once a minute.
pub(crate) const DEADLINE: Duration = Duration::from_secs(100);
/// The polling interval.
pub(crate) const INTERVAL: Duration = Duration::from_millis(50);

/// Polls until `ask` returns a value. Panics at the deadline with the last error.
pub(crate) async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let begun = Instant::now();
    let mut interval = time::interval(INTERVAL);
    loop {
        interval.tick().await;
        match ask().await {
            Ok(value) => return value,
            Err(why) => {
                assert!(begun.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}: {why}")
            }
        }
    }
}
