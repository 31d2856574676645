//! One way to the control plane, whose files are read again while the server runs: certificates and keys of clients are replaced, and
//! so are the authorities of control planes. (Tokens in files are read again by the client library.)

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{Request, Response};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::Service;
use tracing::{info, warn};

use super::error_message;
use crate::runtime::{Reload, Reloadable};

/// Where the way to the control plane is described.
#[derive(Clone, Debug)]
pub(super) enum ConfigSource {
    /// In a kubeconfig.
    Kubeconfig(PathBuf),
    /// In what Kubernetes gives to every pod.
    InCluster,
}

/// A way to the control plane.
pub(super) struct ReloadingClient {
    source: ConfigSource,
    current: Arc<Reloadable<LoadedClient>>,
}

/// A client, and the content of the files that it was made of.
#[derive(Clone)]
struct LoadedClient {
    content: Vec<u8>,
    client: Client,
}

/// Sends each request by the present client.
#[derive(Clone)]
struct CurrentClient(Arc<Reloadable<LoadedClient>>);

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(60);
/// A control plane that does not even accept a connection in this time is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The authority of the control plane in a pod.
const POD_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

impl ReloadingClient {
    /// Opens a way, and makes the client that follows it as long as [`Source::keep_current`] runs.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub(super) async fn open(source: ConfigSource) -> Result<(Self, Client), String> {
        let loaded = LoadedClient { content: source.content()?, client: source.client().await? };
        let namespace = loaded.client.default_namespace().to_owned();
        let current = Arc::new(Reloadable::new(loaded));
        let client = Client::new(CurrentClient(current.clone()), namespace);
        Ok((Self { source, current }, client))
    }

    /// Reads the files again at intervals. Never returns.
    pub(super) async fn keep_current(&self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            match self.reload().await {
                Reload::Unchanged => {}
                Reload::Replaced => info!("new configuration for requests to the control plane"),
                Reload::Failed(error) => {
                    warn!(error, "no new configuration of the control plane, the present one stays")
                }
            }
        }
    }

    async fn reload(&self) -> Reload<String> {
        let loaded = self.load().await;
        self.current.reload(loaded, |new, current| new.content == current.content)
    }

    /// Makes a new client if the files have changed.
    async fn load(&self) -> Result<LoadedClient, String> {
        let current = self.current.with(LoadedClient::clone);
        let content = self.source.content()?;
        if content == current.content {
            return Ok(current);
        }
        Ok(LoadedClient { content, client: self.source.client().await? })
    }
}

impl ConfigSource {
    async fn client(&self) -> Result<Client, String> {
        let mut config = match self {
            Self::Kubeconfig(path) => {
                let content = Kubeconfig::read_from(path).map_err(|why| error_message(&why))?;
                let options = KubeConfigOptions::default();
                Config::from_custom_kubeconfig(content, &options).await.map_err(|why| error_message(&why))?
            }
            Self::InCluster => Config::incluster().map_err(|why| error_message(&why))?,
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        Client::try_from(config).map_err(|why| error_message(&why))
    }

    /// The content of all files that a client is made of. They are small, and seldom read.
    fn content(&self) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        let mut add = |path: &Path| {
            let content = std::fs::read(path).map_err(|why| format!("{}: {why}", path.display()))?;
            all.extend(content);
            Ok::<(), String>(())
        };
        match self {
            Self::InCluster => add(Path::new(POD_CA))?,
            Self::Kubeconfig(path) => {
                add(path)?;
                let config = Kubeconfig::read_from(path).map_err(|why| error_message(&why))?;
                let authorities = config.clusters.into_iter().filter_map(|each| each.cluster?.certificate_authority);
                let users = config.auth_infos.into_iter().filter_map(|each| each.auth_info);
                let pairs = users.flat_map(|user| [user.client_certificate, user.client_key]).flatten();
                for path in authorities.chain(pairs) {
                    add(Path::new(&path))?;
                }
            }
        }
        Ok(all)
    }
}

impl Service<Request<Body>> for CurrentClient {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, kube::Error>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.with(|current| current.client.clone());
        Box::pin(async move { client.send(request).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, server: &str) {
        let config = serde_json::json!({
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        });
        std::fs::write(path, config.to_string()).unwrap();
    }

    async fn refused(client: &Client) -> String {
        error_message(&client.apiserver_version().await.unwrap_err())
    }

    #[tokio::test]
    async fn what_the_files_hold_now_counts_unless_it_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        // Who is asked shows in what fails: somebody who hangs up, or nobody.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        write(&path, &format!("http://{}", listener.local_addr().unwrap()));
        std::thread::spawn(move || drop(listener.accept()));
        let (source, client) = ReloadingClient::open(ConfigSource::Kubeconfig(path.clone())).await.unwrap();
        let before = refused(&client).await;
        write(&path, "http://127.0.0.1:1");
        assert_eq!(source.reload().await, Reload::Replaced);
        let after = refused(&client).await;
        assert!(after.contains("refused") && !before.contains("refused"), "{before} / {after}");
        std::fs::write(&path, "no kubeconfig: [").unwrap();
        assert!(matches!(source.reload().await, Reload::Failed(_)));
        assert_eq!(refused(&client).await, after);
    }
}
