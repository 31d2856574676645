//! Scans of stored values: a visitor of all differences has the exact content, despite concurrent
//! writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use imagestream_apiserver::store::embedded::{DataFile, Embedded};
use imagestream_apiserver::store::{
    At, Change, DiskUsage, Revision, Scan, ScanProgress, ScanVisitor, Scanner, ValueChange,
};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::embedded_lab::{incompressible, options};
use crate::harness::{Steps, TestStore, delete, key, put, within};

/// Values after all visits, and the number of starts.
#[derive(Default)]
struct Told {
    values: BTreeMap<String, String>,
    beginnings: usize,
}

impl ScanVisitor for Told {
    fn begin(&mut self) {
        self.values.clear();
        self.beginnings += 1;
    }

    fn visit(&mut self, ValueChange { key, before, after }: ValueChange<'_>) {
        let text =
            |value: Option<&[u8]>| value.map(|value| String::from_utf8(value.to_vec()).unwrap());
        let known = match text(after) {
            Some(value) => self.values.insert(key.to_owned(), value),
            None => self.values.remove(key),
        };
        assert_eq!(known, text(before), "{key}: the previous value matches the last visit");
    }
}

/// Store and scanner of the keys under `/a/` and `/c/`.
struct Place {
    store: Arc<dyn TestStore>,
    scanner: Box<dyn Scanner>,
    disk_usage: DataFile,
    told: Told,
    _folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(options(&folder)).unwrap();
        let disk_usage = store.disk_usage().unwrap();
        let scanner = store.scans().scanner(vec!["/a/".to_owned(), "/c/".to_owned()]);
        Self { store: Arc::new(store), scanner, disk_usage, told: Told::default(), _folder: folder }
    }

    fn step(&mut self) -> ScanProgress {
        self.scanner.step(&mut self.told).unwrap()
    }

    /// Runs the scanner to its end.
    fn finish(&mut self) {
        while self.step() == ScanProgress::More {}
    }

    async fn stored(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for prefix in ["/a/", "/c/"] {
            let page = self.store.list(prefix, At::Now).await.unwrap();
            let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
            all.extend(
                page.entries.iter().map(|entry| (entry.key.to_string(), text(&entry.value))),
            );
        }
        all
    }
}

#[tokio::test]
async fn what_was_there_before_and_what_is_written_later_is_told_once() {
    let mut place = Place::new();
    place.store.make((0..700).map(|n| put(&format!("/a/{n}"), "before")).collect()).await;
    place.store.make(vec![put("/b/other", "x"), put("/c/also", "y")]).await;
    place.finish();
    assert_eq!(place.told.values, place.stored().await);
    assert_eq!(place.told.values.len(), 701);
    place.store.make(vec![put("/a/1", "after"), delete("/a/2"), put("/b/other", "z")]).await;
    place.finish();
    assert_eq!(place.told.values, place.stored().await);
    assert_eq!(place.told.beginnings, 1);
}

#[tokio::test]
async fn what_changes_while_keys_are_visited_is_told_rightly() {
    let mut place = Place::new();
    place.store.make((0..1000).map(|n| put(&format!("/a/{n:04}"), "before")).collect()).await;
    assert_eq!(place.step(), ScanProgress::More);
    place
        .store
        .make(vec![
            put("/a/0001", "after"),
            put("/a/0999", "after"),
            delete("/a/0500"),
            put("/a/x", "new"),
        ])
        .await;
    place.finish();
    assert_eq!(place.told.values, place.stored().await);
    assert_eq!(place.told.beginnings, 1);
}

#[tokio::test]
async fn what_was_compacted_before_it_was_told_is_told_anew() {
    let mut place = Place::new();
    place.store.make(vec![put("/a/1", "one")]).await;
    place.finish();
    place.store.make(vec![delete("/a/1")]).await;
    let latest = place.store.make(vec![put("/a/2", "two")]).await;
    within(place.store.compact(latest)).await.unwrap();
    place.finish();
    assert_eq!(place.told.values, place.stored().await);
    assert_eq!(place.told.beginnings, 2);
}

#[tokio::test]
async fn waiting_ends_with_the_next_change() {
    let mut place = Place::new();
    place.finish();
    assert!(place.scanner.changed().now_or_never().is_none(), "nothing has changed");
    place.store.make(vec![put("/b/other", "x")]).await;
    within(place.scanner.changed()).await;
}

#[tokio::test]
async fn the_state_of_the_file_follows_what_is_written_and_compacted() {
    let mut place = Place::new();
    let before = place.disk_usage.file_stats().unwrap();
    assert_eq!(before.revision, before.compacted);
    let used = place.disk_usage.used_bytes().unwrap();
    let latest = place.store.make(vec![Change::Put(key("/a/1"), incompressible(1 << 20))]).await;
    place.finish();
    let after = place.disk_usage.file_stats().unwrap();
    assert_eq!((after.revision, after.compacted), (latest, before.compacted));
    assert!(after.size.allocated > before.size.allocated);
    assert!(place.disk_usage.used_bytes().unwrap() > used + (1 << 20));
    assert!(place.disk_usage.used_bytes().unwrap() < after.size.length);
    within(place.store.compact(latest)).await.unwrap();
    assert_eq!(place.disk_usage.file_stats().unwrap().compacted, latest);
}

#[derive(Clone, Debug)]
enum Deed {
    Put(u8, u8),
    Delete(u8),
    Compact,
    Step,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (0_u8..12, any::<u8>()).prop_map(|(key, value)| Deed::Put(key, value)),
        2 => (0_u8..12).prop_map(Deed::Delete),
        1 => Just(Deed::Compact),
        3 => Just(Deed::Step),
    ];
    prop::collection::vec(deed, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn in_the_end_exactly_what_is_stored_was_told(deeds in deeds()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut place = Place::new();
            let key = |number: u8| format!("/{}/{number}", ["a", "b", "c"][usize::from(number % 3)]);
            let change = |deed: &Deed| -> Option<Change> {
                match deed {
                    Deed::Put(number, value) => Some(put(&key(*number), &value.to_string())),
                    Deed::Delete(number) => Some(delete(&key(*number))),
                    Deed::Compact | Deed::Step => None,
                }
            };
            let mut latest = Revision(0);
            for deed in &deeds {
                match deed {
                    Deed::Compact if latest > Revision(0) => within(place.store.compact(latest)).await.unwrap(),
                    Deed::Step => drop(place.step()),
                    deed => {
                        if let Some(change) = change(deed) {
                            latest = place.store.make(vec![change]).await;
                        }
                    }
                }
            }
            place.finish();
            assert_eq!(place.told.values, place.stored().await);
        });
    }
}
