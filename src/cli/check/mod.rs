//! `check`: tells, line by line, whether a server with these flags can do its work, and what to do where it cannot. It makes and
//! changes nothing, but for what opening a store repairs after a crash.

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
use crate::cluster::Clients;
use crate::server::Options;
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;

/// Flags of `check`: those of `serve`.
#[derive(Debug, Args)]
pub(super) struct CheckCommand {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    log: log::Options,
}

impl CheckCommand {
    /// Prints what is found.
    ///
    /// # Errors
    /// Something is wrong.
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

    /// Judges the flags, and finds the way to the cluster.
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
        let access = access
            .authorizer(clients.as_ref(), &metrics)
            .map(drop)
            .and_then(|()| access.authenticator(clients.as_ref(), &metrics, now).map(drop));
        match (access, &clients) {
            (Err(why), _) => report.add(Finding::problem("flags", why.to_string())),
            (Ok(()), Some(_)) => report.add(Finding::ok("flags", "users and their rights are those of a cluster")),
            (Ok(()), None) => {
                report.add(Finding::ok("flags", "this server is on its own: no cluster is asked anything"))
            }
        }
        clients
    }
}

/// The longest that one look may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a look finds, or that it does not come to an end.
async fn in_time(looking: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    timeout(TIMEOUT, looking).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} s", TIMEOUT.as_secs());
        vec![Finding::problem("time", text).remedy("look at what would have stood here: control plane or disk hang")]
    })
}
