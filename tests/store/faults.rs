//! Disk errors under the embedded store: only durable transactions are acknowledged, no
//! acknowledged transaction is lost, and the store continues without a restart as long as possible.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use imagestream_apiserver::store::embedded::{Embedded, Options};
use imagestream_apiserver::store::{
    At, Change, Event, Incident, Lookup, Observer, Outcome, Revision, StoreError, StoreHealth, Txn,
};
use tempfile::TempDir;

use crate::disk::{Disk, Operation};
use crate::embedded_lab::{incompressible, options};
use crate::harness::{Steps, TestStore, brief, key, next, put, within};

/// Store on a disk with error injection.
struct Ill {
    store: Arc<dyn TestStore>,
    embedded: Arc<Embedded>,
    disk: Disk,
    incidents: Arc<Mutex<Vec<Incident>>>,
    dir: TempDir,
}

impl Ill {
    fn start() -> Self {
        Self::with(|options| options)
    }

    fn with(change: impl FnOnce(Options) -> Options) -> Self {
        let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::default());
        let incidents = Arc::new(Mutex::new(Vec::new()));
        let seen = incidents.clone();
        let observer = Observer(Arc::new(move |incident| seen.lock().unwrap().push(incident)));
        let embedded =
            Embedded::open(change(Options { opener: disk.opener(), observer, ..options(&dir) }))
                .unwrap();
        let embedded = Arc::new(embedded);
        Self { store: embedded.clone(), embedded, disk, incidents, dir }
    }

    async fn attempt(&self, at: &str, value: usize) -> Result<Outcome, StoreError> {
        let change = Change::Put(key(at), incompressible(value));
        within(self.store.commit(Txn { guards: vec![], changes: vec![change], ..Txn::default() }))
            .await
    }

    /// Store without a cache, so that reads go to the disk.
    async fn cold() -> Self {
        let ill = Self::with(|options| Options { cache_bytes: 0, ..options });
        ill.store
            .make(
                (0..200)
                    .map(|n| Change::Put(key(&format!("/filler/{n}")), incompressible(3000)))
                    .collect(),
            )
            .await;
        ill
    }

    /// Writes until the disk is full and returns the number of acknowledged values.
    async fn write_until_full(&self, size: usize) -> usize {
        for n in 0..10_000 {
            match self.attempt(&format!("/{n:05}"), size).await {
                Ok(_) => {}
                Err(StoreError::Full { .. }) => return n,
                Err(other) => panic!("{other}"),
            }
        }
        panic!("the disk never fills");
    }

    /// Waits until a write succeeds.
    async fn write_again(&self) {
        let again = async {
            while self.attempt("/again", 10).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within(again).await;
    }

    fn saw(&self, incident: Incident) -> usize {
        self.incidents.lock().unwrap().iter().filter(|each| **each == incident).count()
    }

    /// Checks the entries and the revision after a reopen of the disk.
    async fn check_reopened(self, expected: &[&str]) {
        let Self { store, embedded, disk, dir, .. } = self;
        let before = store.latest();
        drop((store, embedded));
        let store: Arc<dyn TestStore> =
            Arc::new(Embedded::open(Options { opener: disk.opener(), ..options(&dir) }).unwrap());
        let mut found = brief(&store.list("/", At::Now).await.unwrap());
        found.retain(|entry| !entry.starts_with("/filler/"));
        assert_eq!(found, expected);
        assert!(before.is_none_or(|before| store.latest().unwrap() >= before));
    }
}

async fn runs_full(make_full: impl FnOnce(&Disk)) {
    let ill = Ill::start();
    let kept = ill.store.make(vec![put("/kept", "1")]).await;
    make_full(&ill.disk);
    let count = ill.write_until_full(10_000).await;
    assert!(ill.saw(Incident::Full) > 0 && ill.saw(Incident::Failed) == 0);
    assert_eq!(ill.store.warnings(), ["no space is left: only deletions are accepted"]);
    within(ill.store.ready()).await.unwrap();
    // Reads continue, and failed writes do not end the store.
    let start = ill.disk.opened();
    while ill.disk.opened() < start + 2 {
        assert!(matches!(ill.attempt("/more", 10_000).await, Err(StoreError::Full { .. })));
        let page = ill.store.list("/", At::Now).await.unwrap();
        assert_eq!(page.entries.len(), count + 1, "exactly the acknowledged values");
        assert_eq!(ill.store.entry("/kept").await.unwrap().revision, kept);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ill.disk.heal();
    ill.write_again().await;
    assert_eq!(ill.store.warnings(), [""; 0]);
    assert_eq!(ill.store.list("/", At::Now).await.unwrap().entries.len(), count + 2);
}

#[tokio::test]
async fn full_disk_refuses_writes_until_there_is_space() {
    runs_full(Disk::fill).await;
}

#[tokio::test]
async fn a_limit_on_the_length_of_the_file_is_a_full_disk() {
    runs_full(|disk| disk.limit(disk.content().len() as u64)).await;
}

#[tokio::test]
async fn compaction_makes_room_in_a_file_that_may_not_grow() {
    let ill = Ill::start();
    let write = async |rounds| {
        for n in 0..50 * rounds {
            ill.attempt(&format!("/{:02}", n % 50), 10_000).await?;
        }
        Ok::<_, StoreError>(())
    };
    write(4).await.unwrap();
    ill.disk.limit(ill.disk.content().len() as u64);
    assert!(matches!(write(1000).await, Err(StoreError::Full { .. })));
    for _ in 0..4 {
        within(ill.store.compact(ill.store.now().await)).await.unwrap();
        ill.write_again().await;
        write(1).await.unwrap();
    }
}

/// Injects a failure into the write or sync with this number, in a commit to a store with content.
/// Returns true if the commit reached it.
async fn one_failure(operation: Operation, number: usize) -> bool {
    let ill = Ill::start();
    let first = ill.store.make(vec![put("/a", "1"), put("/b", "1")]).await;
    let mut watch = ill.store.watch("/", first);
    ill.disk.fail(operation, number, 1, ErrorKind::Other);
    let txn =
        Txn { guards: vec![], changes: vec![put("/a", "2"), put("/c", "2")], ..Txn::default() };
    match within(ill.store.commit(txn)).await {
        Ok(_) => return false,
        Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error}"),
    }
    let page = ill.store.list("/", At::Now).await.unwrap();
    let is_made = match &*brief(&page).join(" ") {
        "/a=1 /b=1" => false,
        "/a=2 /b=1 /c=2" => true,
        half => panic!("partial transaction: {half}"),
    };
    within(ill.store.ready()).await.unwrap();
    assert_eq!((ill.saw(Incident::Failed), ill.disk.opened()), (1, 2));
    let last = ill.store.make(vec![put("/d", "3")]).await;
    assert!(last > page.revision && page.revision >= first);
    let mut events = Vec::new();
    while watch.revision() < last {
        events.extend(next(&mut *watch).await.unwrap().events);
    }
    let keys: Vec<_> = events.iter().map(|event| event.key().as_str()).collect();
    assert_eq!(keys, if is_made { vec!["/a", "/c", "/d"] } else { vec!["/d"] });
    let content: &[_] =
        if is_made { &["/a=2", "/b=1", "/c=2", "/d=3"] } else { &["/a=1", "/b=1", "/d=3"] };
    drop(watch);
    ill.check_reopened(content).await;
    true
}

#[tokio::test]
async fn failed_write_is_not_acknowledged_and_store_continues() {
    // Each write of a commit fails once: the first, then the second, up to the last.
    let mut number = 0;
    while one_failure(Operation::Write, number).await {
        number += 1;
    }
    assert!(number > 3, "a commit makes several writes, not {number}");
}

#[tokio::test]
async fn an_error_in_a_sync_is_not_acknowledged_and_the_store_goes_on() {
    let mut number = 0;
    while one_failure(Operation::Sync, number).await {
        number += 1;
    }
    assert_eq!(number, 2, "a commit syncs its rows, then the header");
}

#[tokio::test]
async fn concurrent_writers_see_an_error_and_then_go_on() {
    let ill = Ill::start();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let refused = Arc::new(AtomicUsize::new(0));
    let write = |writer: usize| {
        let (store, acknowledged, refused) =
            (ill.store.clone(), acknowledged.clone(), refused.clone());
        async move {
            for round in 0..50 {
                let name = format!("/{writer}/{round}");
                let txn = Txn { guards: vec![], changes: vec![put(&name, "1")], ..Txn::default() };
                match within(store.commit(txn)).await {
                    Ok(Outcome::Committed(revision)) => {
                        acknowledged.lock().unwrap().push((name, revision))
                    }
                    Ok(Outcome::Refused(_)) => panic!("refused without a guard"),
                    Err(StoreError::Unavailable(_)) => drop(refused.fetch_add(1, Ordering::SeqCst)),
                    Err(other) => panic!("{other}"),
                }
            }
        }
    };
    ill.disk.fail(Operation::Sync, 31, 1, ErrorKind::Other);
    futures_util::future::join_all((0..16).map(write)).await;
    assert!(refused.load(Ordering::SeqCst) > 0);
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    for (name, revision) in acknowledged {
        assert_eq!(ill.store.entry(&name).await.unwrap().revision, revision);
    }
}

#[tokio::test]
async fn two_disk_failures_in_a_row_end_the_store() {
    // The second failure comes right after the reopen of the file. All later calls give the reason.
    let ill = Ill::start();
    let revision = ill.store.make(vec![put("/a", "1")]).await;
    ill.disk.fail(Operation::Sync, 0, 1, ErrorKind::Other);
    assert!(matches!(ill.attempt("/b", 1).await, Err(StoreError::Unavailable(_))));
    let broken = ill.embedded.failed();
    ill.disk.fail(Operation::Write, 0, 1, ErrorKind::Other);
    assert!(matches!(ill.attempt("/c", 1).await, Err(StoreError::Unavailable(_))));
    let why = within(broken).await.to_string();
    let path = ill.dir.path().display().to_string();
    for part in
        [path.as_str(), "injected disk failure", "after it was opened again", "check the volume"]
    {
        assert!(why.contains(part), "{part} is not in: {why}");
    }
    assert_eq!(within(ill.store.ready()).await.unwrap_err().to_string(), why);
    assert_eq!(ill.store.list("/", At::Now).await.unwrap_err().to_string(), why);
    assert_eq!(ill.attempt("/d", 1).await.unwrap_err().to_string(), why);
    assert!(next(&mut *ill.store.watch("/", revision)).await.is_err());
    assert_eq!(ill.store.latest(), None);
    ill.disk.heal();
    ill.check_reopened(&["/a=1"]).await;
}

#[tokio::test]
async fn file_that_cannot_be_reopened_ends_the_store() {
    let ill = Ill::start();
    ill.store.make(vec![put("/a", "1")]).await;
    ill.disk.fail(Operation::Open, 0, 1, ErrorKind::Other);
    ill.disk.fail(Operation::Sync, 0, 1, ErrorKind::Other);
    let broken = ill.embedded.failed();
    assert!(matches!(ill.attempt("/b", 1).await, Err(StoreError::Unavailable(_))));
    let why = within(broken).await.to_string();
    assert!(why.contains("could not be opened again: cannot read"), "{why}");
    ill.check_reopened(&["/a=1"]).await;
}

#[tokio::test]
async fn a_file_that_has_lost_what_was_acknowledged_is_not_served() {
    let ill = Ill::start();
    ill.store.make(vec![put("/a", "1")]).await;
    let old = ill.disk.content();
    let lost = ill.store.make(vec![put("/b", "1")]).await;
    ill.disk.swap(old);
    ill.disk.fail(Operation::Sync, 0, 1, ErrorKind::Other);
    assert!(ill.attempt("/c", 1).await.is_err());
    let why = within(ill.embedded.failed()).await.to_string();
    assert!(why.contains(&format!("up to {lost}")) && why.contains("backup"), "{why}");
}

#[tokio::test]
async fn a_read_that_fails_once_is_answered_all_the_same() {
    let ill = Ill::cold().await;
    let revision = ill.store.make(vec![put("/a", "1")]).await;
    let mut watch = ill.store.watch("/", Revision(revision.0 - 1));
    ill.disk.fail(Operation::Read, 0, 1, ErrorKind::Other);
    assert_eq!(ill.store.entry("/a").await.unwrap().value, "1");
    assert_eq!((ill.saw(Incident::Failed), ill.disk.opened()), (1, 2));
    let events = next(&mut *watch).await.unwrap().events;
    assert!(matches!(&events[..], [Event::Put { entry, .. }] if entry.value == "1"));
    ill.store.make(vec![put("/b", "1")]).await;
    assert_eq!(next(&mut *watch).await.unwrap().events.len(), 1);
    drop(watch);
    ill.check_reopened(&["/a=1", "/b=1"]).await;
}

#[tokio::test]
async fn reads_that_fail_again_end_the_store() {
    let ill = Ill::cold().await;
    ill.store.make(vec![put("/a", "1")]).await;
    let broken = ill.embedded.failed();
    ill.disk.fail(Operation::Read, 0, 1000, ErrorKind::Other);
    let error = within(ill.store.get(&key("/a"), None)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    within(broken).await;
    ill.disk.heal();
    ill.check_reopened(&["/a=1"]).await;
}

#[tokio::test]
async fn damage_is_counted_and_told_and_the_rest_goes_on() {
    let ill = Ill::cold().await;
    ill.store.make(vec![put("/good", "a good value")]).await;
    ill.store.make(vec![put("/bad", "a bad value")]).await;
    let mut content = ill.disk.content();
    for at in 0..content.len() - 11 {
        if &content[at..at + 11] == b"a bad value" {
            content[at] ^= 1;
        }
    }
    ill.disk.overwrite(content);
    for times in 1..=3 {
        let error = within(ill.store.get(&key("/bad"), None)).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Damaged { key: at, .. } if *at == key("/bad")),
            "{error}"
        );
        assert_eq!(ill.saw(Incident::Damaged), times);
    }
    assert_eq!(ill.store.warnings(), ["damaged data was read 3 times since the start"]);
    assert!(matches!(within(ill.store.get(&key("/good"), None)).await, Ok(Lookup::Found(_))));
    within(ill.store.ready()).await.unwrap();
    assert_eq!(ill.saw(Incident::Failed), 0);
}
