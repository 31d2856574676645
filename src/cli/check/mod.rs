//! `check`: tells, line by line, whether a server with these flags can do its work, and what to do where it cannot. It makes and
//! changes nothing, but for what opening a store repairs after a crash.

mod certificate;
mod cluster;
pub(super) mod finding;
mod registration;
mod rights;
mod store;

use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use self::finding::{Finding, Report};
use crate::cluster::Clients;
use crate::server::Options;
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;

/// Flags of `check`: those of `serve`.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    log: log::Options,
}

impl Check {
    /// Prints what is found.
    ///
    /// # Errors
    /// Something is wrong.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        log::init(self.log.verbosity, self.log.logging_format)?;
        let mut report = Report::default();
        let clients = self.flags(&mut report).await;
        if let Some(clients) = &clients {
            let reached = cluster::reach(clients).await;
            let is_reached = !reached.is_wrong();
            report.add(reached);
            if is_reached {
                report.extend(in_time(cluster::trust(&self.options.access, clients)).await);
                report.extend(in_time(rights::check(&self.options, clients)).await);
                report.extend(in_time(registration::check(&self.options, clients)).await);
            }
        }
        report.extend(cluster::files(&self.options.access));
        report.extend(certificate::check(&self.options.tls));
        report.extend(in_time(store::check(&self.options.storage)).await);
        report.end()
    }

    /// Judges the flags, and finds the way to the cluster.
    async fn flags(&self, report: &mut Report) -> Option<Clients> {
        let Options { access, cluster, .. } = &self.options;
        let clients = match cluster.connect(access.may_join_cluster()).await {
            Ok(connected) => connected.map(|(clients, _)| clients),
            Err(why) => {
                report.add(Finding::wrong("flags", why.to_string()));
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
            (Err(why), _) => report.add(Finding::wrong("flags", why.to_string())),
            (Ok(()), Some(_)) => report.add(Finding::good("flags", "users and their rights are those of a cluster")),
            (Ok(()), None) => {
                report.add(Finding::good("flags", "this server is on its own: no cluster is asked anything"))
            }
        }
        clients
    }
}

/// The longest that one look may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a look finds, or that it does not come to an end.
async fn in_time(looking: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} s", PATIENCE.as_secs());
        vec![Finding::wrong("time", text).way_out("look at what would have stood here: control plane or disk hang")]
    })
}
