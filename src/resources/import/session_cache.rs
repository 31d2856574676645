//! Sessions of namespaces, which imports of the same namespace share for a short time. Secrets are
//! then read, and registries greeted, once for many tags.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::importer::ImageImporter;
use crate::meta::Status;
use crate::oci::PullSession;

/// Maximum number of namespaces.
const CAPACITY: usize = 256;
/// Time after which the secrets of a namespace are read again.
const LIFETIME: Duration = Duration::from_secs(60);

/// The sessions by namespace.
pub(super) struct SessionCache {
    sessions: Cache<String, (Instant, Arc<PullSession>)>,
}

impl SessionCache {
    /// No sessions.
    pub(super) fn new() -> Self {
        Self { sessions: Cache::new(CAPACITY) }
    }

    /// The session of a namespace.
    ///
    /// # Errors
    /// 503 if the credentials of the namespace cannot be read.
    pub(super) async fn get(
        &self,
        importer: &ImageImporter,
        namespace: &str,
    ) -> Result<Arc<PullSession>, Status> {
        let known = self.sessions.get(namespace);
        if let Some((_, session)) = known.filter(|(opened, _)| opened.elapsed() < LIFETIME) {
            return Ok(session);
        }
        let opened = Instant::now();
        let session = Arc::new(importer.session(namespace).await?);
        self.sessions.insert(namespace.to_owned(), (opened, session.clone()));
        Ok(session)
    }

    /// Forgets the session of a namespace: its secrets changed, or it remembers a failure.
    pub(super) fn forget(&self, namespace: &str) {
        self.sessions.remove(namespace);
    }
}
