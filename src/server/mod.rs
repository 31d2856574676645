//! A running server: construction of its parts from the flags, and the order of its shutdown.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod admission;
mod app;
mod audit;
mod descriptors;
mod document_handlers;
mod documents;
mod effective_flags;
pub mod etcd;
mod filters;
mod health;
mod health_warnings;
pub mod listen;
pub mod options;
pub mod profiling;
pub mod replicas;
mod request_body;
mod respond;
mod router;
pub mod shutdown;
mod steps;
pub mod storage;
pub mod version;
mod websocket;

pub use effective_flags::{COMPONENT, EffectiveFlags};
pub use options::Options;

use self::admission::AdmissionInputs;
use self::audit::AuditLog;
use self::documents::Documents;
use self::filters::{Authentication, Authorization, FilterChain, in_flight};
use self::health::{Health, StoreCheck};
use self::health_warnings::HealthWarnings;
use self::profiling::Profiler;
use self::shutdown::{ServerPhase, Shutdown};
use crate::auth::{self, AlwaysAllowPaths, FlowClassifier, TrustController, TrustState};
use crate::cluster::{Clients, NamespaceReflector, Namespaces, QuotaClient, ReviewHealth, Secrets};
use crate::controllers::image_import::ImageImports;
use crate::controllers::{
    self, ControllerName, HandshakeController, ImportSignals, QuotaController, StoreSubjects,
    Subjects, Supervisor,
};
use crate::endpoints::serve::Api;
use crate::machinery::group_version::GroupVersion;
use crate::oci::{PullTimeouts, RegistryClient};
use crate::registry::history_limit::HistoryLimiter;
use crate::registry::permission::Permissions;
use crate::resources::catalog::StorageLimits;
use crate::resources::import::StreamImporter;
use crate::resources::standalone::{self, CORE};
use crate::resources::{self, Catalog, ImageImporter};
use crate::store::{Opened, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::tls::{self, Protocol, Serving};

/// The longest time for WebSockets to end after all other requests.
const LAST_MESSAGES: Duration = Duration::from_secs(5);

/// A server that is serving.
pub struct Running {
    /// The address of the listener.
    pub address: SocketAddr,
    /// The certificate that clients must trust.
    pub certificate: PathBuf,
    /// The handle that ends the server.
    pub shutdown: Shutdown,
    /// The importer of images, for work inside this process.
    pub importer: Arc<ImageImporter>,
    catalog: Arc<Catalog>,
    serving: JoinHandle<anyhow::Result<()>>,
}

/// Starts a server, and returns it when it serves; `None` if `shutdown` begins before that.
///
/// # Errors
/// A flag with a value that cannot be used.
pub async fn start(options: Options, shutdown: Shutdown) -> anyhow::Result<Option<Running>> {
    tokio::select! {
        running = open(options, shutdown.clone()) => running.map(Some),
        () = shutdown.reached(ServerPhase::Stopping) => Ok(None),
    }
}

async fn open(options: Options, shutdown: Shutdown) -> anyhow::Result<Running> {
    descriptors::raise();
    let metrics = Arc::new(Metrics::new());
    let mut supervisor = Supervisor::new(metrics.clone());
    let audit = AuditLog::open(&options.audit, &metrics)?.map(Arc::new);
    let (clients, connection) =
        options.cluster.connect(options.access.uses_pod_account()).await?.unzip();
    supervisor.start_all(connection.map(controllers::connection));
    let flows = Arc::new(FlowClassifier::new(&options.access.priority));
    let (authentication, authorization, trust) =
        open_access(&options.access, clients.as_ref(), &flows, &metrics)?;
    let listener = listen::bind(options.listen.bind_address, options.listen.secure_port).await?;
    let address =
        listener.local_addr().context("the address of the listening socket is not known")?;
    let trusted = authentication.authenticator.trusted();
    let control_plane = clients.map(|clients| clients.general);
    let is_standalone = control_plane.is_none();
    replicas::refuse_several(&options, control_plane.as_ref()).await?;
    let (serving_certificate, handshakes, tls) =
        open_tls(&options.tls, address.ip(), control_plane.clone(), trusted.clone(), &metrics)
            .await?;
    let certificate = serving_certificate.certificate.path().to_owned();
    let data_dir = options.storage.data_dir.clone();
    let history_limit = options.history_limit();
    let account_limit = history_limit.map(|limit| limit.bytes.get());
    let stored_form = options.storage.etcd.stored_form();
    let opened = storage::open(options.storage, account_limit, metrics.clone()).await?;
    let history = history_limit.map(|limit| Arc::new(HistoryLimiter::new(limit, metrics.clone())));
    let limits = StorageLimits { history, stored_form, ..options.limits.into() };
    let registries = options.registries.registries(&options.imports);
    let admission = admission::open(
        &options.admission,
        AdmissionInputs {
            control_plane: control_plane.as_ref(),
            store: &opened.store,
            metrics: metrics.admission(),
        },
    )?;
    supervisor.start_all(admission.controllers);
    let catalog = Catalog::with_rules(&opened.store, registries, &limits, admission.rules);
    let catalog = Arc::new(catalog);
    let permissions = Permissions::new(authorization.authorizer.clone());
    let secrets = control_plane.clone().map_or_else(Secrets::none, Secrets::of);
    let (namespaces, reflector) = open_namespaces(control_plane.clone());
    let registries =
        RegistryClient::new(&options.oci, PullTimeouts::default(), metrics.imports().clone())?;
    let importer = Arc::new(ImageImporter::new(registries, secrets.clone(), &options.imports));
    let memory = options.memory.open(&metrics);
    let within = |api: Api| api.within(memory.clone(), metrics.clone());
    let standalone = match is_standalone {
        true => standalone::apis(&catalog, &permissions),
        false => Vec::new(),
    };
    let standalone: Vec<_> =
        standalone.into_iter().map(|(version, api)| (version, within(api))).collect();
    let api = within(resources::all(&catalog, namespaces, secrets, importer.clone(), permissions));
    let warnings = HealthWarnings {
        certificate: serving_certificate.certificate.clone(),
        trusted: trusted.clone(),
        reviews: reviews(&authentication, &authorization),
    };
    let health = health(&opened, &trusted, &shutdown, warnings);
    let chain = Arc::new(FilterChain {
        authentication,
        authorization,
        flows,
        in_flight: in_flight::RequestLimits::new(
            options.in_flight,
            options.request_timeout,
            &metrics,
        ),
        memory,
        audit,
        metrics: metrics.clone(),
        request_timeout: options.request_timeout,
        shutdown: shutdown.clone(),
        websockets: websocket::WebSockets::new(),
        router: router::Router::new(app::App {
            documents: documents(&api, &standalone),
            api,
            standalone,
            health,
            metrics: metrics.clone(),
            configz: options.effective_flags.configz().into(),
            profiler: options.profiling.profiling.then(|| Profiler::new(options.request_timeout)),
        }),
    });
    let timeout = options.request_timeout;
    let limits = options.listen.connections.into();
    let limits = listen::ConnectionLimits { drain: timeout, send: timeout, ..limits };
    let service = chain.clone().service();
    let connections = metrics.connections().clone();
    let serving =
        listen::serve(listener, tls, trusted, service, limits, connections, shutdown.clone());
    let failed = opened.health.failed();
    let selection = options.controllers.controllers;
    if !selection.is_enabled(ControllerName::ImageImport) {
        tracing::info!("this server does not import the images of tags by itself");
    }
    let imports = metrics.imports().clone();
    let (signals, helpers) = ImportSignals::of(control_plane.clone(), &selection, imports);
    supervisor.start_all(helpers);
    let quota_recount = admission.quotas.zip(control_plane.clone()).map(|(quotas, client)| {
        let client = QuotaClient::new(client);
        QuotaController::new(quotas, client, opened.store.clone(), opened.elector.clone())
    });
    supervisor.start_all(controllers::all(Subjects {
        control_plane,
        trust,
        namespaces: reflector,
        serving: serving_certificate,
        handshakes,
        store: StoreSubjects {
            opened,
            data_dir,
            compaction: options.compaction,
            scheduled_backup: options.scheduled_backup,
        },
        quota_recount,
        image_imports: ImageImports {
            importer: StreamImporter::new(&catalog, importer.clone()),
            policy: options.image_imports.into(),
            signals,
        },
        selection,
        metrics,
    }));
    let serving =
        tokio::spawn(serve_to_the_end(serving, failed, supervisor, chain, shutdown.clone()));
    let conducted = shutdown.clone();
    tokio::spawn(async move { conducted.conduct(options.shutdown.shutdown_delay_duration).await });
    tracing::info!(%address, "serving");
    Ok(Running { address, certificate, importer, catalog, shutdown, serving })
}

impl Running {
    /// A client of the resources for a part of this process.
    pub fn client(&self, name: &'static str) -> resources::Client {
        resources::Client::new(&self.catalog, name)
    }

    /// Serves until a signal or [`Shutdown::begin`] has ended the server.
    ///
    /// # Errors
    /// The store failed for good.
    pub async fn until_end(self) -> anyhow::Result<()> {
        self.serving.await.context("serving ended early")??;
        tracing::info!("ended");
        Ok(())
    }
}

/// Serves until the end. If the store fails for good, the server ends in order, so that it can be
/// started again.
async fn serve_to_the_end(
    serving: impl Future<Output = ()>,
    failed: impl Future<Output = StoreError>,
    supervisor: Supervisor,
    chain: Arc<FilterChain>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut serving = pin!(serving);
    let drained = async {
        let ended = tokio::select! {
            () = &mut serving => Ok(()),
            error = failed => Err(error.into()),
        };
        if let Err(error) = &ended {
            tracing::error!(%error, "the store failed, the server ends");
            shutdown.advance(ServerPhase::Draining);
            serving.await;
        }
        ended
    };
    // Other replicas take over the controllers at once, not when the last request has ended.
    let resigned = async {
        shutdown.reached(ServerPhase::Stopping).await;
        supervisor.resign().await;
    };
    let (ended, ()) = tokio::join!(drained, resigned);
    chain.websockets.finish(LAST_MESSAGES).await;
    if let Some(audit) = &chain.audit {
        audit.close().await;
    }
    supervisor.shutdown().await;
    shutdown.advance(ServerPhase::Stopped);
    ended
}

/// Discovery, OpenAPI and version of these APIs.
fn documents(api: &Api, standalone: &[(GroupVersion, Api)]) -> Documents {
    let documents = Documents::new(api);
    match standalone.iter().find(|(version, _)| version.name == CORE.name) {
        Some((_, core)) => documents.with_core(core),
        None => documents,
    }
}

/// The parts of the server whose health is checked.
fn health(
    opened: &Opened,
    trusted: &watch::Receiver<TrustState>,
    shutdown: &Shutdown,
    warnings: HealthWarnings,
) -> Health {
    Health {
        backend: opened.backend,
        warnings,
        store: opened.health.clone(),
        shutdown: shutdown.clone(),
        store_check: StoreCheck::new(),
        trusted: trusted.clone(),
    }
}

/// The reviews that the control plane does for this server.
fn reviews(
    authentication: &Authentication,
    authorization: &Authorization,
) -> Vec<(&'static str, ReviewHealth)> {
    let tokens = authentication.authenticator.review_health().into_iter();
    let tokens = tokens.map(|health| ("TokenReview", health));
    let accesses = authorization.authorizer.review_health();
    tokens.chain(accesses.into_iter().map(|health| ("SubjectAccessReview", health))).collect()
}

/// Authentication and authorization, and the controller of the CAs of clients.
fn open_access(
    options: &auth::Options,
    clients: Option<&Clients>,
    flows: &Arc<FlowClassifier>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<(Authentication, Authorization, TrustController)> {
    let authorizer = Arc::new(options.authorizer(clients, metrics)?);
    let (authenticator, trust) = options.authenticator(clients, flows, metrics, UnixTime::now())?;
    let allows_anonymous = options.allows_anonymous();
    let always_allow_paths = AlwaysAllowPaths::new(&options.authorization_always_allow_paths);
    let authentication = Authentication {
        authenticator,
        allows_anonymous,
        always_allow_paths: always_allow_paths.clone(),
    };
    Ok((authentication, Authorization { authorizer, always_allow_paths }, trust))
}

/// The serving certificate, and the configuration of TLS handshakes with its controller.
async fn open_tls(
    options: &tls::Options,
    address: IpAddr,
    control_plane: Option<Client>,
    trusted: watch::Receiver<TrustState>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<(Serving, HandshakeController, watch::Receiver<Arc<ServerConfig>>)> {
    let serving = Serving::open(options, address, control_plane, metrics.clone()).await?;
    let protocol = Protocol::from_options(options).context("TLS cannot be set up")?;
    let handshakes = HandshakeController::new(serving.certificate.clone(), protocol, trusted);
    let (controller, config) = handshakes.context("TLS cannot be set up")?;
    Ok((serving, controller, config))
}

/// The namespaces of the cluster. Without a cluster, every namespace exists.
fn open_namespaces(control_plane: Option<Client>) -> (Namespaces, Option<NamespaceReflector>) {
    let Some(client) = control_plane else { return (Namespaces::all(), None) };
    let (namespaces, reflector) = Namespaces::of(client);
    (namespaces, Some(reflector))
}
