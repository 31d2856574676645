//! Ways to the control plane: a kubeconfig, or what Kubernetes gives to every pod.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use futures_util::future::join_all;
use kube::Client;

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

/// Clients of the control plane. Making one connects to nothing yet.
#[derive(Clone)]
pub struct Clients {
    /// For everything that is no review.
    pub general: Client,
    /// For reviews of tokens, and for the configuration of authentication.
    pub authentication: Client,
    /// For reviews of access.
    pub authorization: Client,
}

/// Keeps clients current, whose files change while the server runs.
pub struct ClientReloads(Vec<ReloadingClient>);

/// Why there is no way to the control plane.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig cannot be used.
    #[error("{flag}: {path} cannot be used: {why}")]
    Kubeconfig {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// This is a pod, and what every pod gets is not there.
    #[error("the service account of this pod cannot be used (name a --kubeconfig to do without it): {0}")]
    InCluster(String),
}

impl Options {
    /// The clients, and the work that keeps them current; none where no flag is given and this is no pod, or the pod's service
    /// account is not to be used.
    ///
    /// # Errors
    /// A file that cannot be used, with its flag.
    pub async fn connect(&self, may_use_pod: bool) -> Result<Option<(Clients, ClientReloads)>, ConnectError> {
        let Self { kubeconfig, authentication_kubeconfig, authorization_kubeconfig } = self;
        let mut reloads = Vec::new();
        let mut general = from_file("--kubeconfig", kubeconfig.as_deref(), &mut reloads).await?;
        let authentication = authentication_kubeconfig.as_deref();
        let authentication = from_file("--authentication-kubeconfig", authentication, &mut reloads).await?;
        let authorization = authorization_kubeconfig.as_deref();
        let authorization = from_file("--authorization-kubeconfig", authorization, &mut reloads).await?;
        if general.is_none() && may_use_pod && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
            let (source, client) =
                ReloadingClient::open(ConfigSource::InCluster).await.map_err(ConnectError::InCluster)?;
            reloads.push(source);
            general = Some(client);
        }
        let Some(general) = general.or_else(|| authentication.clone()).or_else(|| authorization.clone()) else {
            return Ok(None);
        };
        let clients = Clients {
            authentication: authentication.unwrap_or_else(|| general.clone()),
            authorization: authorization.unwrap_or_else(|| general.clone()),
            general,
        };
        Ok(Some((clients, ClientReloads(reloads))))
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
) -> Result<Option<Client>, ConnectError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let opened = ReloadingClient::open(ConfigSource::Kubeconfig(path.to_owned())).await;
    let (source, client) = opened.map_err(|why| ConnectError::Kubeconfig { flag, path: path.to_owned(), why })?;
    reloads.push(source);
    Ok(Some(client))
}

/// An error with all its causes, in one line. What the control plane itself says of the cause stands alone.
pub fn error_message(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref() {
            return truncated(status.message.clone());
        }
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    truncated(text)
}

/// What is not the control plane may answer with a whole page.
fn truncated(mut text: String) -> String {
    const MAX_CHARS: usize = 600;
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}
