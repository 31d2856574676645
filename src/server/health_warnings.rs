//! Warnings of `/readyz?verbose`: the server serves, but needs an operator.
//!
//! Everybody may read them, so they name no addresses and no users.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::auth::{CaBundle, TrustState};
use crate::cluster::{Fault, ReviewHealth};
use crate::tls::{Lifetime, ServingCertificate};

/// Sources of warnings.
#[derive(Clone)]
pub(super) struct HealthWarnings {
    /// The serving certificate.
    pub(super) certificate: Arc<ServingCertificate>,
    /// The CAs of client certificates.
    pub(super) trusted: watch::Receiver<TrustState>,
    /// The kinds of reviews, each with the failure of the last one.
    pub(super) reviews: Vec<(&'static str, ReviewHealth)>,
}

impl HealthWarnings {
    /// The current warnings, each with the name of its subject.
    pub(super) fn current(&self, now: Timestamp) -> Vec<(&'static str, String)> {
        let trust = self.trusted.borrow().trust.clone();
        let proxies = trust.front_proxy.as_ref().map(|proxy| &proxy.ca_bundle);
        let certificates = [
            ("the serving certificate", Some(self.certificate.expires())),
            ("the CA of the serving certificate", self.certificate.ca_expires()),
            ("a CA of clients", trust.clients.as_deref().and_then(first_expiry)),
            ("a CA of front proxies", proxies.and_then(first_expiry)),
        ];
        let certificates = certificates
            .into_iter()
            .filter_map(|(what, expires)| Some(("certificates", expiry(what, expires?, now)?)));
        let reviews = self.reviews.iter().filter_map(|(kind, health)| {
            let fault = health.fault()?;
            Some(("control-plane", failed_review(kind, fault)))
        });
        certificates.chain(reviews).collect()
    }
}

fn first_expiry(ca_bundle: &CaBundle) -> Option<Timestamp> {
    // Without a valid certificate, all have expired.
    let Some(end) = ca_bundle.first_expiry() else { return Some(Timestamp::UNIX_EPOCH) };
    Timestamp::from_second(end.as_secs().try_into().ok()?).ok()
}

fn expiry(what: &str, expires: Timestamp, now: Timestamp) -> Option<String> {
    match Lifetime::of(expires, now) {
        Lifetime::Over => Some(format!("{what} has expired: replace it")),
        Lifetime::EndsSoon => Some(format!("{what} expires at {expires}: replace it")),
        Lifetime::Long => None,
    }
}

fn failed_review(kind: &str, fault: Fault) -> String {
    format!(
        "the last {kind} failed: {}; `imagestream-apiserver check` names the remedy",
        fault.summary()
    )
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn certificates_are_reported_before_they_expire() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1000 * 24);
        let text = |days: i64| expiry("it", now + SignedDuration::from_hours(days * 24), now);
        assert_eq!(text(30), None);
        assert!(text(3).is_some_and(|text| text.starts_with("it expires at 1972-")));
        assert_eq!(text(-1).as_deref(), Some("it has expired: replace it"));
    }
}
