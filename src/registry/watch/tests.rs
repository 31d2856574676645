//! Tests of the watch cache with fast and slow watchers.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::cached_event::{CachedEvent, ObjectReader};
use super::cursor::WatchCursor;
use super::scope::WatchScope;
use super::watch_cache::{EventFeed, WatchCache};
use crate::api::ImageStream;
use crate::machinery::json;
use crate::machinery::selector::Selector;
use crate::machinery::value;
use crate::meta::Status;
use crate::registry::keys::KeyMatch;
use crate::store::{
    self, Change, Compact, Entry, Event, Key, Opened, Outcome, Revision, Store, Txn, WatchError,
};

const PREFIX: &str = "/g/imagestreams/";

/// Decodes stored streams.
pub(crate) struct StreamReader;

impl ObjectReader<ImageStream> for StreamReader {
    fn decode(&self, entry: &Entry) -> Result<ImageStream, Status> {
        let value = serde_json::from_slice(&entry.value).map_err(Status::hidden)?;
        value::from_value(value).map_err(Status::hidden)
    }

    fn field(&self, _: &ImageStream, _: &str) -> String {
        String::new()
    }
}

fn value(name: &str) -> Bytes {
    let mut stream = ImageStream::default();
    stream.metadata.name = name.into();
    json::encode(&stream).into()
}

/// The event of a created stream.
pub(crate) fn put(name: &str, revision: u64) -> Event {
    let key = Key::new(format!("{PREFIX}{name}"));
    Event::Put {
        entry: Entry { key, value: value(name), revision: Revision(revision) },
        previous: None,
    }
}

/// A store with a watcher that starts now.
struct WatchFixture {
    store: Arc<dyn Store>,
    feed: Arc<EventFeed<ImageStream>>,
    start: Revision,
    scope: WatchScope,
    compact: Arc<dyn Compact>,
}

impl WatchFixture {
    /// A fixture whose event buffer holds this many bytes.
    async fn with_buffer(bytes: usize) -> Self {
        let Opened { store, compact, .. } = store::in_memory().unwrap();
        let compact = compact.expect("a store in memory can be compacted");
        let start = store.current().await.unwrap();
        let feed = Arc::new(EventFeed::follow(store.watch(PREFIX, start), start, bytes));
        let scope = WatchScope {
            prefix: PREFIX.into(),
            key_match: KeyMatch::Prefix,
            selector: Selector::default(),
        };
        Self { store, feed, start, scope, compact }
    }

    fn cursor(&self) -> WatchCursor<ImageStream> {
        WatchCursor::new(self.store.clone(), self.feed.clone(), self.start)
    }

    async fn write(&self, names: impl Iterator<Item = String>) -> Revision {
        let mut last = self.start;
        for name in names {
            let change = Change::Put(Key::new(format!("{PREFIX}{name}")), value(&name));
            let txn = Txn { guards: Vec::new(), changes: vec![change], ..Txn::default() };
            let Outcome::Committed(revision) = self.store.commit(txn).await.unwrap() else {
                unreachable!()
            };
            last = revision;
        }
        let mut updates = self.feed.updates();
        within(updates.wait_for(|_| self.feed.revision() >= last)).await.unwrap();
        last
    }

    /// The names of the next `count` events.
    async fn see(&self, cursor: &mut WatchCursor<ImageStream>, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        while names.len() < count {
            let changes = within(cursor.next(&self.scope)).await.unwrap();
            names.extend(changes.iter().map(|change| name(change)));
        }
        names
    }
}

fn name(change: &CachedEvent<ImageStream>) -> String {
    change.key().as_str()[PREFIX.len()..].to_owned()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), work).await.expect("in time")
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("s{number:04}")).collect()
}

#[tokio::test]
async fn slow_watcher_catches_up_from_the_log() {
    let fixture = WatchFixture::with_buffer(5000).await;
    let mut slow = fixture.cursor();
    fixture.write(names(0..200).into_iter()).await;
    assert!(!fixture.feed.covers(fixture.start));
    assert_eq!(fixture.see(&mut slow, 100).await[..100], names(0..100));
    assert!(slow.reads_log());
    let mut slow = fixture.cursor();
    assert_eq!(fixture.see(&mut slow, 200).await, names(0..200));
    fixture.write(names(200..203).into_iter()).await;
    assert_eq!(fixture.see(&mut slow, 3).await, names(200..203));
    assert!(!slow.reads_log(), "the buffer covers the next event");
}

#[tokio::test]
async fn every_watcher_gets_each_event_once_in_order() {
    let fixture = WatchFixture::with_buffer(1 << 20).await;
    let (mut one, mut other) = (fixture.cursor(), fixture.cursor());
    fixture.write(names(0..50).into_iter()).await;
    assert_eq!(fixture.see(&mut one, 50).await, names(0..50));
    assert_eq!(fixture.see(&mut other, 50).await, names(0..50));
    assert!(!one.reads_log() && fixture.feed.covers(fixture.start));
}

#[tokio::test]
async fn watcher_behind_compaction_gets_an_error() {
    let fixture = WatchFixture::with_buffer(5000).await;
    let mut slow = fixture.cursor();
    let last = fixture.write(names(0..200).into_iter()).await;
    fixture.compact.compact(last).await.unwrap();
    let ended = within(slow.next(&fixture.scope)).await.map(|changes| changes.len());
    assert!(
        matches!(ended, Err(WatchError::Compacted { requested, .. }) if requested == fixture.start),
        "{ended:?}"
    );
}

#[tokio::test]
async fn store_is_watched_once_and_only_while_needed() {
    let fixture = WatchFixture::with_buffer(0).await;
    let cache = WatchCache::<ImageStream>::default();
    let first = cache.subscribe(&fixture.store, PREFIX).await.unwrap();
    let second = cache.subscribe(&fixture.store, PREFIX).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let gone = Arc::downgrade(&first);
    drop((first, second));
    assert!(gone.upgrade().is_none());
    assert!(cache.subscribe(&fixture.store, PREFIX).await.unwrap().covers(fixture.start));
}

#[tokio::test]
async fn events_outside_of_the_scope_advance_a_watcher() {
    let fixture = WatchFixture::with_buffer(1 << 20).await;
    let mut cursor = fixture.cursor();
    let elsewhere = WatchScope {
        prefix: "/g/imagestreams/other/".into(),
        key_match: KeyMatch::Prefix,
        selector: Selector::default(),
    };
    let last = fixture.write(names(0..3).into_iter()).await;
    cursor.skip_unselected(&elsewhere);
    assert_eq!(cursor.revision(), last);
}

#[tokio::test]
async fn oversized_event_is_kept_until_the_next() {
    let fixture = WatchFixture::with_buffer(1).await;
    let (mut one, mut other) = (fixture.cursor(), fixture.cursor());
    let mut last = fixture.start;
    for name in names(0..3) {
        let before = last;
        last = fixture.write([name.clone()].into_iter()).await;
        assert!(fixture.feed.covers(before));
        let ours = within(one.next(&fixture.scope)).await.unwrap();
        let theirs = within(other.next(&fixture.scope)).await.unwrap();
        assert!(Arc::ptr_eq(&ours[0], &theirs[0]), "{name} is decoded once for all watchers");
    }
    assert!(!fixture.feed.covers(fixture.start) && !one.reads_log());
}
