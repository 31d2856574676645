//! The parts of a store in one replica, and the freshness of its reads.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use crate::store::{EtcdOptions, Key, Observer, Revision, StoreError};

use super::commit_log::{etcd_revision, write_id_value};
use super::error::CallError;
use super::feed::{CountedRevisions, Feed, FeedProgress};
use super::layout::Layout;
use super::members::Members;
use super::own_keys::{LatestRevision, OwnKeys};
use super::quorum_sign::QuorumSign;
use super::shared_call::SharedCall;
use super::space::EtcdSpace;

/// The interval at which etcd is asked for its progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

/// The connection of one replica to its store.
pub(super) struct Replica {
    pub(super) layout: Arc<Layout>,
    pub(super) members: Arc<Members>,
    pub(super) feed: Arc<Feed>,
    pub(super) space: Arc<EtcdSpace>,
    /// Reads the latest revision; `None` before the store is created.
    latest: SharedCall<Option<LatestRevision>>,
    /// The last answer of a quorum.
    pub(super) quorum: Arc<QuorumSign>,
    /// Moves the fence, and returns its new revision in etcd.
    pub(super) fence: SharedCall<i64>,
}

impl Replica {
    /// The parts of a store. Starts tasks on the current runtime, which reach no member yet.
    pub(super) fn new(options: &EtcdOptions, observer: Observer) -> Self {
        let layout = Arc::new(Layout::new(&options.prefix, options.shared.clone()));
        let members = Arc::new(Members::new(options));
        let quorum = Arc::new(QuorumSign::default());
        let reader = (members.clone(), layout.clone(), quorum.clone());
        let latest = SharedCall::start(move || {
            let (members, layout, quorum) = reader.clone();
            async move {
                let own = quorum.record(OwnKeys::read(&members, &layout).await)?;
                Ok(own.map(|own| own.latest))
            }
        });
        let mover = (members.clone(), layout.clone());
        let fence = SharedCall::start(move || {
            let (members, layout) = mover.clone();
            async move { move_fence(&members, &layout).await }
        });
        let space = Arc::new(EtcdSpace::new(members.clone(), observer));
        let counted = match layout.is_shared() {
            true => CountedRevisions::All,
            false => CountedRevisions::Own,
        };
        let feed = Arc::new(Feed::new(counted));
        Self { layout, members, feed, space, latest, quorum, fence }
    }

    /// The latest revision. All readers that wait share one linearizable read of two small keys.
    ///
    /// # Errors
    /// No quorum answers.
    pub(super) async fn fresh(&self) -> Result<LatestRevision, StoreError> {
        if let Some(latest) = self.latest.get().await? {
            return Ok(latest);
        }
        // The task of the feed creates the store.
        self.begun().await?;
        let missing = || {
            CallError::other(
                "the store in etcd is gone: something has removed the keys below --etcd-prefix",
            )
        };
        Ok(self.latest.get().await?.ok_or_else(missing)?)
    }

    /// The latest revision of an earlier read.
    pub(super) fn latest_of(&self, revision: Revision) -> LatestRevision {
        match self.layout.is_shared() {
            true => LatestRevision::Unmarked(revision),
            false => LatestRevision::Marked(revision),
        }
    }

    /// Waits until the feed has reached the latest revision, and returns it.
    ///
    /// # Errors
    /// No quorum answers, or the watch does not catch up in time.
    pub(super) async fn fresh_feed(&self) -> Result<LatestRevision, StoreError> {
        let latest = self.fresh().await?;
        if self.reach_latest(latest).await {
            return Ok(latest);
        }
        Err(CallError::other("the watch of etcd has not caught up in time").into())
    }

    /// Waits until the feed has reached a latest revision. Returns false if it does not in time.
    pub(super) async fn reach_latest(&self, latest: LatestRevision) -> bool {
        match latest {
            LatestRevision::Marked(revision) => self.reach(|now| now.revision >= revision).await,
            LatestRevision::Unmarked(revision) => {
                let position = etcd_revision(revision);
                let mut reached = pin!(self.reach(|now| now.position >= position));
                // No event need follow, so etcd is asked for its progress. A member that has not
                // caught up itself does not answer.
                let mut requests = interval(PROGRESS_INTERVAL);
                loop {
                    tokio::select! {
                        biased;
                        reached = &mut reached => return reached,
                        _ = requests.tick() => self.feed.progress_wanted.notify_one(),
                    }
                }
            }
        }
    }

    /// Waits until the feed has begun.
    ///
    /// # Errors
    /// etcd was not reached since the start.
    pub(super) async fn begun(&self) -> Result<(), StoreError> {
        let has_begun = |now: &FeedProgress| now.position > 0;
        if self.feed.reaches(self.members.request_timeout(), has_begun).await {
            return Ok(());
        }
        if self.feed.progress().borrow().is_closed {
            return Err(StoreError::Closed);
        }
        Err(CallError::other("the store in etcd was not read yet").into())
    }

    /// The oldest revision that is not known to be compacted.
    ///
    /// # Errors
    /// etcd was not reached since the start.
    pub(super) async fn oldest(&self) -> Result<Revision, StoreError> {
        self.begun().await?;
        Ok(self.feed.floor())
    }

    /// Waits until the feed meets a condition. If that takes long, the feed moves to the member that
    /// answers other calls.
    pub(super) async fn reach(&self, condition: impl Fn(&FeedProgress) -> bool) -> bool {
        if self.feed.reaches(self.members.attempt_timeout(), &condition).await {
            return true;
        }
        self.feed.lags.notify_one();
        self.feed.reaches(self.members.request_timeout(), &condition).await
    }

    /// The key in etcd of a key of the store.
    pub(super) fn place(&self, key: &Key) -> Vec<u8> {
        self.layout.data(key)
    }
}

/// Fails every older transaction that is not applied yet.
async fn move_fence(members: &Members, layout: &Layout) -> Result<i64, CallError> {
    let value = write_id_value(uuid::Uuid::new_v4().as_u128());
    let put = members
        .call(|mut clients| {
            let (key, value) = (layout.fence(), value.clone());
            async move { clients.kv.put(key, value, None).await }
        })
        .await?;
    Ok(put.header().map_or(0, etcd_client::ResponseHeader::revision))
}
