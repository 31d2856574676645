//! `/livez`, `/readyz` and `/healthz`: whether to restart the server, and whether to send requests to it.
//!
//! Storage counts for `/readyz` only: a restart frees no disk, and probes that fail on all replicas at once would end them
//! all. What a restart may mend, a store that failed for good, ends the process by itself. While the store serves, what
//! somebody should look at, a full disk or damage, stands in `/readyz?verbose` as a warning: reads must still come here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::shutdown::{Phase, Shutdown};
use crate::auth::Trusted;
use crate::machinery::query::Query;
use crate::store::Store;

/// A check that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// One thing that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// The server answers.
    Ping,
    /// The store can be read.
    Storage,
    /// The server knows which certificates of clients to trust.
    Trust,
    /// The server is not about to end.
    Shutdown,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Storage => "storage",
            Self::Trust => "authentication",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The one question to the store that is under way, or was answered a moment ago.
///
/// Anybody may ask for readiness, and each question to a disk that hangs would keep a thread.
#[derive(Clone, Default)]
pub(super) struct Asking(Arc<Mutex<Option<(Instant, Outcome)>>>);

type Outcome = Shared<BoxFuture<'static, Result<(), String>>>;

impl Asking {
    /// For how long an answer counts.
    const LIFE: Duration = Duration::from_millis(200);

    fn current(&self, store: &Arc<dyn Store>) -> Outcome {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, outcome)) = &*kept
            && (outcome.peek().is_none() || since.elapsed() < Self::LIFE)
        {
            return outcome.clone();
        }
        // The embedded store reads on the calling thread, where no patience could end it.
        let (store, here) = (store.clone(), Handle::current());
        let asking = tokio::task::spawn_blocking(move || here.block_on(store.healthy()));
        let outcome = async move {
            match asking.await {
                Ok(healthy) => healthy.map_err(|why| why.to_string()),
                Err(why) => Err(why.to_string()),
            }
        };
        let outcome = outcome.boxed().shared();
        *kept = Some((Instant::now(), outcome.clone()));
        outcome
    }
}

/// What the health of the server is read from.
#[derive(Clone)]
pub(super) struct Health {
    /// The store.
    pub(super) store: Arc<dyn Store>,
    /// The phase of the server.
    pub(super) shutdown: Shutdown,
    /// What the store said last.
    pub(super) asking: Asking,
    /// What certificates of clients are trusted.
    pub(super) trusted: watch::Receiver<Trusted>,
}

/// The answer to a health check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// HTTP status code.
    pub(super) code: u16,
    /// The body.
    pub(super) text: String,
}

impl Health {
    /// Whether a path is one of the three, or below one of them.
    pub(super) fn is_path(&self, path: &str) -> bool {
        let root = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        ["livez", "readyz", "healthz"].contains(&root)
    }

    /// The answer for a path such as `/readyz` or `/readyz/ping`; none for a check that does not exist.
    pub(super) async fn report(&self, path: &str, query: &Query) -> Option<Report> {
        let (root, single) = path
            .trim_start_matches('/')
            .split_once('/')
            .map_or((path.trim_start_matches('/'), None), |(root, one)| (root, Some(one)));
        let checks: &[Check] = match root {
            "livez" | "healthz" => &[Check::Ping],
            "readyz" => &[Check::Ping, Check::Storage, Check::Trust, Check::Shutdown],
            _ => return None,
        };
        match single {
            None => Some(self.all(root, checks, query).await),
            Some(name) => {
                let check = checks.iter().find(|check| check.name() == name)?;
                Some(match self.run(*check).await {
                    Ok(_) => Report { code: 200, text: "ok".into() },
                    Err(why) => Report { code: 500, text: format!("internal server error: {why}\n") },
                })
            }
        }
    }

    async fn all(&self, root: &str, checks: &[Check], query: &Query) -> Report {
        let excluded: Vec<&str> = query.all("exclude").collect();
        let (mut text, mut failed, mut warnings) = (String::new(), Vec::new(), Vec::new());
        for check in checks {
            let name = check.name();
            if excluded.contains(&name) {
                text += &format!("[+]{name} excluded: ok\n");
                continue;
            }
            match self.run(*check).await {
                Err(why) => {
                    text += &format!("[-]{name} failed: reason withheld\n");
                    failed.push(format!("{name}: {why}"));
                }
                Ok(told) => {
                    text += &format!("[+]{name} ok\n");
                    warnings.extend(told.into_iter().map(|each| format!("warn: {name}: {each}\n")));
                }
            }
        }
        text.extend(warnings);
        let unknown: Vec<String> = excluded
            .iter()
            .filter(|name| checks.iter().all(|check| check.name() != **name))
            .map(|name| format!("{name:?}"))
            .collect();
        if !unknown.is_empty() {
            text += &format!("warn: some health checks cannot be excluded: no matches for {}\n", unknown.join(","));
        }
        if !failed.is_empty() {
            tracing::warn!(check = root, "health check failed: {}", failed.join("; "));
            return Report { code: 500, text: format!("{text}{root} check failed\n") };
        }
        match query.get("verbose") {
            Some(_) => Report { code: 200, text: format!("{text}{root} check passed\n") },
            None => Report { code: 200, text: "ok".into() },
        }
    }

    /// Runs a check; gives the warnings of one that passes.
    async fn run(&self, check: Check) -> Result<Vec<String>, String> {
        match check {
            Check::Ping => Ok(Vec::new()),
            Check::Trust => self.trusted.borrow().awaited.clone().map_or(Ok(Vec::new()), Err),
            Check::Shutdown if self.shutdown.phase() == Phase::Running => Ok(Vec::new()),
            Check::Shutdown => Err("the server is shutting down".into()),
            Check::Storage => {
                let asking = self.asking.current(&self.store);
                match tokio::time::timeout(PATIENCE, asking).await {
                    Ok(outcome) => outcome.map(|()| self.store.warnings()),
                    Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
                }
            }
        }
    }
}
