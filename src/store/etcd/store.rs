//! [`Etcd`], the store itself.

use std::future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;

use crate::store::{
    Backend, Compact, DiskUsage, EtcdCompaction, EtcdOptions, FileSize, FileStats, Key, Lookup,
    Observer, OpenError, Opened, Outcome, Outline, Page, Range, ReadPoint, Revision, Store,
    StoreError, StoreHealth, Txn, Watch,
};

use super::commit_log::etcd_revision;
use super::error::CallError;
use super::feed_task::FeedTask;
use super::layout::Layout;
use super::lease_elector::LeaseElector;
use super::members::Members;
use super::own_keys::{self, OwnKeys};
use super::replica::Replica;
use super::request::{MAX_CHANGES, MAX_TXN_BYTES};
use super::space::EtcdSize;
use super::tls_files::{self, read_tls};
use super::watch::EtcdWatcher;

/// A store in etcd.
///
/// Dropping it ends its tasks and its open watches, with `Closed`.
pub struct Etcd {
    replica: Arc<Replica>,
    tasks: [AbortHandle; 3],
}

impl Etcd {
    /// Opens a store, which is created if there is none. Does not wait for etcd: until a member
    /// answers, calls fail with `Unreachable`.
    ///
    /// Must be called in the context of a tokio runtime.
    ///
    /// # Errors
    /// The options are not valid, or a file for TLS cannot be read.
    pub fn open(options: &EtcdOptions, observer: Observer) -> Result<Self, OpenError> {
        check(options)?;
        let replica = Arc::new(Replica::new(options, observer));
        let task = FeedTask {
            feed: replica.feed.clone(),
            members: replica.members.clone(),
            layout: replica.layout.clone(),
        };
        let feed = tokio::spawn(task.run()).abort_handle();
        let members = replica.members.clone();
        let tls = tls_files::follow(options.tls.clone(), move || members.reconnect());
        let tls = tokio::spawn(tls).abort_handle();
        let space = tokio::spawn(replica.space.clone().follow()).abort_handle();
        Ok(Self { replica, tasks: [feed, tls, space] })
    }

    /// Returns true if there is a store, which shared keys of other programs are too. Writes
    /// nothing.
    ///
    /// # Errors
    /// The options are not valid, a file for TLS cannot be read, or no quorum answers.
    pub async fn exists(options: &EtcdOptions) -> Result<bool, OpenError> {
        check(options)?;
        let (members, layout) =
            (Members::new(options), Layout::new(&options.prefix, options.shared.clone()));
        let own = OwnKeys::read(&members, &layout).await.map_err(StoreError::from)?;
        if !layout.is_shared() {
            return Ok(own.is_some());
        }
        // Own keys are those of all installations that share this etcd, whatever their prefix is.
        own_keys::any_watched(&members, &layout).await.map_err(|why| StoreError::from(why).into())
    }

    /// The store with its abilities. Compaction is one only if this server owns it.
    pub fn opened(self, compaction: EtcdCompaction) -> Opened {
        let store = Arc::new(self);
        let compact =
            (compaction == EtcdCompaction::Own).then(|| store.clone() as Arc<dyn Compact>);
        Opened {
            backend: Backend::Etcd3,
            health: store.clone(),
            elector: Arc::new(LeaseElector::new(store.replica.clone())),
            compact,
            accounting: None,
            backup: None,
            scan: None,
            disk_usage: Some(Arc::new(EtcdDiskUsage { replica: store.replica.clone() })),
            quota: Some(store.replica.space.clone()),
            store,
        }
    }
}

fn check(options: &EtcdOptions) -> Result<(), OpenError> {
    let invalid = |reason: String| OpenError::Options { reason };
    options.check().map_err(invalid)?;
    read_tls(&options.tls).map(drop).map_err(invalid)
}

/// The size of etcd as that of a data file, with the quota in place of a volume.
struct EtcdDiskUsage {
    replica: Arc<Replica>,
}

impl DiskUsage for EtcdDiskUsage {
    fn file_stats(&self) -> Result<FileStats, StoreError> {
        let size = self.replica.space.size();
        let EtcdSize { file, used, quota, .. } = size.unwrap_or_default();
        let now = *self.replica.feed.progress().borrow();
        Ok(FileStats {
            size: FileSize { length: file, allocated: file },
            available: size.map(|_| quota.saturating_sub(file)),
            reserve: 0,
            reusable: file.saturating_sub(used),
            revision: now.revision,
            compacted: self.replica.feed.floor(),
        })
    }

    fn used_bytes(&self) -> Result<u64, StoreError> {
        let unknown = || CallError::other("etcd has not reported its size and quota");
        Ok(self.replica.space.size().ok_or_else(unknown)?.used)
    }
}

impl Store for Etcd {
    fn get<'a>(
        &'a self,
        key: &'a Key,
        known: Option<Revision>,
    ) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        Box::pin(async move {
            let found = self.replica.get(key, known, &ReadPoint::default()).await?;
            if let Lookup::Found(entry) = &found {
                self.replica.feed.cache(entry);
            }
            Ok(found)
        })
    }

    fn get_since<'a>(
        &'a self,
        key: &'a Key,
        known: Option<Revision>,
        point: &'a ReadPoint,
    ) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        // Callers that share a point have caches of their own.
        Box::pin(self.replica.get(key, known, point))
    }

    fn get_cached(&self, key: &Key) -> Option<Lookup> {
        self.replica.get_cached(key)
    }

    fn range(&self, range: Range) -> BoxFuture<'_, Result<Page, StoreError>> {
        Box::pin(async move { self.replica.range(&range).await })
    }

    fn outline(&self, range: Range) -> BoxFuture<'_, Result<Outline, StoreError>> {
        Box::pin(async move { self.replica.outline(&range).await })
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        Box::pin(async move {
            txn.validate(MAX_TXN_BYTES)?;
            self.replica.commit(&txn).await
        })
    }

    fn watch(&self, prefix: &str, after: Revision) -> Box<dyn Watch> {
        Box::new(EtcdWatcher::new(self.replica.clone(), prefix.to_owned(), after))
    }

    fn current(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(async { Ok(self.replica.fresh().await?.revision()) })
    }

    fn latest(&self) -> Option<Revision> {
        // Only etcd knows whether another replica has committed.
        None
    }

    fn max_changes(&self) -> usize {
        MAX_CHANGES
    }

    fn max_bytes(&self) -> u64 {
        MAX_TXN_BYTES as u64
    }
}

impl Compact for Etcd {
    fn compact(&self, at: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let current = self.replica.fresh().await?.revision();
            if at > current {
                return Err(StoreError::Future { requested: at, current });
            }
            let compacted = self.replica.members.call(|mut clients| async move {
                clients.kv.compact(etcd_revision(at), None).await
            });
            match compacted.await {
                // Compacted that far already, for instance by an attempt without an answer.
                Ok(_) | Err(CallError::Compacted) => {
                    self.replica.feed.raise_floor(at);
                    Ok(())
                }
                Err(error) => Err(error.into()),
            }
        })
    }
}

impl StoreHealth for Etcd {
    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { self.replica.fresh().await.map(drop) })
    }

    /// Writes need the fence, and the watch to find the outcome of those without an answer.
    fn ready_for_writes(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            self.replica.fresh().await?;
            match self.replica.feed.has_begun() {
                true => Ok(()),
                false => Err(CallError::other("the store in etcd was not read yet").into()),
            }
        })
    }

    fn warnings(&self) -> Vec<String> {
        self.replica.space.warning().into_iter().collect()
    }

    fn failed(&self) -> BoxFuture<'static, StoreError> {
        // The server outlives every failure of etcd.
        Box::pin(future::pending())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.replica.feed.close();
    }
}
