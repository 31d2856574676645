//! Tests of the shared streams.

use futures_util::future::join_all;
use serde_json::json;

use super::super::catalog::{Catalog, StorageLimits};
use super::*;
use crate::domain::registries::Registries;
use crate::domain::tag_history::MaxTagHistory;
use crate::store::{self, Change, Txn};

async fn catalog(annotation: usize) -> Catalog {
    let store = store::in_memory().unwrap().store;
    let limits = StorageLimits {
        streams_per_namespace: None,
        object_bytes: usize::MAX,
        tag_history: MaxTagHistory::default(),
        ..StorageLimits::default()
    };
    let catalog = Catalog::new(&store, Registries::default(), &limits);
    let annotations = json!({"a": "x".repeat(annotation)});
    let metadata = json!({"name": "s", "namespace": "ns", "annotations": annotations});
    let stream = json!({"metadata": metadata}).to_string();
    let changes = vec![Change::Put(catalog.streams.key("ns", "s"), stream.into())];
    store.commit(Txn { guards: vec![], changes, ..Txn::default() }).await.unwrap();
    catalog
}

/// Two concurrent readers, and one after them.
async fn readers(catalog: &Catalog) -> Vec<Arc<SharedStream>> {
    let (streams, key) = (&catalog.streams, catalog.streams.key("ns", "s"));
    let load = Workload::default();
    let read = || async {
        let found = catalog.shared_streams.latest(streams, &load, &key).await;
        found.unwrap().unwrap()
    };
    let mut found = join_all([read(), read()]).await;
    found.push(read().await);
    found
}

#[tokio::test]
async fn readers_share_a_large_stream_while_it_is_in_use() {
    let catalog = catalog(LARGE_OBJECT).await;
    let found = readers(&catalog).await;
    assert!(found.iter().all(|stream| Arc::ptr_eq(stream, &found[0])));
    let weak = Arc::downgrade(&found[0]);
    drop(found);
    assert_eq!(weak.strong_count(), 0);
    assert_eq!(readers(&catalog).await[0].metadata.name, "s");
}

#[tokio::test]
async fn small_streams_are_not_shared() {
    let found = readers(&catalog(10).await).await;
    assert!(!Arc::ptr_eq(&found[0], &found[2]));
}
