//! Warnings of writes that set a tag to which the stream may refer, and from which the server may
//! not import: the registry is allowed without TLS only, and the tag does not say so.

use serde_json::{Value, json};

use crate::harness::{Api, Expect, STREAMS, request};
use crate::support::client::{Answer, Request};

const S: &str = "namespaces/ns/imagestreams/s";
const ALLOWED: &str = "--allowed-registries-for-import=r.invalid:80";

fn spec_tag(name: &str, from: &str) -> Value {
    json!({"name": name, "from": {"kind": "DockerImage", "name": from}})
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "annotations": {"openshift.io/image.insecureRepository": "true"}})
}

fn stream(tags: &[Value]) -> Value {
    json!({
        "apiVersion": "image.openshift.io/v1", "kind": "ImageStream",
        "metadata": metadata("s"), "spec": {"tags": tags},
    })
}

async fn patch(api: &Api, path: &str, kind: &str, body: &Value) -> Answer {
    api.ask(Request {
        body: Some(body.to_string().into_bytes()),
        ..request("PATCH", path).header("content-type", kind)
    })
    .await
}

/// Asserts the warning of a response about a tag.
fn assert_warns(answer: &Answer, tag: &str) {
    let text = answer.header("warning").unwrap_or_default();
    let start = format!("299 - \"this server does not import the image of tag \\\"{tag}\\\": ");
    assert!(text.starts_with(&start), "{tag}: {text}");
    assert!(text.contains("registry \\\"r.invalid:443\\\" is forbidden"), "{text}");
}

#[tokio::test]
async fn writes_of_streams_warn_about_new_tags() {
    let api = Api::with(&[ALLOWED]).await;
    let created = api.post(STREAMS, &stream(&[spec_tag("a", "r.invalid/a:1")])).await;
    created.is(201);
    assert_warns(&created, "a");
    let mut stored = api.get(S).await.is(200);
    stored["metadata"]["labels"] = json!({"x": "y"});
    let unrelated = api.put(S, &stored).await;
    unrelated.is(200);
    assert_eq!(unrelated.header("warning"), None);
    let mut stored = api.get(S).await.is(200);
    stored["spec"]["tags"][0]["from"]["name"] = "r.invalid/a:2".into();
    let changed = api.put(&format!("{S}?dryRun=All"), &stored).await;
    changed.is(200);
    assert_warns(&changed, "a");
    let tags = json!({"spec": {"tags": [spec_tag("b", "r.invalid/a:3")]}});
    let patched = patch(&api, S, "application/strategic-merge-patch+json", &tags).await;
    patched.is(200);
    assert_warns(&patched, "b");
    let path = format!("{S}?fieldManager=test&force=true");
    let apply = stream(&[spec_tag("c", "r.invalid/a:4")]);
    let applied = patch(&api, &path, "application/apply-patch+yaml", &apply).await;
    applied.is(200);
    assert_warns(&applied, "c");
}

#[tokio::test]
async fn writes_of_tags_warn_too() {
    let api = Api::with(&[ALLOWED]).await;
    api.post(STREAMS, &stream(&[])).await.is(201);
    let tag = json!({"metadata": metadata("s:a"), "tag": spec_tag("a", "r.invalid/a:1")});
    let created = api.post("namespaces/ns/imagestreamtags", &tag).await;
    created.is(201);
    assert_warns(&created, "a");
    let tag = json!({"metadata": metadata("s:b"), "spec": spec_tag("b", "r.invalid/a:1")});
    let put = api.put("namespaces/ns/imagetags/s:b", &tag).await;
    put.is(201);
    assert_warns(&put, "b");
    let scheduled = json!({"spec": {"importPolicy": {"scheduled": true}}});
    let path = "namespaces/ns/imagetags/s:b";
    let patched = patch(&api, path, "application/merge-patch+json", &scheduled).await;
    patched.is(200);
    assert_warns(&patched, "b");
}

#[tokio::test]
async fn tags_that_may_be_imported_cause_no_warning() {
    let api = Api::start().await;
    let created = api.post(STREAMS, &stream(&[spec_tag("a", "r.invalid/a:1")])).await;
    created.is(201);
    assert_eq!(created.header("warning"), None);
}
