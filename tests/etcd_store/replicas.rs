//! Several replicas on one store, and other programs in the same etcd.

use std::sync::Arc;
use std::time::Duration;

use imagestream_apiserver::store::{
    At, Change, Current, Entry, EtcdCompaction, Event, Guard, Lookup, Outcome, Range, StoreError,
    TermGuard, Txn, WatchError,
};
use tokio::time::timeout;

use crate::harness::{Lab, Steps, TestStore, brief, delete, entry, key, next, put, within};
use crate::lab::{EtcdLab, become_ready};
use crate::link::Condition;

/// A second replica of the store of a lab.
async fn second(lab: &EtcdLab<1>) -> Arc<dyn TestStore> {
    lab.replica().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_reads_what_another_one_has_committed() {
    let lab = EtcdLab::<1>::start().await;
    let (first, second) = (lab.store(), second(&lab).await);
    let at = key("/a");
    let mut known = first.make(vec![put("/a", "0")]).await;
    for round in 1..100 {
        let (writer, reader) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        let unchanged = within(reader.get(&at, Some(known))).await.unwrap();
        assert_eq!(unchanged, Lookup::Unchanged);
        let revision = writer.make(vec![put("/a", &round.to_string())]).await;
        let Lookup::Found(entry) = within(reader.get(&at, Some(known))).await.unwrap() else {
            panic!("round {round}: a stale revision was confirmed");
        };
        assert_eq!((entry.revision, &*entry.value), (revision, round.to_string().as_bytes()));
        assert_eq!(reader.now().await, revision);
        known = revision;
    }
    second.make(vec![delete("/a")]).await;
    assert_eq!(within(first.get(&at, Some(known))).await.unwrap(), Lookup::Missing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_delivers_the_commits_of_all_replicas_in_order() {
    let lab = EtcdLab::<1>::start().await;
    let replicas = [lab.store(), second(&lab).await];
    let mut watch = replicas[0].watch("/", replicas[0].now().await);
    let mut made = Vec::new();
    for round in 0..50 {
        made.push(replicas[round % 2].make(vec![put("/a", &round.to_string())]).await);
    }
    let mut seen = Vec::new();
    while seen.len() < made.len() {
        let batch = next(&mut *watch).await.unwrap();
        seen.extend(batch.events.iter().map(|event| event.revision()));
    }
    assert_eq!(seen, made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_carry_values_that_a_replica_has_not_read() {
    let lab = EtcdLab::<1>::start().await;
    let first = lab.store();
    let made = first.make(vec![put("/a", "1"), put("/b", "1"), put("/c", "1")]).await;
    let second = second(&lab).await;
    let mut watch = second.watch("/", made);
    let old = |name| Some(entry(name, "1", made));
    let changed = first.make(vec![put("/a", "2"), put("/d", "1"), delete("/b")]).await;
    let event = next(&mut *watch).await.unwrap().events;
    let put_event = |name, value, revision, previous| Event::Put {
        entry: entry(name, value, revision),
        previous,
    };
    let expected = [
        put_event("/a", "2", changed, old("/a")),
        Event::Delete { key: key("/b"), revision: changed, previous: old("/b").unwrap() },
        put_event("/d", "1", changed, None),
    ];
    assert!(expected.iter().all(|expected| event.contains(expected)), "{event:?}");
    assert_eq!(event.len(), expected.len());
    // One value is in memory now, the other is not.
    let again = first.make(vec![put("/a", "3"), put("/c", "2")]).await;
    let event = next(&mut *watch).await.unwrap().events;
    let expected = [
        put_event("/a", "3", again, Some(entry("/a", "2", changed))),
        put_event("/c", "2", again, old("/c")),
    ];
    assert!(expected.iter().all(|expected| event.contains(expected)), "{event:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_and_compactions_of_other_programs_change_nothing() {
    let (lab, other) = EtcdLab::<1>::with_neighbour().await;
    let (store, other): (_, Arc<dyn TestStore>) = (lab.store(), other);
    let revision = store.make(vec![put("/a", "1"), put("/b", "1")]).await;
    for round in 0..10 {
        other.make(vec![put("/foreign", &round.to_string())]).await;
    }
    assert_eq!(store.now().await, revision);
    within(other.compact(other.now().await)).await.unwrap();
    let page = store.list("", At::Revision(revision)).await.unwrap();
    assert_eq!((brief(&page), page.revision), (vec!["/a=1".into(), "/b=1".into()], revision));
    // A replica that has just started has no events in memory.
    let fresh = second(&lab).await;
    let mut watch = fresh.watch("/", revision);
    let later = store.make(vec![put("/a", "2")]).await;
    assert_eq!(next(&mut *watch).await.unwrap().revision, later);
    within(other.compact(other.make(vec![put("/foreign", "last")]).await)).await.unwrap();
    let listed = store.list("", At::Revision(revision)).await;
    assert!(matches!(listed, Err(StoreError::Compacted { .. })), "{listed:?}");
    let watched = next(&mut *second(&lab).await.watch("/", revision)).await;
    assert!(matches!(watched, Err(WatchError::Compacted { .. })), "{watched:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watcher_behind_the_memory_of_a_replica_loses_nothing() {
    let lab = EtcdLab::<1>::start().await;
    let store = lab.store();
    let start = store.now().await;
    let value = "x".repeat(1 << 20);
    let mut made = Vec::new();
    for _ in 0..12 {
        made.push(store.make(vec![put("/large", &value)]).await);
        made.push(store.make(vec![put("/small", "1")]).await);
    }
    let mut watch = store.watch("/small", start);
    let mut seen = Vec::new();
    while seen.len() < made.len() / 2 {
        let batch = next(&mut *watch).await.unwrap();
        seen.extend(batch.events.iter().map(|event| event.revision()));
    }
    let expected: Vec<_> = made.into_iter().skip(1).step_by(2).collect();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_guards_than_etcd_compares_are_checked_all() {
    let lab = EtcdLab::<1>::start().await;
    let store = lab.store();
    let names: Vec<String> = (0..300).map(|number| format!("/{number:03}")).collect();
    let mut revisions = Vec::new();
    for part in names.chunks(100) {
        let revision = store.make(part.iter().map(|name| put(name, "1")).collect()).await;
        revisions.extend(part.iter().map(|_| revision));
    }
    let guards = || -> Vec<Guard> {
        let guard = |(name, revision): (&String, &_)| Guard::Unchanged(key(name), *revision);
        names.iter().zip(&revisions).map(guard).collect()
    };
    let done = store.attempt(guards(), vec![put("/done", "1")]).await;
    assert!(matches!(done, Outcome::Committed(_)), "{done:?}");
    store.make(vec![delete("/123")]).await;
    let refused = store.attempt(guards(), vec![put("/done", "2")]).await;
    let current = Current { key: key("/123"), entry: None };
    assert_eq!(refused, Outcome::Refused(vec![current]));
    assert_eq!(&*store.entry("/done").await.unwrap().value, b"1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transaction_beyond_a_limit_of_etcd_is_too_large() {
    let lab = EtcdLab::<1>::start().await;
    let store = lab.store();
    let before = store.now().await;
    let commit = async |changes: Vec<Change>| {
        let txn = Txn { changes, ..Txn::default() };
        within(store.commit(txn)).await.unwrap_err()
    };
    let many = (0..=store.max_changes()).map(|number| put(&number.to_string(), "")).collect();
    let bytes = usize::try_from(store.max_bytes()).unwrap();
    let halves = ["/a", "/b"].map(|name| put(name, &"x".repeat(bytes / 2))).to_vec();
    for error in [commit(many).await, commit(halves).await] {
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error:?}");
        assert!(error.to_string().contains("the most in etcd is"), "{error}");
    }
    assert_eq!(store.now().await, before);
    let most = vec![put("/a", &"x".repeat(bytes - "/a".len()))];
    store.make(most).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_at_a_time_is_elected() {
    let lab = EtcdLab::<1>::start().await;
    let open = async || lab.open().await.opened(EtcdCompaction::External);
    let (first, second) = (open().await, open().await);
    let term = within(first.elector.elect("work")).await;
    let _other = within(second.elector.elect("other work")).await;
    let waiting = timeout(Duration::from_secs(3), second.elector.elect("work")).await;
    assert!(waiting.is_err(), "two replicas are elected");
    drop(term);
    within(second.elector.elect("work")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_of_a_term_is_refused_after_its_end() {
    let lab = EtcdLab::<1>::start().await;
    let open = async || lab.open().await.opened(EtcdCompaction::External);
    let (first, second) = (open().await, open().await);
    let write = |term: &Option<TermGuard>, value| Txn {
        changes: vec![put("/a", value)],
        term: term.clone(),
        ..Txn::default()
    };
    let term = within(first.elector.elect("work")).await;
    let old = term.guard();
    within(first.store.commit(write(&old, "1"))).await.unwrap();
    drop(term);
    let term = within(second.elector.elect("work")).await;
    for store in [&first.store, &second.store] {
        let late = within(store.commit(write(&old, "2"))).await;
        assert!(matches!(late, Err(StoreError::TermOver { work: "work" })), "{late:?}");
    }
    assert_eq!(&*lab.store().entry("/a").await.unwrap().value, b"1");
    within(second.store.commit(write(&term.guard(), "3"))).await.unwrap();
    assert_eq!(&*lab.store().entry("/a").await.unwrap().value, b"3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guard_on_an_entry_in_memory_detects_newer_commits() {
    let lab = EtcdLab::<1>::start().await;
    let (first, second) = (lab.store(), second(&lab).await);
    let at = key("/a");
    first.make(vec![put("/a", "0")]).await;
    // A read keeps the value in memory.
    let mut latest = first.entry("/a").await.unwrap();
    let mut outdated = 0;
    for round in 1..200 {
        if round % 2 == 0 {
            second.make(vec![put("/a", &round.to_string())]).await;
            latest = second.entry("/a").await.unwrap();
        }
        let Some(Lookup::Found(cached)) = first.get_cached(&at) else { continue };
        let guard = Guard::Unchanged(at.clone(), cached.revision);
        match first.attempt(vec![guard], vec![put("/a", &format!("own {round}"))]).await {
            Outcome::Committed(revision) => {
                assert_eq!(cached, latest, "round {round}: an outdated guard held");
                let value = format!("own {round}").into_bytes().into();
                latest = Entry { key: at.clone(), value, revision };
                let own = first.get_cached(&at);
                assert_eq!(own, Some(Lookup::Found(latest.clone())), "an own commit is known");
            }
            Outcome::Refused(current) => {
                outdated += 1;
                let entry = Some(latest.clone());
                assert_eq!(current, [Current { key: at.clone(), entry }]);
            }
        }
    }
    println!("{outdated} entries were outdated");
    let Lookup::Found(read) = within(first.get(&at, None)).await.unwrap() else { panic!() };
    assert_eq!(read, latest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_without_a_value_is_known_as_missing() {
    let lab = EtcdLab::<1>::start().await;
    let store = lab.store();
    let made = store.make(vec![put("/a", "1")]).await;
    within(index_loaded(&store)).await;
    assert_eq!(store.get_cached(&key("/none")), Some(Lookup::Missing));
    // Its value was never read.
    let cached = store.get_cached(&key("/a"));
    assert!(matches!(cached, None | Some(Lookup::Missing)), "{cached:?}");
    let entry = store.entry("/a").await.unwrap();
    assert_eq!((entry.revision, store.get_cached(&key("/a"))), (made, Some(Lookup::Found(entry))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_replica_serves_before_its_index_is_loaded() {
    let lab = EtcdLab::<1>::start().await;
    let store = lab.store();
    let name = |number: usize| format!("/{number:05}");
    let mut last = Vec::new();
    for batch in (0..10_000).step_by(100) {
        let changes = (batch..batch + 100).map(|number| put(&name(number), "1")).collect();
        let made = store.make(changes).await;
        last.extend((batch..batch + 100).map(|number| (key(&name(number)), made)));
    }
    let last = last.split_off(9_800);
    let guards = || last.iter().map(|(key, at)| Guard::Unchanged(key.clone(), *at)).collect();
    let (front, replica) = lab.replica_behind_link();
    // The pages of the index take longer than the calls below.
    front.link.set(Condition::Slow(Duration::from_millis(30)));
    become_ready(&replica).await;
    let (replica, missing): (Arc<dyn TestStore>, _) = (replica, key("/none"));
    assert_eq!(replica.get_cached(&missing), None, "the index is not loaded yet");
    let end = Range { start: Some(name(9_990)), prefix: "/".to_owned(), ..Range::default() };
    let (found, none, outline, done) = tokio::join!(
        replica.get(&last[199].0, None),
        replica.get(&missing, None),
        replica.outline(end),
        replica.attempt(guards(), vec![put("/99999", "1")]),
    );
    assert!(matches!(found, Ok(Lookup::Found(found)) if found.revision == last[199].1));
    assert_eq!(none.unwrap(), Lookup::Missing);
    assert!(outline.is_ok_and(|outline| outline.entries >= 10 && outline.last >= Some(last[199].0.clone())));
    assert!(matches!(done, Outcome::Committed(_)), "{done:?}");
    store.make(vec![delete(&name(9_990))]).await;
    let refused = replica.attempt(guards(), vec![put("/done", "2")]).await;
    assert_eq!(refused, Outcome::Refused(vec![Current { key: key(&name(9_990)), entry: None }]));
    front.link.set(Condition::Open);
    within(index_loaded(&replica)).await;
    assert_eq!(replica.entry(&name(9_990)).await, None);
    assert!(replica.entry(&name(9_991)).await.is_some());
    assert!(replica.entry(&name(0)).await.is_some());
}

/// Waits until a replica knows that a key has no value.
async fn index_loaded(replica: &Arc<dyn TestStore>) {
    while replica.get_cached(&key("/none")).is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
