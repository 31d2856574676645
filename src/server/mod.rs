//! Puts the server together: flags, store, resources, TLS, listening, background work, and the end of it all.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use rustls::pki_types::UnixTime;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

mod app;
mod audit;
pub mod backup;
mod compaction;
mod descriptors;
mod document_handlers;
mod documents;
mod filters;
mod health;
pub mod listen;
mod memory;
pub mod options;
mod request_body;
mod respond;
mod router;
pub mod shutdown;
pub mod storage;
mod usage;
pub mod version;
mod websocket;

pub use options::Options;

use self::audit::AuditLog;
use self::filters::{Authentication, Authorization, FilterChain, in_flight};
use self::shutdown::{Phase, Shutdown};
use crate::auth::{self, OpenPaths, Trusted};
use crate::cluster::{Clients, Namespaces, Secrets};
use crate::registry::permission::Permissions;
use crate::resources::{self, Catalog};
use crate::store::Opened;
use crate::telemetry::metrics::Metrics;
use crate::tls;

/// How often the serving certificate is looked at again.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(60);

/// How long WebSockets may take to come to their end, once all else is served.
const LAST_MESSAGES: Duration = Duration::from_secs(5);

/// A server that is serving.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// The certificate that clients must trust.
    pub certificate: PathBuf,
    /// The resources, for work inside of the process.
    pub catalog: Arc<Catalog>,
    /// How to end it.
    pub shutdown: Shutdown,
    serving: JoinHandle<anyhow::Result<()>>,
}

/// Starts a server; it serves when this returns. None if `shutdown` began before that.
///
/// # Errors
/// A sentence that names the flag whose value cannot be used.
pub async fn start(options: Options, shutdown: Shutdown) -> anyhow::Result<Option<Running>> {
    tokio::select! {
        running = open(options, shutdown.clone()) => running.map(Some),
        () = shutdown.reached(Phase::Stopping) => Ok(None),
    }
}

async fn open(options: Options, shutdown: Shutdown) -> anyhow::Result<Running> {
    let Options {
        listen,
        tls,
        access,
        cluster,
        storage,
        compaction,
        registries,
        in_flight,
        limits: object_limits,
        request_timeout,
        audit,
        shutdown: ending,
    } = options;
    descriptors::raise();
    let (metrics, mut background) = (Arc::new(Metrics::new()), JoinSet::new());
    let audit = AuditLog::open(&audit, &metrics)?.map(Arc::new);
    let (clients, connection) = cluster.connect(access.may_join_cluster()).await?.unzip();
    if let Some(connection) = connection {
        keep(&mut background, "the way to the cluster", connection.keep_current());
    }
    let (authentication, authorization) = open_access(&access, clients.as_ref(), &metrics, &mut background)?;
    let listener = listen::bind(listen.bind_address, listen.secure_port).await?;
    let address = listener.local_addr().context("the address of the listening socket is not known")?;
    let trusted = authentication.authenticator.trusted();
    let control_plane = clients.as_ref().map(|clients| clients.general.clone());
    let (certificate, tls) = open_tls(&tls, control_plane.clone(), trusted.clone(), &metrics, &mut background).await?;
    let Opened { backend, store, health, compact, scan, disk_usage, .. } =
        open_store(storage, &metrics, &mut background).await?;
    if let Some(compact) = compact {
        keep(&mut background, "compaction", compaction::run(store.clone(), compact, compaction));
    }
    let catalog = Arc::new(Catalog::new(&store, (&registries).into(), &object_limits.into()));
    let permissions = Permissions::new(authorization.authorizer.clone());
    let secrets = control_plane.clone().map_or_else(Secrets::none, Secrets::of);
    let namespaces = follow_namespaces(control_plane, &mut background);
    let api = resources::all(&catalog, namespaces, secrets, permissions).counting(metrics.clone());
    if let Some(scan) = scan {
        keep(&mut background, "counting what is stored", usage::run(scan, disk_usage, backend, metrics.clone()));
    }
    let app = app::App {
        documents: documents::Documents::new(&api),
        api,
        request_memory: memory::Memory::new(memory::REQUESTS),
        health: health::Health {
            store: health,
            shutdown: shutdown.clone(),
            store_check: health::StoreCheck::new(),
            trusted: trusted.clone(),
        },
        metrics: metrics.clone(),
    };
    let chain = Arc::new(FilterChain {
        authentication,
        authorization,
        in_flight: in_flight::RequestLimits::new(in_flight, &metrics),
        response_memory: memory::Memory::new(memory::RESPONSES),
        audit,
        metrics,
        request_timeout,
        shutdown: shutdown.clone(),
        websockets: websocket::WebSockets::new(),
        router: router::Router::new(app),
    });
    let limits = listen::Limits { drain: request_timeout, send: request_timeout, ..listen::Limits::default() };
    let serving = listen::serve(listener, tls, trusted, chain.clone().service(), limits, shutdown.clone());
    let serving = tokio::spawn(serve_to_the_end(serving, background, chain, shutdown.clone()));
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.conduct(ending.shutdown_delay_duration).await }
    });
    tracing::info!(%address, "serving");
    Ok(Running { address, certificate, catalog, shutdown, serving })
}

impl Running {
    /// Serves until a signal, or [`Shutdown::begin`], has led to the end.
    ///
    /// # Errors
    /// Something that the server cannot do without ended by itself, or the store stopped for good.
    pub async fn until_end(self) -> anyhow::Result<()> {
        self.serving.await.context("serving ended early")??;
        tracing::info!("ended");
        Ok(())
    }
}

/// Work that goes on as long as the server does. If any of it ends nothing more can be relied on; what it hands back says why.
type Background = JoinSet<anyhow::Error>;

/// Does work in the background that has no reason to end.
fn keep(background: &mut Background, what: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    background.spawn(async move {
        work.await;
        anyhow::anyhow!("the work in the background ended that is for {what}")
    });
}

/// Serves until the end; that comes in good order also when work in the background ends, for something else to start the server
/// again.
async fn serve_to_the_end(
    serving: impl Future<Output = ()>,
    mut background: Background,
    chain: Arc<FilterChain>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        () = &mut serving => Ok(()),
        Some(ended) = background.join_next() => Err(ended.unwrap_or_else(anyhow::Error::from)),
    };
    if let Err(why) = &ended {
        tracing::error!("nothing can be served any more: {why}");
        shutdown.advance(Phase::Draining);
        serving.await;
    }
    chain.websockets.finish(LAST_MESSAGES).await;
    if let Some(audit) = &chain.audit {
        audit.close().await;
    }
    background.shutdown().await;
    shutdown.advance(Phase::Stopped);
    ended
}

/// Authentication and authorization. The trusted certificates are followed in the background.
fn open_access(
    options: &auth::Options,
    clients: Option<&Clients>,
    metrics: &Arc<Metrics>,
    background: &mut Background,
) -> anyhow::Result<(Authentication, Authorization)> {
    let authorizer = Arc::new(options.authorizer(clients, metrics)?);
    let (authenticator, trust) = options.authenticator(clients, metrics, UnixTime::now())?;
    keep(background, "trust in certificates", trust.run());
    let serves_anonymous = options.serves_anonymous();
    let open = OpenPaths::new(&options.authorization_always_allow_paths);
    let authentication = Authentication { authenticator, serves_anonymous, open: open.clone() };
    Ok((authentication, Authorization { authorizer, open }))
}

/// Opens the store. The server ends if the store fails for good; backups are served in the background.
async fn open_store(
    options: storage::StorageOptions,
    metrics: &Arc<Metrics>,
    background: &mut Background,
) -> anyhow::Result<Opened> {
    let folder = options.data_dir.clone();
    let opened = storage::open(options, metrics.clone()).await?;
    let failed = opened.health.failed();
    background.spawn(async move { failed.await.into() });
    if let Some(backup) = opened.backup.clone() {
        match backup::listen(&folder) {
            Ok(listener) => keep(background, "backups", backup::serve(listener, backup)),
            Err(why) => {
                let socket = folder.join(backup::SOCKET);
                tracing::warn!("backups can be made only while the server is stopped: {}: {why}", socket.display());
            }
        }
    }
    Ok(opened)
}

/// Which namespaces there are, as the cluster has them, if there is one.
fn follow_namespaces(control_plane: Option<Client>, background: &mut Background) -> Namespaces {
    let Some(client) = control_plane else {
        return Namespaces::all();
    };
    let (namespaces, following) = Namespaces::of(client);
    keep(background, "namespaces", following);
    namespaces
}

/// The file of the certificate that is shown, and the configuration of handshakes. Both are kept current in the background.
///
/// The configuration names the authorities of clients: those in Go show no certificate whose issuer is not among them.
async fn open_tls(
    options: &tls::Options,
    control_plane: Option<Client>,
    mut trusted: watch::Receiver<Trusted>,
    metrics: &Arc<Metrics>,
    background: &mut Background,
) -> anyhow::Result<(PathBuf, watch::Receiver<Arc<rustls::ServerConfig>>)> {
    let serving = tls::Serving::open(options, control_plane, metrics.clone()).await?;
    let certificate = serving.certificate.clone();
    let path = certificate.path().to_owned();
    keep(background, "the serving certificate", serving.keep_current(CERTIFICATE_INTERVAL));
    let protocol = tls::Protocol::from_options(options).context("TLS cannot be set up")?;
    let configured =
        move |trusted: &Trusted| tls::server_config(certificate.clone(), &protocol, trusted.trust.subjects());
    let config = configured(&trusted.borrow_and_update()).context("TLS cannot be set up")?;
    let (sender, receiver) = watch::channel(Arc::new(config));
    keep(background, "the hints of handshakes", async move {
        while trusted.changed().await.is_ok() {
            match configured(&trusted.borrow_and_update()) {
                Ok(config) => drop(sender.send_replace(Arc::new(config))),
                Err(error) => tracing::error!(%error, "TLS cannot be set up with new authorities of clients"),
            }
        }
    });
    Ok((path, receiver))
}
