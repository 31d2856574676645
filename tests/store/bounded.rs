//! File size of the embedded store after endless updates of a few objects.
//!
//! `STORE_BOUNDED_UPDATES` (default 2,000) is the number of updates; tests/README.md describes the
//! long form.

use std::env;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imagestream_apiserver::store::embedded::{DATA_FILE, Embedded, Options};
use imagestream_apiserver::store::{Change, Revision, Txn};
use tempfile::TempDir;

use crate::embedded_lab::options;
use crate::harness::{Steps, TestStore, key};

const OBJECTS: u64 = 100;
const BYTES: u64 = 10_000;
/// Number of clients.
const CLIENTS: u64 = 8;
/// Number of compactions during all updates.
const TURNS: u64 = 20;
/// Maximum ratio of the file size to its content.
const TIMES: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_history_file_is_under_four_times_its_content() {
    let updates = updates();
    let (dir, store) = open();
    let seen = update(&store, updates, None).await;
    report(&dir, updates, &seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounded_history_file_is_under_four_times_its_content() {
    let updates = updates();
    let (dir, store) = open();
    let seen = update(&store, updates, Some(updates / 10)).await;
    // The file keeps its largest size: the retained history, the updates until the next compaction,
    // and the concurrent updates during a compaction, which are many on a busy machine.
    report(&dir, updates / 10 + updates / TURNS + seen.meanwhile, &seen);
}

/// Longest wait of a commit while a compaction deletes a long history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_on_while_all_history_is_forgotten() {
    let (_dir, store) = open();
    update(&store, updates(), None).await;
    let start = Instant::now();
    let (forgetting, now) = (store.clone(), store.now().await);
    let forgetting = tokio::spawn(async move { forgetting.compact(now).await.unwrap() });
    let (mut count, mut longest) = (0, Duration::ZERO);
    while !forgetting.is_finished() {
        longest = longest.max(update_one(&store, count % OBJECTS).await);
        count += 1;
    }
    forgetting.await.unwrap();
    println!(
        "compacted in {:?}; meanwhile {count} writes, the longest {longest:?}",
        start.elapsed()
    );
    assert!(count > 0);
}

fn updates() -> u64 {
    env::var("STORE_BOUNDED_UPDATES").map_or(2_000, |text| text.parse().expect("a number"))
}

fn open() -> (TempDir, Arc<dyn TestStore>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(Options { cache_bytes: 8 << 20, ..options(&dir) }).unwrap();
    (dir, Arc::new(store))
}

/// Observations during the updates.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// Longest wait for a commit.
    longest: Duration,
    /// Maximum number of updates during one compaction.
    meanwhile: u64,
}

impl Seen {
    fn most(self, other: Self) -> Self {
        Self {
            longest: self.longest.max(other.longest),
            meanwhile: self.meanwhile.max(other.meanwhile),
        }
    }
}

/// Updates one object after another, and compacts all but the latest revisions from time to time.
async fn update(store: &Arc<dyn TestStore>, updates: u64, kept: Option<u64>) -> Seen {
    let client = |client: u64| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut seen = Seen::default();
            for n in (client..updates).step_by(usize::try_from(CLIENTS).unwrap()) {
                seen.longest = seen.longest.max(update_one(&store, n % OBJECTS).await);
                if let Some(kept) = kept
                    && n % (updates / TURNS) == 0
                {
                    // The other clients continue meanwhile.
                    let now = store.now().await;
                    store.compact(Revision(now.0 - kept)).await.unwrap();
                    seen.meanwhile = seen.meanwhile.max(store.now().await.0 - now.0);
                }
            }
            seen
        })
    };
    let all = futures_util::future::join_all((0..CLIENTS).map(client)).await;
    all.into_iter().map(Result::unwrap).fold(Seen::default(), Seen::most)
}

async fn update_one(store: &Arc<dyn TestStore>, n: u64) -> Duration {
    // Bytes that cannot be compressed.
    let mut value = vec![0; usize::try_from(BYTES).unwrap()];
    fastrand::fill(&mut value);
    let start = Instant::now();
    store
        .commit(Txn {
            changes: vec![Change::Put(key(&format!("/{n}")), value.into())],
            ..Txn::default()
        })
        .await
        .unwrap();
    start.elapsed()
}

fn report(dir: &TempDir, retained: u64, seen: &Seen) {
    let length = fs::metadata(dir.path().join(DATA_FILE)).unwrap().len();
    let content = (OBJECTS + retained) * BYTES;
    let times = length as f64 / content as f64;
    println!(
        "{length} bytes for {content}: {times:.2} times; the longest write {:?}",
        seen.longest
    );
    assert!(length < TIMES * content, "{length} bytes for {content}");
}
