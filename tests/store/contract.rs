//! The contract of a store, promise by promise, for any implementation.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use imagestream_apiserver::store::{
    At, Change, Current, Event, Guard, Lookup, MAX_KEY_BYTES, Outcome, Outline, Range, Revision, Store, StoreError,
    Txn, Watch, WatchError,
};

use crate::support::{Lab, Steps, brief, delete, entry, key, next, put, within};

/// Runs every promise over one implementation.
macro_rules! suite {
    ($module:ident, $lab:ty) => {
        mod $module {
            crate::contract::tests!($lab:
                a_new_store_is_empty_and_has_a_revision
                commits_receive_ascending_revisions
                all_changes_of_a_transaction_share_one_revision
                a_commit_is_seen_by_the_next_read
                acknowledged_commits_are_there_after_reopening
                a_known_revision_is_answered_unchanged
                a_guard_on_absence_holds_only_when_the_key_has_no_value
                a_guard_on_a_revision_holds_only_for_that_revision
                a_refusal_changes_nothing_and_hands_back_what_is_there
                guards_may_look_at_keys_that_do_not_change
                a_transaction_without_changes_answers_the_current_revision
                deleting_a_missing_key_is_no_change
                a_deleted_key_is_missing_and_can_be_made_again
                concurrent_increments_under_guards_lose_nothing
                only_one_of_many_concurrent_creations_wins
                a_commit_that_nobody_waits_for_harms_nobody
                keys_that_cannot_be_stored_are_invalid
                a_key_that_changes_twice_in_a_transaction_is_invalid
                empty_and_large_values_come_back_unchanged
                a_range_is_ordered_and_stays_under_its_prefix
                a_range_at_a_revision_sees_exactly_the_commits_up_to_it
                a_range_in_the_future_is_refused
                a_page_ends_with_the_entry_that_fills_it
                pages_at_one_revision_fit_together_after_later_writes
                a_page_that_starts_outside_of_its_prefix_stays_inside
                a_watch_delivers_every_later_event_in_order_exactly_once
                a_watch_sees_only_its_prefix
                a_watch_may_resume_at_the_revision_it_reached
                the_revision_of_a_watch_moves_past_foreign_commits
                a_watch_from_the_future_waits
                a_watch_that_is_dropped_while_waiting_loses_nothing
                a_batch_never_splits_a_transaction
                events_carry_the_state_that_they_replaced
                watchers_beside_concurrent_writers_agree
                below_the_compaction_point_ranges_and_watches_are_refused
                the_compaction_point_itself_stays_readable
                compaction_keeps_the_present_whatever_its_age
                a_large_compaction_leaves_the_present_and_the_later_past
                commits_go_on_while_a_compaction_runs
                compacting_again_or_further_back_is_no_error
                compacting_the_future_is_refused
                a_watch_that_falls_behind_the_compaction_point_is_told
                compaction_survives_reopening
                a_closed_store_ends_its_watches
                a_store_that_works_is_healthy
                the_latest_revision_is_never_behind_what_was_seen
            );
        }
    };
}
pub(crate) use suite;

/// One test for each name.
macro_rules! tests {
    ($lab:ty: $($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            crate::contract::$name(<$lab as crate::support::Lab>::start().await).await;
        }
    )*};
}
pub(crate) use tests;

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
        assert_eq!(store.list("/a", At::Now).await.unwrap().entries, [entry("/a", &value, revision)]);
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
    let Outcome::Committed(first) = store.attempt(absent(), vec![put("/a", "1")]).await else { panic!("refused") };
    let there = Current { key: key("/a"), entry: Some(entry("/a", "1", first)) };
    assert_eq!(store.attempt(absent(), vec![put("/a", "2")]).await, Outcome::Refused(vec![there]));
    store.make(vec![delete("/a")]).await;
    assert!(matches!(store.attempt(absent(), vec![put("/a", "3")]).await, Outcome::Committed(_)));
}

pub(crate) async fn a_guard_on_a_revision_holds_only_for_that_revision(lab: impl Lab) {
    let store = lab.store();
    let first = store.make(vec![put("/a", "1")]).await;
    let unchanged = |revision| vec![Guard::Unchanged(key("/a"), revision)];
    let Outcome::Committed(second) = store.attempt(unchanged(first), vec![put("/a", "2")]).await else {
        panic!("refused")
    };
    let there = Current { key: key("/a"), entry: Some(entry("/a", "2", second)) };
    assert_eq!(store.attempt(unchanged(first), vec![put("/a", "3")]).await, Outcome::Refused(vec![there]));
    store.make(vec![delete("/a")]).await;
    let gone = Current { key: key("/a"), entry: None };
    assert_eq!(store.attempt(unchanged(second), vec![put("/a", "3")]).await, Outcome::Refused(vec![gone]));
}

pub(crate) async fn a_refusal_changes_nothing_and_hands_back_what_is_there(lab: impl Lab) {
    let store = lab.store();
    let revision = store.make(vec![put("/a", "1"), put("/b", "2")]).await;
    let guards =
        vec![Guard::Absent(key("/a")), Guard::Unchanged(key("/b"), revision), Guard::Unchanged(key("/c"), revision)];
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
    assert!(matches!(store.attempt(vec![Guard::Absent(key("/a"))], Vec::new()).await, Outcome::Refused(_)));
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
    let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(increment(store.clone(), ROUNDS))).collect();
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

async fn increment(store: Arc<dyn Store>, rounds: u64) {
    for _ in 0..rounds {
        let mut current = store.entry("/counter").await.unwrap();
        loop {
            let count: u64 = std::str::from_utf8(&current.value).unwrap().parse().unwrap();
            let guard = Guard::Unchanged(key("/counter"), current.revision);
            match store.attempt(vec![guard], vec![put("/counter", &(count + 1).to_string())]).await {
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
        async move { store.attempt(vec![Guard::Absent(key("/a"))], vec![put("/a", &n.to_string())]).await }
    };
    let outcomes = futures_util::future::join_all((0..16).map(create)).await;
    let winner = store.entry("/a").await.unwrap();
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|o| matches!(o, Outcome::Committed(_)));
    assert_eq!(won, [Outcome::Committed(winner.revision)]);
    let there = Outcome::Refused(vec![Current { key: key("/a"), entry: Some(winner) }]);
    assert!(lost.iter().all(|outcome| *outcome == there), "{lost:?}");
}

pub(crate) async fn a_commit_that_nobody_waits_for_harms_nobody(lab: impl Lab) {
    let store = lab.store();
    for round in 0..20 {
        let txn = Txn { guards: vec![], changes: vec![put("/gone", &round.to_string())] };
        drop(store.commit(txn).now_or_never());
    }
    let revision = store.make(vec![put("/a", "1")]).await;
    assert_eq!(store.entry("/a").await, Some(entry("/a", "1", revision)));
}

pub(crate) async fn keys_that_cannot_be_stored_are_invalid(lab: impl Lab) {
    let store = lab.store();
    let before = store.now().await;
    for bad in [String::new(), "/a\0b".to_owned(), "k".repeat(MAX_KEY_BYTES + 1)] {
        let txn = Txn { guards: vec![], changes: vec![put("/ok", "1"), put(&bad, "1")] };
        assert!(matches!(store.commit(txn).await, Err(StoreError::Invalid { .. })), "{bad:?}");
        assert_eq!(store.entry(&bad).await, None);
    }
    assert_eq!(store.now().await, before);
    store.make(vec![put(&"k".repeat(MAX_KEY_BYTES), "1")]).await;
}

pub(crate) async fn a_key_that_changes_twice_in_a_transaction_is_invalid(lab: impl Lab) {
    let store = lab.store();
    for second in [put("/a", "2"), delete("/a")] {
        let txn = Txn { guards: vec![], changes: vec![put("/a", "1"), put("/b", "1"), second] };
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

pub(crate) async fn a_range_is_ordered_and_stays_under_its_prefix(lab: impl Lab) {
    let store = lab.store();
    let keys = ["/b/2", "/b", "/c", "/b/1", "/b/10", "/b/é", "/b0", "/a/1", "/b/\u{10ffff}"];
    store.make(keys.map(|key| put(key, "")).to_vec()).await;
    let page = store.list("/b/", At::Now).await.unwrap();
    assert_eq!(brief(&page), ["/b/1=", "/b/10=", "/b/2=", "/b/é=", "/b/\u{10ffff}="]);
    assert_eq!(store.list("", At::Now).await.unwrap().entries.len(), keys.len());
    assert_eq!(store.list("/d", At::Now).await.unwrap().entries, []);
}

pub(crate) async fn a_range_at_a_revision_sees_exactly_the_commits_up_to_it(lab: impl Lab) {
    let store = lab.store();
    let empty = store.now().await;
    let one = store.make(vec![put("/a", "1"), put("/b", "1")]).await;
    let two = store.make(vec![put("/a", "2"), delete("/b")]).await;
    let three = store.make(vec![put("/b", "3"), delete("/a"), put("/c", "3")]).await;
    let expected = [(empty, vec![]), (one, vec!["/a=1", "/b=1"]), (two, vec!["/a=2"]), (three, vec!["/b=3", "/c=3"])];
    for (at, entries) in expected {
        let page = store.list("/", At::Revision(at)).await.unwrap();
        assert_eq!((brief(&page), page.revision), (entries.iter().map(|e| (*e).to_owned()).collect(), at));
    }
    let old = store.list("/", At::Revision(two)).await.unwrap();
    assert_eq!(old.entries, [entry("/a", "2", two)]);
}

pub(crate) async fn a_range_in_the_future_is_refused(lab: impl Lab) {
    let store = lab.store();
    let current = store.make(vec![put("/a", "1")]).await;
    let requested = Revision(current.0 + 1);
    match store.list("", At::Revision(requested)).await {
        Err(StoreError::Future { requested: r, current: c }) => assert_eq!((r, c), (requested, current)),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_page_ends_with_the_entry_that_fills_it(lab: impl Lab) {
    let store = lab.store();
    store.make(["/p/a", "/p/b", "/p/c", "/p/d"].map(|key| put(key, "0123456789")).into()).await;
    for (bytes, limit, expected) in
        [(1, 0, 1), (10, 0, 1), (11, 0, 2), (20, 0, 2), (21, 2, 2), (30, 0, 3), (40, 0, 4), (0, 0, 4)]
    {
        let range = Range { prefix: "/p/".to_owned(), bytes, limit, ..Range::default() };
        let page = within(store.range(range)).await.unwrap();
        assert_eq!((page.entries.len(), page.more), (expected, expected < 4), "{bytes} bytes");
    }
}

pub(crate) async fn pages_at_one_revision_fit_together_after_later_writes(lab: impl Lab) {
    let store = lab.store();
    let keys: Vec<_> = (0..25).map(|n| format!("/p/{n:02}")).collect();
    store.make(keys.iter().map(|key| put(key, "old")).collect()).await;
    store.make(vec![put("/q", "")]).await;
    let whole = store.list("/p/", At::Now).await.unwrap();
    let mut range = Range { prefix: "/p/".to_owned(), limit: 4, ..Range::default() };
    let mut entries = Vec::new();
    loop {
        let page = within(store.range(range.clone())).await.unwrap();
        let outline = within(store.outline(range.clone())).await.unwrap();
        assert_eq!((page.revision, outline.revision), (whole.revision, whole.revision));
        assert_eq!(outline.entries, page.entries.len() as u64);
        assert_eq!(outline.last.as_ref(), page.entries.last().map(|entry| &entry.key));
        entries.extend(page.entries);
        assert_eq!(usize::try_from(outline.remaining).unwrap(), keys.len() - entries.len());
        assert_eq!(page.more, outline.remaining > 0);
        if !page.more {
            break;
        }
        range.at = At::Revision(page.revision);
        range.start = Some(format!("{}\0", entries.last().unwrap().key));
        let n = entries.len();
        store
            .make(vec![put(&keys[n], "new"), delete(&keys[(n + 1) % keys.len()]), put(&format!("/p/{n:02}x"), "new")])
            .await;
    }
    assert_eq!(entries, whole.entries);
}

pub(crate) async fn a_page_that_starts_outside_of_its_prefix_stays_inside(lab: impl Lab) {
    let store = lab.store();
    store.make(vec![put("/a", ""), put("/b/1", ""), put("/b/2", ""), put("/c", "")]).await;
    for (start, expected) in [("/a", vec!["/b/1=", "/b/2="]), ("/b/2", vec!["/b/2="]), ("/b9", vec![]), ("/c", vec![])]
    {
        let range = Range { prefix: "/b/".to_owned(), start: Some(start.to_owned()), ..Range::default() };
        assert_eq!(brief(&within(store.range(range)).await.unwrap()), expected, "{start}");
    }
}

pub(crate) async fn a_watch_delivers_every_later_event_in_order_exactly_once(lab: impl Lab) {
    let store = lab.store();
    let mut revisions = Vec::new();
    for round in 0..200 {
        revisions.push(store.make(vec![put("/a", &round.to_string()), put("/b", &round.to_string())]).await);
    }
    for skip in [0, 1, 57, 198] {
        let mut watch = store.watch("/", revisions[skip]);
        let expected: Vec<_> = revisions[skip + 1..].iter().flat_map(|r| [("/a", *r), ("/b", *r)]).collect();
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            let batch = next(&mut *watch).await.unwrap();
            assert_eq!(watch.revision(), batch.revision);
            seen.extend(batch.events.into_iter().map(|event| (event.key().clone(), event.revision())));
        }
        let seen: Vec<_> = seen.iter().map(|(key, revision)| (key.as_str(), *revision)).collect();
        assert_eq!(seen, expected);
        assert!(watch.next().now_or_never().is_none());
    }
}

pub(crate) async fn a_watch_sees_only_its_prefix(lab: impl Lab) {
    let store = lab.store();
    let mut watch = store.watch("/b/", store.now().await);
    for key in ["/a", "/b", "/b0", "/c", "/b/1"] {
        store.make(vec![put(key, ""), put("/z", "")]).await;
    }
    let batch = next(&mut *watch).await.unwrap();
    assert_eq!(batch.events.iter().map(|event| event.key().as_str()).collect::<Vec<_>>(), ["/b/1"]);
}

pub(crate) async fn a_watch_may_resume_at_the_revision_it_reached(lab: impl Lab) {
    let store = lab.store();
    let mut after = store.now().await;
    let mut seen = Vec::new();
    for round in 0..100 {
        store.make(vec![put("/a", &round.to_string())]).await;
    }
    while seen.len() < 100 {
        let batch = next(&mut *store.watch("/", after)).await.unwrap();
        after = batch.revision;
        seen.extend(batch.events.iter().map(Event::revision));
    }
    assert!(seen.is_sorted_by(|a, b| a < b));
}

pub(crate) async fn the_revision_of_a_watch_moves_past_foreign_commits(lab: impl Lab) {
    let store = lab.store();
    let mut watch = store.watch("/mine/", store.now().await);
    let mut foreign = store.now().await;
    for round in 0..50 {
        foreign = store.make(vec![put("/foreign", &round.to_string())]).await;
    }
    within(async {
        while watch.revision() < foreign {
            let waiting = watch.next();
            assert!(tokio::time::timeout(std::time::Duration::from_millis(1), waiting).await.is_err());
        }
    })
    .await;
}

pub(crate) async fn a_watch_from_the_future_waits(lab: impl Lab) {
    let store = lab.store();
    let current = store.now().await;
    let mut watch = store.watch("/", Revision(current.0 + 3));
    for round in 0..3 {
        assert!(watch.next().now_or_never().is_none());
        store.make(vec![put("/a", &round.to_string())]).await;
    }
    assert!(watch.next().now_or_never().is_none());
    let fourth = store.make(vec![put("/b", "4")]).await;
    let batch = next(&mut *watch).await.unwrap();
    assert_eq!(batch.events, [Event::Put { entry: entry("/b", "4", fourth), previous: None }]);
}

pub(crate) async fn a_watch_that_is_dropped_while_waiting_loses_nothing(lab: impl Lab) {
    let store = lab.store();
    let mut watch = store.watch("/", store.now().await);
    let mut seen = Vec::new();
    let mut made = Vec::new();
    for round in 0..100 {
        made.push(store.make(vec![put("/a", &round.to_string())]).await);
        if let Some(batch) = watch.next().now_or_never() {
            seen.extend(batch.unwrap().events.iter().map(Event::revision));
        }
    }
    while seen.len() < made.len() {
        seen.extend(next(&mut *watch).await.unwrap().events.iter().map(Event::revision));
    }
    assert_eq!(seen, made);
}

pub(crate) async fn a_batch_never_splits_a_transaction(lab: impl Lab) {
    let store = lab.store();
    let mut watch = store.watch("/", store.now().await);
    for round in 0..5 {
        store.make((0..90).map(|n| put(&format!("/{n:03}"), &round.to_string())).collect()).await;
    }
    let mut seen = 0;
    while seen < 5 * 90 {
        let batch = next(&mut *watch).await.unwrap();
        assert_eq!(batch.events.len() % 90, 0);
        assert_eq!(batch.events.last().unwrap().revision(), batch.revision);
        seen += batch.events.len();
    }
}

pub(crate) async fn events_carry_the_state_that_they_replaced(lab: impl Lab) {
    let store = lab.store();
    let mut watch = store.watch("/", store.now().await);
    let one = store.make(vec![put("/a", "1")]).await;
    let two = store.make(vec![put("/a", "2")]).await;
    let three = store.make(vec![delete("/a")]).await;
    let four = store.make(vec![put("/a", "4")]).await;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.extend(next(&mut *watch).await.unwrap().events);
    }
    let expected = [
        Event::Put { entry: entry("/a", "1", one), previous: None },
        Event::Put { entry: entry("/a", "2", two), previous: Some(entry("/a", "1", one)) },
        Event::Delete { key: key("/a"), revision: three, previous: entry("/a", "2", two) },
        Event::Put { entry: entry("/a", "4", four), previous: None },
    ];
    assert_eq!(seen, expected);
}

pub(crate) async fn watchers_beside_concurrent_writers_agree(lab: impl Lab) {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 60;
    let store = lab.store();
    let start = store.now().await;
    let watchers: Vec<_> = (0..4).map(|_| tokio::spawn(collect(store.watch("/w/", start), WRITERS * ROUNDS))).collect();
    let write = |writer: usize| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                store.make(vec![put(&format!("/w/{writer}"), &round.to_string()), put("/other", "")]).await;
            }
        })
    };
    for writer in (0..WRITERS).map(write).collect::<Vec<_>>() {
        within(writer).await.unwrap();
    }
    let expected = collect(store.watch("/w/", start), WRITERS * ROUNDS).await;
    assert!(expected.is_sorted_by(|a, b| a.revision() < b.revision()));
    for watcher in watchers {
        assert_eq!(within(watcher).await.unwrap(), expected);
    }
}

async fn collect(mut watch: Box<dyn Watch>, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        events.extend(next(&mut *watch).await.unwrap().events);
    }
    events
}

pub(crate) async fn below_the_compaction_point_ranges_and_watches_are_refused(lab: impl Lab) {
    let store = lab.store();
    let one = store.make(vec![put("/a", "1")]).await;
    let two = store.make(vec![put("/a", "2")]).await;
    within(store.compact(two)).await.unwrap();
    match store.list("", At::Revision(one)).await {
        Err(StoreError::Compacted { requested, compacted }) => assert_eq!((requested, compacted), (one, two)),
        other => panic!("{other:?}"),
    }
    let mut watch = store.watch("", one);
    for _ in 0..2 {
        match next(&mut *watch).await {
            Err(WatchError::Compacted { requested, compacted }) => assert_eq!((requested, compacted), (one, two)),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn the_compaction_point_itself_stays_readable(lab: impl Lab) {
    let store = lab.store();
    store.make(vec![put("/a", "1"), put("/b", "1")]).await;
    let point = store.make(vec![put("/a", "2"), delete("/b")]).await;
    let later = store.make(vec![put("/a", "3"), put("/b", "3")]).await;
    within(store.compact(point)).await.unwrap();
    assert_eq!(brief(&store.list("", At::Revision(point)).await.unwrap()), ["/a=2"]);
    let batch = next(&mut *store.watch("", point)).await.unwrap();
    let expected = [
        Event::Put { entry: entry("/a", "3", later), previous: Some(entry("/a", "2", point)) },
        Event::Put { entry: entry("/b", "3", later), previous: None },
    ];
    assert_eq!(batch.events, expected);
}

pub(crate) async fn compaction_keeps_the_present_whatever_its_age(lab: impl Lab) {
    let store = lab.store();
    let old = store.make(vec![put("/old", "1"), put("/gone", "1")]).await;
    store.make(vec![delete("/gone")]).await;
    let last = store.make(vec![put("/new", "1")]).await;
    within(store.compact(last)).await.unwrap();
    assert_eq!(store.entry("/old").await, Some(entry("/old", "1", old)));
    assert_eq!(store.entry("/gone").await, None);
    assert_eq!(brief(&store.list("", At::Now).await.unwrap()), ["/new=1", "/old=1"]);
    let again = Guard::Absent(key("/gone"));
    assert!(matches!(store.attempt(vec![again], vec![put("/gone", "2")]).await, Outcome::Committed(_)));
}

pub(crate) async fn a_large_compaction_leaves_the_present_and_the_later_past(lab: impl Lab) {
    let store = lab.store();
    let changes = |round: usize| (0..100).map(|n| put(&format!("/{n:03}"), &format!("{round}-{n}"))).collect();
    let mut pages = Vec::new();
    for round in 0..20 {
        store.make(changes(round)).await;
        if round % 3 == 0 {
            store.make((0..50).map(|n| delete(&format!("/{n:03}"))).collect()).await;
        }
        pages.push(store.list("", At::Now).await.unwrap());
    }
    within(store.compact(pages[15].revision)).await.unwrap();
    for page in &pages[15..] {
        assert_eq!(store.list("", At::Revision(page.revision)).await.unwrap(), *page);
    }
    assert!(store.list("", At::Revision(pages[14].revision)).await.is_err());
}

pub(crate) async fn commits_go_on_while_a_compaction_runs(lab: impl Lab) {
    let store = lab.store();
    for round in 0..30 {
        store.make((0..100).map(|n| put(&format!("/{n:03}"), &round.to_string())).collect()).await;
    }
    let point = store.now().await;
    let compaction = store.compact(point);
    let writes = async {
        for round in 0..20 {
            store.make(vec![put("/000", &format!("later {round}"))]).await;
        }
    };
    let (compacted, ()) = within(futures_util::future::join(compaction, writes)).await;
    compacted.unwrap();
    assert_eq!(store.list("", At::Revision(point)).await.unwrap().entries.len(), 100);
    assert_eq!(store.entry("/000").await.unwrap().value, "later 19");
}

pub(crate) async fn compacting_again_or_further_back_is_no_error(lab: impl Lab) {
    let store = lab.store();
    let one = store.make(vec![put("/a", "1")]).await;
    let two = store.make(vec![put("/a", "2")]).await;
    for point in [two, two, one, Revision(1)] {
        within(store.compact(point)).await.unwrap();
        assert!(store.list("", At::Revision(one)).await.is_err());
        assert_eq!(brief(&store.list("", At::Revision(two)).await.unwrap()), ["/a=2"]);
    }
}

pub(crate) async fn compacting_the_future_is_refused(lab: impl Lab) {
    let store = lab.store();
    let current = store.make(vec![put("/a", "1")]).await;
    let future = Revision(current.0 + 1);
    assert!(matches!(within(store.compact(future)).await, Err(StoreError::Future { .. })));
    assert_eq!(brief(&store.list("", At::Revision(current)).await.unwrap()), ["/a=1"]);
}

pub(crate) async fn a_watch_that_falls_behind_the_compaction_point_is_told(lab: impl Lab) {
    let store = lab.store();
    let mut watch = store.watch("/", store.now().await);
    assert!(watch.next().now_or_never().is_none());
    store.make(vec![put("/a", "1")]).await;
    let point = store.make(vec![put("/a", "2")]).await;
    within(store.compact(point)).await.unwrap();
    assert!(matches!(next(&mut *watch).await, Err(WatchError::Compacted { .. })));
}

pub(crate) async fn compaction_survives_reopening(lab: impl Lab) {
    let store = lab.store();
    let one = store.make(vec![put("/a", "1")]).await;
    let two = store.make(vec![put("/a", "2")]).await;
    within(store.compact(two)).await.unwrap();
    drop(store);
    let lab = lab.reopen().await;
    let store = lab.store();
    assert!(matches!(store.list("", At::Revision(one)).await, Err(StoreError::Compacted { .. })));
    assert_eq!(brief(&store.list("", At::Revision(two)).await.unwrap()), ["/a=2"]);
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
    within(lab.store().healthy()).await.unwrap();
}

/// A store that does not know without asking answers none, always.
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
