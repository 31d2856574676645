//! The keys that a store keeps for itself, and the latest revision that they show.

use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, ResponseHeader, Txn, TxnOp};

use crate::store::Revision;

use super::commit_log::{revision, write_id_value};
use super::error::CallError;
use super::layout::{Layout, StoredKey};
use super::members::Members;

/// The revisions of fence and sentinel.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnKeys {
    /// The first revision of the store.
    pub(super) first: Revision,
    /// The revision of the fence.
    pub(super) fence: i64,
    /// The latest revision.
    pub(super) latest: LatestRevision,
    /// The revision of etcd at which both were read.
    pub(super) position: i64,
}

/// The latest revision, as a quorum knows it.
#[derive(Clone, Copy, Debug)]
pub(super) enum LatestRevision {
    /// The latest revision of the store, that of the sentinel.
    Marked(Revision),
    /// The revision of etcd, because the latest transaction has deleted the sentinel, or because
    /// other programs write keys of the store too.
    Unmarked(Revision),
}

impl LatestRevision {
    /// The revision.
    pub(super) fn revision(self) -> Revision {
        match self {
            Self::Marked(revision) | Self::Unmarked(revision) => revision,
        }
    }
}

impl OwnKeys {
    /// Reads both keys with a quorum; `None` if there is no store.
    ///
    /// # Errors
    /// No quorum answers.
    pub(super) async fn read(
        members: &Members,
        layout: &Layout,
    ) -> Result<Option<Self>, CallError> {
        let (first, end) = layout.own();
        let options = GetOptions::new().with_range(end).with_keys_only();
        let found = members
            .call(|mut clients| {
                let (first, options) = (first.clone(), options.clone());
                async move { clients.kv.get(first, Some(options)).await }
            })
            .await?;
        let position = found.header().map_or(0, ResponseHeader::revision);
        let find = |wanted| found.kvs().iter().find(|kv| layout.read(kv.key()) == wanted);
        let marked = find(StoredKey::Sentinel).map(KeyValue::mod_revision);
        let latest = marked.map_or(LatestRevision::Unmarked(revision(position)), |at| {
            LatestRevision::Marked(revision(at))
        });
        Ok(find(StoredKey::Fence).map(|fence| Self {
            // Shared keys may be older than this server.
            first: revision(if layout.is_shared() { 0 } else { fence.create_revision() }),
            fence: fence.mod_revision(),
            latest,
            position,
        }))
    }

    /// Reads both keys, and creates them in a new store.
    ///
    /// # Errors
    /// No quorum answers, or only the sentinel exists.
    pub(super) async fn read_or_create(
        members: &Members,
        layout: &Layout,
    ) -> Result<Self, CallError> {
        // An etcd without space refuses every transaction that may put, so a read comes first.
        if let Some(own) = Self::read(members, layout).await? {
            return Ok(own);
        }
        let own = [layout.fence(), layout.sentinel()];
        let created = if layout.is_shared() { &own[..1] } else { &own[..] };
        put_absent(members, created).await?;
        let incomplete = || {
            CallError::other(
                "the keys that this store keeps in etcd are incomplete: restore a snapshot, or remove the rest below --etcd-prefix",
            )
        };
        Self::read(members, layout).await?.ok_or_else(incomplete)
    }
}

/// Returns true if there is a key in the range that the watch of a store covers.
///
/// # Errors
/// No quorum answers.
pub(super) async fn any_watched(members: &Members, layout: &Layout) -> Result<bool, CallError> {
    let (first, end) = layout.watched();
    let options = GetOptions::new().with_range(end).with_keys_only().with_limit(1);
    let found = members.call(|mut clients| {
        let (first, options) = (first.clone(), options.clone());
        async move { clients.kv.get(first, Some(options)).await }
    });
    Ok(!found.await?.kvs().is_empty())
}

/// Puts the sentinel again after it was deleted.
///
/// # Errors
/// No quorum answers, or etcd has no space.
pub(super) async fn restore_sentinel(members: &Members, layout: &Layout) -> Result<(), CallError> {
    put_absent(members, &[layout.sentinel()]).await
}

/// Puts keys with a new write ID if none of them exists.
async fn put_absent(members: &Members, keys: &[Vec<u8>]) -> Result<(), CallError> {
    let value = write_id_value(uuid::Uuid::new_v4().as_u128());
    let absent = keys.iter().cloned().map(|key| Compare::create_revision(key, CompareOp::Equal, 0));
    let put = keys.iter().cloned().map(|key| TxnOp::put(key, value.clone(), None));
    let txn = Txn::new().when(absent.collect::<Vec<_>>()).and_then(put.collect::<Vec<_>>());
    let send = |mut clients: super::members::MemberClients| {
        let txn = txn.clone();
        async move { clients.kv.txn(txn).await }
    };
    members.call(send).await.map(drop)
}
