//! The state of a store in the memory of a replica, as the watch of etcd keeps it current.

use std::collections::HashMap;
use std::ops::Bound;
use std::time::Duration;

use parking_lot::RwLock;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::{Notify, watch as signal};
use tokio::time::timeout;

use crate::store::{Batch, Change, Entry, Event, Key, Revision};

use super::commit_log::{EtcdCommit, EventWindow, WriteId, revision};
use super::key_index::{IndexPage, Indexed, KeyIndex};

/// Memory for the latest events, in bytes. Watchers that are further behind read from etcd.
const WINDOW_BYTES: usize = 4 << 20;
/// Memory for values, in bytes: those that writes read, above all the streams that are pushed to.
const CACHE_BYTES: u64 = 8 << 20;
/// The number of values that the cache is laid out for.
const CACHE_ENTRIES: usize = 1024;
/// The largest value that is kept in memory, in bytes.
const MAX_CACHED_VALUE: usize = 1 << 20;

/// The index of revisions, the latest events and some values.
pub(super) struct Feed {
    state: RwLock<ReplicaState>,
    values: Cache<Key, CachedValue, ValueWeighter>,
    progress: signal::Sender<FeedProgress>,
    counted: CountedRevisions,
    /// Asks the task to read from another member.
    pub(super) lags: Notify,
    /// Asks the task to ask etcd for its progress.
    pub(super) progress_wanted: Notify,
}

/// The revisions of etcd that are revisions of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountedRevisions {
    /// Those of its transactions.
    Own,
    /// All of them: the sentinel does not mark those of the store.
    All,
}

/// The progress of a feed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FeedProgress {
    /// Every event below the prefix up to this revision of etcd was delivered; 0 before the feed
    /// has begun.
    pub(super) position: i64,
    /// The latest revision of the store up to there.
    pub(super) revision: Revision,
    /// True once the store is closed.
    pub(super) is_closed: bool,
}

#[derive(Default)]
struct ReplicaState {
    index: KeyIndex,
    window: EventWindow,
    /// Revisions below are compacted.
    floor: Revision,
    /// The latest revision of the fence.
    fence: i64,
    /// The writes whose outcome may be asked for.
    writes: HashMap<WriteId, FollowedFate>,
}

/// A value in memory.
#[derive(Clone)]
struct CachedValue {
    /// The latest known entry. Commits of this replica are newer than the index.
    latest: Entry,
    /// The entry before that, until the feed delivers the latest one.
    replaced: Option<Entry>,
}

/// The fate of a write, and the mark by which it is recognized.
struct FollowedFate {
    fate: WriteFate,
    mark: WriteMark,
}

/// The mark by which a write is recognized in the events of etcd.
pub(super) enum WriteMark {
    /// The write ID at the sentinel.
    WriteId,
    /// The changes of shared keys, which other writes can have made too.
    Changes(Vec<Change>),
}

/// The revisions at which a feed begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct FeedStart {
    /// The revision of etcd after which events follow.
    pub(super) position: i64,
    /// The latest revision of the store.
    pub(super) revision: Revision,
    /// The first revision of the store.
    pub(super) first: Revision,
    /// The revision of the fence.
    pub(super) fence: i64,
}

/// The fate of a write up to the position of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriteFate {
    /// The write was not seen.
    Unseen,
    /// The write was applied with this revision.
    Applied(Revision),
    /// Commits with the same changes, each of which can be the write.
    Possible {
        /// Their revisions.
        revisions: Vec<Revision>,
        /// False if the feed has missed events since.
        is_complete: bool,
    },
    /// The feed has missed events.
    Unknown,
}

/// The part of the feed that a watcher can read.
pub(super) enum Readable {
    /// The next events, possibly none, and the revision up to which they are complete.
    Events(Batch),
    /// The events are no longer in memory.
    Behind,
    /// The events are compacted; the oldest revision that can be watched from.
    Compacted(Revision),
}

impl Feed {
    /// A feed that knows nothing.
    pub(super) fn new(counted: CountedRevisions) -> Self {
        Self {
            state: RwLock::default(),
            values: Cache::with_weighter(CACHE_ENTRIES, CACHE_BYTES, ValueWeighter),
            progress: signal::Sender::new(FeedProgress::default()),
            counted,
            lags: Notify::new(),
            progress_wanted: Notify::new(),
        }
    }

    /// The progress now, and its changes.
    pub(super) fn progress(&self) -> signal::Receiver<FeedProgress> {
        self.progress.subscribe()
    }

    /// Waits until the progress meets a condition. Returns false if it does not in time or if the
    /// store is closed.
    pub(super) async fn reaches(
        &self,
        within: Duration,
        condition: impl Fn(&FeedProgress) -> bool,
    ) -> bool {
        let is_done = |progress: &FeedProgress| condition(progress) || progress.is_closed;
        let (is_met, is_closed) = {
            let now = self.progress.borrow();
            (condition(&now), now.is_closed)
        };
        if is_met || is_closed {
            return is_met && !is_closed;
        }
        let mut progress = self.progress.subscribe();
        match timeout(within, progress.wait_for(is_done)).await {
            Ok(Ok(progress)) => !progress.is_closed,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Returns true once the feed has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.progress.borrow().position > 0
    }

    /// The state of a key.
    pub(super) fn indexed(&self, key: &Key) -> Indexed {
        self.state.read().index.get(key)
    }

    /// The states of some keys, and the revision at which all of them hold.
    pub(super) fn indexed_all<'k>(
        &self,
        keys: impl Iterator<Item = &'k Key>,
    ) -> (Vec<Indexed>, Revision) {
        let state = self.state.read();
        (keys.map(|key| state.index.get(key)).collect(), state.window.end())
    }

    /// The last key under a prefix as of a revision, if the index is complete and at that revision.
    pub(super) fn last_key(&self, prefix: &str, at: Revision) -> Option<Option<Key>> {
        let state = self.state.read();
        if state.window.end() != at {
            return None;
        }
        let end = end_of(prefix).map_or(Bound::Unbounded, |end| Bound::Excluded(Key::new(end)));
        state.index.last(Key::new(prefix), end)
    }

    /// A value in memory, of any revision.
    pub(super) fn cached(&self, key: &Key) -> Option<Entry> {
        self.values.get(key).map(|cached| cached.latest)
    }

    /// The value of a key at the position of the feed, if it is in memory.
    pub(super) fn applied(&self, key: &Key) -> Option<Entry> {
        let state = self.state.read();
        if let Some(entry) = state.window.latest(key) {
            return Some(entry.clone());
        }
        let Indexed::At(revision) = state.index.get(key) else { return None };
        let CachedValue { latest, replaced } = self.values.get(key)?;
        [Some(latest), replaced].into_iter().flatten().find(|entry| entry.revision == revision)
    }

    /// Keeps a value in memory.
    pub(super) fn cache(&self, entry: &Entry) {
        if entry.value.len() <= MAX_CACHED_VALUE {
            let value = CachedValue { latest: entry.clone(), replaced: None };
            self.values.insert(entry.key.clone(), value);
        }
    }

    /// Takes over the values that a commit of this replica has put, before the watch delivers them,
    /// as far as older ones are in memory.
    pub(super) fn committed(&self, changes: &[Change], revision: Revision) {
        for change in changes {
            if let Change::Put(key, value) = change {
                let latest = Entry { key: key.clone(), value: value.clone(), revision };
                if let Some(cached) = self.values.peek(key)
                    && cached.latest.revision < revision
                {
                    let replaced = Some(cached.latest);
                    self.values.insert(key.clone(), CachedValue { latest, replaced });
                }
            }
        }
    }

    /// Takes over the current state of a key that etcd has returned.
    pub(super) fn refresh(&self, key: &Key, entry: Option<&Entry>) {
        match entry {
            Some(entry) => replace_cached(&self.values, entry),
            None => drop(self.values.remove(key)),
        }
    }

    /// The events under a prefix after a revision.
    pub(super) fn after(&self, revision: Revision, prefix: &str) -> Readable {
        let state = self.state.read();
        if revision < state.floor {
            Readable::Compacted(state.floor)
        } else if revision < state.window.start() {
            Readable::Behind
        } else {
            Readable::Events(state.window.after(revision, prefix))
        }
    }

    /// The oldest revision that is not known to be compacted.
    pub(super) fn floor(&self) -> Revision {
        self.state.read().floor
    }

    /// Marks everything below a revision as compacted.
    pub(super) fn raise_floor(&self, revision: Revision) {
        let mut state = self.state.write();
        state.floor = state.floor.max(revision);
    }

    /// The revision of the fence.
    pub(super) fn fence(&self) -> i64 {
        self.state.read().fence
    }

    /// Takes over a later revision of the fence.
    pub(super) fn raise_fence(&self, revision: i64) {
        let mut state = self.state.write();
        state.fence = state.fence.max(revision);
    }

    /// Follows the fate of a write from now on.
    pub(super) fn follow(&self, write: WriteId, mark: WriteMark) {
        let followed = FollowedFate { fate: WriteFate::Unseen, mark };
        self.state.write().writes.insert(write, followed);
    }

    /// Ends [`Feed::follow`]. Returns the fate of the write.
    pub(super) fn unfollow(&self, write: WriteId) -> WriteFate {
        let followed = self.state.write().writes.remove(&write);
        followed.map_or(WriteFate::Unknown, |followed| followed.fate)
    }

    /// The fate of a write that is followed.
    pub(super) fn fate(&self, write: WriteId) -> WriteFate {
        let state = self.state.read();
        state.writes.get(&write).map_or(WriteFate::Unknown, |followed| followed.fate.clone())
    }

    /// Begins with an empty index at a revision. Events before it are missing.
    pub(super) fn begin(&self, start: FeedStart) {
        let FeedStart { position, revision, first, fence } = start;
        {
            let mut state = self.state.write();
            (state.index, state.window) = (KeyIndex::default(), EventWindow::at(revision));
            (state.floor, state.fence) = (state.floor.max(first), state.fence.max(fence));
            for write in state.writes.values_mut() {
                match &mut write.fate {
                    fate @ WriteFate::Unseen => *fate = WriteFate::Unknown,
                    WriteFate::Possible { is_complete, .. } => *is_complete = false,
                    WriteFate::Applied(_) | WriteFate::Unknown => {}
                }
            }
        }
        self.progress.send_modify(|now| (now.position, now.revision) = (position, revision));
    }

    /// Takes over the next keys as of the position at which the feed began.
    pub(super) fn load(&self, page: IndexPage) {
        self.state.write().index.load(page);
    }

    /// Takes over commits in the order of their revisions.
    pub(super) fn apply(&self, commits: Vec<EtcdCommit>) {
        let Some(last) = commits.last().map(|commit| commit.revision) else { return };
        let revision = {
            let mut state = self.state.write();
            for commit in commits {
                state.apply(commit, &self.values);
            }
            state.window.end()
        };
        let position = i64::try_from(last.0).expect("a revision of etcd is a signed number");
        self.progress.send_modify(|now| {
            (now.position, now.revision) = (now.position.max(position), revision);
        });
    }

    /// Takes over that every event up to a revision of etcd was delivered.
    pub(super) fn advance(&self, position: i64) {
        let counted = match self.counted {
            CountedRevisions::Own => Revision(0),
            CountedRevisions::All => {
                let counted = revision(position);
                self.state.write().window.extend_to(counted);
                counted
            }
        };
        self.progress.send_if_modified(|now| {
            let is_ahead = position > now.position;
            now.position = now.position.max(position);
            now.revision = now.revision.max(counted);
            is_ahead
        });
    }

    /// Ends all waiting.
    pub(super) fn close(&self) {
        self.progress.send_modify(|now| now.is_closed = true);
    }
}

impl ReplicaState {
    fn apply(&mut self, commit: EtcdCommit, values: &Cache<Key, CachedValue, ValueWeighter>) {
        for event in &commit.events {
            match event {
                Event::Put { entry, .. } => {
                    self.index.put(&entry.key, entry.revision);
                    replace_cached(values, entry);
                }
                Event::Delete { key, .. } => {
                    self.index.delete(key);
                    values.remove(key);
                }
            }
        }
        if commit.moves_fence
            && let Ok(revision) = i64::try_from(commit.revision.0)
        {
            self.fence = self.fence.max(revision);
        }
        for (id, followed) in &mut self.writes {
            followed.see(*id, &commit);
        }
        if commit.changes_store() {
            self.window.push(commit, WINDOW_BYTES);
        }
    }
}

impl FollowedFate {
    /// Takes over a commit.
    fn see(&mut self, write: WriteId, commit: &EtcdCommit) {
        match &self.mark {
            WriteMark::WriteId if commit.write != Some(write) => {}
            WriteMark::WriteId if self.fate != WriteFate::Unseen => {}
            WriteMark::WriteId => self.fate = WriteFate::Applied(commit.revision),
            WriteMark::Changes(changes) if !commit.has_made(changes) => {}
            WriteMark::Changes(_) => match &mut self.fate {
                WriteFate::Possible { revisions, .. } => revisions.push(commit.revision),
                WriteFate::Unseen => {
                    let revisions = vec![commit.revision];
                    self.fate = WriteFate::Possible { revisions, is_complete: true };
                }
                WriteFate::Applied(_) | WriteFate::Unknown => {}
            },
        }
    }
}

/// Replaces an older value in memory. One of the same revision is replaced too, because the window
/// shares the memory of the new one.
fn replace_cached(values: &Cache<Key, CachedValue, ValueWeighter>, entry: &Entry) {
    if values.peek(&entry.key).is_some_and(|cached| cached.latest.revision <= entry.revision) {
        let value = CachedValue { latest: entry.clone(), replaced: None };
        values.insert(entry.key.clone(), value);
    }
}

/// The first text behind all that begin with a prefix; `None` if there is none.
fn end_of(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[derive(Clone)]
struct ValueWeighter;

impl Weighter<Key, CachedValue> for ValueWeighter {
    fn weight(&self, key: &Key, cached: &CachedValue) -> u64 {
        /// Estimated memory besides key and values, in bytes.
        const ENTRY: usize = 200;
        let replaced = cached.replaced.as_ref().map_or(0, |entry| entry.value.len());
        (ENTRY + key.as_str().len() + cached.latest.value.len() + replaced) as u64
    }
}

#[cfg(test)]
mod tests;
