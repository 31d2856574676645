//! Client of the control plane whose files are read again while the server runs.
//!
//! Tokens, client certificates, keys and CAs are replaced at run time. (`kube` itself reads token
//! files again, too, but keeps the newline at their end, which no header can hold.)

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{Request, Response};
use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::Service;
use tracing::{info, warn};

use super::error_message;
use super::failure::Unanswered;
use crate::meta::file_error;
use crate::runtime::{Reload, Reloadable};

/// Source of a client's configuration.
#[derive(Clone, Debug)]
pub(super) enum ConfigSource {
    /// Kubeconfig file.
    Kubeconfig {
        /// Path of the file.
        path: PathBuf,
        /// Name of the context; the current one if `None`.
        context: Option<String>,
    },
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
    /// URL of the control plane.
    address: Arc<str>,
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
        let loaded = LoadedClient::of(&source, source.content()?).await?;
        let namespace = loaded.client.default_namespace().to_owned();
        let current = Arc::new(Reloadable::new(loaded));
        let client = Client::new(CurrentClient(current.clone()), namespace);
        Ok((Self { source, current }, client))
    }

    /// URL of the control plane.
    pub(super) fn address(&self) -> Arc<str> {
        self.current.with(|current| current.address.clone())
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
        LoadedClient::of(&self.source, content).await
    }
}

impl LoadedClient {
    async fn of(source: &ConfigSource, content: Vec<u8>) -> Result<Self, String> {
        let config = source.config().await?;
        let address = config.cluster_url.to_string();
        let address = address.trim_end_matches('/').into();
        let client = Client::try_from(config).map_err(|why| error_message(&why))?;
        Ok(Self { content, client, address })
    }
}

impl ConfigSource {
    /// The current context of a kubeconfig.
    pub(super) fn current_context(path: &Path) -> Self {
        Self::Kubeconfig { path: path.to_owned(), context: None }
    }

    async fn config(&self) -> Result<Config, String> {
        let mut config = match self {
            Self::Kubeconfig { path, context } => {
                let mut content = Kubeconfig::read_from(path).map_err(|why| error_message(&why))?;
                content
                    .auth_infos
                    .iter_mut()
                    .filter_map(|user| user.auth_info.as_mut())
                    .for_each(read_token);
                let context = context.clone();
                let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
                Config::from_custom_kubeconfig(content, &options)
                    .await
                    .map_err(|why| error_message(&why))?
            }
            Self::InCluster => Config::incluster().map_err(|why| error_message(&why))?,
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        Ok(config)
    }

    /// Content of all files that a client is created from.
    fn content(&self) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        let mut add = |path: &Path| {
            let content = std::fs::read(path).map_err(|why| self.unreadable(path, &why))?;
            all.extend(content);
            Ok::<(), String>(())
        };
        match self {
            Self::InCluster => add(Path::new(POD_CA))?,
            Self::Kubeconfig { path, .. } => {
                add(path)?;
                let config = Kubeconfig::read_from(path).map_err(|why| error_message(&why))?;
                let authorities = config
                    .clusters
                    .into_iter()
                    .filter_map(|each| each.cluster?.certificate_authority);
                let users: Vec<_> =
                    config.auth_infos.into_iter().filter_map(|each| each.auth_info).collect();
                let pairs =
                    users.iter().flat_map(|user| [&user.client_certificate, &user.client_key]);
                for path in authorities.chain(pairs.flatten().cloned()) {
                    add(Path::new(&path))?;
                }
                // The file of a user that the context does not name may be missing.
                let tokens =
                    users.iter().filter_map(|user| std::fs::read(user.token_file.as_ref()?).ok());
                all.extend(tokens.flatten());
            }
        }
        Ok(all)
    }
}

/// Takes the token of a user out of its file, without white space around it, as client-go does. A
/// file that cannot be read is left to `kube`, which reports it if the context names the user.
fn read_token(user: &mut AuthInfo) {
    if user.token.is_none()
        && let Some(path) = &user.token_file
        && let Ok(token) = std::fs::read_to_string(path)
    {
        user.token = Some(token.trim().to_owned().into());
    }
}

impl ConfigSource {
    /// Message of a file that cannot be read. The caller names the kubeconfig.
    fn unreadable(&self, path: &Path, why: &io::Error) -> String {
        let why = file_error::reading(why);
        match self {
            Self::Kubeconfig { path: kubeconfig, .. } if kubeconfig == path => why,
            _ => format!("{}: {why}", path.display()),
        }
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
        let (client, address) =
            self.0.with(|current| (current.client.clone(), current.address.clone()));
        Box::pin(async move {
            let sent = client.send(request).await;
            sent.map_err(|error| kube::Error::Service(Unanswered::new(&address, error).into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

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

    /// The credentials of the next request that a listener gets.
    fn authorization(listener: &TcpListener) -> String {
        let mut lines = BufReader::new(listener.accept().unwrap().0).lines().map(Result::unwrap);
        let is_header = |line: &String| line.to_ascii_lowercase().starts_with("authorization:");
        lines.find(is_header).unwrap()
    }

    #[tokio::test]
    async fn token_files_are_read_again_and_trimmed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, token) = (folder.path().join("kubeconfig"), folder.path().join("token"));
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = format!("http://{}", listener.local_addr().unwrap());
        let config = serde_json::json!({
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [
                {"name": "u", "user": {"tokenFile": "token"}},
                {"name": "another", "user": {"tokenFile": "missing"}},
            ],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        });
        std::fs::write(&path, config.to_string()).unwrap();
        std::fs::write(&token, "first\n").unwrap();
        let open = ReloadingClient::open(ConfigSource::current_context(&path)).await;
        let (source, client) = open.unwrap();
        for (next, expected) in [("  second\r\n", "first"), ("third", "second")] {
            let listener = listener.clone();
            let sent = std::thread::spawn(move || authorization(&listener));
            client.apiserver_version().await.unwrap_err();
            let sent = sent.join().unwrap();
            assert_eq!(sent.split_once(": ").unwrap().1, format!("Bearer {expected}"));
            std::fs::write(&token, next).unwrap();
            assert_eq!(source.reload().await, Reload::Replaced);
        }
        std::fs::remove_file(&token).unwrap();
        assert!(matches!(source.reload().await, Reload::Failed(_)));
    }

    async fn refused(client: &Client) -> String {
        error_message(&client.apiserver_version().await.unwrap_err())
    }

    #[tokio::test]
    async fn changed_files_replace_the_client_unless_broken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        // The error shows which server got the request: one that hangs up, or none.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        write(&path, &format!("http://{}", listener.local_addr().unwrap()));
        std::thread::spawn(move || drop(listener.accept()));
        let (source, client) =
            ReloadingClient::open(ConfigSource::current_context(&path)).await.unwrap();
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
