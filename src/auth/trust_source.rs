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

use super::authority::Authority;
use super::cluster_trust::{self, NAME, NAMESPACE};
use super::front_proxy::{FrontProxy, HeaderNames};
use super::trust::Trust;
use crate::cluster::follow::{self, Subject};
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
    pub lookup: Lookup,
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
pub enum Lookup {
    /// It is not.
    #[default]
    Never,
    /// The server is not ready before it has answered.
    Required(Client),
    /// It is, and the server serves before it has answered.
    Tolerated(Client),
}

/// Trust as of now.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
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

const SUBJECT: Subject = Subject {
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
    ) -> Result<(watch::Receiver<Trusted>, TrustKeeper), TrustFileError> {
        let Self { client_ca_file, front_proxy, lookup } = self;
        let awaited = matches!(lookup, Lookup::Required(_)).then(|| format!("waiting for {}", SUBJECT.what));
        let client = match lookup {
            Lookup::Never => None,
            Lookup::Required(client) | Lookup::Tolerated(client) => Some(client),
        };
        let files = Files { client_ca_file, front_proxy };
        let from_files = Reloadable::new(files.read(now)?);
        let trust = Arc::new(from_files.with(|files| joined(files, &Trust::default())));
        measure(&trust, &metrics);
        let (sender, receiver) = watch::channel(Trusted { trust, awaited });
        let (from_cluster, said, faults) = (Trust::default(), None, OnceEach::default());
        Ok((receiver, TrustKeeper { files, client, from_files, from_cluster, said, faults, sender, metrics }))
    }
}

/// Keeps trust current.
pub struct TrustKeeper {
    files: Files,
    client: Option<Client>,
    from_files: Reloadable<Trust>,
    from_cluster: Trust,
    /// The data of the ConfigMap.
    said: Option<BTreeMap<String, String>>,
    /// The faults of that data.
    faults: OnceEach<String>,
    sender: watch::Sender<Trusted>,
    metrics: Arc<Metrics>,
}

impl TrustKeeper {
    /// Follows files and cluster. Never returns.
    pub async fn run(&mut self) {
        let mut config_maps: BoxStream<'_, _> = match self.client.clone() {
            Some(client) => follow::object(Api::<ConfigMap>::namespaced(client, NAMESPACE), NAME, SUBJECT).boxed(),
            None => stream::pending().boxed(),
        };
        let mut timer = tokio::time::interval(INTERVAL);
        timer.tick().await;
        loop {
            tokio::select! {
                heard = config_maps.next() => match heard {
                    Some(Ok(found)) => self.hear(found),
                    Some(Err(why)) => self.await_still(&why),
                    None => return,
                },
                _ = timer.tick() => {}
            }
            self.renew(UnixTime::now());
        }
    }

    fn hear(&mut self, found: Option<ConfigMap>) {
        match found {
            Some(config_map) => self.said = Some(config_map.data.unwrap_or_default()),
            // It is made anew by kube-apiserver; until then nothing says that the old one is wrong.
            None => warn!(subject = SUBJECT.what, "the authorities of clients are gone, the present ones stay"),
        }
        self.sender.send_if_modified(|trusted| trusted.awaited.take().is_some());
    }

    fn await_still(&self, why: &str) {
        self.sender.send_if_modified(|trusted| {
            let is_awaited = trusted.awaited.is_some();
            if is_awaited {
                trusted.awaited = Some(format!("waiting for {}: {why}", SUBJECT.what));
            }
            is_awaited
        });
    }

    /// Reads everything again. What cannot be used changes nothing and is logged once.
    fn renew(&mut self, now: UnixTime) {
        const REFUSED: &str = "new authorities of clients cannot be used, the present ones stay";
        if let Reload::Failed(error) = self.from_files.reload(self.files.read(now), Trust::is_same) {
            warn!(%error, "{REFUSED}");
        }
        if let Some(data) = &self.said {
            let (trust, faults) = cluster_trust::next(&self.from_cluster, data, now);
            self.from_cluster = trust;
            let faults = faults.iter().map(|fault| format!("{}: {fault}", SUBJECT.what)).collect();
            for error in self.faults.record_all(faults) {
                warn!(error, "{REFUSED}");
            }
        }
        let next = self.from_files.with(|files| joined(files, &self.from_cluster));
        self.sender.send_if_modified(|trusted| {
            let is_new = !trusted.trust.is_same(&next);
            if is_new {
                measure(&next, &self.metrics);
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
        let authority = |flag: &'static str, path: &PathBuf| {
            let fault = |why: String| TrustFileError { flag, path: path.clone(), why };
            let pem = std::fs::read(path).map_err(|why| fault(why.to_string()))?;
            Authority::parse(&pem, now).map_err(|why| fault(why.to_string()))
        };
        let clients = self.client_ca_file.as_ref().map(|path| authority("--client-ca-file", path)).transpose()?;
        let front_proxy = match &self.front_proxy {
            None => None,
            Some(FrontProxyFile { ca_file, allowed_names, headers }) => Some(FrontProxy {
                authority: authority("--requestheader-client-ca-file", ca_file)?,
                allowed_names: allowed_names.clone(),
                headers: headers.clone(),
            }),
        };
        Ok(Trust { clients: clients.map(Arc::new), front_proxy: front_proxy.map(Arc::new) })
    }
}

/// Tells when the authorities end.
fn measure(trust: &Trust, metrics: &Metrics) {
    let proxies = trust.front_proxy.as_ref().map(|proxy| &proxy.authority);
    for (which, authority) in [(Certificate::ClientCa, trust.clients.as_deref()), (Certificate::FrontProxyCa, proxies)]
    {
        let end = authority.and_then(Authority::ends).and_then(|end| i64::try_from(end.as_secs()).ok());
        if let Some(end) = end.and_then(|end| jiff::Timestamp::from_second(end).ok()) {
            metrics.certificate_ends(which, end);
        }
    }
}

/// Files count before the cluster.
fn joined(files: &Trust, cluster: &Trust) -> Trust {
    Trust {
        clients: files.clients.clone().or_else(|| cluster.clients.clone()),
        front_proxy: files.front_proxy.clone().or_else(|| cluster.front_proxy.clone()),
    }
}
