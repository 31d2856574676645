//! Families that stay right, are shared, and are bounded.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::super::{Catalog, catalog, lists};
use super::*;
use crate::api::{Image, ImageManifest};
use crate::domain::registries::Registries;
use crate::domain::tag_history::MaxTagHistory;
use crate::registry::pool::{LARGE_BODY, Pool};
use crate::store::{self, Change, Compact, Opened, Txn};

struct Lab {
    store: Arc<dyn Store>,
    catalog: Catalog,
    compact: Arc<dyn Compact>,
}

impl Lab {
    /// A store with a stream whose history has these images.
    async fn with_stream(images: &[&str]) -> Self {
        let Opened { store, compact, .. } = store::in_memory().unwrap();
        let compact = compact.expect("a store in memory can be compacted");
        let limits = catalog::Limits {
            streams_per_namespace: None,
            object_bytes: usize::MAX,
            tag_history: MaxTagHistory::default(),
        };
        let catalog = Catalog::new(&store, Registries::default(), &limits);
        let lab = Self { store, catalog, compact };
        let items: Vec<_> = images.iter().map(|image| json!({"image": image})).collect();
        let stream =
            json!({"metadata": {"name": "s", "namespace": "ns"}, "status": {"tags": [{"tag": "t", "items": items}]}});
        lab.commit(vec![Change::Put(lab.catalog.streams.key("ns", "s"), stream.to_string().into())]).await;
        lab
    }

    async fn commit(&self, changes: Vec<Change>) {
        self.store.commit(Txn { guards: vec![], changes }).await.unwrap();
    }

    /// Writes what an image that lists these parts, instead of those, leaves beside it.
    async fn list(&self, name: &str, before: &[&str], parts: &[&str]) {
        let image = |parts: &[&str]| {
            let part = |digest: &&str| ImageManifest { digest: (*digest).into(), ..ImageManifest::default() };
            let mut image = Image { docker_image_manifests: parts.iter().map(part).collect(), ..Image::default() };
            image.metadata.name = name.into();
            image
        };
        self.commit(lists::changes(Some(&image(before)), Some(&image(parts)))).await;
    }

    async fn family(&self) -> Result<Arc<Family>, Status> {
        let stream = self.catalog.stream_view(&Workload::default(), "ns", "s").await.unwrap().unwrap();
        self.catalog.family(&Workload::default(), &stream).await
    }

    async fn names(&self) -> Vec<String> {
        self.family().await.unwrap().index.names().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn a_family_sees_every_change_of_its_own_lists_at_once() {
    let lab = Lab::with_stream(&["a", "b"]).await;
    assert_eq!(lab.names().await, ["a", "b"]);
    // An image of the history that was not there, a part that lists others, and back again.
    lab.list("a", &[], &["p"]).await;
    assert_eq!(lab.names().await, ["a", "b", "p"]);
    lab.list("p", &[], &["q", "a"]).await;
    assert_eq!(lab.names().await, ["a", "b", "p", "q"]);
    lab.list("p", &["q", "a"], &["r"]).await;
    assert_eq!(lab.names().await, ["a", "b", "p", "r"]);
    lab.list("a", &["p"], &[]).await;
    assert_eq!(lab.names().await, ["a", "b"]);
}

#[tokio::test]
async fn lists_of_other_streams_leave_a_family_as_it_is() {
    let lab = Lab::with_stream(&["a"]).await;
    lab.list("a", &[], &["p"]).await;
    let before = lab.family().await.unwrap();
    for number in 0..200 {
        lab.list(&format!("other{number}"), &[], &["x"]).await;
        if number % 3 == 0 {
            assert!(Arc::ptr_eq(&before, &lab.family().await.unwrap()));
        }
    }
    lab.list("other", &[], &["a"]).await;
    lab.list("p", &[], &["q"]).await;
    assert_eq!(lab.names().await, ["a", "p", "q"]);
}

#[tokio::test]
async fn what_was_forgotten_or_is_long_ago_is_gathered_anew() {
    let lab = Lab::with_stream(&["a"]).await;
    lab.list("a", &[], &["p"]).await;
    assert_eq!(lab.names().await, ["a", "p"]);
    lab.list("p", &[], &["q"]).await;
    lab.list("other", &[], &["x"]).await;
    let now = lab.store.current().await.unwrap();
    lab.compact.compact(now).await.unwrap();
    assert_eq!(lab.names().await, ["a", "p", "q"]);
    lab.list("q", &[], &["r"]).await;
    for number in 0..=MOST_REVISIONS {
        lab.list("other", &[&format!("{number}")], &[&format!("{}", number + 1)]).await;
    }
    assert_eq!(lab.names().await, ["a", "p", "q", "r"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_for_a_family_share_it() {
    let lab = Lab::with_stream(&["a"]).await;
    let parts: Vec<String> = (0..5000).map(|number| format!("part{number}")).collect();
    lab.list("a", &[], &parts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for round in 0..3 {
        let families = join_all((0..100).map(|_| lab.family())).await;
        let first = families[0].as_ref().unwrap();
        assert!(families.iter().all(|family| Arc::ptr_eq(family.as_ref().unwrap(), first)));
        assert_eq!(first.index.names().len(), 5001 + round);
        lab.list(&format!("part{round}"), &[], &[&format!("more{round}")]).await;
    }
}

/// The request that begins to gather has no place; those that wait for it have them all.
#[tokio::test(flavor = "multi_thread")]
async fn places_are_not_held_by_those_who_wait_for_a_gatherer() {
    let names: Vec<String> = (0..4000).map(|at| format!("{at:0>100}")).collect();
    let lab = Lab::with_stream(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let stream = lab.catalog.stream_view(&Workload::default(), "ns", "s").await.unwrap().unwrap();
    let pool = Pool::default();
    // Those with a place have it when the last one begins to gather.
    let loads = [LARGE_BODY + 1, LARGE_BODY + 1, 0].map(Workload::of_body);
    let all = loads.iter().map(|load| {
        let (catalog, stream) = (&lab.catalog, &stream);
        pool.run(load, async move {
            if load.fits(usize::MAX) {
                yield_now().await;
            }
            catalog.family(load, stream).await
        })
    });
    let all = join_all(all);
    let families = timeout(Duration::from_secs(30), all).await.expect("none of them waits for ever");
    assert!(families.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_family_that_is_too_large_is_refused() {
    let lab = Lab::with_stream(&["a", "b"]).await;
    let name = "x".repeat(1 << 20);
    let parts: Vec<String> = (0..MOST_BYTES >> 20).map(|number| format!("{number}{name}")).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    lab.list("a", &[], &parts[1..]).await;
    assert_eq!(lab.family().await.unwrap().index.names().len(), parts.len() + 1);
    lab.list("b", &[], &parts[..1]).await;
    let refused = lab.family().await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (413, "RequestEntityTooLarge"));
    lab.list("b", &parts[..1], &[]).await;
    assert!(lab.family().await.is_ok());
}
