//! Limits on the size of objects: they hold for every way to write an object, but stored
//! objects above a limit stay valid.

use imagestream_apiserver::store::embedded::{Embedded, Options};
use imagestream_apiserver::store::{Change, Key, Store, Txn};
use serde_json::{Value, json};

use crate::fixtures::{OCI_MANIFEST, history, image, mapping, stream, with_manifest};
use crate::harness::{Api, Expect, MAPPINGS, STREAMS, TestServer, request};
use crate::support::client::{Answer, Request};

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const S: &str = "namespaces/ns/imagestreams/s";
const LONG_NAME: &str = "Too long: may not be more than 1024 bytes, has 1025";

async fn patch(api: &Api, path: &str, kind: &str, body: &Value) -> Answer {
    let body = Some(body.to_string().into_bytes());
    api.ask(Request { body, ..request("PATCH", path).header("content-type", kind) }).await
}

#[track_caller]
fn is_refused(answer: &Answer, way: &str, text: &str) {
    let status = answer.json().expect("the error is a status");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(answer.status == 422 && message.contains(text), "{way}: {} {message}", answer.status);
}

fn owners(count: usize) -> Value {
    (0..count)
        .map(|at| json!({"apiVersion": "v1", "kind": "A", "name": "n", "uid": format!("u{at}")}))
        .collect()
}

fn finalizers(count: usize) -> Value {
    (0..count).map(|at| json!(format!("example.com/f{at}"))).collect()
}

fn labels(count: usize) -> Value {
    (0..count)
        .map(|at| (format!("l{at:0>9}"), json!("x".repeat(54))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[tokio::test]
async fn metadata_has_limits_on_every_way_to_write_it() {
    let lists = [
        (
            "ownerReferences",
            owners(1001),
            owners(1000),
            "Too many: 1001: must have at most 1000 items",
        ),
        (
            "finalizers",
            finalizers(1001),
            finalizers(1000),
            "Too many: 1001: must have at most 1000 items",
        ),
        (
            "labels",
            labels(4097),
            labels(4096),
            "Too long: may not be more than 262144 bytes, has 262208",
        ),
    ];
    for (field, over, fits, text) in lists {
        let api = Api::with_stream().await;
        let with = |mut object: Value, value: &Value| {
            object["metadata"][field] = value.clone();
            object
        };
        is_refused(&api.post(STREAMS, &with(stream("o"), &over)).await, "create", text);
        is_refused(&api.post("images", &with(image("i"), &over)).await, "image", text);
        is_refused(
            &api.post(MAPPINGS, &mapping("s", "t", &with(image("i"), &over))).await,
            "mapping",
            text,
        );
        let present = api.get(S).await.is(200);
        is_refused(&api.put(S, &with(present.clone(), &over)).await, "replace", text);
        let status = format!("{S}/status");
        is_refused(&api.put(&status, &with(present, &over)).await, "status", text);
        let part = json!({"metadata": {field: over}});
        for kind in [MERGE, STRATEGIC] {
            is_refused(&patch(&api, S, kind, &part).await, kind, text);
        }
        let operation = json!([{"op": "add", "path": format!("/metadata/{field}"), "value": over}]);
        is_refused(&patch(&api, S, JSON_PATCH, &operation).await, JSON_PATCH, text);
        let apply = format!("{S}?fieldManager=m");
        is_refused(&patch(&api, &apply, APPLY, &with(stream("s"), &over)).await, APPLY, text);
        api.post(STREAMS, &with(stream("fits"), &fits)).await.is(201);
    }
}

#[tokio::test]
async fn names_of_tags_have_a_limit_on_every_way_to_write_them() {
    let api = Api::with_stream().await;
    let (long, fits) = ("t".repeat(1025), "t".repeat(1024));
    let with_tag = |name: &str, tag: &str| {
        let mut stream = stream(name);
        stream["spec"] = json!({"tags": [{"name": tag}]});
        stream
    };
    is_refused(&api.post(STREAMS, &with_tag("o", &long)).await, "create", LONG_NAME);
    let mut present = api.get(S).await.is(200);
    for kind in [MERGE, STRATEGIC] {
        is_refused(
            &patch(&api, S, kind, &json!({"spec": {"tags": [{"name": long}]}})).await,
            kind,
            LONG_NAME,
        );
    }
    let apply = format!("{S}?fieldManager=m");
    is_refused(&patch(&api, &apply, APPLY, &with_tag("s", &long)).await, APPLY, LONG_NAME);
    is_refused(&api.post(MAPPINGS, &mapping("s", &long, &image("i"))).await, "mapping", LONG_NAME);
    let put = |resource: &str, object: Value| {
        let path = format!("namespaces/ns/{resource}/s:{long}");
        let api = &api;
        async move { api.put(&path, &object).await }
    };
    let tag = json!({"metadata": {"name": format!("s:{long}")}, "tag": {"name": long}});
    assert_eq!(put("imagestreamtags", tag).await.status, 422);
    present["status"]["tags"] = json!([history(&long, &["i"])]);
    is_refused(&api.put(&format!("{S}/status"), &present).await, "status", LONG_NAME);
    api.post(STREAMS, &with_tag("fits", &fits)).await.is(201);
    api.post(MAPPINGS, &mapping("s", &fits, &image("i"))).await.is(201);
}

fn layers(count: usize) -> Value {
    (0..count).map(|at| json!({"name": format!("l{at}"), "size": 1, "mediaType": "l"})).collect()
}

/// An image with a manifest of `named` layers, and `given` layers set by the client.
fn layered(name: &str, named: usize, given: usize) -> Value {
    let named: Value = (0..named)
        .map(|at| json!({"digest": format!("l{at}"), "size": 1, "mediaType": "l"}))
        .collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {"digest": "c"}, "layers": named});
    let mut image = with_manifest(name, &manifest, "{}");
    image["dockerImageLayers"] = layers(given);
    image
}

#[tokio::test]
async fn an_image_has_few_layers_beyond_those_of_its_manifest() {
    let api = Api::with_stream().await;
    let mut bare = image("bare");
    bare["dockerImageLayers"] = layers(501);
    let over = "dockerImageLayers: Too many: 501: must have at most 500 items";
    is_refused(&api.post("images", &bare).await, "create", over);
    is_refused(&api.post(MAPPINGS, &mapping("s", "t", &bare)).await, "mapping", over);
    let over = "dockerImageLayers: Too many: 601: must have at most 600 items";
    is_refused(&api.post("images", &layered("more", 600, 601)).await, "create", over);
    let made = api.post("images", &layered("same", 600, 600)).await.is(201);
    assert_eq!(made["dockerImageLayers"].as_array().map(Vec::len), Some(600));
    let mut pushed = layered("stored", 600, 600);
    pushed["metadata"]["annotations"] = json!({"image.openshift.io/manifestBlobStored": "true"});
    api.post(MAPPINGS, &mapping("s", "t", &pushed)).await.is(201);
    let over = "dockerImageManifest: Too many: 20001: must have at most 20000 items";
    is_refused(&api.post("images", &layered("huge", 20_001, 0)).await, "create", over);
}

#[tokio::test]
async fn an_object_from_before_a_limit_can_change_but_not_grow() {
    let mut api = Api::embedded().await;
    let folder = api.server.folder().join("data");
    api.server.stop().await;
    let mut old = stream("s");
    let (first, second) = ("a".repeat(1500), "b".repeat(1500));
    old["metadata"] =
        json!({"name": "s", "namespace": "ns", "uid": "u", "ownerReferences": owners(2000)});
    old["spec"] = json!({"tags": [{"name": first}]});
    let change = Change::Put(
        Key::new("/image.openshift.io/imagestreams/ns/s"),
        old.to_string().into_bytes().into(),
    );
    let store = Embedded::open(Options::new(&folder)).expect("the server has closed the store");
    store
        .commit(Txn { guards: vec![], changes: vec![change], ..Txn::default() })
        .await
        .expect("the row can be written");
    drop(store);
    api.restart().await;
    let changed = json!({"metadata": {"labels": {"a": "b"}, "ownerReferences": owners(1999)}});
    patch(&api, S, MERGE, &changed).await.is(200);
    api.post(MAPPINGS, &mapping("s", &first, &image("i"))).await.is(201);
    let grown = json!({"metadata": {"ownerReferences": owners(2000)}});
    is_refused(
        &patch(&api, S, MERGE, &grown).await,
        "owners",
        "Too many: 2000: must have at most 1000 items",
    );
    let grown = json!({"spec": {"tags": [{"name": first}, {"name": second}]}});
    is_refused(
        &patch(&api, S, MERGE, &grown).await,
        "tags",
        "may not be more than 1024 bytes, has 1500",
    );
}

#[tokio::test]
async fn warnings_that_headers_have_no_room_for_are_counted() {
    let api = Api::start().await;
    let mut sent = stream("s");
    (0..90).for_each(|at| sent[format!("u{at}")] = 1.into());
    let answer = api.post(STREAMS, &sent).await;
    assert_eq!(answer.status, 201);
    let warnings: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("warning")).collect();
    assert_eq!(warnings.len(), 79);
    assert_eq!(warnings[78].1, r#"299 - "12 more warnings are not shown""#);
}

#[tokio::test]
async fn pull_specs_have_a_limit() {
    let (api, long) = (Api::with_stream().await, format!("{}.example.com/a:b", "r".repeat(1009)));
    let with_reference = |name: &str| {
        let mut image = image(name);
        image["dockerImageReference"] = json!(long);
        image
    };
    is_refused(&api.post("images", &with_reference("i")).await, "image", LONG_NAME);
    // Each tag that follows the pushed one would get a copy.
    let follows = |at: usize| json!({"name": format!("f{at}"), "from": {"kind": "ImageStreamTag", "name": "t"}});
    let tags: Vec<Value> = (0..3).map(follows).collect();
    patch(&api, S, MERGE, &json!({"spec": {"tags": tags}})).await.is(200);
    is_refused(
        &api.post(MAPPINGS, &mapping("s", "t", &with_reference("i"))).await,
        "mapping",
        LONG_NAME,
    );
    let event =
        json!([{"created": null, "dockerImageReference": long, "image": "", "generation": 1}]);
    let mut present = api.get(S).await.is(200);
    present["status"]["tags"] = json!([{"tag": "t", "items": event}]);
    is_refused(&api.put(&format!("{S}/status"), &present).await, "status", LONG_NAME);
    let grammar = "repository name must not be more than 255 characters";
    let from = json!({"kind": "DockerImage", "name": long});
    let tag = json!({"spec": {"tags": [{"name": "x", "from": from, "reference": true}]}});
    is_refused(&patch(&api, S, STRATEGIC, &tag).await, "tag", grammar);
    let repository = json!({"spec": {"dockerImageRepository": long}});
    is_refused(&patch(&api, S, MERGE, &repository).await, "repository", grammar);
}
