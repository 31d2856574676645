//! `check`: verifies flags, control plane, certificates and data folder, one line for each check.
//!
//! Changes nothing, except for the repair of a store after a crash when it is opened.

mod certificate;
mod cluster;
pub(super) mod finding;
mod permissions;
mod registration;
mod store;

use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use self::finding::{CheckReport, Finding};
use super::settings::SettingsOptions;
use crate::auth::FlowClassifier;
use crate::cluster::Clients;
use crate::server::Options;
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;

/// Flags of `check`, which are those of `serve`.
#[derive(Debug, Args)]
pub(super) struct CheckCommand {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    log: log::Options,
    #[command(flatten)]
    _settings: SettingsOptions,
}

impl CheckCommand {
    /// Prints all findings.
    ///
    /// # Errors
    /// At least one check failed.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        log::init(self.log.verbosity, self.log.logging_format)?;
        let mut report = CheckReport::default();
        let clients = self.flags(&mut report).await;
        if let Some(clients) = &clients {
            let reached = cluster::reach(clients).await;
            let is_reached = !reached.is_problem();
            report.add(reached);
            if is_reached {
                report.extend(in_time(cluster::trust(&self.options.access, clients)).await);
                report.extend(in_time(permissions::check(&self.options, clients)).await);
                report.extend(in_time(registration::check(&self.options, clients)).await);
            }
        }
        report.extend(cluster::files(&self.options.access));
        report.extend(certificate::check(&self.options.tls));
        report.extend(in_time(store::check(&self.options.storage)).await);
        report.end()
    }

    /// Checks the flags. Returns the clients of the control plane.
    async fn flags(&self, report: &mut CheckReport) -> Option<Clients> {
        let Options { access, cluster, .. } = &self.options;
        let clients = match cluster.connect(access.uses_pod_account()).await {
            Ok(connected) => connected.map(|(clients, _)| clients),
            Err(why) => {
                report.add(Finding::problem("flags", why.to_string()));
                return None;
            }
        };
        let metrics = std::sync::Arc::new(Metrics::new());
        let now = rustls::pki_types::UnixTime::now();
        let flows = std::sync::Arc::new(FlowClassifier::new(&access.priority));
        let access = access
            .authorizer(clients.as_ref(), &metrics)
            .map(drop)
            .and_then(|()| access.authenticator(clients.as_ref(), &flows, &metrics, now).map(drop));
        match (access, &clients) {
            (Err(why), _) => report.add(Finding::problem("flags", why.to_string())),
            (Ok(()), Some(_)) => {
                report.add(Finding::ok("flags", "users and permissions come from the cluster"))
            }
            (Ok(()), None) => report.add(Finding::ok("flags", "the server runs without a cluster")),
        }
        clients
    }
}

/// Timeout of one check.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Findings of a check, or a failure if it takes too long.
async fn in_time(looking: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    timeout(TIMEOUT, looking).await.unwrap_or_else(|_| {
        let text = format!("no response within {} s", TIMEOUT.as_secs());
        vec![
            Finding::problem("time", text)
                .remedy("find out why the control plane or the disk hangs"),
        ]
    })
}
