//! Commits that are no longer in the memory of this replica, from a watch of etcd.

use std::sync::Arc;

use etcd_client::{GetOptions, WatchOptions};
use tokio::sync::mpsc;

use crate::store::{Revision, StoreError, WatchError};

use super::commit_log::{EtcdCommit, PreviousValues, commits};
use super::error::CallError;
use super::feed_task::open_watch;
use super::replica::Replica;

/// Reads the commits after a revision of the store.
pub(super) struct LogReader {
    pub(super) replica: Arc<Replica>,
    /// The revision after which commits are read.
    pub(super) cursor: Revision,
}

/// The receiver of commits is gone.
struct ReaderGone;

type CommitSender = mpsc::Sender<Result<Vec<EtcdCommit>, WatchError>>;

impl LogReader {
    /// Sends commits until the receiver is dropped, or until those after the cursor are compacted.
    /// Continues on another member when one fails.
    pub(super) async fn run(mut self, sender: CommitSender) {
        loop {
            let ended = tokio::select! {
                ended = self.read(&sender) => ended,
                () = sender.closed() => return,
            };
            match ended {
                Ok(ReaderGone) => return,
                Err(error @ (StoreError::Compacted { .. } | StoreError::Closed)) => {
                    // The receiver may be gone.
                    let _ = sender.send(Err(error.into())).await;
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, "a watch of old events ended, it resumes");
                    tokio::time::sleep(self.replica.members.attempt_timeout()).await;
                }
            }
        }
    }

    async fn read(&mut self, sender: &CommitSender) -> Result<ReaderGone, StoreError> {
        let position = self.position().await?;
        let (members, layout) = (&self.replica.members, &self.replica.layout);
        let member = members.current();
        let mut stream =
            open_watch(members, layout, member, position, WatchOptions::new().with_prev_key())
                .await?;
        loop {
            let response = stream.message().await.map_err(|error| members.error(member, error))?;
            let response = response.ok_or_else(|| CallError::other("etcd has closed a watch"))?;
            if response.canceled() {
                let reason = format!("etcd has cancelled a watch: {}", response.cancel_reason());
                return Err(CallError::other(reason).into());
            }
            let Ok(commits) = commits(layout, &response, PreviousValues::Sent) else {
                // The next attempt finds the oldest revision that is left.
                return Err(CallError::other("the state before an event is compacted").into());
            };
            let Some(last) = commits.last().map(|commit| commit.revision) else { continue };
            if sender.send(Ok(commits)).await.is_err() {
                return Ok(ReaderGone);
            }
            self.cursor = last;
        }
    }

    /// The revision of etcd after which to watch.
    ///
    /// # Errors
    /// `Compacted` if commits after the cursor are missing.
    async fn position(&self) -> Result<i64, StoreError> {
        let replica = &self.replica;
        let compacted = replica.oldest().await?;
        if self.cursor < compacted {
            return Err(StoreError::Compacted { requested: self.cursor, compacted });
        }
        let readable_at = |at| {
            let options = GetOptions::new().with_keys_only().with_revision(at);
            let found = replica.members.call(move |mut clients| {
                let (key, options) = (replica.layout.fence(), options.clone());
                async move { clients.kv.get(key, Some(options)).await }
            });
            async move { found.await.map(|_| at) }
        };
        replica.at_revision(self.cursor, readable_at).await
    }
}
