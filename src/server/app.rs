//! The state of the handlers.

use std::sync::Arc;

use bytes::Bytes;

use super::documents::Documents;
use super::health::Health;
use super::profiling::Profiler;
use crate::endpoints::serve::Api;
use crate::machinery::group_version::GroupVersion;
use crate::telemetry::metrics::Metrics;

/// The state of the handlers.
pub(super) struct App {
    /// The resources.
    pub(super) api: Api,
    /// Further APIs, which a server without a cluster has.
    pub(super) standalone: Vec<(GroupVersion, Api)>,
    /// The health checks.
    pub(super) health: Health,
    /// The metrics, which a handler exposes.
    pub(super) metrics: Arc<Metrics>,
    /// Discovery, OpenAPI and version.
    pub(super) documents: Documents,
    /// Profiles, if a flag allows them.
    pub(super) profiler: Option<Profiler>,
    /// The flags of the server, in JSON.
    pub(super) configz: Bytes,
}
