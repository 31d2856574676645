//! Contract of watches.

use futures_util::FutureExt;
use imagestream_apiserver::store::{Event, Revision, Watch};

use crate::harness::{Lab, Steps, delete, entry, key, next, put, within};

pub(crate) async fn a_watch_delivers_every_later_event_in_order_exactly_once(lab: impl Lab) {
    let store = lab.store();
    let mut revisions = Vec::new();
    for round in 0..200 {
        revisions.push(
            store.make(vec![put("/a", &round.to_string()), put("/b", &round.to_string())]).await,
        );
    }
    for skip in [0, 1, 57, 198] {
        let mut watch = store.watch("/", revisions[skip]);
        let expected: Vec<_> =
            revisions[skip + 1..].iter().flat_map(|r| [("/a", *r), ("/b", *r)]).collect();
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            let batch = next(&mut *watch).await.unwrap();
            assert_eq!(watch.revision(), batch.revision);
            seen.extend(
                batch.events.into_iter().map(|event| (event.key().clone(), event.revision())),
            );
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
            assert!(
                tokio::time::timeout(std::time::Duration::from_millis(1), waiting).await.is_err()
            );
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
    let watchers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(collect(store.watch("/w/", start), WRITERS * ROUNDS)))
        .collect();
    let write = |writer: usize| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                store
                    .make(vec![put(&format!("/w/{writer}"), &round.to_string()), put("/other", "")])
                    .await;
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
