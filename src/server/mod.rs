//! Puts the server together: flags, store, resources, TLS, listening, background work, and the end of it all.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use rustls::pki_types::UnixTime;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

mod access;
mod app;
mod audit;
mod compaction;
mod descriptors;
mod documents;
mod health;
mod held;
mod inflight;
pub mod listen;
mod memory;
pub mod options;
mod respond;
mod router;
pub mod shutdown;
mod storage;
pub mod tls;

pub use options::Options;

use self::access::Access;
use self::audit::AuditLog;
use self::shutdown::{Phase, Shutdown};
use crate::auth::{self, OpenPaths, Trusted};
use crate::cluster::{Clients, Namespaces};
use crate::resources::{self, Catalog};
use crate::store::StoreError;
use crate::telemetry::metrics::Metrics;

/// How often the serving certificate is looked at again.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(60);

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
    /// Why the store stopped, if it did.
    failure: Arc<OnceLock<StoreError>>,
    serving: JoinHandle<anyhow::Result<()>>,
}

/// Starts a server; it serves when this returns. None where a signal told it to end before it got there.
///
/// # Errors
/// A sentence that names the flag behind whatever cannot be used.
pub async fn start(options: Options) -> anyhow::Result<Option<Running>> {
    let shutdown = Shutdown::new();
    tokio::spawn(shutdown.on_signals().context("signals cannot be received")?);
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
        max_objects_per_namespace,
        request_timeout,
        audit,
        shutdown: ending,
    } = options;
    descriptors::raise();
    let (metrics, mut background) = (Arc::new(Metrics::new()), JoinSet::new());
    let audit = AuditLog::open(&audit, &metrics)?;
    let (clients, connection) = cluster.connect(access.may_join_cluster()).await?.unzip();
    connection.map(|connection| background.spawn(connection.keep_current()));
    let access = open_access(&access, clients.as_ref(), &metrics, &mut background)?;
    let listener = listen::bind(listen.bind_address, listen.secure_port).await?;
    let address = listener.local_addr().context("the address of the listening socket is not known")?;
    let trusted = access.authenticator.trusted();
    let control_plane = clients.as_ref().map(|clients| clients.general.clone());
    let (certificate, tls) = open_tls(&tls, control_plane.clone(), trusted.clone(), &metrics, &mut background).await?;
    let (storage::Opened { store, failure }, watching) =
        storage::open(storage, metrics.clone(), shutdown.clone()).await?;
    background.spawn(watching);
    background.spawn(compaction::run(store.clone(), compaction));
    let catalog = Arc::new(Catalog::new(&store, (&registries).into(), NonZeroU64::new(max_objects_per_namespace)));
    let api = resources::all(&catalog, follow_namespaces(control_plane, &mut background));
    let app = Arc::new(app::App {
        documents: documents::Documents::new(&api),
        api,
        access,
        in_flight: inflight::InFlight::new(in_flight, &metrics),
        bodies: memory::Memory::new(memory::REQUESTS),
        answers: memory::Memory::new(memory::ANSWERS),
        health: health::Health { store, shutdown: shutdown.clone(), trusted },
        audit,
        metrics,
        request_timeout,
    });
    let limits = listen::Limits { drain: request_timeout, send: request_timeout, ..listen::Limits::default() };
    let serving = listen::serve(listener, tls, router::service(app.clone()), limits, shutdown.clone());
    let serving = tokio::spawn(serve_to_the_end(serving, background, app, shutdown.clone()));
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.conduct(ending.shutdown_delay_duration).await }
    });
    tracing::info!(%address, "serving");
    Ok(Running { address, certificate, catalog, shutdown, failure, serving })
}

impl Running {
    /// Serves until a signal, or [`Shutdown::begin`], has led to the end.
    ///
    /// # Errors
    /// Something that the server cannot do without ended by itself, or the store stopped for good.
    pub async fn until_end(self) -> anyhow::Result<()> {
        self.serving.await.context("serving ended early")??;
        if let Some(why) = self.failure.get() {
            anyhow::bail!(why.clone());
        }
        tracing::info!("ended");
        Ok(())
    }
}

/// Serves until the end. Work in the background never ends by itself: if it does, nothing would be kept current any more, so the server
/// ends in good order, for something else to start it again.
async fn serve_to_the_end(
    serving: impl Future<Output = ()>,
    mut background: JoinSet<()>,
    app: Arc<app::App>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut serving = pin!(serving);
    let lost = tokio::select! {
        () = &mut serving => None,
        Some(ended) = background.join_next() => Some(ended),
    };
    if let Some(ended) = &lost {
        tracing::error!(?ended, "work in the background ended by itself: shutting down");
        shutdown.begin();
        serving.await;
    }
    if let Some(audit) = &app.audit {
        audit.close().await;
    }
    background.shutdown().await;
    shutdown.advance(Phase::Stopped);
    match lost {
        None => Ok(()),
        Some(ended) => Err(anyhow::anyhow!("work in the background ended by itself: {ended:?}")),
    }
}

/// Who may do what here; what certificates are trusted is followed in the background.
fn open_access(
    options: &auth::Options,
    clients: Option<&Clients>,
    metrics: &Arc<Metrics>,
    background: &mut JoinSet<()>,
) -> anyhow::Result<Access> {
    let authorizer = options.authorizer(clients, metrics)?;
    let (authenticator, trust) = options.authenticator(clients, metrics, UnixTime::now())?;
    background.spawn(trust.run());
    let serves_anonymous = options.serves_anonymous();
    let open = OpenPaths::new(&options.authorization_always_allow_paths);
    Ok(Access { authenticator, authorizer, serves_anonymous, open })
}

/// Which namespaces there are, as the cluster has them, if there is one.
fn follow_namespaces(control_plane: Option<Client>, background: &mut JoinSet<()>) -> Namespaces {
    let Some(client) = control_plane else {
        return Namespaces::all();
    };
    let (namespaces, following) = Namespaces::of(client);
    background.spawn(following);
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
    background: &mut JoinSet<()>,
) -> anyhow::Result<(PathBuf, watch::Receiver<Arc<rustls::ServerConfig>>)> {
    let serving = tls::Serving::open(options, control_plane, metrics.clone()).await?;
    let certificate = serving.certificate.clone();
    let path = certificate.path().to_owned();
    background.spawn(serving.keep_current(CERTIFICATE_INTERVAL));
    let protocol = tls::Protocol::from_options(options).context("TLS cannot be set up")?;
    let configured =
        move |trusted: &Trusted| tls::server_config(certificate.clone(), &protocol, trusted.trust.subjects());
    let config = configured(&trusted.borrow_and_update()).context("TLS cannot be set up")?;
    let (sender, receiver) = watch::channel(Arc::new(config));
    background.spawn(async move {
        while trusted.changed().await.is_ok() {
            match configured(&trusted.borrow_and_update()) {
                Ok(config) => drop(sender.send_replace(Arc::new(config))),
                Err(error) => tracing::error!(%error, "TLS cannot be set up with new authorities of clients"),
            }
        }
    });
    Ok((path, receiver))
}
