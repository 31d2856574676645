//! Commits as the watch of etcd delivers them, and the latest ones in memory.

use std::collections::VecDeque;

use bytes::Bytes;
use etcd_client::{EventType, KeyValue, WatchResponse};

use crate::store::{Batch, Change, Entry, Event, Key, Revision};

use super::layout::{Layout, StoredKey};

/// Estimated memory of an event besides its key and values, in bytes.
const EVENT_BYTES: usize = 200;
/// Events of one batch for a watcher. The rest of the last commit may exceed it.
const BATCH_EVENTS: usize = 64;
/// Bytes of one batch for a watcher. The rest of the last commit may exceed it.
const BATCH_BYTES: usize = 512 << 10;

/// The identity of a write, which it puts to the sentinel or to the key for it.
pub(super) type WriteId = u128;

/// The changes of one revision of etcd below the prefix.
#[derive(Debug)]
pub(super) struct EtcdCommit {
    /// The revision.
    pub(super) revision: Revision,
    /// The changes of keys of the store.
    pub(super) events: Vec<Event>,
    /// The identity of the write, if it changed the sentinel.
    pub(super) write: Option<WriteId>,
    /// True if it changed the fence.
    pub(super) moves_fence: bool,
}

impl EtcdCommit {
    /// Returns true if this is the commit of these changes, of which some may delete missing keys.
    pub(super) fn has_made(&self, changes: &[Change]) -> bool {
        let is_made = |change: &Change| {
            self.events.iter().any(|event| match (change, event) {
                (Change::Put(key, value), Event::Put { entry, .. }) => {
                    entry.key == *key && entry.value == *value
                }
                (Change::Delete(key), Event::Delete { key: deleted, .. }) => key == deleted,
                _ => false,
            })
        };
        changes.iter().any(is_made)
            && changes.iter().all(|change| matches!(change, Change::Delete(_)) || is_made(change))
    }

    /// Returns true for a transaction of the store. One without space has no write ID.
    pub(super) fn changes_store(&self) -> bool {
        self.write.is_some() || !self.events.is_empty()
    }
}

/// The state that a change replaced is compacted already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PreviousCompacted;

/// The commits of a response. etcd never splits a revision over two responses.
///
/// # Errors
/// The state before a change is compacted.
pub(super) fn commits(
    layout: &Layout,
    response: &WatchResponse,
) -> Result<Vec<EtcdCommit>, PreviousCompacted> {
    let mut commits: Vec<EtcdCommit> = Vec::new();
    for event in response.events() {
        let Some(kv) = event.kv() else { continue };
        let revision = revision(kv.mod_revision());
        if commits.last().is_none_or(|last| last.revision != revision) {
            let events = Vec::new();
            commits.push(EtcdCommit { revision, events, write: None, moves_fence: false });
        }
        let commit = commits.last_mut().expect("a commit was pushed");
        match layout.read(kv.key()) {
            StoredKey::Sentinel => commit.write = write_id(kv.value()),
            StoredKey::Fence => commit.moves_fence = true,
            StoredKey::Foreign => {}
            StoredKey::Data(key) => {
                let key = Key::new(key);
                let previous = event.prev_kv().map(|previous| entry(key.clone(), previous));
                let event = match event.event_type() {
                    EventType::Put if kv.version() > 1 && previous.is_none() => {
                        return Err(PreviousCompacted);
                    }
                    EventType::Put => Event::Put { entry: entry(key, kv), previous },
                    EventType::Delete => {
                        let previous = previous.ok_or(PreviousCompacted)?;
                        Event::Delete { key, revision, previous }
                    }
                };
                commit.events.push(event);
            }
        }
    }
    Ok(commits)
}

/// The value that a write puts as its mark.
pub(super) fn write_id_value(write: WriteId) -> Vec<u8> {
    format!("{write:032x}").into_bytes()
}

/// The write ID in such a value.
pub(super) fn write_id(value: &[u8]) -> Option<WriteId> {
    u128::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
}

fn entry(key: Key, kv: &KeyValue) -> Entry {
    let value = Bytes::copy_from_slice(kv.value());
    Entry { key, value, revision: revision(kv.mod_revision()) }
}

/// A revision of etcd, which is never negative.
pub(super) fn revision(etcd: i64) -> Revision {
    Revision(u64::try_from(etcd).unwrap_or_default())
}

/// A revision for etcd. Revisions of clients may exceed those of etcd.
pub(super) fn etcd_revision(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// The latest events, complete from `start` to `end`.
#[derive(Debug, Default)]
pub(super) struct EventWindow {
    events: VecDeque<Event>,
    start: Revision,
    end: Revision,
    bytes: usize,
}

impl EventWindow {
    /// A window without events at a revision.
    pub(super) fn at(revision: Revision) -> Self {
        Self { start: revision, end: revision, ..Self::default() }
    }

    /// The revision after which all events are in the window.
    pub(super) fn start(&self) -> Revision {
        self.start
    }

    /// The revision up to which all events are in the window.
    pub(super) fn end(&self) -> Revision {
        self.end
    }

    /// Takes over that there are no more events up to a revision.
    pub(super) fn extend_to(&mut self, revision: Revision) {
        self.end = self.end.max(revision);
    }

    /// Adds the events of a commit. The oldest ones make room for it, whole commits at a time.
    pub(super) fn push(&mut self, commit: EtcdCommit, max_bytes: usize) {
        self.bytes += commit.events.iter().map(event_bytes).sum::<usize>();
        self.events.extend(commit.events);
        self.end = self.end.max(commit.revision);
        while self.bytes > max_bytes
            && let Some(oldest) = self.events.front().map(Event::revision)
        {
            self.drop_through(oldest);
        }
    }

    /// Drops everything up to a revision.
    pub(super) fn drop_through(&mut self, revision: Revision) {
        while let Some(event) = self.events.pop_front_if(|event| event.revision() <= revision) {
            self.bytes -= event_bytes(&event);
        }
        self.start = self.start.max(revision.min(self.end));
    }

    /// The next events under a prefix after a revision, which lies in the window. May have none.
    pub(super) fn after(&self, revision: Revision, prefix: &str) -> Batch {
        let first = self.events.partition_point(|event| event.revision() <= revision);
        let (mut events, mut bytes, mut done) = (Vec::new(), 0, revision);
        for event in self.events.range(first..) {
            let is_full = events.len() >= BATCH_EVENTS || bytes >= BATCH_BYTES;
            if is_full && event.revision() > done {
                return Batch { events, revision: done };
            }
            done = event.revision();
            if event.key().as_str().starts_with(prefix) {
                bytes += event_bytes(event);
                events.push(event.clone());
            }
        }
        Batch { events, revision: self.end.max(revision) }
    }
}

fn event_bytes(event: &Event) -> usize {
    let values = match event {
        Event::Put { entry, previous } => {
            entry.value.len() + previous.as_ref().map_or(0, |previous| previous.value.len())
        }
        Event::Delete { previous, .. } => previous.value.len(),
    };
    EVENT_BYTES + event.key().as_str().len() + values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(at: u64, keys: &[&str]) -> EtcdCommit {
        let revision = Revision(at);
        let put = |key: &&str| {
            let entry = Entry { key: Key::new(*key), value: "value".into(), revision };
            Event::Put { entry, previous: None }
        };
        let events = keys.iter().map(put).collect();
        EtcdCommit { revision, events, write: Some(1), moves_fence: false }
    }

    fn keys(batch: &Batch) -> Vec<&str> {
        batch.events.iter().map(|event| event.key().as_str()).collect()
    }

    #[test]
    fn window_returns_whole_commits_after_a_revision() {
        let mut window = EventWindow::at(Revision(3));
        window.push(commit(4, &["/a/1", "/b"]), usize::MAX);
        window.push(commit(7, &["/a/2"]), usize::MAX);
        let batch = window.after(Revision(3), "/a/");
        assert_eq!((keys(&batch), batch.revision), (vec!["/a/1", "/a/2"], Revision(7)));
        assert_eq!(keys(&window.after(Revision(4), "/a/")), ["/a/2"]);
        let none = window.after(Revision(4), "/b");
        assert_eq!((keys(&none), none.revision), (vec![], Revision(7)));
    }

    #[test]
    fn full_window_drops_its_oldest_commits() {
        let mut window = EventWindow::at(Revision(1));
        for at in 2..10 {
            window.push(commit(at, &["/a", "/b"]), 5 * (EVENT_BYTES + 7));
        }
        assert_eq!((window.start(), window.end()), (Revision(7), Revision(9)));
        assert_eq!(window.after(window.start(), "").events.len(), 4);
    }

    #[test]
    fn batch_ends_between_two_commits() {
        let mut window = EventWindow::at(Revision(1));
        let names: Vec<String> = (0..50).map(|number| format!("/{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for at in 2..5 {
            window.push(commit(at, &names), usize::MAX);
        }
        let batch = window.after(Revision(1), "");
        assert_eq!((batch.events.len(), batch.revision), (100, Revision(3)));
    }

    #[test]
    fn write_is_found_in_the_value_of_the_sentinel() {
        assert_eq!(write_id(&write_id_value(7 << 100)), Some(7 << 100));
        assert_eq!(write_id(b"by hand"), None);
    }
}
