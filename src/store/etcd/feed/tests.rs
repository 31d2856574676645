//! The index and the fates of writes.

use super::*;

fn put(key: &str, at: u64) -> Event {
    let entry = Entry { key: Key::new(key), value: "value".into(), revision: Revision(at) };
    Event::Put { entry, previous: None }
}

fn commit(at: u64, events: Vec<Event>, write: WriteId) -> EtcdCommit {
    EtcdCommit { revision: Revision(at), events, write: Some(write), moves_fence: false }
}

/// Begins a feed with these keys.
fn begin(feed: &Feed, keys: &[&str]) {
    let (position, revision, first, fence) = (5, Revision(4), Revision(2), 2);
    feed.begin(FeedStart { position, revision, first, fence });
    let keys = keys.iter().map(|key| (Key::new(*key), Revision(3))).collect();
    feed.load(IndexPage { keys, is_last: true });
}

#[tokio::test]
async fn index_follows_the_commits_after_it_was_loaded() {
    let feed = Feed::new(CountedRevisions::Own);
    let key = Key::new("/a");
    assert_eq!(feed.indexed(&key), Indexed::Unknown);
    begin(&feed, &["/a"]);
    assert_eq!(feed.indexed(&key), Indexed::At(Revision(3)));
    feed.apply(vec![commit(6, vec![put("/a", 6)], 1)]);
    assert_eq!(feed.indexed(&key), Indexed::At(Revision(6)));
    assert!(feed.reaches(Duration::ZERO, |now| now.revision >= Revision(6)).await);
    assert!(!feed.reaches(Duration::ZERO, |now| now.revision >= Revision(7)).await);
    let previous = Entry { key: key.clone(), value: "value".into(), revision: Revision(6) };
    let delete = Event::Delete { key: key.clone(), revision: Revision(7), previous };
    feed.apply(vec![commit(7, vec![delete], 2)]);
    assert_eq!(feed.indexed(&key), Indexed::Missing);
}

#[test]
fn cached_value_follows_its_key_and_others_stay_out() {
    let feed = Feed::new(CountedRevisions::Own);
    begin(&feed, &["/a", "/b"]);
    let Event::Put { entry, .. } = put("/a", 3) else { unreachable!() };
    feed.cache(&entry);
    feed.apply(vec![commit(6, vec![put("/a", 6), put("/b", 6)], 1)]);
    assert_eq!(feed.cached(&entry.key).unwrap().revision, Revision(6));
    assert_eq!(feed.cached(&Key::new("/b")), None);
}

#[test]
fn value_at_the_position_is_known_until_an_event_replaces_it() {
    let feed = Feed::new(CountedRevisions::Own);
    begin(&feed, &["/a"]);
    let Event::Put { entry: first, .. } = put("/a", 3) else { unreachable!() };
    assert_eq!(feed.applied(&first.key), None);
    feed.cache(&first);
    // A commit of this replica, whose event follows.
    feed.committed(&[Change::Put(first.key.clone(), "new".into())], Revision(6));
    assert_eq!(feed.cached(&first.key).unwrap().revision, Revision(6));
    assert_eq!(feed.applied(&first.key), Some(first));
    feed.apply(vec![commit(6, vec![put("/a", 6), put("/b", 6)], 1)]);
    for name in ["/a", "/b"] {
        assert_eq!(feed.applied(&Key::new(name)).unwrap().revision, Revision(6));
    }
    begin(&feed, &["/a", "/b"]);
    assert_eq!(feed.applied(&Key::new("/b")), None, "events are missing");
}

#[test]
fn fate_of_a_write_is_unknown_after_missed_events() {
    let feed = Feed::new(CountedRevisions::Own);
    begin(&feed, &[]);
    feed.follow(1, WriteMark::WriteId);
    feed.follow(2, WriteMark::WriteId);
    feed.apply(vec![commit(6, vec![put("/a", 6)], 1)]);
    assert_eq!(feed.fate(1), WriteFate::Applied(Revision(6)));
    assert_eq!(feed.fate(2), WriteFate::Unseen);
    begin(&feed, &[]);
    assert_eq!(feed.unfollow(1), WriteFate::Applied(Revision(6)));
    assert_eq!(feed.unfollow(2), WriteFate::Unknown);
}

#[test]
fn last_key_stays_under_its_prefix() {
    let feed = Feed::new(CountedRevisions::Own);
    begin(&feed, &["/a/1", "/a/\u{10ffff}x", "/b"]);
    let last = |prefix| feed.last_key(prefix, Revision(4)).unwrap();
    assert_eq!(last("/a/"), Some(Key::new("/a/\u{10ffff}x")));
    assert_eq!(last("/a/\u{10ffff}"), Some(Key::new("/a/\u{10ffff}x")));
    assert_eq!(last(""), Some(Key::new("/b")));
    assert_eq!(last("/c"), None);
    assert_eq!(feed.last_key("", Revision(3)), None);
}
