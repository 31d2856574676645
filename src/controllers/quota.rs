//! The recount of quotas for `openshift.io/imagestreams`.
//!
//! In OpenShift, a controller of the cluster counts these objects. kube-controller-manager does not
//! know the name: it copies the limit into the status of the quota and leaves the usage alone. Both
//! write the same number, so this controller runs in any cluster.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{self, Instant};
use tracing::{info, warn};

use super::controller::{Controller, Leadership};
use crate::api::GROUP;
use crate::cluster::{
    Amounts, ClusterRules, NamespaceQuotas, QuotaClient, QuotaPlace, QuotaRequestError, QuotaWrite,
};
use crate::meta::{GroupResource, Quantity};
use crate::registry::keys;
use crate::resources::stream_quota::ALIAS;
use crate::runtime::Backoff;
use crate::store::{Batch, Elector, Event, Range, Store, StoreError, WatchError};
use crate::telemetry::OnChange;

const STREAMS: GroupResource<'static> = GroupResource { group: GROUP, name: "imagestreams" };
/// The time between two recounts of all quotas, as `--resource-quota-sync-period` of
/// kube-controller-manager.
const RESYNC: Duration = Duration::from_secs(300);
/// The time for which deletions are collected before a recount.
const COLLECT: Duration = Duration::from_millis(500);
/// The delays after a failed recount.
const MIN_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(60);

/// Recounts the quotas of namespaces for `openshift.io/imagestreams`: new ones, those of a namespace
/// whose streams are deleted, and all at intervals.
pub struct QuotaController {
    quotas: ClusterRules<NamespaceQuotas>,
    client: QuotaClient,
    store: Arc<dyn Store>,
    elector: Arc<dyn Elector>,
}

/// A place of a quota: namespace and name.
type NamespacedQuota = (String, String);

/// A failed recount.
#[derive(Debug, thiserror::Error)]
enum RecountError {
    /// The quota.
    #[error(transparent)]
    Quota(#[from] QuotaRequestError),
    /// The count.
    #[error("the image streams cannot be counted: {0}")]
    Count(#[from] StoreError),
    /// The deletions.
    #[error("the deletions of image streams cannot be followed: {0}")]
    Watch(#[from] WatchError),
}

impl QuotaController {
    /// The controller for the quotas of a cluster and the streams of a store.
    pub fn new(
        quotas: ClusterRules<NamespaceQuotas>,
        client: QuotaClient,
        store: Arc<dyn Store>,
        elector: Arc<dyn Elector>,
    ) -> Self {
        Self { quotas, client, store, elector }
    }

    /// Waits for quotas and keeps them counted. Returns when the quotas end.
    async fn keep_counted(&self) {
        let (mut quotas, mut failed) = (self.quotas.clone(), OnChange::from_initial(false));
        let mut backoff = Backoff::new(MIN_RETRY, MAX_RETRY);
        loop {
            while self.all().is_empty() {
                if quotas.changed().await.is_none() {
                    return;
                }
            }
            match self.follow(&mut quotas, &mut backoff).await {
                Ok(()) => {
                    if failed.record(false) {
                        info!("quotas are recounted again");
                    }
                }
                Err(error) => {
                    if failed.record(true) {
                        warn!(%error, "quotas cannot be recounted; retrying");
                    }
                    time::sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    /// Counts all quotas, and then those that deletions and new quotas concern. Returns after a
    /// resync, and when no quota is left.
    async fn follow(
        &self,
        quotas: &mut ClusterRules<NamespaceQuotas>,
        backoff: &mut Backoff,
    ) -> Result<(), RecountError> {
        let prefix = keys::prefix(STREAMS, "", 0);
        let mut watch = self.store.watch(&prefix, self.store.current().await?);
        let mut end = pin!(time::sleep_until(Instant::now() + RESYNC));
        let mut due = self.all();
        loop {
            self.recount_all(std::mem::take(&mut due)).await?;
            backoff.reset();
            tokio::select! {
                batch = watch.next() => {
                    let mut namespaces = deleted_from(&batch?, &prefix);
                    // More deletions often follow, as of a whole namespace.
                    let more = async {
                        loop {
                            match watch.next().await {
                                Ok(batch) => namespaces.extend(deleted_from(&batch, &prefix)),
                                Err(error) => return error,
                            }
                        }
                    };
                    if let Ok(error) = time::timeout(COLLECT, more).await {
                        return Err(error.into());
                    }
                    due = self.all();
                    due.retain(|(namespace, _)| namespaces.contains(namespace));
                }
                changed = quotas.changed() => {
                    due = self.read(|quotas| quotas.without_usage(ALIAS));
                    if changed.is_none() || self.all().is_empty() {
                        return Ok(());
                    }
                }
                () = &mut end => return Ok(()),
            }
        }
    }

    fn all(&self) -> BTreeSet<NamespacedQuota> {
        self.read(|quotas| quotas.limiting(ALIAS))
    }

    fn read(
        &self,
        read: impl FnOnce(&NamespaceQuotas) -> BTreeSet<NamespacedQuota>,
    ) -> BTreeSet<NamespacedQuota> {
        self.quotas.read(read).unwrap_or_default()
    }

    /// Recounts these quotas. A failure of one does not stop the others.
    async fn recount_all(&self, due: BTreeSet<NamespacedQuota>) -> Result<(), RecountError> {
        let mut outcome = Ok(());
        for place in due {
            outcome = outcome.and(self.recount(place).await);
        }
        outcome
    }

    /// Sets the usage of a quota to the number of streams.
    async fn recount(&self, (namespace, name): NamespacedQuota) -> Result<(), RecountError> {
        let place = QuotaPlace::Namespace { namespace: namespace.clone(), name };
        loop {
            let Some(quota) = self.client.get(&place).await? else { return Ok(()) };
            if !quota.hard.contains_key(ALIAS) || quota.is_scoped {
                return Ok(());
            }
            // After the read of the quota, whose later changes make the write fail.
            let prefix = keys::prefix(STREAMS, &namespace, 0);
            let counted = self.store.outline(Range { prefix, ..Range::default() }).await?.entries;
            let counted = Quantity::of_count(counted);
            if quota.used.get(ALIAS) == Some(&counted) {
                return Ok(());
            }
            let used = Amounts::from([(ALIAS.to_owned(), counted)]);
            match self.client.set_used(&quota, &namespace, &used).await? {
                QuotaWrite::Stored | QuotaWrite::Gone => return Ok(()),
                QuotaWrite::Conflict => {}
            }
        }
    }
}

impl Controller for QuotaController {
    fn name(&self) -> &'static str {
        "quota"
    }

    fn leadership(&self) -> Leadership {
        Leadership::Elected(self.elector.clone())
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.keep_counted())
    }
}

/// The namespaces of the streams that a batch deletes.
fn deleted_from(batch: &Batch, prefix: &str) -> BTreeSet<String> {
    let deleted = batch.events.iter().filter_map(|event| match event {
        Event::Delete { key, .. } => key.as_str().strip_prefix(prefix)?.split_once('/'),
        Event::Put { .. } => None,
    });
    deleted.map(|(namespace, _)| namespace.to_owned()).collect()
}
