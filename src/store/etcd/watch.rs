//! Watches: each watcher has a position in the window of the feed. One that is behind the window
//! reads from etcd, through a task of its own, until it reaches the window.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch as signal};

use crate::store::{Batch, Revision, Watch, WatchError};

use super::commit_log::EtcdCommit;
use super::feed::{FeedProgress, Readable};
use super::log_reader::LogReader;
use super::replica::Replica;

/// Responses of etcd that wait for a watcher that is behind the window.
const WAITING_RESPONSES: usize = 1;

/// A position in the events of a store.
pub(super) struct EtcdWatcher {
    replica: Arc<Replica>,
    progress: signal::Receiver<FeedProgress>,
    prefix: String,
    cursor: Revision,
    /// The commits after the cursor, while the window does not reach back to it.
    log: Option<mpsc::Receiver<Result<Vec<EtcdCommit>, WatchError>>>,
    /// The error that has ended the watch.
    ended: Option<WatchError>,
}

impl EtcdWatcher {
    pub(super) fn new(replica: Arc<Replica>, prefix: String, cursor: Revision) -> Self {
        let progress = replica.feed.progress();
        Self { replica, progress, prefix, cursor, log: None, ended: None }
    }

    async fn advance(&mut self) -> Result<Batch, WatchError> {
        loop {
            // Before the window is read, so that no commit is missed in between.
            let now = *self.progress.borrow_and_update();
            if now.is_closed {
                return Err(WatchError::Closed);
            }
            if now.position == 0 || self.cursor > now.revision {
                self.wait().await?;
                continue;
            }
            let batch = match self.replica.feed.after(self.cursor, &self.prefix) {
                Readable::Compacted(compacted) => {
                    return Err(WatchError::Compacted { requested: self.cursor, compacted });
                }
                Readable::Behind => self.read_log().await?,
                Readable::Events(batch) => {
                    self.log = None;
                    batch
                }
            };
            self.cursor = self.cursor.max(batch.revision);
            if !batch.events.is_empty() {
                return Ok(batch);
            }
            if self.log.is_none() && self.cursor >= now.revision {
                self.wait().await?;
            }
        }
    }

    async fn wait(&mut self) -> Result<(), WatchError> {
        self.progress.changed().await.map_err(|_| WatchError::Closed)
    }

    /// The next events that etcd delivers, possibly none.
    async fn read_log(&mut self) -> Result<Batch, WatchError> {
        let log = self.log.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(WAITING_RESPONSES);
            let reader = LogReader { replica: self.replica.clone(), cursor: self.cursor };
            tokio::spawn(reader.run(sender));
            receiver
        });
        let commits = tokio::select! {
            commits = log.recv() => commits.unwrap_or(Err(WatchError::Closed))?,
            _ = self.progress.wait_for(|now| now.is_closed) => return Err(WatchError::Closed),
        };
        let (mut events, mut revision) = (Vec::new(), self.cursor);
        for commit in commits.into_iter().filter(|commit| commit.revision > self.cursor) {
            if commit.changes_store() {
                revision = commit.revision;
            }
            events.extend(commit.events);
        }
        events.retain(|event| event.key().as_str().starts_with(&self.prefix));
        Ok(Batch { events, revision })
    }
}

impl Watch for EtcdWatcher {
    fn next(&mut self) -> BoxFuture<'_, Result<Batch, WatchError>> {
        Box::pin(async move {
            if let Some(error) = &self.ended {
                return Err(error.clone());
            }
            self.advance().await.inspect_err(|error| self.ended = Some(error.clone()))
        })
    }

    fn revision(&self) -> Revision {
        self.cursor
    }
}
