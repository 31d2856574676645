//! The space quota of etcd.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::join_all;
use imagestream_apiserver::store::etcd::Etcd;
use imagestream_apiserver::store::{
    At, Change, Compact, EtcdOptions, EtcdTls, Guard, Incident, Lookup, Observer, Outcome,
    Revision, Store, StoreError, StoreHealth, Txn,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::harness::{Steps, TestStore, brief, delete, key, next, put, within};
use crate::lab::become_ready;
use crate::members::{Members, Settings};

/// The time in which a test fills etcd.
const PATIENCE: Duration = Duration::from_secs(120);
/// The time after which the store has asked the members for their size again.
const SETTLED: Duration = Duration::from_secs(7);

/// Two replicas of a store in an etcd with a small quota, and the number of writes that they
/// refused.
struct SmallEtcd {
    replicas: [Arc<Etcd>; 2],
    refused: Arc<AtomicU64>,
    members: Members,
    options: EtcdOptions,
    _files: TempDir,
}

impl SmallEtcd {
    async fn start(quota: u64) -> Self {
        let flags = vec![format!("--quota-backend-bytes={quota}")];
        let members = Members::launch(Settings { flags, ..Settings::of(1) }).await;
        let refused = Arc::new(AtomicU64::new(0));
        let count = refused.clone();
        let observer = Observer(Arc::new(move |incident| {
            assert_eq!(incident, Incident::Full);
            count.fetch_add(1, Ordering::Relaxed);
        }));
        let files = tempfile::tempdir().unwrap();
        let client = members.client_files(files.path());
        let tls = EtcdTls {
            ca: Some(client.authority),
            identity: Some((client.certificate, client.key)),
        };
        let options = EtcdOptions { tls, ..EtcdOptions::new(members.endpoints()) };
        let open = || Arc::new(Etcd::open(&options, observer.clone()).unwrap());
        let replicas = [open(), open()];
        for replica in &replicas {
            become_ready(replica).await;
        }
        Self { replicas, refused, members, options, _files: files }
    }

    /// Opens another replica.
    async fn open(&self) -> Arc<dyn TestStore> {
        let store = Arc::new(Etcd::open(&self.options, Observer::default()).unwrap());
        become_ready(&store).await;
        store
    }

    async fn put(&self, name: &str, size: usize) -> Result<(), StoreError> {
        let changes = vec![Change::Put(key(name), Bytes::from(vec![b'x'; size]))];
        within(self.replicas[0].commit(Txn { changes, ..Txn::default() })).await.map(drop)
    }

    /// Writes values of a size until they are refused for longer than the store needs to ask etcd
    /// for its size.
    async fn fill(&self, size: usize) {
        let mut refused_since = None;
        for number in 0.. {
            match self.put(&format!("/{size}/{number}"), size).await {
                Ok(()) => refused_since = None,
                Err(StoreError::Full { reason }) => {
                    assert!(reason.contains("--quota-backend-bytes"), "{reason}");
                    let since = *refused_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > SETTLED {
                        return;
                    }
                    // The store asks the members at intervals.
                    sleep(Duration::from_millis(200)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Puts keys of another program until etcd has this size, or raises its alarm.
    async fn grow(&self, size: u64) {
        let value = STANDARD.encode(vec![b'x'; 256 << 10]);
        for number in 0.. {
            let status = self.members.call(0, "/v3/maintenance/status", &json!({})).await;
            if status["dbSize"].as_str().unwrap().parse::<u64>().unwrap() >= size {
                break;
            }
            let body = json!({"key": STANDARD.encode(format!("/other/{number}")), "value": value});
            if let Err(reason) = self.members.try_call(0, "/v3/kv/put", &body).await {
                assert!(reason.contains("space exceeded"), "{reason}");
                break;
            }
        }
    }

    /// Lets another program use up the space until etcd raises its alarm.
    async fn raise_alarm(&self) {
        self.grow(u64::MAX).await;
        assert!(self.alarm().await.is_object());
    }

    /// The alarm of etcd, or null.
    async fn alarm(&self) -> Value {
        let alarms = self.members.call(0, "/v3/maintenance/alarm", &json!({})).await;
        alarms.pointer("/alarms/0").cloned().unwrap_or_default()
    }

    /// Removes the keys of the other program, and gives their space back.
    async fn make_room(&self) {
        let [first, end] = ["/other/", "/other0"].map(|key| STANDARD.encode(key));
        let range = json!({"key": first, "range_end": end});
        self.members.call(0, "/v3/kv/deleterange", &range).await;
        let now = self.members.call(0, "/v3/kv/range", &json!({"key": first})).await;
        let compact = json!({"revision": now["header"]["revision"], "physical": true});
        self.members.call(0, "/v3/kv/compaction", &compact).await;
        self.members.call(0, "/v3/maintenance/defragment", &json!({})).await;
        let member = self.alarm().await["memberID"].take();
        let disarm = json!({"action": "DEACTIVATE", "alarm": "NOSPACE", "memberID": member});
        self.members.call(0, "/v3/maintenance/alarm", &disarm).await;
        assert!(self.alarm().await.is_null());
    }
}

/// Deletes a key that has the value of a revision.
async fn remove(store: &Arc<dyn TestStore>, name: &str, stored: Revision) -> Revision {
    let guard = Guard::Unchanged(key(name), stored);
    match store.attempt(vec![guard], vec![delete(name)]).await {
        Outcome::Committed(revision) => revision,
        refused @ Outcome::Refused(_) => panic!("{refused:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nearly_full_etcd_accepts_small_writes_then_deletions() {
    let etcd = SmallEtcd::start(64 << 20).await;
    let fill = async |size| timeout(PATIENCE, etcd.fill(size)).await.expect("the quota is finite");
    fill(1 << 20).await;
    etcd.put("/small", 1000).await.unwrap();
    fill(50 << 10).await;
    fill(100).await;
    assert!(etcd.refused.load(Ordering::Relaxed) >= 3);
    let store = &etcd.replicas[0];
    assert!(!store.warnings().is_empty(), "operators learn of it");
    let delete = Txn { changes: vec![Change::Delete(key("/small"))], ..Txn::default() };
    within(store.commit(delete)).await.unwrap();
    within(store.ready()).await.unwrap();
    let latest = within(store.current()).await.unwrap();
    within(store.compact(latest)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_etcd_accepts_deletions_that_all_replicas_see() {
    let etcd = SmallEtcd::start(16 << 20).await;
    let [first, second]: [Arc<dyn TestStore>; 2] =
        etcd.replicas.clone().map(|replica| replica as Arc<dyn TestStore>);
    // Events with large values arrive later than small responses.
    let value = "x".repeat(300 << 10);
    let names: Vec<String> = (0..12).map(|number| format!("/{number:02}")).collect();
    let mut stored = Vec::new();
    for name in &names {
        stored.push(first.make(vec![put(name, &value)]).await);
    }
    // Both have the values in memory.
    for store in [&first, &second] {
        for name in &names {
            assert!(store.entry(name).await.is_some());
        }
    }
    let mut watch = second.watch("/", second.now().await);
    etcd.raise_alarm().await;
    let full = etcd.put("/new", 1).await.unwrap_err();
    assert!(matches!(full, StoreError::Full { .. }), "{full:?}");
    let mut known = second.now().await;
    for (number, name) in names.iter().enumerate().take(10) {
        let (deleter, reader) = if number % 2 == 0 { (&first, &second) } else { (&second, &first) };
        let revision = remove(deleter, name, stored[number]).await;
        let read = within(reader.get(&key(name), Some(stored[number]))).await.unwrap();
        assert_eq!(read, Lookup::Missing, "{name} is deleted");
        assert!(revision > known, "{revision} after {known}");
        let page = reader.list("/", At::Now).await.unwrap();
        assert_eq!(page.entries.len(), names.len() - number - 1);
        assert!(page.revision >= revision && reader.now().await >= page.revision);
        let batch = next(&mut *watch).await.unwrap();
        let revisions: Vec<_> = batch.events.iter().map(|event| event.revision()).collect();
        assert_eq!(revisions, [revision]);
        known = page.revision;
    }
    // Guards still hold or not, and values are current.
    let refused = first.attempt(vec![Guard::Absent(key("/10"))], vec![delete("/11")]).await;
    assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    let unchanged = within(second.get(&key("/10"), Some(stored[10]))).await.unwrap();
    assert_eq!(unchanged, Lookup::Unchanged);
    let nothing = first.attempt(vec![], vec![delete("/00")]).await;
    assert!(matches!(nothing, Outcome::Committed(at) if at >= known), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_succeed_again_after_the_alarm_of_etcd() {
    let etcd = SmallEtcd::start(8 << 20).await;
    let [first, second]: [Arc<dyn TestStore>; 2] =
        etcd.replicas.clone().map(|replica| replica as Arc<dyn TestStore>);
    let made = first.make(vec![put("/a", "1"), put("/b", "1"), put("/c", "1")]).await;
    etcd.raise_alarm().await;
    remove(&first, "/a", made).await;
    let listed = second.list("", At::Now).await.unwrap();
    etcd.make_room().await;
    // The list is of a revision before the compaction, which no sentinel vouches for.
    let again = second.list("", At::Revision(listed.revision)).await;
    assert!(matches!(again, Err(StoreError::Compacted { .. })), "{again:?}");
    let mut watch = second.watch("/", second.now().await);
    // The store asks the members at intervals.
    let written = async {
        while let Err(StoreError::Full { .. }) = etcd.put("/d", 1).await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, written).await.expect("etcd has space again");
    assert_eq!(next(&mut *watch).await.unwrap().events.len(), 1);
    assert_eq!(brief(&second.list("", At::Now).await.unwrap()), ["/b=1", "/c=1", "/d=x"]);
    let revision = second.make(vec![put("/b", "2")]).await;
    let read = within(first.get(&key("/b"), None)).await.unwrap();
    assert!(matches!(read, Lookup::Found(entry) if entry.revision == revision));
    assert_eq!(first.now().await, revision);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_starts_and_reads_while_etcd_is_full() {
    let etcd = SmallEtcd::start(8 << 20).await;
    let store: Arc<dyn TestStore> = etcd.replicas[0].clone();
    let made = store.make(vec![put("/a", "1"), put("/b", "1")]).await;
    etcd.raise_alarm().await;
    remove(&store, "/a", made).await;
    let late = etcd.open().await;
    assert_eq!(brief(&late.list("", At::Now).await.unwrap()), ["/b=1"]);
    remove(&late, "/b", made).await;
    assert_eq!(within(store.get(&key("/b"), None)).await.unwrap(), Lookup::Missing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_that_uses_up_the_space_is_reported_as_it_is() {
    let etcd = SmallEtcd::start(16 << 20).await;
    // Before the store asks the members for their size again.
    etcd.grow(15 << 20).await;
    let mut stored = BTreeMap::new();
    while !stored.values().any(|is_stored| !is_stored) {
        let names: Vec<String> = (0..24).map(|at| format!("/{}", stored.len() + at)).collect();
        // etcd applies the writes at the end of its space, and reports that it has none.
        let results = join_all(names.iter().map(|name| etcd.put(name, 150 << 10))).await;
        for (name, result) in names.into_iter().zip(results) {
            match result {
                Ok(()) => stored.insert(name, true),
                Err(StoreError::Full { .. }) => stored.insert(name, false),
                Err(error) => panic!("{error}"),
            };
        }
    }
    let store: Arc<dyn TestStore> = etcd.replicas[1].clone();
    for (name, is_stored) in &stored {
        assert_eq!(store.entry(name).await.is_some(), *is_stored, "{name}");
    }
}
