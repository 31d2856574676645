//! Puts the server together: flags, store, resources, TLS, listening, background work, and the end of it all.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rustls::pki_types::UnixTime;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

mod access;
mod app;
mod audit;
mod compaction;
mod documents;
mod health;
mod held;
mod inflight;
pub mod listen;
pub mod options;
mod respond;
mod router;
pub mod shutdown;
pub mod tls;

pub use options::Options;

use self::access::Access;
use self::audit::AuditLog;
use self::shutdown::{Phase, Shutdown};
use crate::auth::{OpenPaths, Trusted};
use crate::cluster::Namespaces;
use crate::resources::{self, Catalog};
use crate::store::Store;
use crate::store::embedded::{self, Embedded};
use crate::telemetry::metrics::Metrics;

/// How often the serving certificate is looked at again.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(60);

/// Memory for pages of the store. Its index is what is read most; values are read through the system's own cache.
const PAGE_CACHE_BYTES: usize = 8 << 20;

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
    serving: JoinHandle<()>,
}

/// Starts a server; it serves when this returns.
///
/// # Errors
/// A sentence that names the flag behind whatever cannot be used.
pub async fn start(options: Options) -> anyhow::Result<Running> {
    let Options {
        listen,
        tls,
        access,
        cluster,
        storage,
        compaction,
        registries,
        in_flight,
        request_timeout,
        audit,
        shutdown: ending,
    } = options;
    let metrics = Arc::new(Metrics::new());
    let audit = AuditLog::open(&audit, &metrics)?;
    let clients = cluster.connect(access.may_join_cluster()).await?;
    let authorizer = access.authorizer(clients.as_ref(), &metrics)?;
    let (authenticator, trust) = access.authenticator(clients.as_ref(), &metrics, UnixTime::now())?;
    let listener = listen::bind(listen.bind_address, listen.secure_port).await?;
    let address = listener.local_addr().context("the address of the listening socket is not known")?;
    let control_plane = clients.as_ref().map(|clients| clients.general.clone());
    let serving_certificate = tls::Serving::open(&tls, control_plane, metrics.clone()).await?;
    let certificate = serving_certificate.certificate.clone();
    let (config, hints) = tls_configurations(&tls, certificate.clone(), authenticator.trusted())?;
    let store = open_store(storage).await?;
    let catalog = Arc::new(Catalog::new(&store, (&registries).into()));
    let shutdown = Shutdown::new();
    let mut background = JoinSet::new();
    let namespaces = match clients {
        Some(clients) => {
            let (namespaces, following) = Namespaces::of(clients.general);
            background.spawn(following);
            namespaces
        }
        None => Namespaces::all(),
    };
    let api = resources::all(&catalog, namespaces);
    let health = health::Health { store: store.clone(), shutdown: shutdown.clone(), trusted: authenticator.trusted() };
    let app = app::App {
        documents: documents::Documents::new(&api),
        api,
        access: Access {
            authenticator,
            authorizer,
            serves_anonymous: access.serves_anonymous(),
            open: OpenPaths::new(&access.authorization_always_allow_paths),
        },
        in_flight: inflight::InFlight::new(in_flight, &metrics),
        health,
        audit,
        metrics,
        request_timeout,
    };
    let path = certificate.path().to_owned();
    background.spawn(compaction::run(store, compaction));
    background.spawn(serving_certificate.keep_current(CERTIFICATE_INTERVAL));
    background.spawn(trust.run());
    background.spawn(hints);
    let limits = listen::Limits { drain: request_timeout, ..listen::Limits::default() };
    let app = Arc::new(app);
    let service = router::service(app.clone());
    let serving = listen::serve(listener, config, service, limits, shutdown.clone());
    let end = shutdown.clone();
    let serving = tokio::spawn(async move {
        serving.await;
        if let Some(audit) = &app.audit {
            audit.close().await;
        }
        background.shutdown().await;
        end.advance(Phase::Stopped);
    });
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.conduct(ending.shutdown_delay_duration).await }
    });
    tracing::info!(%address, "serving");
    Ok(Running { address, certificate: path, catalog, shutdown, serving })
}

impl Running {
    /// Serves until a signal, or [`Shutdown::begin`], has led to the end.
    ///
    /// # Errors
    /// Signals cannot be received, or serving ended in a panic.
    pub async fn until_end(self) -> anyhow::Result<()> {
        tokio::spawn(self.shutdown.on_signals().context("signals cannot be received")?);
        self.serving.await.context("serving ended early")?;
        tracing::info!("ended");
        Ok(())
    }
}

/// The configuration of handshakes, and the work that keeps its hints current: clients in Go show no certificate whose
/// issuer is not among them.
fn tls_configurations(
    options: &tls::Options,
    certificate: Arc<tls::ServingCertificate>,
    mut trusted: watch::Receiver<Trusted>,
) -> anyhow::Result<(watch::Receiver<Arc<rustls::ServerConfig>>, impl Future<Output = ()> + use<>)> {
    let protocol = tls::Protocol::from_options(options).context("TLS cannot be set up")?;
    let configured =
        move |trusted: &Trusted| tls::server_config(certificate.clone(), &protocol, trusted.trust.subjects());
    let config = configured(&trusted.borrow_and_update()).context("TLS cannot be set up")?;
    let (sender, receiver) = watch::channel(Arc::new(config));
    let hints = async move {
        while trusted.changed().await.is_ok() {
            match configured(&trusted.borrow_and_update()) {
                Ok(config) => drop(sender.send_replace(Arc::new(config))),
                Err(error) => tracing::error!(%error, "TLS cannot be set up with new authorities of clients"),
            }
        }
    };
    Ok((receiver, hints))
}

async fn open_store(storage: options::Storage) -> anyhow::Result<Arc<dyn Store>> {
    let options::Storage { data_dir, data_dir_lock_timeout } = storage;
    let first_revision = embedded::first_revision(SystemTime::now());
    let options = embedded::Options {
        lock_timeout: data_dir_lock_timeout,
        first_revision,
        cache_bytes: PAGE_CACHE_BYTES,
        reserve: Some(embedded::Reserve { bytes: options::SPACE_RESERVE, free: Arc::new(options::free_space) }),
        ..embedded::Options::new(data_dir)
    };
    let store =
        tokio::task::spawn_blocking(move || Embedded::open(options)).await.context("opening the store ended early")?;
    Ok(Arc::new(store.context("--data-dir cannot be used")?))
}
