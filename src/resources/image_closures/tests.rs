//! Tests of the closure cache.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::timeout;

use super::super::{Catalog, catalog, manifest_lists};
use super::*;
use crate::api::{Image, ImageManifest};
use crate::domain::registries::Registries;
use crate::registry::pool::Pool;
use crate::registry::workload::tests::account;
use crate::registry::workload::{MemoryFactor, WorkKind};
use crate::runtime::{BudgetAccount, MemoryBudget};
use crate::store::{self, Change, Compact, Opened, ReadPoint, Txn};
use crate::telemetry::metrics::Metrics;

struct ClosureFixture {
    store: Arc<dyn Store>,
    catalog: Catalog,
    compact: Arc<dyn Compact>,
}

impl ClosureFixture {
    /// A store with a stream whose history has these images.
    async fn with_stream(images: &[&str]) -> Self {
        let Opened { store, compact, .. } = store::in_memory().unwrap();
        let compact = compact.expect("a store in memory can be compacted");
        let limits = catalog::StorageLimits::default();
        let catalog = Catalog::new(&store, Registries::default(), &limits);
        let fixture = Self { store, catalog, compact };
        let items: Vec<_> = images.iter().map(|image| json!({"image": image})).collect();
        let stream = json!({"metadata": {"name": "s", "namespace": "ns"}, "status": {"tags": [{"tag": "t", "items": items}]}});
        fixture
            .commit(vec![Change::Put(
                fixture.catalog.streams.key("ns", "s"),
                stream.to_string().into(),
            )])
            .await;
        fixture
    }

    async fn commit(&self, changes: Vec<Change>) {
        self.store.commit(Txn { guards: vec![], changes, ..Txn::default() }).await.unwrap();
    }

    /// Writes the derived rows of a manifest list whose children change from `before`.
    async fn list(&self, name: &str, before: &[&str], children: &[&str]) {
        let image = |children: &[&str]| {
            let child = |digest: &&str| ImageManifest {
                digest: (*digest).into(),
                ..ImageManifest::default()
            };
            let mut image = Image {
                docker_image_manifests: children.iter().map(child).collect(),
                ..Image::default()
            };
            image.metadata.name = name.into();
            image
        };
        self.commit(manifest_lists::changes(Some(&image(before)), Some(&image(children)))).await;
    }

    async fn image_closure(&self) -> Result<Arc<ImageClosure>, Status> {
        let stream = self
            .catalog
            .stream_view(&Workload::default(), &ReadPoint::default(), "ns", "s")
            .await
            .unwrap()
            .unwrap();
        self.catalog.image_closure(&Workload::default(), &stream).await
    }

    async fn names(&self) -> Vec<String> {
        self.image_closure().await.unwrap().index.names().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn closure_reflects_each_change_of_its_lists() {
    let fixture = ClosureFixture::with_stream(&["a", "b"]).await;
    assert_eq!(fixture.names().await, ["a", "b"]);
    // A new list in the history, a child that is a list itself, and both removed again.
    fixture.list("a", &[], &["p"]).await;
    assert_eq!(fixture.names().await, ["a", "b", "p"]);
    fixture.list("p", &[], &["q", "a"]).await;
    assert_eq!(fixture.names().await, ["a", "b", "p", "q"]);
    fixture.list("p", &["q", "a"], &["r"]).await;
    assert_eq!(fixture.names().await, ["a", "b", "p", "r"]);
    fixture.list("a", &["p"], &[]).await;
    assert_eq!(fixture.names().await, ["a", "b"]);
}

#[tokio::test]
async fn lists_of_other_streams_do_not_invalidate_a_closure() {
    let fixture = ClosureFixture::with_stream(&["a"]).await;
    fixture.list("a", &[], &["p"]).await;
    let before = fixture.image_closure().await.unwrap();
    for number in 0..200 {
        fixture.list(&format!("other{number}"), &[], &["x"]).await;
        if number % 3 == 0 {
            assert!(Arc::ptr_eq(&before, &fixture.image_closure().await.unwrap()));
        }
    }
    fixture.list("other", &[], &["a"]).await;
    fixture.list("p", &[], &["q"]).await;
    assert_eq!(fixture.names().await, ["a", "p", "q"]);
}

#[tokio::test]
async fn closure_is_collected_again_after_compaction() {
    let fixture = ClosureFixture::with_stream(&["a"]).await;
    fixture.list("a", &[], &["p"]).await;
    assert_eq!(fixture.names().await, ["a", "p"]);
    fixture.list("p", &[], &["q"]).await;
    fixture.list("other", &[], &["x"]).await;
    let now = fixture.store.current().await.unwrap();
    fixture.compact.compact(now).await.unwrap();
    assert_eq!(fixture.names().await, ["a", "p", "q"]);
    fixture.list("q", &[], &["r"]).await;
    for number in 0..=MAX_LOG_REVISIONS {
        fixture.list("other", &[&format!("{number}")], &[&format!("{}", number + 1)]).await;
    }
    assert_eq!(fixture.names().await, ["a", "p", "q", "r"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_share_a_closure() {
    let fixture = ClosureFixture::with_stream(&["a"]).await;
    let children: Vec<String> = (0..5000).map(|number| format!("child{number}")).collect();
    fixture.list("a", &[], &children.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for round in 0..3 {
        let closures = join_all((0..100).map(|_| fixture.image_closure())).await;
        let first = closures[0].as_ref().unwrap();
        assert!(closures.iter().all(|closure| Arc::ptr_eq(closure.as_ref().unwrap(), first)));
        assert_eq!(first.index.names().len(), 5001 + round);
        fixture.list(&format!("child{round}"), &[], &[&format!("more{round}")]).await;
    }
}

/// The memory is sufficient for one of the requests, which wait for each other's result.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_requests_do_not_block_the_collector() {
    let names: Vec<String> = (0..4000).map(|at| format!("{at:0>100}")).collect();
    let fixture =
        ClosureFixture::with_stream(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let stream = fixture
        .catalog
        .stream_view(&Workload::default(), &ReadPoint::default(), "ns", "s")
        .await
        .unwrap()
        .unwrap();
    let (metrics, account) = (Arc::new(Metrics::new()), account(1));
    let pool = Pool::new(&metrics);
    let account = BudgetAccount { budget: MemoryBudget::new(16 << 20, &metrics), ..account };
    let all = join_all((0..3).map(|_| async {
        let load = Workload::charged(account.clone(), WorkKind::Read, MemoryFactor::Read);
        pool.run(&load, fixture.catalog.image_closure(&load, &stream)).await
    }));
    let closures = timeout(Duration::from_secs(30), all).await.expect("no request waits forever");
    assert!(closures.iter().all(Result::is_ok));
}

#[tokio::test]
async fn oversized_closure_is_rejected() {
    let fixture = ClosureFixture::with_stream(&["a", "b"]).await;
    let name = "x".repeat(1 << 20);
    let children: Vec<String> =
        (0..MAX_NAME_BYTES >> 20).map(|number| format!("{number}{name}")).collect();
    let children: Vec<&str> = children.iter().map(String::as_str).collect();
    fixture.list("a", &[], &children[1..]).await;
    assert_eq!(fixture.image_closure().await.unwrap().index.names().len(), children.len() + 1);
    fixture.list("b", &[], &children[..1]).await;
    let refused = fixture.image_closure().await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (413, "RequestEntityTooLarge"));
    fixture.list("b", &children[..1], &[]).await;
    assert!(fixture.image_closure().await.is_ok());
}
