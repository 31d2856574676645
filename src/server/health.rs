//! `/livez`, `/readyz` and `/healthz`: whether to restart the server, and whether to send requests to it.
//!
//! Storage counts for `/readyz` only: a restart frees no disk, and probes that fail on all replicas at once would end them
//! all. What a restart may mend, a store that failed for good, ends the process by itself. While the store serves, what
//! somebody should look at, a full disk or damage, stands in `/readyz?verbose` as a warning: reads must still come here.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::shutdown::{Phase, Shutdown};
use crate::auth::TrustState;
use crate::machinery::query::Query;
use crate::runtime::SingleFlight;
use crate::store::StoreHealth;

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

/// The check of the store, which all requests share that come while it runs or a moment later.
///
/// Readiness is open to everybody, and each check of a disk that hangs would keep a thread.
#[derive(Clone)]
pub(super) struct StoreCheck(Arc<SingleFlight<(), Result<(), String>>>);

impl StoreCheck {
    /// The time for which the outcome of a check counts.
    const LIFETIME: Duration = Duration::from_millis(200);

    /// No check runs yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(SingleFlight::new(1, |_| Self::LIFETIME)))
    }

    async fn outcome(&self, store: &Arc<dyn StoreHealth>) -> Result<(), String> {
        let check = || {
            // A store may read on the calling thread, where a timeout cannot interrupt it.
            let (store, here) = (store.clone(), Handle::current());
            let check = tokio::task::spawn_blocking(move || here.block_on(store.ready()));
            async move { check.await.map_err(|why| why.to_string())?.map_err(|why| why.to_string()) }
        };
        self.0.get(&(), check).await
    }
}

/// What the health of the server is read from.
#[derive(Clone)]
pub(super) struct Health {
    /// The store.
    pub(super) store: Arc<dyn StoreHealth>,
    /// The phase of the server.
    pub(super) shutdown: Shutdown,
    /// The check of the store.
    pub(super) store_check: StoreCheck,
    /// What certificates of clients are trusted.
    pub(super) trusted: watch::Receiver<TrustState>,
}

/// The answer to a health check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// HTTP status code.
    pub(super) code: u16,
    /// The body.
    pub(super) text: String,
}

/// Returns true for the path of a health check.
pub(super) fn is_health_path(path: &str) -> bool {
    let root = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    ["livez", "readyz", "healthz"].contains(&root)
}

impl Health {
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
            Check::Storage => match tokio::time::timeout(PATIENCE, self.store_check.outcome(&self.store)).await {
                Ok(outcome) => outcome.map(|()| self.store.warnings()),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            },
        }
    }
}
