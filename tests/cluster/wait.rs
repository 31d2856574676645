//! Waiting for what another process does in its own time.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::time;

/// The longest time until what a test waits for is true. Files of certificates are re-read once a minute.
pub(crate) const DEADLINE: Duration = Duration::from_secs(100);
/// How often is asked until then.
pub(crate) const INTERVAL: Duration = Duration::from_millis(50);

/// Asks until there is a value, and panics at the deadline with the reason that was given last why there is none.
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
