//! What watchers see of a store, be they fast or slow.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::change::{Change, Read};
use super::cursor::Cursor;
use super::hub::{Feed, Hub};
use super::scope::{Extent, Scope};
use crate::api::ImageStream;
use crate::machinery::json;
use crate::machinery::selector::Selector;
use crate::machinery::value;
use crate::meta::Status;
use crate::store::{
    self, Change as Write, Compact, Entry, Event, Key, Opened, Outcome, Revision, Store, Txn, WatchError,
};

const PREFIX: &str = "/g/imagestreams/";

/// Reads streams as they are stored.
pub(crate) struct Streams;

impl Read<ImageStream> for Streams {
    fn decode(&self, entry: &Entry) -> Result<ImageStream, Status> {
        let value = serde_json::from_slice(&entry.value).map_err(Status::hidden)?;
        value::from_value(value).map_err(Status::hidden)
    }

    fn field(&self, _: &ImageStream, _: &str) -> String {
        String::new()
    }

    fn decorate(&self, _: &mut ImageStream) {}
}

fn value(name: &str) -> Bytes {
    let mut stream = ImageStream::default();
    stream.metadata.name = name.into();
    json::encode(&stream).into()
}

/// A stream that comes to be.
pub(crate) fn put(name: &str, revision: u64) -> Event {
    let key = Key::new(format!("{PREFIX}{name}"));
    Event::Put { entry: Entry { key, value: value(name), revision: Revision(revision) }, previous: None }
}

/// A store, and a watcher of it that begins now.
struct Lab {
    store: Arc<dyn Store>,
    feed: Arc<Feed<ImageStream>>,
    start: Revision,
    scope: Scope,
    compact: Arc<dyn Compact>,
}

impl Lab {
    /// A lab whose feed remembers so many bytes.
    async fn remembering(bytes: usize) -> Self {
        let Opened { store, compact, .. } = store::in_memory().unwrap();
        let compact = compact.expect("a store in memory can be compacted");
        let start = store.current().await.unwrap();
        let feed = Arc::new(Feed::follow(store.watch(PREFIX, start), start, bytes));
        let scope = Scope { prefix: PREFIX.into(), extent: Extent::Many, selector: Selector::default() };
        Self { store, feed, start, scope, compact }
    }

    fn cursor(&self) -> Cursor<ImageStream> {
        Cursor::new(self.store.clone(), self.feed.clone(), self.start)
    }

    async fn write(&self, names: impl Iterator<Item = String>) -> Revision {
        let mut last = self.start;
        for name in names {
            let change = Write::Put(Key::new(format!("{PREFIX}{name}")), value(&name));
            let txn = Txn { guards: Vec::new(), changes: vec![change] };
            let Outcome::Committed(revision) = self.store.commit(txn).await.unwrap() else { unreachable!() };
            last = revision;
        }
        let mut bell = self.feed.bell();
        within(bell.wait_for(|_| self.feed.revision() >= last)).await.unwrap();
        last
    }

    /// The names of the next so many changes.
    async fn see(&self, cursor: &mut Cursor<ImageStream>, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        while names.len() < count {
            let changes = within(cursor.next(&self.scope)).await.unwrap();
            names.extend(changes.iter().map(|change| name(change)));
        }
        names
    }
}

fn name(change: &Change<ImageStream>) -> String {
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
    let lab = Lab::remembering(5000).await;
    let mut slow = lab.cursor();
    lab.write(names(0..200).into_iter()).await;
    assert!(!lab.feed.remembers(lab.start));
    assert_eq!(lab.see(&mut slow, 100).await[..100], names(0..100));
    assert!(slow.reads_log());
    let mut slow = lab.cursor();
    assert_eq!(lab.see(&mut slow, 200).await, names(0..200));
    lab.write(names(200..203).into_iter()).await;
    assert_eq!(lab.see(&mut slow, 3).await, names(200..203));
    assert!(!slow.reads_log(), "what comes next is remembered");
}

#[tokio::test]
async fn every_watcher_gets_each_event_once_in_order() {
    let lab = Lab::remembering(1 << 20).await;
    let (mut one, mut other) = (lab.cursor(), lab.cursor());
    lab.write(names(0..50).into_iter()).await;
    assert_eq!(lab.see(&mut one, 50).await, names(0..50));
    assert_eq!(lab.see(&mut other, 50).await, names(0..50));
    assert!(!one.reads_log() && lab.feed.remembers(lab.start));
}

#[tokio::test]
async fn a_watcher_that_is_left_behind_compaction_is_told_so() {
    let lab = Lab::remembering(5000).await;
    let mut slow = lab.cursor();
    let last = lab.write(names(0..200).into_iter()).await;
    lab.compact.compact(last).await.unwrap();
    let ended = within(slow.next(&lab.scope)).await.map(|changes| changes.len());
    assert!(matches!(ended, Err(WatchError::Compacted { requested, .. }) if requested == lab.start), "{ended:?}");
}

#[tokio::test]
async fn a_store_is_followed_once_and_only_while_somebody_watches() {
    let lab = Lab::remembering(0).await;
    let hub = Hub::<ImageStream>::default();
    let first = hub.join(&lab.store, PREFIX).await.unwrap();
    let second = hub.join(&lab.store, PREFIX).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let gone = Arc::downgrade(&first);
    drop((first, second));
    assert!(gone.upgrade().is_none());
    assert!(hub.join(&lab.store, PREFIX).await.unwrap().remembers(lab.start));
}

#[tokio::test]
async fn what_happens_elsewhere_moves_a_watcher_on() {
    let lab = Lab::remembering(1 << 20).await;
    let mut cursor = lab.cursor();
    let elsewhere =
        Scope { prefix: "/g/imagestreams/other/".into(), extent: Extent::Many, selector: Selector::default() };
    let last = lab.write(names(0..3).into_iter()).await;
    cursor.look(&elsewhere);
    assert_eq!(cursor.revision(), last);
}

#[tokio::test]
async fn oversized_change_is_kept_until_the_next() {
    let lab = Lab::remembering(1).await;
    let (mut one, mut other) = (lab.cursor(), lab.cursor());
    let mut last = lab.start;
    for name in names(0..3) {
        let before = last;
        last = lab.write([name.clone()].into_iter()).await;
        assert!(lab.feed.remembers(before));
        let ours = within(one.next(&lab.scope)).await.unwrap();
        let theirs = within(other.next(&lab.scope)).await.unwrap();
        assert!(Arc::ptr_eq(&ours[0], &theirs[0]), "{name} is read once for all");
    }
    assert!(!lab.feed.remembers(lab.start) && !one.reads_log());
}
