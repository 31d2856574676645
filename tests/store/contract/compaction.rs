//! Contract of compaction: deleted and retained revisions.

use futures_util::FutureExt;
use imagestream_apiserver::store::{At, Event, Guard, Outcome, Revision, StoreError, WatchError};

use crate::harness::{Lab, Steps, brief, delete, entry, key, next, put, within};

pub(crate) async fn below_the_compaction_point_ranges_and_watches_are_refused(lab: impl Lab) {
    let store = lab.store();
    let one = store.make(vec![put("/a", "1")]).await;
    let two = store.make(vec![put("/a", "2")]).await;
    within(store.compact(two)).await.unwrap();
    match store.list("", At::Revision(one)).await {
        Err(StoreError::Compacted { requested, compacted }) => {
            assert_eq!((requested, compacted), (one, two))
        }
        other => panic!("{other:?}"),
    }
    let mut watch = store.watch("", one);
    for _ in 0..2 {
        match next(&mut *watch).await {
            Err(WatchError::Compacted { requested, compacted }) => {
                assert_eq!((requested, compacted), (one, two))
            }
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
    assert!(matches!(
        store.attempt(vec![again], vec![put("/gone", "2")]).await,
        Outcome::Committed(_)
    ));
}

pub(crate) async fn a_large_compaction_leaves_the_present_and_the_later_past(lab: impl Lab) {
    let store = lab.store();
    let changes = |round: usize| {
        (0..100).map(|n| put(&format!("/{n:03}"), &format!("{round}-{n}"))).collect()
    };
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
