//! Contract of transactions: their effects, their visibility to reads, and the end of a store.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use imagestream_apiserver::store::{
    At, Change, Current, Event, Guard, Lookup, MAX_KEY_BYTES, MAX_VALUE_BYTES, Outcome, Outline,
    Range, Revision, StoreError, Txn, WatchError,
};

use crate::harness::{Lab, Steps, TestStore, brief, delete, entry, key, next, put, within};

pub(crate) async fn a_new_store_is_empty_and_has_a_revision(lab: impl Lab) {
    let store = lab.store();
    let page = store.list("", At::Now).await.unwrap();
    assert_eq!((page.entries.len(), page.more), (0, false));
    let outline = within(store.outline(Range::default())).await.unwrap();
    assert_eq!(outline, Outline { revision: page.revision, entries: 0, last: None, remaining: 0 });
    assert!(page.revision > Revision(0));
    assert_eq!(page.revision, store.now().await);
}

pub(crate) async fn commits_receive_ascending_revisions(lab: impl Lab) {
    let store = lab.store();
    let mut last = store.now().await;
    for round in 0..20 {
        let revision = store.make(vec![put("/a", &round.to_string())]).await;
        assert!(revision > last);
        assert_eq!(store.now().await, revision);
        last = revision;
    }
}

pub(crate) async fn all_changes_of_a_transaction_share_one_revision(lab: impl Lab) {
    let store = lab.store();
    store.make(vec![put("/c", "old")]).await;
    let revision = store.make(vec![put("/a", "1"), put("/b", "2"), delete("/c")]).await;
    assert_eq!(store.entry("/a").await, Some(entry("/a", "1", revision)));
    assert_eq!(store.entry("/b").await, Some(entry("/b", "2", revision)));
    assert_eq!(store.entry("/c").await, None);
}

pub(crate) async fn a_commit_is_seen_by_the_next_read(lab: impl Lab) {
    let store = lab.store();
    for round in 0..50 {
        let value = round.to_string();
        let revision = store.make(vec![put("/a", &value)]).await;
        assert_eq!(store.entry("/a").await, Some(entry("/a", &value, revision)));
        assert_eq!(
            store.list("/a", At::Now).await.unwrap().entries,
            [entry("/a", &value, revision)]
        );
    }
}

pub(crate) async fn acknowledged_commits_are_there_after_reopening(lab: impl Lab) {
    let store = lab.store();
    let first = store.make(vec![put("/a", "1"), put("/b", "1")]).await;
    let second = store.make(vec![put("/a", "2"), delete("/b")]).await;
    drop(store);
    let lab = lab.reopen().await;
    let store = lab.store();
    assert_eq!(store.now().await, second);
    assert_eq!(store.entry("/a").await, Some(entry("/a", "2", second)));
    assert_eq!(brief(&store.list("", At::Revision(first)).await.unwrap()), ["/a=1", "/b=1"]);
    assert!(store.make(vec![put("/a", "3")]).await > second);
}

pub(crate) async fn a_known_revision_is_answered_unchanged(lab: impl Lab) {
    let store = lab.store();
    let first = store.make(vec![put("/a", "1")]).await;
    let (a, b) = (key("/a"), key("/b"));
    assert_eq!(store.get(&a, Some(first)).await.unwrap(), Lookup::Unchanged);
    let second = store.make(vec![put("/a", "1")]).await;
    assert_eq!(store.get(&a, Some(first)).await.unwrap(), Lookup::Found(entry("/a", "1", second)));
    store.make(vec![delete("/a")]).await;
    assert_eq!(store.get(&a, Some(second)).await.unwrap(), Lookup::Missing);
    assert_eq!(store.get(&b, Some(second)).await.unwrap(), Lookup::Missing);
}

pub(crate) async fn a_guard_on_absence_holds_only_when_the_key_has_no_value(lab: impl Lab) {
    let store = lab.store();
    let absent = || vec![Guard::Absent(key("/a"))];
    let Outcome::Committed(first) = store.attempt(absent(), vec![put("/a", "1")]).await else {
        panic!("refused")
    };
    let there = Current { key: key("/a"), entry: Some(entry("/a", "1", first)) };
    assert_eq!(store.attempt(absent(), vec![put("/a", "2")]).await, Outcome::Refused(vec![there]));
    store.make(vec![delete("/a")]).await;
    assert!(matches!(store.attempt(absent(), vec![put("/a", "3")]).await, Outcome::Committed(_)));
}

pub(crate) async fn a_guard_on_a_revision_holds_only_for_that_revision(lab: impl Lab) {
    let store = lab.store();
    let first = store.make(vec![put("/a", "1")]).await;
    let unchanged = |revision| vec![Guard::Unchanged(key("/a"), revision)];
    let Outcome::Committed(second) = store.attempt(unchanged(first), vec![put("/a", "2")]).await
    else {
        panic!("refused")
    };
    let there = Current { key: key("/a"), entry: Some(entry("/a", "2", second)) };
    assert_eq!(
        store.attempt(unchanged(first), vec![put("/a", "3")]).await,
        Outcome::Refused(vec![there])
    );
    store.make(vec![delete("/a")]).await;
    let gone = Current { key: key("/a"), entry: None };
    assert_eq!(
        store.attempt(unchanged(second), vec![put("/a", "3")]).await,
        Outcome::Refused(vec![gone])
    );
}

pub(crate) async fn a_refusal_changes_nothing_and_hands_back_what_is_there(lab: impl Lab) {
    let store = lab.store();
    let revision = store.make(vec![put("/a", "1"), put("/b", "2")]).await;
    let guards = vec![
        Guard::Absent(key("/a")),
        Guard::Unchanged(key("/b"), revision),
        Guard::Unchanged(key("/c"), revision),
    ];
    let changes = vec![put("/a", "x"), delete("/b"), put("/c", "x")];
    let refused = vec![
        Current { key: key("/a"), entry: Some(entry("/a", "1", revision)) },
        Current { key: key("/c"), entry: None },
    ];
    assert_eq!(store.attempt(guards, changes).await, Outcome::Refused(refused));
    assert_eq!(store.now().await, revision);
    assert_eq!(brief(&store.list("", At::Now).await.unwrap()), ["/a=1", "/b=2"]);
}

pub(crate) async fn guards_may_look_at_keys_that_do_not_change(lab: impl Lab) {
    let store = lab.store();
    let owner = store.make(vec![put("/owner", "1")]).await;
    let guard = || vec![Guard::Unchanged(key("/owner"), owner)];
    assert!(matches!(store.attempt(guard(), vec![put("/a", "1")]).await, Outcome::Committed(_)));
    store.make(vec![delete("/owner")]).await;
    assert!(matches!(store.attempt(guard(), vec![put("/b", "1")]).await, Outcome::Refused(_)));
}

pub(crate) async fn a_transaction_without_changes_answers_the_current_revision(lab: impl Lab) {
    let store = lab.store();
    let revision = store.make(vec![put("/a", "1")]).await;
    let guard = Guard::Unchanged(key("/a"), revision);
    assert_eq!(store.attempt(vec![guard], Vec::new()).await, Outcome::Committed(revision));
    assert!(matches!(
        store.attempt(vec![Guard::Absent(key("/a"))], Vec::new()).await,
        Outcome::Refused(_)
    ));
    assert_eq!(store.now().await, revision);
}

pub(crate) async fn deleting_a_missing_key_is_no_change(lab: impl Lab) {
    let store = lab.store();
    let revision = store.make(vec![put("/a", "1")]).await;
    assert_eq!(store.make(vec![delete("/b")]).await, revision);
    let mut watch = store.watch("", revision);
    let later = store.make(vec![delete("/b"), put("/c", "1")]).await;
    assert!(later > revision);
    let batch = next(&mut *watch).await.unwrap();
    assert_eq!(batch.events, [Event::Put { entry: entry("/c", "1", later), previous: None }]);
}

pub(crate) async fn a_deleted_key_is_missing_and_can_be_made_again(lab: impl Lab) {
    let store = lab.store();
    let first = store.make(vec![put("/a", "1")]).await;
    let deleted = store.make(vec![delete("/a")]).await;
    assert_eq!(store.entry("/a").await, None);
    assert_eq!(store.make(vec![delete("/a")]).await, deleted);
    let again = store.make(vec![put("/a", "2")]).await;
    for (at, expected) in [(first, vec!["/a=1"]), (deleted, vec![]), (again, vec!["/a=2"])] {
        assert_eq!(brief(&store.list("", At::Revision(at)).await.unwrap()), expected);
    }
}

pub(crate) async fn concurrent_increments_under_guards_lose_nothing(lab: impl Lab) {
    const TASKS: u64 = 8;
    const ROUNDS: u64 = 25;
    let store = lab.store();
    let mut seen = store.make(vec![put("/counter", "0")]).await;
    let tasks: Vec<_> =
        (0..TASKS).map(|_| tokio::spawn(increment(store.clone(), ROUNDS))).collect();
    for task in tasks {
        within(task).await.unwrap();
    }
    let total = TASKS * ROUNDS;
    assert_eq!(store.entry("/counter").await.unwrap().value, total.to_string());
    let mut watch = store.watch("/counter", seen);
    for expected in 1..=total {
        if let Ok(batch) = next(&mut *watch).await {
            assert!(batch.revision > seen, "{expected}");
            seen = batch.revision;
        }
        if seen == store.now().await {
            return;
        }
    }
    panic!("the watch did not catch up");
}

async fn increment(store: Arc<dyn TestStore>, rounds: u64) {
    for _ in 0..rounds {
        let mut current = store.entry("/counter").await.unwrap();
        loop {
            let count: u64 = std::str::from_utf8(&current.value).unwrap().parse().unwrap();
            let guard = Guard::Unchanged(key("/counter"), current.revision);
            match store.attempt(vec![guard], vec![put("/counter", &(count + 1).to_string())]).await
            {
                Outcome::Committed(_) => break,
                Outcome::Refused(mut there) => current = there.remove(0).entry.unwrap(),
            }
        }
    }
}

pub(crate) async fn only_one_of_many_concurrent_creations_wins(lab: impl Lab) {
    let store = lab.store();
    let create = |n: usize| {
        let store = store.clone();
        async move {
            store.attempt(vec![Guard::Absent(key("/a"))], vec![put("/a", &n.to_string())]).await
        }
    };
    let outcomes = futures_util::future::join_all((0..16).map(create)).await;
    let winner = store.entry("/a").await.unwrap();
    let (won, lost): (Vec<_>, Vec<_>) =
        outcomes.into_iter().partition(|o| matches!(o, Outcome::Committed(_)));
    assert_eq!(won, [Outcome::Committed(winner.revision)]);
    let there = Outcome::Refused(vec![Current { key: key("/a"), entry: Some(winner) }]);
    assert!(lost.iter().all(|outcome| *outcome == there), "{lost:?}");
}

pub(crate) async fn a_commit_that_nobody_waits_for_harms_nobody(lab: impl Lab) {
    let store = lab.store();
    for round in 0..20 {
        let txn = Txn {
            guards: vec![],
            changes: vec![put("/gone", &round.to_string())],
            ..Txn::default()
        };
        drop(store.commit(txn).now_or_never());
    }
    let revision = store.make(vec![put("/a", "1")]).await;
    assert_eq!(store.entry("/a").await, Some(entry("/a", "1", revision)));
}

pub(crate) async fn keys_that_cannot_be_stored_are_invalid(lab: impl Lab) {
    let store = lab.store();
    let before = store.now().await;
    for bad in [String::new(), "/a\0b".to_owned(), "k".repeat(MAX_KEY_BYTES + 1)] {
        let txn = Txn {
            guards: vec![],
            changes: vec![put("/ok", "1"), put(&bad, "1")],
            ..Txn::default()
        };
        assert!(matches!(store.commit(txn).await, Err(StoreError::Invalid { .. })), "{bad:?}");
        assert_eq!(store.entry(&bad).await, None);
    }
    assert_eq!(store.now().await, before);
    store.make(vec![put(&"k".repeat(MAX_KEY_BYTES), "1")]).await;
}

pub(crate) async fn a_value_beyond_the_limit_is_too_large(lab: impl Lab) {
    let store = lab.store();
    let value = vec![0; MAX_VALUE_BYTES + 1].into();
    let txn =
        Txn { changes: vec![put("/b", "1"), Change::Put(key("/a"), value)], ..Txn::default() };
    assert!(matches!(store.commit(txn).await, Err(StoreError::TooLarge { .. })));
    assert_eq!(store.list("", At::Now).await.unwrap().entries, []);
}

pub(crate) async fn a_key_that_changes_twice_in_a_transaction_is_invalid(lab: impl Lab) {
    let store = lab.store();
    for second in [put("/a", "2"), delete("/a")] {
        let txn = Txn {
            guards: vec![],
            changes: vec![put("/a", "1"), put("/b", "1"), second],
            ..Txn::default()
        };
        assert!(matches!(store.commit(txn).await, Err(StoreError::Invalid { .. })));
    }
    assert_eq!(store.list("", At::Now).await.unwrap().entries, []);
}

pub(crate) async fn empty_and_large_values_come_back_unchanged(lab: impl Lab) {
    let store = lab.store();
    for size in [0, 1, 239, 240, 241, 4096, 100_000, 1 << 20] {
        let value: Bytes = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
        store.make(vec![Change::Put(key("/a"), value.clone())]).await;
        assert_eq!(store.entry("/a").await.unwrap().value, value);
    }
}

pub(crate) async fn a_closed_store_ends_its_watches(lab: impl Lab) {
    let mut idle = lab.store().watch("/", lab.store().now().await);
    let (parked, waiting) = tokio::sync::oneshot::channel();
    let mut watch = lab.store().watch("/", lab.store().now().await);
    let task = tokio::spawn(async move {
        assert!(watch.next().now_or_never().is_none());
        parked.send(()).unwrap();
        watch.next().await
    });
    within(waiting).await.unwrap();
    let _lab = lab.reopen().await;
    assert!(matches!(within(task).await.unwrap(), Err(WatchError::Closed)));
    assert!(matches!(next(&mut *idle).await, Err(WatchError::Closed)));
}

pub(crate) async fn a_store_that_works_is_healthy(lab: impl Lab) {
    within(lab.store().ready()).await.unwrap();
}

/// Stores that do not cache the latest revision return `None` from `latest`.
pub(crate) async fn the_latest_revision_is_never_behind_what_was_seen(lab: impl Lab) {
    let store = lab.store();
    for _ in 0..20 {
        let committed = store.make(vec![put("/a", "x")]).await;
        if let Some(latest) = store.latest() {
            assert_eq!(latest, committed);
            assert_eq!(store.now().await, latest);
        }
    }
}
