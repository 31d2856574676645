//! Contract of range reads and their pages.

use imagestream_apiserver::store::{At, Range, Revision, StoreError};

use crate::harness::{Lab, Steps, brief, delete, entry, put, within};

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
    let expected = [
        (empty, vec![]),
        (one, vec!["/a=1", "/b=1"]),
        (two, vec!["/a=2"]),
        (three, vec!["/b=3", "/c=3"]),
    ];
    for (at, entries) in expected {
        let page = store.list("/", At::Revision(at)).await.unwrap();
        assert_eq!(
            (brief(&page), page.revision),
            (entries.iter().map(|e| (*e).to_owned()).collect(), at)
        );
    }
    let old = store.list("/", At::Revision(two)).await.unwrap();
    assert_eq!(old.entries, [entry("/a", "2", two)]);
}

pub(crate) async fn a_range_in_the_future_is_refused(lab: impl Lab) {
    let store = lab.store();
    let current = store.make(vec![put("/a", "1")]).await;
    let requested = Revision(current.0 + 1);
    match store.list("", At::Revision(requested)).await {
        Err(StoreError::Future { requested: r, current: c }) => {
            assert_eq!((r, c), (requested, current))
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_page_ends_with_the_entry_that_fills_it(lab: impl Lab) {
    let store = lab.store();
    store.make(["/p/a", "/p/b", "/p/c", "/p/d"].map(|key| put(key, "0123456789")).into()).await;
    for (bytes, limit, expected) in [
        (1, 0, 1),
        (10, 0, 1),
        (11, 0, 2),
        (20, 0, 2),
        (21, 2, 2),
        (30, 0, 3),
        (40, 0, 4),
        (0, 0, 4),
    ] {
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
            .make(vec![
                put(&keys[n], "new"),
                delete(&keys[(n + 1) % keys.len()]),
                put(&format!("/p/{n:02}x"), "new"),
            ])
            .await;
    }
    assert_eq!(entries, whole.entries);
}

pub(crate) async fn a_page_that_starts_outside_of_its_prefix_stays_inside(lab: impl Lab) {
    let store = lab.store();
    store.make(vec![put("/a", ""), put("/b/1", ""), put("/b/2", ""), put("/c", "")]).await;
    for (start, expected) in
        [("/a", vec!["/b/1=", "/b/2="]), ("/b/2", vec!["/b/2="]), ("/b9", vec![]), ("/c", vec![])]
    {
        let range =
            Range { prefix: "/b/".to_owned(), start: Some(start.to_owned()), ..Range::default() };
        assert_eq!(brief(&within(store.range(range)).await.unwrap()), expected, "{start}");
    }
}
