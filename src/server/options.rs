//! The flags of the server, and what they must not be together. Names follow kube-apiserver.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::{audit, compaction, inflight, listen, shutdown, tls};
use crate::auth;
use crate::cluster;
use crate::domain::history::MaxTagHistory;
use crate::domain::policy::Registries;
use crate::meta::duration;
use crate::resources::catalog::Limits;
use crate::store::embedded::Opener;

/// All flags of the server.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Options {
    /// Where it listens.
    #[command(flatten)]
    pub listen: listen::Options,
    /// How it speaks TLS.
    #[command(flatten)]
    pub tls: tls::Options,
    /// Whom it serves.
    #[command(flatten)]
    pub access: auth::Options,
    /// Which cluster it belongs to.
    #[command(flatten)]
    pub cluster: cluster::Options,
    /// Where it keeps its data.
    #[command(flatten)]
    pub storage: Storage,
    /// How long it remembers.
    #[command(flatten)]
    pub compaction: compaction::Options,
    /// Which registries it knows.
    #[command(flatten)]
    pub registries: RegistryOptions,
    /// How much it takes on.
    #[command(flatten)]
    pub in_flight: inflight::Options,
    /// How much it keeps.
    #[command(flatten)]
    pub limits: ObjectLimits,
    /// The longest that a request may take, such as 1m; requests that change something end after 34s at the latest.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::positive)]
    pub request_timeout: Duration,
    /// Who asked what.
    #[command(flatten)]
    pub audit: audit::Options,
    /// How it ends.
    #[command(flatten)]
    pub shutdown: shutdown::Options,
}

/// The flags of the embedded store.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Storage {
    /// Folder of the data. Made if it is not there, readable for this user only.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    pub data_dir: PathBuf,
    /// How long to wait for another process to let go of --data-dir, as during a rolling restart.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::non_negative)]
    pub data_dir_lock_timeout: Duration,
    /// How the data file is opened; no flag, for whoever measures on a disk that is made slower than it is.
    #[arg(skip)]
    pub opener: Opener,
}

/// With less free space than this, in bytes, writes are refused, so that the store never meets a full disk.
pub const SPACE_RESERVE: u64 = 64 << 20;

/// The free space beside the files of a folder, in bytes.
///
/// # Errors
/// What the system says.
pub fn free_space(folder: &Path) -> std::io::Result<u64> {
    Ok(rustix::fs::statvfs(folder).map(|disk| disk.f_bavail * disk.f_frsize)?)
}

/// The flags about how much is kept.
#[derive(Clone, Copy, Debug, Args)]
#[group(skip)]
pub struct ObjectLimits {
    /// Objects of a resource that a namespace may hold; who makes more is answered with 403. 0 is no limit.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    pub max_objects_per_namespace: u64,
    /// The most bytes that one object may take as it is stored; whoever makes one larger is answered with 413.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(1 << 20..=MOST_OBJECT_BYTES))]
    pub max_object_size: u32,
    /// Events that the history of a tag keeps, newest first. 0 is no limit.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub max_tag_history: usize,
}

/// The most that `--max-object-size` may be, in bytes: what the store takes as one value.
const MOST_OBJECT_BYTES: i64 = crate::store::embedded::MAX_VALUE_BYTES as i64;

impl From<ObjectLimits> for Limits {
    fn from(options: ObjectLimits) -> Self {
        let ObjectLimits { max_objects_per_namespace, max_object_size, max_tag_history } = options;
        Self {
            streams_per_namespace: NonZeroU64::new(max_objects_per_namespace),
            object_bytes: max_object_size as usize,
            tag_history: MaxTagHistory(NonZeroUsize::new(max_tag_history)),
        }
    }
}

/// The flags about registries.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct RegistryOptions {
    /// Host and port of the registry inside of the cluster: what streams say in status.dockerImageRepository.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = host)]
    pub internal_registry_hostname: Option<String>,
    /// Host and port of the same registry from outside: what streams say in status.publicDockerImageRepository.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = host)]
    pub external_registry_hostname: Option<String>,
}

impl From<&RegistryOptions> for Registries {
    fn from(options: &RegistryOptions) -> Self {
        let RegistryOptions { internal_registry_hostname, external_registry_hostname } = options.clone();
        Self { internal: internal_registry_hostname, external: external_registry_hostname }
    }
}

/// A host name with an optional port, as it stands at the beginning of an image reference.
fn host(text: &str) -> Result<String, String> {
    let reference = format!("{text}/namespace/name").parse::<crate::domain::reference::Reference>();
    match reference {
        Ok(reference) if reference.registry == text => Ok(text.to_owned()),
        _ => Err("it must be the host name of a registry, with a dot or a port, and without scheme and path".into()),
    }
}
