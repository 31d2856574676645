//! Where trust in certificates comes from: files, and the ConfigMap of the cluster. Both are followed while the server runs.

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
use crate::runtime::{Reload, Reloadable};
use crate::telemetry::OnceEach;
use crate::telemetry::metrics::{Certificate, Metrics};

/// Where trust comes from.
#[derive(Default)]
pub struct TrustSource {
    /// File with the authorities of users; takes the place of what the cluster says of them.
    pub client_ca_file: Option<PathBuf>,
    /// Front proxies; take the place of what the cluster says of them.
    pub front_proxy: Option<FrontProxyFile>,
    /// Whether the cluster is asked.
    pub lookup: ClusterLookup,
}

/// Front proxies that flags describe.
#[derive(Clone, Debug)]
pub struct FrontProxyFile {
    /// File with the authorities of proxies.
    pub ca_file: PathBuf,
    /// The common names that proxies have; any, where there is none.
    pub allowed_names: Vec<String>,
    /// Where they say who the user is.
    pub headers: Arc<HeaderNames>,
}

/// Whether the cluster is asked for its authorities.
#[derive(Default)]
pub enum ClusterLookup {
    /// It is not.
    #[default]
    Disabled,
    /// The server is not ready before it has answered.
    Required(Client),
    /// It is, and the server serves before it has answered.
    Optional(Client),
}

/// Trust as of now.
#[derive(Clone, Debug, Default)]
pub struct TrustState {
    /// What is trusted.
    pub trust: Arc<Trust>,
    /// What trust waits for, if the cluster has not been heard yet though it must be.
    pub awaited: Option<String>,
}

/// A file with authorities cannot be used at start.
#[derive(Debug, thiserror::Error)]
#[error("{flag}: {path} cannot be used: {why}")]
pub struct TrustFileError {
    /// The flag that names the file.
    pub flag: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub why: String,
}

/// How often files are read again, and ends of authorities are looked at.
const INTERVAL: Duration = Duration::from_secs(60);

const SUBJECT: WatchSubject = WatchSubject {
    what: "the ConfigMap kube-system/extension-apiserver-authentication",
    if_forbidden: "bind the Role extension-apiserver-authentication-reader in kube-system to this server's user",
};

impl TrustSource {
    /// Reads the files. What is trusted follows in the receiver as long as the work beside it is run.
    ///
    /// # Errors
    /// A file that cannot be used, with its flag.
    pub fn open(
        self,
        now: UnixTime,
        metrics: Arc<Metrics>,
    ) -> Result<(watch::Receiver<TrustState>, TrustController), TrustFileError> {
        let Self { client_ca_file, front_proxy, lookup } = self;
        let awaited = matches!(lookup, ClusterLookup::Required(_)).then(|| format!("waiting for {}", SUBJECT.what));
        let client = match lookup {
            ClusterLookup::Disabled => None,
            ClusterLookup::Required(client) | ClusterLookup::Optional(client) => Some(client),
        };
        let files = Files { client_ca_file, front_proxy };
        let from_files = Reloadable::new(files.read(now)?);
        let trust = Arc::new(from_files.with(|files| merged(files, &Trust::default())));
        record_expiries(&trust, &metrics);
        let (sender, receiver) = watch::channel(TrustState { trust, awaited });
        let (from_cluster, config_map, logged_errors) = (Trust::default(), None, OnceEach::default());
        Ok((
            receiver,
            TrustController { files, client, from_files, from_cluster, config_map, logged_errors, sender, metrics },
        ))
    }
}

/// Keeps trust current.
pub struct TrustController {
    files: Files,
    client: Option<Client>,
    from_files: Reloadable<Trust>,
    from_cluster: Trust,
    /// The data of the ConfigMap.
    config_map: Option<BTreeMap<String, String>>,
    /// The faults of that data.
    logged_errors: OnceEach<String>,
    sender: watch::Sender<TrustState>,
    metrics: Arc<Metrics>,
}

impl TrustController {
    /// Follows files and cluster. Never returns.
    pub async fn run(&mut self) {
        let mut config_maps: BoxStream<'_, _> = match self.client.clone() {
            Some(client) => watch_object(Api::<ConfigMap>::namespaced(client, NAMESPACE), NAME, SUBJECT).boxed(),
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
            // It is made anew by kube-apiserver; until then nothing says that the old one is wrong.
            None => warn!(subject = SUBJECT.what, "the authorities of clients are gone, the present ones stay"),
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

    /// Reads everything again. What cannot be used changes nothing and is logged once.
    fn refresh(&mut self, now: UnixTime) {
        const REFUSED: &str = "new authorities of clients cannot be used, the present ones stay";
        if let Reload::Failed(error) = self.from_files.reload(self.files.read(now), Trust::is_same) {
            warn!(%error, "{REFUSED}");
        }
        if let Some(data) = &self.config_map {
            let (trust, logged_errors) = cluster_trust::next(&self.from_cluster, data, now);
            self.from_cluster = trust;
            let logged_errors = logged_errors.iter().map(|error| format!("{}: {error}", SUBJECT.what)).collect();
            for error in self.logged_errors.record_all(logged_errors) {
                warn!(error, "{REFUSED}");
            }
        }
        let next = self.from_files.with(|files| merged(files, &self.from_cluster));
        self.sender.send_if_modified(|trusted| {
            let is_new = !trusted.trust.is_same(&next);
            if is_new {
                record_expiries(&next, &self.metrics);
                info!(trust = %next, "certificates of clients are judged by new authorities");
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
            let pem = std::fs::read(path).map_err(|why| error(why.to_string()))?;
            CaBundle::parse(&pem, now).map_err(|why| error(why.to_string()))
        };
        let clients = self.client_ca_file.as_ref().map(|path| ca_bundle("--client-ca-file", path)).transpose()?;
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

/// Tells when the authorities end.
fn record_expiries(trust: &Trust, metrics: &Metrics) {
    let proxies = trust.front_proxy.as_ref().map(|proxy| &proxy.ca_bundle);
    for (which, ca_bundle) in [(Certificate::ClientCa, trust.clients.as_deref()), (Certificate::FrontProxyCa, proxies)]
    {
        let end = ca_bundle.and_then(CaBundle::first_expiry).and_then(|end| i64::try_from(end.as_secs()).ok());
        if let Some(end) = end.and_then(|end| jiff::Timestamp::from_second(end).ok()) {
            metrics.set_certificate_expiry(which, end);
        }
    }
}

/// Files count before the cluster.
fn merged(files: &Trust, cluster: &Trust) -> Trust {
    Trust {
        clients: files.clients.clone().or_else(|| cluster.clients.clone()),
        front_proxy: files.front_proxy.clone().or_else(|| cluster.front_proxy.clone()),
    }
}
