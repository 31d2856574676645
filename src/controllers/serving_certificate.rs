//! The serving certificate, which is renewed, or read again from its files.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::controller::Controller;
use crate::tls::Serving;

/// The time between two reloads, as `FileRefreshDuration` in
/// k8s.io/apiserver/pkg/server/dynamiccertificates.
const INTERVAL: Duration = Duration::from_secs(60);

impl Controller for Serving {
    fn name(&self) -> &'static str {
        "serving-certificate"
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.keep_current(INTERVAL))
    }
}
