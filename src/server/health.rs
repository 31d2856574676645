//! Health checks: `/livez`, `/readyz` and `/healthz`.
//!
//! The storage check belongs to `/readyz` only. A restart frees no disk space, and a failing
//! liveness probe would restart all replicas at once. A store that fails permanently ends the
//! process by itself. While the store can be read, a full disk or damage is a warning in
//! `/readyz?verbose`, because the server must still receive reads. So are certificates that end and
//! reviews that fail.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::health_warnings::HealthWarnings;
use super::shutdown::{ServerPhase, Shutdown};
use crate::auth::TrustState;
use crate::machinery::query::Query;
use crate::runtime::SingleFlight;
use crate::store::{Backend, StoreHealth};

/// Timeout of the storage check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// A health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HealthCheck {
    /// The server responds.
    Ping,
    /// The embedded store can be read.
    Storage,
    /// A quorum of etcd answers.
    Etcd,
    /// The server has loaded the CAs of client certificates.
    Trust,
    /// The server is not shutting down.
    Shutdown,
}

impl HealthCheck {
    /// The check of a store.
    fn of_store(backend: Backend) -> Self {
        match backend {
            Backend::Embedded => Self::Storage,
            Backend::Etcd3 => Self::Etcd,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Storage => "storage",
            Self::Etcd => "etcd",
            Self::Trust => "authentication",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The storage check. Requests that arrive during a check or shortly after share its result.
///
/// Readiness needs no authentication, and each check of a hanging disk would occupy a thread.
#[derive(Clone)]
pub(super) struct StoreCheck(Arc<SingleFlight<(), Result<(), String>>>);

impl StoreCheck {
    /// Time for which a result is shared.
    const LIFETIME: Duration = Duration::from_millis(200);

    /// A check that has not run.
    pub(super) fn new() -> Self {
        Self(Arc::new(SingleFlight::new(1, |_| Self::LIFETIME)))
    }

    async fn outcome(&self, store: &Arc<dyn StoreHealth>) -> Result<(), String> {
        let check = || {
            // A store may read on the calling thread, where a timeout cannot interrupt it.
            let (store, here) = (store.clone(), Handle::current());
            let check =
                tokio::task::spawn_blocking(move || here.block_on(store.ready_for_writes()));
            async move { check.await.map_err(|why| why.to_string())?.map_err(|why| why.to_string()) }
        };
        self.0.get(&(), check).await
    }
}

/// Sources of the health checks.
#[derive(Clone)]
pub(super) struct Health {
    /// The backend of the store.
    pub(super) backend: Backend,
    /// The store.
    pub(super) store: Arc<dyn StoreHealth>,
    /// The phase of the server.
    pub(super) shutdown: Shutdown,
    /// The storage check.
    pub(super) store_check: StoreCheck,
    /// The CAs of client certificates.
    pub(super) trusted: watch::Receiver<TrustState>,
    /// Sources of warnings beside those of the store.
    pub(super) warnings: HealthWarnings,
}

/// Result of a health check request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HealthReport {
    /// HTTP status code.
    pub(super) code: u16,
    /// Response body.
    pub(super) text: String,
}

/// Returns true for the path of a health check.
pub(super) fn is_health_path(path: &str) -> bool {
    let root = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    ["livez", "readyz", "healthz"].contains(&root)
}

impl Health {
    /// Result for a path such as `/readyz` or `/readyz/ping`; none if the check does not exist.
    pub(super) async fn report(&self, path: &str, query: &Query) -> Option<HealthReport> {
        let (root, single) = path
            .trim_start_matches('/')
            .split_once('/')
            .map_or((path.trim_start_matches('/'), None), |(root, one)| (root, Some(one)));
        let ready = [
            HealthCheck::Ping,
            HealthCheck::of_store(self.backend),
            HealthCheck::Trust,
            HealthCheck::Shutdown,
        ];
        let checks: &[HealthCheck] = match root {
            "livez" | "healthz" => &[HealthCheck::Ping],
            "readyz" => &ready,
            _ => return None,
        };
        match single {
            None => Some(self.all(root, checks, query).await),
            Some(name) => {
                let check = checks.iter().find(|check| check.name() == name)?;
                Some(match self.run(*check).await {
                    Ok(_) => HealthReport { code: 200, text: "ok".into() },
                    Err(why) => {
                        HealthReport { code: 500, text: format!("internal server error: {why}\n") }
                    }
                })
            }
        }
    }

    async fn all(&self, root: &str, checks: &[HealthCheck], query: &Query) -> HealthReport {
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
                Ok(check_warnings) => {
                    text += &format!("[+]{name} ok\n");
                    warnings.extend(
                        check_warnings.into_iter().map(|each| format!("warn: {name}: {each}\n")),
                    );
                }
            }
        }
        if root == "readyz" {
            let others = self.warnings.current(Timestamp::now()).into_iter();
            warnings.extend(others.map(|(subject, each)| format!("warn: {subject}: {each}\n")));
        }
        text.extend(warnings);
        let unknown: Vec<String> = excluded
            .iter()
            .filter(|name| checks.iter().all(|check| check.name() != **name))
            .map(|name| format!("{name:?}"))
            .collect();
        if !unknown.is_empty() {
            text += &format!(
                "warn: some health checks cannot be excluded: no matches for {}\n",
                unknown.join(",")
            );
        }
        if !failed.is_empty() {
            tracing::warn!(check = root, failed = failed.join("; "), "health check failed");
            return HealthReport { code: 500, text: format!("{text}{root} check failed\n") };
        }
        match query.get("verbose") {
            Some(_) => HealthReport { code: 200, text: format!("{text}{root} check passed\n") },
            None => HealthReport { code: 200, text: "ok".into() },
        }
    }

    /// Runs a check. Returns its warnings if it passes.
    async fn run(&self, check: HealthCheck) -> Result<Vec<String>, String> {
        match check {
            HealthCheck::Ping => Ok(Vec::new()),
            HealthCheck::Trust => self.trusted.borrow().awaited.clone().map_or(Ok(Vec::new()), Err),
            HealthCheck::Shutdown if self.shutdown.phase() == ServerPhase::Running => {
                Ok(Vec::new())
            }
            HealthCheck::Shutdown => Err("the server is shutting down".into()),
            HealthCheck::Storage | HealthCheck::Etcd => {
                match tokio::time::timeout(CHECK_TIMEOUT, self.store_check.outcome(&self.store))
                    .await
                {
                    Ok(outcome) => outcome.map(|()| self.store.warnings()),
                    Err(_) => Err(format!("no response within {} s", CHECK_TIMEOUT.as_secs())),
                }
            }
        }
    }
}
