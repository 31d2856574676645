//! Ways to the control plane: a kubeconfig, or what Kubernetes gives to every pod.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// The flags that lead to the control plane.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct Options {
    /// Kubeconfig file of the control plane. Without it, a server in a pod uses the pod's service account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Kubeconfig file for asking who the bearer of a token is (TokenReview), if it is another one than --kubeconfig.
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Kubeconfig file for asking who may do what (SubjectAccessReview), if it is another one than --kubeconfig.
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

/// A control plane that does not even accept a connection in this time is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Options {
    /// The clients; none where no flag is given and this is no pod, or the pod's service account is not to be used.
    ///
    /// # Errors
    /// A file that cannot be used, with its flag.
    pub async fn connect(&self, may_use_pod: bool) -> Result<Option<Clients>, ConnectError> {
        let Self { kubeconfig, authentication_kubeconfig, authorization_kubeconfig } = self;
        let general = from_file("--kubeconfig", kubeconfig.as_deref()).await?;
        let authentication = from_file("--authentication-kubeconfig", authentication_kubeconfig.as_deref()).await?;
        let authorization = from_file("--authorization-kubeconfig", authorization_kubeconfig.as_deref()).await?;
        let general = match general {
            None if may_use_pod && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => Some(in_cluster()?),
            general => general,
        };
        let Some(general) = general.or_else(|| authentication.clone()).or_else(|| authorization.clone()) else {
            return Ok(None);
        };
        Ok(Some(Clients {
            authentication: authentication.unwrap_or_else(|| general.clone()),
            authorization: authorization.unwrap_or_else(|| general.clone()),
            general,
        }))
    }
}

async fn from_file(flag: &'static str, path: Option<&Path>) -> Result<Option<Client>, ConnectError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let fault = |why: String| ConnectError::Kubeconfig { flag, path: path.to_owned(), why };
    let content = Kubeconfig::read_from(path).map_err(|why| fault(told(&why)))?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(content, &options).await.map_err(|why| fault(told(&why)))?;
    client(config).map(Some).map_err(fault)
}

fn in_cluster() -> Result<Client, ConnectError> {
    let config = Config::incluster().map_err(|why| ConnectError::InCluster(told(&why)))?;
    client(config).map_err(ConnectError::InCluster)
}

fn client(mut config: Config) -> Result<Client, String> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Client::try_from(config).map_err(|why| told(&why))
}

/// An error with all its causes, in one line. What the control plane itself says of the cause stands alone.
pub fn told(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref() {
            return status.message.clone();
        }
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}
