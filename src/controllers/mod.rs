//! Background work: each [`Controller`] keeps one subject current while the server runs.
//!
//! The [`Supervisor`] starts controllers, restarts them after failures, runs a controller of shared
//! state on one replica only, and stops all at shutdown. [`all`] lists them. Each has a file here,
//! with its work or with the implementation of [`Controller`] for a type of another layer.

mod backup;
mod backup_folder;
mod client_trust;
mod cluster_connection;
pub mod compaction;
mod controller;
mod events;
mod handshakes;
pub mod image_import;
pub mod import_events;
mod import_signals;
mod namespaces;
mod pull_secrets;
mod quota;
mod registration;
mod rules;
pub mod scheduled_backup;
mod selection;
mod serving_certificate;
mod storage_quota;
mod supervisor;
mod usage;

use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;

pub use backup::{NICENESS, SOCKET};
pub use controller::{Controller, Leadership};
pub use handshakes::HandshakeController;
pub use import_signals::ImportSignals;
pub use quota::QuotaController;
pub use selection::{ControllerName, ControllerSelection, Options};
pub use supervisor::Supervisor;

use self::backup::BackupServer;
use self::compaction::CompactionController;
use self::image_import::{ImageImportController, ImageImports};
use self::registration::RegistrationController;
use self::scheduled_backup::ScheduledBackup;
use self::storage_quota::StorageQuotaController;
use self::usage::UsageController;
use crate::auth::TrustController;
use crate::cluster::{ClientReloads, NamespaceReflector};
use crate::store::Opened;
use crate::telemetry::metrics::Metrics;
use crate::tls::Serving;

/// The subjects of the controllers of a server. A subject that is `None` has no controller.
pub struct Subjects {
    /// The client of the control plane.
    pub control_plane: Option<Client>,
    /// The CAs of clients and front proxies.
    pub trust: TrustController,
    /// The namespaces of the cluster.
    pub namespaces: Option<NamespaceReflector>,
    /// The serving certificate.
    pub serving: Serving,
    /// The configuration of TLS handshakes.
    pub handshakes: HandshakeController,
    /// The store.
    pub store: StoreSubjects,
    /// The recount of quotas; none without their plugin.
    pub quota_recount: Option<QuotaController>,
    /// The imports of images.
    pub image_imports: ImageImports,
    /// The controllers that run.
    pub selection: ControllerSelection,
    /// The metrics of the server.
    pub metrics: Arc<Metrics>,
}

/// The store, and the flags of its controllers.
pub struct StoreSubjects {
    /// The store.
    pub opened: Opened,
    /// The folder for the socket of backups.
    pub data_dir: PathBuf,
    /// The flags of compaction.
    pub compaction: compaction::Options,
    /// The flags of scheduled backups.
    pub scheduled_backup: scheduled_backup::Options,
}

/// The controllers of a server, except that of its [`connection`].
pub fn all(subjects: Subjects) -> Vec<Box<dyn Controller>> {
    let Subjects { control_plane, trust, namespaces, serving, handshakes, store, .. } = subjects;
    let (selection, metrics) = (subjects.selection, subjects.metrics);
    let registered = serving.registered_service.clone().zip(control_plane);
    let registration = registered
        .filter(|_| selection.is_enabled(ControllerName::Registration))
        .map(|(service, client)| RegistrationController::new(client, service, serving.ca_bundle()));
    let elector = store.opened.elector.clone();
    let image_import = selection
        .is_enabled(ControllerName::ImageImport)
        .then(|| ImageImportController::new(subjects.image_imports, elector));
    let quota_recount = subjects.quota_recount;
    let controllers = [
        boxed(Some(trust)),
        boxed(namespaces),
        boxed(Some(serving)),
        boxed(Some(handshakes)),
        boxed(registration),
        boxed(image_import),
        boxed(quota_recount.filter(|_| selection.is_enabled(ControllerName::Quota))),
    ];
    controllers.into_iter().flatten().chain(of_store(store, &selection, metrics)).collect()
}

/// The controllers of a store.
fn of_store(
    subjects: StoreSubjects,
    selection: &ControllerSelection,
    metrics: Arc<Metrics>,
) -> impl Iterator<Item = Box<dyn Controller>> + use<> {
    let StoreSubjects { opened, data_dir, compaction, scheduled_backup } = subjects;
    let Opened {
        backend,
        store,
        elector,
        compact,
        accounting,
        backup,
        scan,
        disk_usage,
        quota,
        ..
    } = opened;
    let compaction = compact.map(|compact| CompactionController {
        store,
        compact,
        elector,
        disk: disk_usage.clone(),
        accounting,
        options: compaction,
        metrics: metrics.clone(),
    });
    let scheduled = backup
        .clone()
        .and_then(|backup| ScheduledBackup::new(scheduled_backup, backup, metrics.clone()));
    let quota =
        quota.map(|quota| StorageQuotaController { quota, backend, metrics: metrics.clone() });
    let usage = scan
        .filter(|_| selection.is_enabled(ControllerName::Usage))
        .map(|scan| UsageController { scan, disk: disk_usage, backend, metrics });
    let controllers = [
        boxed(compaction),
        boxed(usage),
        boxed(quota),
        boxed(scheduled),
        boxed(backup.and_then(|backup| BackupServer::bind(&data_dir, backup))),
    ];
    controllers.into_iter().flatten()
}

/// The controller of the connection to the cluster. It runs before all others, because opening the
/// serving certificate can wait for the cluster.
pub fn connection(connection: ClientReloads) -> Box<dyn Controller> {
    Box::new(connection)
}

fn boxed<C: Controller>(controller: Option<C>) -> Option<Box<dyn Controller>> {
    controller.map(|controller| Box::new(controller) as Box<dyn Controller>)
}
