//! Client of the control plane whose files are read again while the server runs.
//!
//! Client certificates, keys and CAs are replaced at run time. (`kube` itself reads token files
//! again.)

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

/// Source of a client's configuration.
#[derive(Clone, Debug)]
pub(super) enum ConfigSource {
    /// Kubeconfig file.
    Kubeconfig(PathBuf),
    /// Service account of the pod.
    InCluster,
}

/// Client that follows changes of its files.
pub(super) struct ReloadingClient {
    source: ConfigSource,
    current: Arc<Reloadable<LoadedClient>>,
}

/// Client with the content of the files that it was created from.
#[derive(Clone)]
struct LoadedClient {
    content: Vec<u8>,
    client: Client,
}

/// Service that sends each request by the current client.
#[derive(Clone)]
struct CurrentClient(Arc<Reloadable<LoadedClient>>);

/// Interval of reading the files.
const INTERVAL: Duration = Duration::from_secs(60);
/// Timeout to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// CA of the control plane in a pod.
const POD_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

impl ReloadingClient {
    /// Creates a client that follows its files as long as [`ReloadingClient::keep_current`] runs.
    ///
    /// # Errors
    /// The reason why the configuration cannot be used.
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
                Reload::Replaced => info!("reloaded the configuration of the control plane client"),
                Reload::Failed(error) => {
                    warn!(error, "cannot reload the control plane client; keeping the current one")
                }
            }
        }
    }

    async fn reload(&self) -> Reload<String> {
        let loaded = self.load().await;
        self.current.reload(loaded, |new, current| new.content == current.content)
    }

    /// Creates a new client if the files have changed.
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
                Config::from_custom_kubeconfig(content, &options)
                    .await
                    .map_err(|why| error_message(&why))?
            }
            Self::InCluster => Config::incluster().map_err(|why| error_message(&why))?,
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        Client::try_from(config).map_err(|why| error_message(&why))
    }

    /// Content of all files that a client is created from.
    fn content(&self) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        let mut add = |path: &Path| {
            let content =
                std::fs::read(path).map_err(|why| format!("{}: {why}", path.display()))?;
            all.extend(content);
            Ok::<(), String>(())
        };
        match self {
            Self::InCluster => add(Path::new(POD_CA))?,
            Self::Kubeconfig(path) => {
                add(path)?;
                let config = Kubeconfig::read_from(path).map_err(|why| error_message(&why))?;
                let authorities = config
                    .clusters
                    .into_iter()
                    .filter_map(|each| each.cluster?.certificate_authority);
                let users = config.auth_infos.into_iter().filter_map(|each| each.auth_info);
                let pairs =
                    users.flat_map(|user| [user.client_certificate, user.client_key]).flatten();
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
    async fn changed_files_replace_the_client_unless_broken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        // The error shows which server got the request: one that hangs up, or none.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        write(&path, &format!("http://{}", listener.local_addr().unwrap()));
        std::thread::spawn(move || drop(listener.accept()));
        let (source, client) =
            ReloadingClient::open(ConfigSource::Kubeconfig(path.clone())).await.unwrap();
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
