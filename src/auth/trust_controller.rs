//! Trusted CAs from files and from the ConfigMap of the cluster, updated while the server runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use rustls_pki_types::UnixTime;
use tokio::sync::watch;
use tracing::{info, warn};

use super::ca_bundle::CaBundle;
use super::cluster_trust::{self, NAME, NAMESPACE};
use super::front_proxy::{FrontProxy, HeaderNames};
use super::trust::Trust;
use crate::cluster::object_watch::{WatchSubject, watch_object};
use crate::meta::file_error;
use crate::runtime::{Reload, Reloadable};
use crate::telemetry::OnceEach;
use crate::telemetry::metrics::{Certificate, Metrics};

/// Sources of trusted CAs.
#[derive(Default)]
pub struct TrustSource {
    /// File with the CAs of user certificates; overrides the cluster.
    pub client_ca_file: Option<PathBuf>,
    /// Front proxies; override the cluster.
    pub front_proxy: Option<FrontProxyFile>,
    /// Use of the ConfigMap of the cluster.
    pub lookup: ClusterLookup,
}

/// Front proxies that flags describe.
#[derive(Clone, Debug)]
pub struct FrontProxyFile {
    /// File with the CAs of front proxies.
    pub ca_file: PathBuf,
    /// Allowed common names; any name if empty.
    pub allowed_names: Vec<String>,
    /// Headers that name the user.
    pub headers: Arc<HeaderNames>,
}

/// Use of the ConfigMap of the cluster.
#[derive(Default)]
pub enum ClusterLookup {
    /// The ConfigMap is not read.
    #[default]
    Disabled,
    /// The server becomes ready after the ConfigMap was read.
    Required(Client),
    /// The server becomes ready before the ConfigMap was read.
    Optional(Client),
}

/// Current trusted CAs.
#[derive(Clone, Debug, Default)]
pub struct TrustState {
    /// Trusted CAs.
    pub trust: Arc<Trust>,
    /// Reason why the server is not ready: a required ConfigMap that was not read yet.
    pub awaited: Option<String>,
}

/// CA file that cannot be used at start.
#[derive(Debug, thiserror::Error)]
#[error("{flag}: cannot use {path}: {why}")]
pub struct TrustFileError {
    /// Flag of the file.
    pub flag: &'static str,
    /// Path of the file.
    pub path: PathBuf,
    /// Reason.
    pub why: String,
}

/// Interval of reading files and updating expiry metrics.
const INTERVAL: Duration = Duration::from_secs(60);

const SUBJECT: WatchSubject = WatchSubject {
    what: "the ConfigMap kube-system/extension-apiserver-authentication",
    if_forbidden: "bind the Role extension-apiserver-authentication-reader in kube-system to this server's user",
};

impl TrustSource {
    /// Reads the files. Returns a receiver of the trusted CAs, which the controller updates.
    ///
    /// # Errors
    /// A file that cannot be used, with its flag.
    pub fn open(
        self,
        now: UnixTime,
        metrics: Arc<Metrics>,
    ) -> Result<(watch::Receiver<TrustState>, TrustController), TrustFileError> {
        let Self { client_ca_file, front_proxy, lookup } = self;
        let awaited = matches!(lookup, ClusterLookup::Required(_))
            .then(|| format!("waiting for {}", SUBJECT.what));
        let client = match lookup {
            ClusterLookup::Disabled => None,
            ClusterLookup::Required(client) | ClusterLookup::Optional(client) => Some(client),
        };
        let files = Files { client_ca_file, front_proxy };
        let from_files = Reloadable::new(files.read(now)?);
        let trust = Arc::new(from_files.with(|files| merged(files, &Trust::default())));
        record_expiries(&trust, &metrics);
        let (sender, receiver) = watch::channel(TrustState { trust, awaited });
        let (from_cluster, config_map, logged_errors) =
            (Trust::default(), None, OnceEach::default());
        Ok((
            receiver,
            TrustController {
                files,
                client,
                from_files,
                from_cluster,
                config_map,
                logged_errors,
                sender,
                metrics,
            },
        ))
    }
}

/// Controller that keeps the trusted CAs current.
pub struct TrustController {
    files: Files,
    client: Option<Client>,
    from_files: Reloadable<Trust>,
    from_cluster: Trust,
    /// Last data of the ConfigMap.
    config_map: Option<BTreeMap<String, String>>,
    /// Errors in that data that were logged.
    logged_errors: OnceEach<String>,
    sender: watch::Sender<TrustState>,
    metrics: Arc<Metrics>,
}

impl TrustController {
    /// Watches files and ConfigMap. Never returns.
    pub async fn run(&mut self) {
        let mut config_maps: BoxStream<'_, _> = match self.client.clone() {
            Some(client) => {
                watch_object(Api::<ConfigMap>::namespaced(client, NAMESPACE), NAME, SUBJECT).boxed()
            }
            None => stream::pending().boxed(),
        };
        let mut timer = tokio::time::interval(INTERVAL);
        timer.tick().await;
        loop {
            tokio::select! {
                event = config_maps.next() => match event {
                    Some(Ok(found)) => self.handle(found),
                    Some(Err(why)) => self.report_waiting(&why),
                    None => return,
                },
                _ = timer.tick() => {}
            }
            self.refresh(UnixTime::now());
        }
    }

    fn handle(&mut self, found: Option<ConfigMap>) {
        match found {
            Some(config_map) => self.config_map = Some(config_map.data.unwrap_or_default()),
            // kube-apiserver creates it again; until then the old CAs are the best guess.
            None => {
                warn!(subject = SUBJECT.what, "the ConfigMap was deleted; keeping the previous CAs")
            }
        }
        self.sender.send_if_modified(|trusted| trusted.awaited.take().is_some());
    }

    fn report_waiting(&self, why: &str) {
        self.sender.send_if_modified(|trusted| {
            let is_awaited = trusted.awaited.is_some();
            if is_awaited {
                trusted.awaited = Some(format!("waiting for {}: {why}", SUBJECT.what));
            }
            is_awaited
        });
    }

    /// Reads all sources again. An invalid source changes nothing and is logged once.
    fn refresh(&mut self, now: UnixTime) {
        if let Reload::Failed(error) = self.from_files.reload(self.files.read(now), Trust::is_same)
        {
            warn!(%error, "invalid CAs; keeping the previous ones");
        }
        if let Some(data) = &self.config_map {
            let (trust, errors) = cluster_trust::next(&self.from_cluster, data, now);
            self.from_cluster = trust;
            let errors = errors.iter().map(|error| format!("{}: {error}", SUBJECT.what)).collect();
            for error in self.logged_errors.record_all(errors) {
                warn!(error, "invalid CAs; keeping the previous ones");
            }
        }
        let next = self.from_files.with(|files| merged(files, &self.from_cluster));
        self.sender.send_if_modified(|trusted| {
            let is_new = !trusted.trust.is_same(&next);
            if is_new {
                record_expiries(&next, &self.metrics);
                info!(trust = %next, "client certificates are verified by new CAs");
                trusted.trust = Arc::new(next);
            }
            is_new
        });
    }
}

struct Files {
    client_ca_file: Option<PathBuf>,
    front_proxy: Option<FrontProxyFile>,
}

impl Files {
    fn read(&self, now: UnixTime) -> Result<Trust, TrustFileError> {
        let ca_bundle = |flag: &'static str, path: &PathBuf| {
            let error = |why: String| TrustFileError { flag, path: path.clone(), why };
            let pem = std::fs::read(path).map_err(|why| error(file_error::reading(&why)))?;
            CaBundle::parse(&pem, now).map_err(|why| error(why.to_string()))
        };
        let clients = self
            .client_ca_file
            .as_ref()
            .map(|path| ca_bundle("--client-ca-file", path))
            .transpose()?;
        let front_proxy = match &self.front_proxy {
            None => None,
            Some(FrontProxyFile { ca_file, allowed_names, headers }) => Some(FrontProxy {
                ca_bundle: ca_bundle("--requestheader-client-ca-file", ca_file)?,
                allowed_names: allowed_names.clone(),
                headers: headers.clone(),
            }),
        };
        Ok(Trust { clients: clients.map(Arc::new), front_proxy: front_proxy.map(Arc::new) })
    }
}

/// Records the expiry of the CAs.
fn record_expiries(trust: &Trust, metrics: &Metrics) {
    let proxies = trust.front_proxy.as_ref().map(|proxy| &proxy.ca_bundle);
    for (which, ca_bundle) in
        [(Certificate::ClientCa, trust.clients.as_deref()), (Certificate::FrontProxyCa, proxies)]
    {
        let end = ca_bundle
            .and_then(CaBundle::first_expiry)
            .and_then(|end| i64::try_from(end.as_secs()).ok());
        if let Some(end) = end.and_then(|end| jiff::Timestamp::from_second(end).ok()) {
            metrics.set_certificate_expiry(which, end);
        }
    }
}

/// Files override the cluster.
fn merged(files: &Trust, cluster: &Trust) -> Trust {
    Trust {
        clients: files.clients.clone().or_else(|| cluster.clients.clone()),
        front_proxy: files.front_proxy.clone().or_else(|| cluster.front_proxy.clone()),
    }
}
