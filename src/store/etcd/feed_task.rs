//! The task that keeps a [`Feed`] current: follows one watch of etcd, and loads the index
//! meanwhile.
//!
//! etcd reads all values to list the keys, which takes seconds for 100,000 images. Until a key is
//! loaded, its reads go to etcd. The watch moves to another member when its own fails, and resumes
//! after the last event.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use etcd_client::{GetOptions, ResponseHeader, WatchOptions, WatchStream};
use tokio::time::Instant;

use crate::store::{Key, Revision};

use super::commit_log::{PreviousValues, commits, revision};
use super::error::CallError;
use super::feed::{Feed, FeedStart};
use super::key_index::IndexPage;
use super::layout::{Layout, StoredKey};
use super::member_version::check_progress;
use super::members::Members;
use super::own_keys::OwnKeys;
use super::previous_values::previous_values;

/// Keys of one page of the index. etcd holds their values in memory meanwhile.
const PAGE_KEYS: i64 = 2_000;
/// The delays between attempts.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_secs(1))
    .without_max_times();

/// The task of one feed.
pub(super) struct FeedTask {
    pub(super) feed: Arc<Feed>,
    pub(super) members: Arc<Members>,
    pub(super) layout: Arc<Layout>,
}

/// The reason why a watch ended.
enum WatchEnd {
    /// Another member can continue.
    Failed(CallError),
    /// Events are missing: the index must be loaded again.
    Compacted,
}

impl FeedTask {
    /// Keeps the feed current until the task is aborted.
    pub(super) async fn run(self) {
        let mut delays = RETRY.build();
        loop {
            match self.begin().await {
                Ok(position) => {
                    delays = RETRY.build();
                    tokio::select! {
                        () = self.follow(position) => {}
                        () = self.load(position) => {}
                    }
                    tracing::warn!("events of etcd are compacted, loading the index again");
                }
                Err(error) => {
                    tracing::warn!(%error, "the store in etcd cannot be read");
                    tokio::time::sleep(delays.next().unwrap_or_default()).await;
                }
            }
        }
    }

    /// Begins the feed at the current revision of etcd, and returns that.
    async fn begin(&self) -> Result<i64, CallError> {
        self.check_version(self.members.current()).await?;
        let own = OwnKeys::read_or_create(&self.members, &self.layout).await?;
        let OwnKeys { first, fence, latest, position } = own;
        self.feed.begin(FeedStart { position, revision: latest.revision(), first, fence });
        Ok(position)
    }

    /// Loads the keys as of a revision of etcd. Returns when that is compacted, but never once all
    /// keys are loaded.
    async fn load(&self, position: i64) {
        let mut delays = RETRY.build();
        let (mut count, start) = (0, Instant::now());
        let mut rest = self.layout.range("", None);
        while let Some((first, end)) = rest.take() {
            match self.read_page(position, &first, &end).await {
                Ok((page, next)) => {
                    count += page.keys.len();
                    self.feed.load(page);
                    rest = next.map(|next| (next, end));
                    delays = RETRY.build();
                }
                Err(CallError::Compacted) => return,
                Err(error) => {
                    tracing::warn!(%error, "the index of etcd cannot be loaded");
                    tokio::time::sleep(delays.next().unwrap_or_default()).await;
                    rest = Some((first, end));
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        tracing::info!(keys = count, seconds, "loaded the index of etcd");
        future::pending().await
    }

    /// Reads a page of keys as of a revision of etcd. Returns the start of the next one, if any.
    async fn read_page(
        &self,
        position: i64,
        first: &[u8],
        end: &[u8],
    ) -> Result<(IndexPage, Option<Vec<u8>>), CallError> {
        let options = GetOptions::new()
            .with_range(end)
            .with_revision(position)
            .with_limit(PAGE_KEYS)
            .with_keys_only();
        let read = self.members.call(|mut clients| {
            let options = options.clone();
            async move { clients.kv.get(first, Some(options)).await }
        });
        let read = read.await?;
        let mut keys = Vec::with_capacity(read.kvs().len());
        for kv in read.kvs() {
            if let StoredKey::Data(key) = self.layout.read(kv.key()) {
                keys.push((Key::new(key), revision(kv.mod_revision())));
            }
        }
        let next = read.kvs().last().filter(|_| read.more());
        let next = next.map(|last| [last.key(), b"\0"].concat());
        Ok((IndexPage { keys, is_last: next.is_none() }, next))
    }

    /// Applies all events after a revision of etcd. Returns when some of them are compacted.
    async fn follow(&self, mut position: i64) {
        let mut delays = RETRY.build();
        let mut member = self.members.current();
        loop {
            let before = position;
            match self.follow_member(member, &mut position).await {
                WatchEnd::Compacted => return,
                WatchEnd::Failed(error) => {
                    tracing::warn!(%error, position, "the watch of etcd ended, it resumes");
                }
            }
            if position > before {
                delays = RETRY.build();
            }
            let preferred = self.members.current();
            if preferred != member {
                member = preferred;
            } else {
                member = (member + 1) % self.members.count();
                tokio::time::sleep(delays.next().unwrap_or_default()).await;
            }
        }
    }

    /// Applies the events after a position that one member delivers.
    async fn follow_member(&self, member: usize, position: &mut i64) -> WatchEnd {
        if let Err(error) = self.check_version(member).await {
            return WatchEnd::Failed(error);
        }
        // The values before the events are read from memory.
        let options = WatchOptions::new();
        let opened = open_watch(&self.members, &self.layout, member, *position, options);
        let mut stream = tokio::select! {
            stream = opened => match stream {
                Ok(stream) => stream,
                Err(error) => return WatchEnd::Failed(error),
            },
            () = self.must_move(member) => return moved(),
        };
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                () = self.must_move(member) => return moved(),
                () = self.feed.progress_wanted.notified() => {
                    match stream.request_progress().await {
                        Ok(()) => continue,
                        Err(error) => return WatchEnd::Failed(self.members.error(member, error)),
                    }
                }
            };
            let response = match message {
                Ok(Some(response)) => response,
                Ok(None) => return WatchEnd::Failed(CallError::other("etcd has closed the watch")),
                Err(error) => return WatchEnd::Failed(self.members.error(member, error)),
            };
            if response.canceled() {
                if response.compact_revision() > 0 {
                    return WatchEnd::Compacted;
                }
                let reason = format!("etcd has cancelled the watch: {}", response.cancel_reason());
                return WatchEnd::Failed(CallError::other(reason));
            }
            let previous =
                previous_values(&self.members, &self.layout, &self.feed, &response).await;
            let previous = match previous {
                Ok(previous) => PreviousValues::Known(previous),
                Err(CallError::Compacted) => return WatchEnd::Compacted,
                Err(error) => return WatchEnd::Failed(error),
            };
            let Ok(commits) = commits(&self.layout, &response, previous) else {
                return WatchEnd::Compacted;
            };
            if let Some(last) = commits.last() {
                *position = i64::try_from(last.revision.0).unwrap_or(*position);
                self.feed.apply(commits);
            } else if !response.created() {
                // A response without events tells the progress.
                *position = (*position).max(response.header().map_or(0, ResponseHeader::revision));
                self.feed.advance(*position);
            }
        }
    }

    /// Checks that a member can serve the watch. Without a sentinel, its reports of progress count.
    async fn check_version(&self, member: usize) -> Result<(), CallError> {
        match self.layout.is_shared() {
            true => check_progress(&self.members, member).await,
            false => Ok(()),
        }
    }

    /// Resolves when the feed lags behind another member that answers.
    async fn must_move(&self, member: usize) {
        loop {
            self.feed.lags.notified().await;
            if self.members.current() != member {
                return;
            }
        }
    }
}

fn moved() -> WatchEnd {
    WatchEnd::Failed(CallError::other("another member of etcd is ahead"))
}

/// Opens a watch of everything below the prefix after a revision of etcd.
///
/// # Errors
/// The member cannot be reached.
pub(super) async fn open_watch(
    members: &Members,
    layout: &Layout,
    member: usize,
    position: i64,
    options: WatchOptions,
) -> Result<WatchStream, CallError> {
    let (first, end) = layout.watched();
    let options = options.with_range(end).with_start_revision(position.saturating_add(1));
    let open = |mut clients: super::members::MemberClients| {
        let (first, options) = (first.clone(), options.clone());
        async move { clients.watch.watch(first, Some(options)).await }
    };
    match tokio::time::timeout(members.request_timeout(), members.once(member, open)).await {
        Ok(opened) => opened,
        Err(_) => Err(CallError::other("etcd has not opened a watch in time")),
    }
}

/// The revision after which etcd can be read, as the answer to a watch of the oldest events.
///
/// # Errors
/// The member cannot be reached.
pub(super) async fn compacted_revision(
    members: &Members,
    layout: &Layout,
) -> Result<Revision, CallError> {
    let mut stream = open_watch(members, layout, members.current(), 0, WatchOptions::new()).await?;
    let answer = async {
        while let Some(response) =
            stream.message().await.map_err(|error| members.error(members.current(), error))?
        {
            if response.canceled() {
                return Ok(revision(response.compact_revision()));
            }
            if !response.created() {
                break;
            }
        }
        Ok(Revision(0))
    };
    match tokio::time::timeout(members.request_timeout(), answer).await {
        Ok(found) => found,
        Err(_) => Err(CallError::other("etcd has not answered a watch in time")),
    }
}
