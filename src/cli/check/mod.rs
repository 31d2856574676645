//! `check`: verifies flags, control plane, certificates, data folder and a running server.
//!
//! Changes nothing, except for the repair of a store after a crash when it is opened.

mod certificate;
mod cluster;
pub(super) mod finding;
mod permissions;
mod registration;
mod replicas;
mod running_server;
mod store;
mod webhooks;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, CommandFactory};
use serde_json::{Map, Value};
use tokio::time::timeout;

use self::finding::{CheckReport, Finding, ReportFormat};
use self::running_server::RunningServer;
use super::serve::WriteKubeconfigOptions;
use super::settings::{SettingsOptions, complete_from_server};
use super::{Cli, Command};
use crate::auth::FlowClassifier;
use crate::cluster::Clients;
use crate::server::{EffectiveFlags, Options};
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;

/// Flags of `check`: those of `serve`, and its own.
#[derive(Debug, Args)]
pub(super) struct CheckCommand {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    written: WriteKubeconfigOptions,
    /// Kubeconfig of the running server, to check its flags and its health, too.
    ///
    /// The flags come from GET /configz, for which the user needs a right. Flags of the command
    /// line override them. Files are those of this machine.
    #[arg(long, value_name = "FILE", help_heading = "Check")]
    server_kubeconfig: Option<PathBuf>,
    /// Form of the report.
    #[arg(
        short = 'o',
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        help_heading = "Check"
    )]
    output: ReportFormat,
    #[command(flatten)]
    log: log::Options,
    #[command(flatten)]
    _settings: SettingsOptions,
    /// Arguments of the process.
    #[arg(skip)]
    arguments: Vec<OsString>,
}

impl CheckCommand {
    /// Keeps the arguments, to complete them with the flags of a running server, and the values of
    /// all flags.
    pub(super) fn set_flags(&mut self, arguments: Vec<OsString>, flags: EffectiveFlags) {
        self.arguments = arguments;
        self.options.effective_flags = flags;
    }

    /// Prints all findings.
    ///
    /// # Errors
    /// At least one check failed.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        log::init(self.log.verbosity, self.log.logging_format)?;
        let mut report = CheckReport::new(self.output);
        let this = match self.server_kubeconfig.clone() {
            Some(kubeconfig) => self.with_server(&kubeconfig, &mut report).await?,
            None => self,
        };
        this.report(report).await
    }

    /// The command with the flags of the running server, whose health is reported.
    async fn with_server(
        self,
        kubeconfig: &Path,
        report: &mut CheckReport,
    ) -> anyhow::Result<Self> {
        let server = match RunningServer::of(kubeconfig).await {
            Ok(server) => server,
            Err(finding) => {
                report.add(finding);
                return Ok(self);
            }
        };
        let health = in_time(server.health()).await;
        report.extend(health.clone());
        let flags = match timeout(TIMEOUT, server.flags()).await {
            Ok(Ok(flags)) => flags,
            Ok(Err(finding)) if !health.contains(&finding) => {
                report.add(finding);
                return Ok(self);
            }
            // The check of the health has reported it.
            Ok(Err(_)) | Err(_) => return Ok(self),
        };
        let mut root = Cli::command();
        root.build();
        let check = root.find_subcommand("check").expect("this is the command check");
        let arguments = complete_from_server(check, &self.arguments, &flags)?;
        let Command::Check(completed) = Cli::parse(&mut root, arguments)?.command else {
            return Ok(self);
        };
        report.add(compare(&completed.options.effective_flags, &flags));
        Ok(*completed)
    }

    async fn report(self, mut report: CheckReport) -> anyhow::Result<()> {
        let clients = self.flags(&mut report).await;
        if let Some(clients) = &clients {
            let reached = cluster::reach(clients).await;
            let is_reached = !reached.is_problem();
            report.add(reached);
            if is_reached {
                report.extend(in_time(cluster::trust(&self.options.access, clients)).await);
                report.extend(in_time(permissions::check(&self.options, clients)).await);
                report.extend(in_time(registration::check(&self.options, clients)).await);
                report.extend(in_time(webhooks::check(&self.options, clients)).await);
                report.extend(in_time(replicas::check(&self.options, clients)).await);
            }
        }
        report.extend(self.written.check());
        report.extend(cluster::credentials(&self.options.cluster));
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
                report.add(Finding::problem("flags", why.to_string()).remedy(
                    "correct the kubeconfig, or the files that it names; they must be readable for this user",
                ));
                return None;
            }
        };
        if let Err(why) = self.options.admission.plugins() {
            report.add(Finding::problem("flags", why.to_string()));
        }
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

/// Reports the flags that differ from those of the running server.
fn compare(checked: &EffectiveFlags, server: &Map<String, Value>) -> Finding {
    let differing = checked
        .0
        .iter()
        .filter(|(name, value)| server.get(*name).is_some_and(|other| other != *value));
    let names: Vec<String> = differing.map(|(name, _)| format!("--{name}")).collect();
    match names.is_empty() {
        true => Finding::ok("flags", "they are those of the running server"),
        false => {
            let text = format!("those of the running server, except {}", names.join(", "));
            Finding::note("flags", text)
        }
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
