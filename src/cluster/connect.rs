//! Clients of the control plane, from a kubeconfig or from the service account of the pod.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use futures_util::future::join_all;
use jiff::Timestamp;
use kube::Client;

use super::client_certificate;
use super::reloading_client::{ConfigSource, ReloadingClient};

/// Flags of the control plane.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
#[command(next_help_heading = "Control plane")]
pub struct Options {
    /// Kubeconfig file of the control plane; the ServiceAccount of the pod if not set.
    ///
    /// The server needs the control plane for reviews, Namespaces, Secrets and its APIService. In a
    /// pod with --authorization-mode=AlwaysAllow, no cluster is used unless this is set.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Kubeconfig file for TokenReviews, instead of --kubeconfig.
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Kubeconfig file for SubjectAccessReviews, instead of --kubeconfig.
    #[arg(long, value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,
}

/// Clients of the control plane. Creating them opens no connection.
#[derive(Clone)]
pub struct Clients {
    /// Client for everything but reviews.
    pub general: Client,
    /// Client for TokenReviews and for the trusted CAs of the cluster.
    pub authentication: Client,
    /// Client for SubjectAccessReviews.
    pub authorization: Client,
    /// URL of the control plane of `general`.
    pub address: Arc<str>,
}

/// Reloading of the clients, whose files may change while the server runs.
pub struct ClientReloads(Vec<ReloadingClient>);

/// Unusable configuration of a client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Kubeconfig that cannot be read or used.
    #[error("{flag}: cannot use {path}: {why}")]
    Kubeconfig {
        /// Flag of the file.
        flag: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Reason.
        why: String,
    },
    /// Missing or unusable service account of the pod.
    #[error(
        "cannot use the service account of this pod: {0}; set --kubeconfig to connect without it"
    )]
    InCluster(String),
}

impl Options {
    /// Creates the clients and the reloading that keeps them current; `None` without a flag outside
    /// of a pod, or if the service account of the pod must not be used.
    ///
    /// # Errors
    /// A file that cannot be used, with its flag.
    pub async fn connect(
        &self,
        may_use_pod: bool,
    ) -> Result<Option<(Clients, ClientReloads)>, ConnectError> {
        let Self { kubeconfig, authentication_kubeconfig, authorization_kubeconfig } = self;
        let mut reloads = Vec::new();
        let mut general = from_file("--kubeconfig", kubeconfig.as_deref(), &mut reloads).await?;
        let authentication = authentication_kubeconfig.as_deref();
        let authentication =
            from_file("--authentication-kubeconfig", authentication, &mut reloads).await?;
        let authorization = authorization_kubeconfig.as_deref();
        let authorization =
            from_file("--authorization-kubeconfig", authorization, &mut reloads).await?;
        if general.is_none() && may_use_pod && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        {
            let (source, client) = ReloadingClient::open(ConfigSource::InCluster)
                .await
                .map_err(ConnectError::InCluster)?;
            let address = source.address();
            reloads.push(source);
            general = Some((client, address));
        }
        let Some((general, address)) =
            general.or_else(|| authentication.clone()).or_else(|| authorization.clone())
        else {
            return Ok(None);
        };
        let clients = Clients {
            authentication: authentication.map_or_else(|| general.clone(), |(client, _)| client),
            authorization: authorization.map_or_else(|| general.clone(), |(client, _)| client),
            general,
            address,
        };
        Ok(Some((clients, ClientReloads(reloads))))
    }
}

/// Client of the server that a context of a kubeconfig names, or the current context, and its URL.
/// Creating it opens no connection.
///
/// # Errors
/// A file that cannot be used, with its flag.
pub async fn client_of(
    flag: &'static str,
    kubeconfig: &Path,
    context: Option<String>,
) -> Result<(Client, Arc<str>), ConnectError> {
    let source = ConfigSource::Kubeconfig { path: kubeconfig.to_owned(), context };
    let opened = ReloadingClient::open(source).await;
    let (source, client) = opened.map_err(|why| ConnectError::Kubeconfig {
        flag,
        path: kubeconfig.to_owned(),
        why,
    })?;
    Ok((client, source.address()))
}

impl Options {
    /// Expiry of the client certificates in the kubeconfigs, with the flags of the files. Leaves
    /// out files that cannot be read, which [`Options::connect`] reports.
    pub fn client_certificates(&self) -> Vec<(&'static str, Timestamp)> {
        let files = [
            ("--kubeconfig", &self.kubeconfig),
            ("--authentication-kubeconfig", &self.authentication_kubeconfig),
            ("--authorization-kubeconfig", &self.authorization_kubeconfig),
        ];
        let files = files.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?)));
        files.filter_map(|(flag, path)| Some((flag, client_certificate::expiry(path)?))).collect()
    }
}

impl ClientReloads {
    /// Reads the files again at intervals. Never returns.
    pub async fn keep_current(&self) {
        join_all(self.0.iter().map(ReloadingClient::keep_current)).await;
    }
}

async fn from_file(
    flag: &'static str,
    path: Option<&Path>,
    reloads: &mut Vec<ReloadingClient>,
) -> Result<Option<(Client, Arc<str>)>, ConnectError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let opened = ReloadingClient::open(ConfigSource::current_context(path)).await;
    let (source, client) =
        opened.map_err(|why| ConnectError::Kubeconfig { flag, path: path.to_owned(), why })?;
    let address = source.address();
    reloads.push(source);
    Ok(Some((client, address)))
}
