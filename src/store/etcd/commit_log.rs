//! Commits as the watch of etcd delivers them, and the latest ones in memory.

use std::collections::{HashMap, VecDeque};

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

/// The source of the values that the events of a response replace.
pub(super) enum PreviousValues {
    /// etcd sends them.
    Sent,
    /// The entries before the first change of each key in the response.
    Known(HashMap<Key, Entry>),
}

/// The commits of a response. etcd never splits a revision over two responses.
///
/// # Errors
/// The state before a change is compacted.
pub(super) fn commits(
    layout: &Layout,
    response: &WatchResponse,
    mut previous: PreviousValues,
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
                let replaced = previous.take(&key, event);
                let event = match event.event_type() {
                    EventType::Put if kv.version() > 1 && replaced.is_none() => {
                        return Err(PreviousCompacted);
                    }
                    EventType::Put => {
                        let entry = entry(key, kv);
                        previous.follow(&entry);
                        Event::Put { entry, previous: replaced }
                    }
                    EventType::Delete => {
                        let previous = replaced.ok_or(PreviousCompacted)?;
                        Event::Delete { key, revision, previous }
                    }
                };
                commit.events.push(event);
            }
        }
    }
    Ok(commits)
}

impl PreviousValues {
    /// The entry that an event of a key replaces, if any.
    fn take(&mut self, key: &Key, event: &etcd_client::Event) -> Option<Entry> {
        match self {
            Self::Sent => event.prev_kv().map(|previous| entry(key.clone(), previous)),
            Self::Known(known) => known.remove(key),
        }
    }

    /// Takes over the entry of an event, which a later one may replace.
    fn follow(&mut self, entry: &Entry) {
        if let Self::Known(known) = self {
            known.insert(entry.key.clone(), entry.clone());
        }
    }
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
    /// The current entries of the keys that the events have put.
    latest: HashMap<Key, Entry>,
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

    /// The current entry of a key, if an event in the window has put it.
    pub(super) fn latest(&self, key: &Key) -> Option<&Entry> {
        self.latest.get(key)
    }

    /// Adds the events of a commit. The oldest ones make room for it, whole commits at a time.
    pub(super) fn push(&mut self, commit: EtcdCommit, max_bytes: usize) {
        for event in commit.events {
            let (previous, replaced) = match &event {
                Event::Put { entry, previous } => {
                    self.bytes += entry.value.len();
                    (previous.as_ref(), self.latest.insert(entry.key.clone(), entry.clone()))
                }
                Event::Delete { key, previous, .. } => (Some(previous), self.latest.remove(key)),
            };
            if replaced.is_none() {
                self.bytes += previous.map_or(0, |previous| previous.value.len());
            }
            self.bytes += EVENT_BYTES + event.key().as_str().len();
            self.events.push_back(event);
        }
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
            self.bytes -= EVENT_BYTES + event.key().as_str().len();
            // Later events keep the value that they replace.
            if let Event::Put { entry, .. } = &event
                && self.latest.get(&entry.key).is_some_and(|last| last.revision == entry.revision)
            {
                self.bytes -= entry.value.len();
                self.latest.remove(&entry.key);
            }
            self.bytes -= previous(&event).map_or(0, |previous| previous.value.len());
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

/// The size of an event with its values, in bytes.
fn event_bytes(event: &Event) -> usize {
    let entry = if let Event::Put { entry, .. } = event { entry.value.len() } else { 0 };
    let previous = previous(event).map_or(0, |previous| previous.value.len());
    EVENT_BYTES + event.key().as_str().len() + entry + previous
}

/// The entry that an event replaces, if any.
fn previous(event: &Event) -> Option<&Entry> {
    match event {
        Event::Put { previous, .. } => previous.as_ref(),
        Event::Delete { previous, .. } => Some(previous),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(at: u64, keys: &[&str]) -> EtcdCommit {
        let revision = Revision(at);
        let entry =
            |key: &&str, revision| Entry { key: Key::new(*key), value: "value".into(), revision };
        let put = |key: &&str| {
            let previous = Some(entry(key, Revision(at - 1)));
            Event::Put { entry: entry(key, revision), previous }
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
        // Two events, and each value once.
        let room = 4 * (EVENT_BYTES + 2) + 6 * 5;
        for at in 2..10 {
            window.push(commit(at, &["/a", "/b"]), room);
        }
        assert_eq!((window.start(), window.end()), (Revision(7), Revision(9)));
        assert_eq!(window.after(window.start(), "").events.len(), 4);
        assert_eq!(window.bytes, room);
        let previous = Entry { value: "value".into(), key: Key::new("/a"), revision: Revision(9) };
        assert_eq!(window.latest(&previous.key), Some(&previous));
        let delete = Event::Delete { key: previous.key.clone(), revision: Revision(10), previous };
        window.push(EtcdCommit { events: vec![delete], ..commit(10, &[]) }, usize::MAX);
        assert_eq!(window.latest(&Key::new("/a")), None);
        window.drop_through(Revision(10));
        assert_eq!((window.bytes, window.latest.len()), (0, 0));
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
