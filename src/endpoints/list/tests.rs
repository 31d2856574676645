//! Reads of the store for lists, counted by a wrapper.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::respond;
use crate::api::{GROUP, ImageStream, VERSION};
use crate::endpoints::context::{RequestContext, Transport};
use crate::endpoints::list_options;
use crate::endpoints::negotiation::{Media, ObjectForm, Representation};
use crate::endpoints::response_body::ResponseBody;
use crate::machinery::group_version::GroupVersion;
use crate::machinery::protobuf;
use crate::machinery::query::Query;
use crate::meta::{Status, Time};
use crate::registry::actor::Actor;
use crate::registry::admission::chain::AdmissionChain;
use crate::registry::guaranteed_update::Storage;
use crate::registry::list::object_stream::ListPage;
use crate::registry::list::stored_objects::StoredObjects;
use crate::registry::object_ref::ObjectRef;
use crate::registry::object_store::ObjectStore;
use crate::registry::strategy::{Dependencies, Strategy, UpdateStrategy, ValidationErrors};
use crate::registry::verbs::Scope;
use crate::store::{
    self, Change, Key, Lookup, Outcome, Outline, Page, Range, Revision, Store, StoreError, Txn,
    Watch,
};

/// A strategy without validation.
struct Plain;

impl UpdateStrategy<ImageStream> for Plain {
    fn validate(
        &self,
        _: Option<&ImageStream>,
        _: &mut ImageStream,
        _: &Dependencies<ImageStream>,
        _: Time,
    ) -> ValidationErrors {
        ValidationErrors::default()
    }
}

impl Strategy<ImageStream> for Plain {
    fn selectable_fields(&self) -> &'static [&'static str] {
        &["spec.dockerImageRepository"]
    }

    fn field(&self, stream: &ImageStream, _: &str) -> String {
        stream.spec.docker_image_repository.clone()
    }

    fn name_errors(&self, _: &str) -> Vec<&'static str> {
        Vec::new()
    }
}

/// A store that counts reads.
struct CountingStore {
    inner: Arc<dyn Store>,
    ranges: AtomicUsize,
    outlines: AtomicUsize,
}

impl Store for CountingStore {
    fn get<'a>(
        &'a self,
        key: &'a Key,
        known: Option<Revision>,
    ) -> BoxFuture<'a, Result<Lookup, StoreError>> {
        self.inner.get(key, known)
    }

    fn range(&self, range: Range) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.ranges.fetch_add(1, Ordering::Relaxed);
        self.inner.range(range)
    }

    fn outline(&self, range: Range) -> BoxFuture<'_, Result<Outline, StoreError>> {
        self.outlines.fetch_add(1, Ordering::Relaxed);
        self.inner.outline(range)
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        self.inner.commit(txn)
    }

    fn watch(&self, prefix: &str, after: Revision) -> Box<dyn Watch> {
        self.inner.watch(prefix, after)
    }

    fn current(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.inner.current()
    }

    fn latest(&self) -> Option<Revision> {
        self.inner.latest()
    }
}

/// Streams of the namespace `ns` in a counting store.
struct Fixture {
    store: Arc<CountingStore>,
    streams: Arc<ObjectStore<ImageStream, Plain>>,
}

impl Fixture {
    fn new() -> Self {
        let inner = store::in_memory().unwrap().store;
        let store = Arc::new(CountingStore {
            inner,
            ranges: AtomicUsize::new(0),
            outlines: AtomicUsize::new(0),
        });
        let api = GroupVersion {
            group: GROUP,
            name: "image.openshift.io/v1",
            version: VERSION,
            kinds: &["ImageStream"],
        };
        let storage = Arc::new(Storage::new(store.clone(), AdmissionChain::default()));
        let streams = Arc::new(ObjectStore::new(storage, api, "imagestreams", Plain));
        Self { store, streams }
    }

    /// Stores a stream with any JSON as its specification.
    async fn put(&self, name: &str, spec: Value) {
        let value = json!({"metadata": {"name": name, "namespace": "ns", "labels": {"of": name}}, "spec": spec});
        let change = Change::Put(self.streams.key("ns", name), value.to_string().into());
        self.store
            .commit(Txn { guards: vec![], changes: vec![change], ..Txn::default() })
            .await
            .unwrap();
    }

    async fn list(&self, form: ObjectForm, query: &str) -> Result<Value, Status> {
        self.respond(&cx(form, query)).await
    }

    /// The response to a request.
    async fn respond(&self, cx: &RequestContext) -> Result<Value, Status> {
        let response = respond(listing(self, cx)?, cx, self.streams.api(), None).await?;
        Ok(serde_json::from_slice(&bytes(response.body).await).unwrap())
    }
}

fn cx(form: ObjectForm, query: &str) -> RequestContext {
    RequestContext {
        actor: Actor::internal("test", Time::from_unix_seconds(1_800_000_000)),
        at: ObjectRef::all_in("ns"),
        query: Query::parse(Some(query)),
        content_type: None,
        agent: String::new(),
        body: Default::default(),
        representation: Representation {
            media: Media::Json { pretty: false },
            form,
            meta_version: "v1",
        },
        transport: Transport::Stream,
        events_sent: None,
    }
}

/// The listing for a request.
fn listing(
    fixture: &Fixture,
    cx: &RequestContext,
) -> Result<ListPage<StoredObjects<ImageStream, Plain>>, Status> {
    fixture.streams.selected(&cx.actor.load, &cx.at, Scope::Namespaced, &list_options::read(cx)?)
}

/// All bytes of a body.
async fn bytes(body: ResponseBody) -> Vec<u8> {
    match body {
        ResponseBody::Full(bytes) => bytes.to_vec(),
        ResponseBody::Chunks(chunks) => chunks.try_collect::<Vec<_>>().await.unwrap().concat(),
        ResponseBody::Events(_) => panic!("a list is no watch"),
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|stream| stream["metadata"]["name"].as_str())
        .collect()
}

#[tokio::test]
async fn a_list_of_metadata_decodes_metadata_only() {
    let fixture = Fixture::new();
    fixture.put("a", json!("not a valid specification")).await;
    assert_eq!(fixture.list(ObjectForm::Object, "").await.unwrap_err().code, 500);
    for query in
        ["", "labelSelector=of%3Da", "fieldSelector=metadata.name%3Da,metadata.namespace%3Dns"]
    {
        let listed = fixture.list(ObjectForm::PartialMetadataList, query).await.unwrap();
        assert_eq!(names(&listed), ["a"], "{query}");
        assert_eq!(
            listed["items"][0]["metadata"]["resourceVersion"],
            listed["metadata"]["resourceVersion"]
        );
    }
}

#[tokio::test]
async fn a_list_of_metadata_can_be_selected_by_fields() {
    let fixture = Fixture::new();
    fixture.put("a", json!({"dockerImageRepository": "r"})).await;
    fixture.put("b", json!({})).await;
    let listed = fixture
        .list(ObjectForm::PartialMetadataList, "fieldSelector=spec.dockerImageRepository%3Dr")
        .await
        .unwrap();
    assert_eq!(names(&listed), ["a"]);
}

#[tokio::test]
async fn a_list_of_one_name_reads_no_other_object() {
    let fixture = Fixture::new();
    fixture.put("b", json!({})).await;
    for unreadable in ["a", "b1", "c1"] {
        fixture.put(unreadable, json!("not a valid specification")).await;
    }
    let list = |query| fixture.list(ObjectForm::Object, query);
    for (query, expected) in [
        ("fieldSelector=metadata.name%3Db", vec!["b"]),
        ("fieldSelector=metadata.name%3Db&limit=1", vec!["b"]),
        ("fieldSelector=metadata.name%3Db&labelSelector=of%3Da", vec![]),
        ("fieldSelector=metadata.name%3Db,metadata.name%3Dc", vec![]),
        ("fieldSelector=metadata.name%3Dc", vec![]),
    ] {
        let listed = list(query).await.unwrap();
        assert_eq!(
            (names(&listed), listed["metadata"].get("continue")),
            (expected, None),
            "{query}"
        );
        let now = fixture.store.current().await.unwrap().to_string();
        assert_eq!(listed["metadata"]["resourceVersion"], now, "{query}");
    }
    assert_eq!(fixture.store.ranges.load(Ordering::Relaxed), 5);
    assert_eq!(
        list("fieldSelector=metadata.name%3D").await.unwrap_err().code,
        500,
        "an empty name is no key"
    );
}

#[tokio::test]
async fn a_name_is_looked_up_in_all_namespaces() {
    let fixture = Fixture::new();
    fixture.put("a", json!({})).await;
    let mut everywhere = cx(ObjectForm::Object, "fieldSelector=metadata.name%3Da");
    everywhere.at.namespace = None;
    let listed = fixture.respond(&everywhere).await.unwrap();
    assert_eq!(names(&listed), ["a"]);
}

#[tokio::test]
async fn remaining_items_are_counted_once_per_page() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c", "d"] {
        fixture.put(name, json!({"dockerImageRepository": "x".repeat(100_000)})).await;
    }
    for (limit, remaining) in [(1, 3), (3, 1)] {
        fixture.store.outlines.store(0, Ordering::Relaxed);
        let cx = cx(ObjectForm::Object, &format!("limit={limit}"));
        let listing = listing(&fixture, &cx).unwrap();
        let ResponseBody::Chunks(chunks) =
            respond(listing, &cx, fixture.streams.api(), None).await.unwrap().body
        else {
            assert_eq!(limit, 1, "a page of three is sent in chunks");
            assert_eq!(fixture.store.outlines.load(Ordering::Relaxed), 1);
            continue;
        };
        assert_eq!(fixture.store.outlines.load(Ordering::Relaxed), 1, "of {limit}");
        let chunks: Vec<_> = chunks.try_collect().await.unwrap();
        let list: Value = serde_json::from_slice(&chunks.concat()).unwrap();
        assert_eq!(list["metadata"]["remainingItemCount"], remaining);
        assert_eq!(list["items"].as_array().unwrap().len(), limit);
    }
}

/// The length of a protobuf list precedes its items. They are read twice, and not kept.
#[tokio::test]
async fn a_long_protobuf_list_begins_before_all_items_are_read() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c", "d"] {
        fixture.put(name, json!({"dockerImageRepository": "x".repeat(100_000)})).await;
    }
    let mut cx = cx(ObjectForm::Object, "");
    cx.representation.media = Media::Protobuf;
    let listing = listing(&fixture, &cx).unwrap();
    let ResponseBody::Chunks(mut chunks) =
        respond(listing, &cx, fixture.streams.api(), None).await.unwrap().body
    else {
        panic!("a list of four is sent in chunks");
    };
    let read = fixture.store.ranges.load(Ordering::Relaxed);
    let mut list = chunks.try_next().await.unwrap().unwrap().to_vec();
    assert!(list.starts_with(b"k8s\0"));
    assert_eq!(
        fixture.store.ranges.load(Ordering::Relaxed),
        read,
        "the first chunk needs no more reads"
    );
    while let Some(chunk) = chunks.try_next().await.unwrap() {
        list.extend_from_slice(&chunk);
    }
    let typed = protobuf::decode_envelope(&list).unwrap();
    assert_eq!(
        (typed.api_version.as_str(), typed.kind.as_str()),
        ("image.openshift.io/v1", "ImageStreamList")
    );
    assert!(list.len() - typed.message.len() < 64, "the length is that of all items");
}
