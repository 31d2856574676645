//! `RegistryLimiters`: the limits of all registries that the process uses.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Url;
use tokio::time::Instant;

use super::credential::Credential;
use super::options::PacingOptions;
use super::registry_limiter::{CredentialHash, RegistryLimiter};
use super::throttle::{Throttle, ThrottleReason};

/// Maximum number of registries, token servers included.
const MAX_REGISTRIES: usize = 1_024;
/// Time after which an import from yet another registry may be tried again.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Limits by host and port.
pub(super) struct RegistryLimiters {
    options: PacingOptions,
    known: Mutex<HashMap<String, KnownLimiter>>,
    hasher: RandomState,
}

struct KnownLimiter {
    limiter: Arc<RegistryLimiter>,
    used: Instant,
}

impl RegistryLimiters {
    pub(super) fn new(options: PacingOptions) -> Self {
        Self { options, known: Mutex::default(), hasher: RandomState::new() }
    }

    /// Returns the limits of the server of a URL.
    ///
    /// # Errors
    /// Too many servers are in use.
    pub(super) fn of(&self, url: &Url) -> Result<Arc<RegistryLimiter>, Throttle> {
        let (key, now) = (authority(url), Instant::now());
        let mut known = self.known.lock();
        if let Some(found) = known.get_mut(&key) {
            found.used = now;
            return Ok(found.limiter.clone());
        }
        if known.len() >= MAX_REGISTRIES {
            make_room(&mut known, now)?;
        }
        let limiter = RegistryLimiter::new(self.options, now);
        known.insert(key, KnownLimiter { limiter: limiter.clone(), used: now });
        Ok(limiter)
    }

    /// Returns the identity of a credential.
    pub(super) fn identity(&self, credential: Option<&Credential>) -> CredentialHash {
        self.hasher.hash_one(credential)
    }
}

/// Host and port of a URL, for limits and metrics.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Drops the limits of a registry without requests: those that are as usual first, then those that
/// were used the longest time ago.
fn make_room(known: &mut HashMap<String, KnownLimiter>, now: Instant) -> Result<(), Throttle> {
    // A limiter without other owners has no requests.
    let idle = known.iter().filter(|(_, each)| Arc::strong_count(&each.limiter) == 1);
    let oldest = idle.min_by_key(|(_, each)| (!each.limiter.is_unused(now), each.used));
    let reason = ThrottleReason::TooManyRegistries;
    let key = oldest.map(|(key, _)| key.clone());
    let key = key.ok_or(Throttle { reason, retry_after: RETRY_AFTER })?;
    known.remove(&key);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(at: usize) -> Url {
        Url::parse(&format!("https://r{at}.io/v2/")).unwrap()
    }

    #[tokio::test]
    async fn number_of_registries_is_bounded() {
        let limiters = RegistryLimiters::new(PacingOptions::default());
        let paused = limiters.of(&url(0)).unwrap();
        paused.record_pause(1, Duration::from_secs(60));
        drop(paused);
        for at in 1..MAX_REGISTRIES + 100 {
            limiters.of(&url(at)).unwrap();
        }
        assert_eq!(limiters.known.lock().len(), MAX_REGISTRIES);
        assert!(limiters.of(&url(0)).unwrap().acquire(&"ns".into(), 1).await.is_err(), "kept");
        // Registries with requests stay.
        let held: Vec<_> = (0..MAX_REGISTRIES).map(|at| limiters.of(&url(at)).unwrap()).collect();
        let refused = limiters.of(&url(MAX_REGISTRIES)).unwrap_err();
        assert_eq!(refused.reason, ThrottleReason::TooManyRegistries);
        drop(held);
        assert!(limiters.of(&url(MAX_REGISTRIES)).is_ok());
    }

    #[test]
    fn limits_are_those_of_host_and_port() {
        let of = |text: &str| authority(&Url::parse(text).unwrap());
        assert_eq!(of("https://R.io/v2/"), "r.io");
        assert_eq!(of("https://r.io:443/"), "r.io");
        assert_eq!(of("http://r.io:5000/"), "r.io:5000");
        assert_eq!(of("https://[::1]:5000/"), "[::1]:5000");
    }
}
