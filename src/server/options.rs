//! The flags of the server. Names follow kube-apiserver.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use clap::{Args, FromArgMatches};

use super::effective_flags::EffectiveFlags;
use super::filters::in_flight;
use super::storage::StorageOptions;
use super::{audit, listen, profiling, shutdown};
use crate::auth;
use crate::cluster;
use crate::controllers::{self, compaction, image_import, scheduled_backup};
use crate::domain::allowed_registries::AllowedRegistries;
use crate::domain::registries::Registries;
use crate::domain::tag_history::MaxTagHistory;
use crate::endpoints::decode::MAX_BODY_BYTES;
use crate::meta::{byte_size, duration};
use crate::oci;
use crate::registry::admission::selection;
use crate::registry::history_limit::HistoryLimit;
use crate::resources::catalog::StorageLimits;
use crate::resources::import;
use crate::runtime::MemoryOptions;
use crate::store::MAX_VALUE_BYTES;
use crate::tls;

/// All flags of the server.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Options {
    /// Address and port.
    #[command(flatten)]
    pub listen: listen::Options,
    /// Serving certificate and TLS settings.
    #[command(flatten)]
    pub tls: tls::Options,
    /// Authentication and authorization.
    #[command(flatten)]
    pub access: auth::Options,
    /// Control plane.
    #[command(flatten)]
    pub cluster: cluster::Options,
    /// Data folder.
    #[command(flatten)]
    pub storage: StorageOptions,
    /// Compaction of old revisions.
    #[command(flatten)]
    pub compaction: compaction::Options,
    /// Scheduled backups.
    #[command(flatten)]
    pub scheduled_backup: scheduled_backup::Options,
    /// Hostnames of the registry.
    #[command(flatten)]
    pub registries: RegistryOptions,
    /// Client for external registries.
    #[command(flatten)]
    pub oci: oci::Options,
    /// Image imports.
    #[command(flatten)]
    pub imports: import::Options,
    /// Controllers that run.
    #[command(flatten)]
    pub controllers: controllers::Options,
    /// Import controller.
    #[command(flatten)]
    pub image_imports: image_import::Options,
    /// Admission plugins.
    #[command(flatten)]
    pub admission: selection::Options,
    /// Limits on requests in flight.
    #[command(flatten)]
    pub in_flight: in_flight::Options,
    /// Memory of requests.
    #[command(flatten)]
    pub memory: MemoryOptions,
    /// Limits on stored objects.
    #[command(flatten)]
    pub limits: ObjectLimits,
    /// Maximum time to produce a response, and again to send it.
    ///
    /// Mutating requests end after 34s at the latest. Watches have their own time limits.
    #[arg(long, help_heading = "Limits and overload", value_name = "DURATION", default_value = "60s", value_parser = duration::positive)]
    pub request_timeout: Duration,
    /// Audit log.
    #[command(flatten)]
    pub audit: audit::Options,
    /// Profiles.
    #[command(flatten)]
    pub profiling: profiling::Options,
    /// Shutdown.
    #[command(flatten)]
    pub shutdown: shutdown::Options,
    /// The values of all flags, for `/configz`.
    #[arg(skip)]
    pub effective_flags: EffectiveFlags,
}

impl Default for Options {
    /// The options if no flag is set.
    fn default() -> Self {
        let command = Self::augment_args(clap::Command::new("serve").no_binary_name(true));
        let matches = command.try_get_matches_from([""; 0]).expect("no flag is required");
        Self::from_arg_matches(&matches).expect("every flag without a default is optional")
    }
}

/// Flags of the limits on stored objects.
#[derive(Clone, Copy, Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "Limits and overload")]
pub struct ObjectLimits {
    /// Maximum number of image streams in a namespace; 0 for no limit.
    ///
    /// Requests that would exceed it get 403.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    pub max_objects_per_namespace: u64,
    /// Maximum number of bytes that a namespace takes in the storage; 0 for no limit.
    ///
    /// Its image streams count, the images that it pushed first, and all their replaced and deleted
    /// values until they are compacted. A namespace may write a quarter of this number at once, and
    /// half of it in each --compaction-retention. Writes that would exceed either get 429 with
    /// Retry-After; deletions are never refused. Objects of other namespaces are not affected.
    #[arg(long, value_name = "BYTES", default_value_t = 2 << 30)]
    pub max_history_bytes_per_namespace: u64,
    /// Maximum size in bytes of a stored object, from 1 MiB to 64 MiB.
    ///
    /// The default is the maximum size of a request body: a larger object could be read, but not
    /// written back. Requests that would exceed it get 413, unless they make an object that exceeds
    /// it smaller.
    #[arg(long, value_name = "BYTES", default_value_t = MAX_BODY_BYTES as u32, value_parser = clap::value_parser!(u32).range(1 << 20..=MAX_OBJECT_BYTES))]
    pub max_object_size: u32,
    /// Memory for caches of image streams and images, at least 1Mi.
    ///
    /// An image takes some 2 KiB, a stream 100 bytes for each of its images. A GET of an object that
    /// is not in the cache reads the storage. Lookups by partial digest have half as much, at least
    /// 24Mi, besides.
    #[arg(long, value_name = "BYTES", default_value = "28Mi", value_parser = cache_size)]
    pub cache_size: u64,
    /// Maximum number of events in the history of a tag, newest first; 0 for no limit.
    #[arg(long, help_heading = "Image streams", value_name = "COUNT", default_value_t = 0)]
    pub max_tag_history: usize,
}

impl Options {
    /// The limits on the bytes of a namespace; `None` if there are none.
    pub(super) fn history_limit(&self) -> Option<HistoryLimit> {
        let compaction::Options { compaction_retention, compaction_interval, .. } = self.compaction;
        NonZeroU64::new(self.limits.max_history_bytes_per_namespace).map(|bytes| HistoryLimit {
            bytes,
            retention: compaction_retention,
            compaction_interval,
        })
    }
}

/// Maximum of `--max-object-size` in bytes: the largest value that the store accepts.
const MAX_OBJECT_BYTES: i64 = MAX_VALUE_BYTES as i64;

/// Parses the value of `--cache-size`.
fn cache_size(text: &str) -> Result<u64, String> {
    let bytes = byte_size::parse(text)?;
    if bytes < 1 << 20 { Err("it must be at least 1Mi".to_owned()) } else { Ok(bytes) }
}

impl From<ObjectLimits> for StorageLimits {
    fn from(options: ObjectLimits) -> Self {
        let ObjectLimits {
            max_objects_per_namespace,
            max_object_size,
            max_tag_history,
            cache_size,
            ..
        } = options;
        Self {
            streams_per_namespace: NonZeroU64::new(max_objects_per_namespace),
            object_bytes: max_object_size as usize,
            tag_history: MaxTagHistory(NonZeroUsize::new(max_tag_history)),
            cache_bytes: cache_size,
            ..Self::default()
        }
    }
}

/// Flags of the registry that serves the images.
#[derive(Clone, Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "Image streams")]
pub struct RegistryOptions {
    /// Hostname of the registry inside the cluster, for status.dockerImageRepository.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = host)]
    pub internal_registry_hostname: Option<String>,
    /// Hostname of the registry outside the cluster, for status.publicDockerImageRepository.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = host)]
    pub external_registry_hostname: Option<String>,
}

impl RegistryOptions {
    /// The registries of these flags. Tags may refer to those that are allowed for imports.
    pub(super) fn registries(self, imports: &import::Options) -> Registries {
        let Self { internal_registry_hostname, external_registry_hostname } = self;
        let allowed = imports.allowed_registries_for_import.clone();
        let allowed = AllowedRegistries::new(allowed, internal_registry_hostname.as_deref());
        Registries {
            internal: internal_registry_hostname,
            external: external_registry_hostname,
            allowed,
        }
    }
}

/// Parses a host name with an optional port, as at the start of an image reference.
fn host(text: &str) -> Result<String, String> {
    let reference = format!("{text}/namespace/name").parse::<crate::domain::reference::Reference>();
    match reference {
        Ok(reference) if reference.registry == text => Ok(text.to_owned()),
        _ => Err(
            "it must be the host name of a registry with a dot or a port, without scheme and path"
                .into(),
        ),
    }
}
