//! Watches of tags: events of the tags that a change of their stream changes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{label, version, watch};
use crate::fixtures::{image, mapping, stream};
use crate::harness::{Api, Expect, MAPPINGS, STREAMS, request};

const STREAM_TAGS: &str = "namespaces/ns/imagestreamtags";
const IMAGE_TAGS: &str = "namespaces/ns/imagetags";

/// Starts a server with a stream `s` that has an image under each of these tags.
async fn with_tags(tags: &[&str]) -> Api {
    let api = Api::with_stream().await;
    for tag in tags {
        api.push(tag, &image("i")).await;
    }
    api
}

/// The latest resourceVersion.
async fn latest(api: &Api) -> String {
    version(&api.get(STREAMS).await.is(200)).to_owned()
}

/// Sets a field of the stream `s` by a merge patch.
async fn patch(api: &Api, patch: Value) {
    let request = request("PATCH", &format!("{STREAMS}/s")).json(&patch);
    let request = crate::support::client::Request { headers: Vec::new(), ..request };
    api.ask(request.header("content-type", "application/merge-patch+json")).await.is(200);
}

/// A query for the existing tags, followed by a bookmark.
const INITIAL: &str =
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

#[tokio::test]
async fn watch_of_tags_sends_only_the_tags_that_change() {
    let api = with_tags(&["a", "b"]).await;
    for (path, kind) in [(STREAM_TAGS, "ImageStreamTag"), (IMAGE_TAGS, "ImageTag")] {
        let mut watch = watch(&api, &format!("{path}?{INITIAL}")).await;
        assert_eq!(watch.head.header("content-type"), Some("application/json"));
        assert_eq!(watch.told().await.as_deref(), Some("ADDED s:a"));
        let second = watch.next().await.expect("an event");
        let list = api.get(path).await.is(200);
        let mut item = list["items"][1].clone();
        item["kind"] = kind.into();
        item["apiVersion"] = "image.openshift.io/v1".into();
        assert_eq!(second["object"], item, "an event has the form of an item");
        let mark = watch.next().await.expect("a bookmark");
        assert_eq!((&mark["type"], &mark["object"]["kind"]), (&json!("BOOKMARK"), &json!(kind)));
        assert_eq!(version(&mark["object"]), latest(&api).await);

        api.push("a", &image("j")).await;
        assert_eq!(watch.told().await.as_deref(), Some("MODIFIED s:a"));
        api.push("c", &image("j")).await;
        assert_eq!(watch.told().await.as_deref(), Some("ADDED s:c"));
        api.delete(&format!("{STREAM_TAGS}/s:c")).await.is(200);
        let deleted = watch.next().await.expect("an event");
        assert_eq!(
            (&deleted["type"], &deleted["object"]["kind"]),
            (&json!("DELETED"), &json!(kind))
        );
        assert_eq!(deleted["object"]["metadata"]["name"], "s:c");
        assert_eq!(version(&deleted["object"]), latest(&api).await);
        api.push("a", &image("i")).await;
        assert_eq!(watch.told().await.as_deref(), Some("MODIFIED s:a"));
    }
}

#[tokio::test]
async fn tag_without_image_is_an_event_of_imagetags_only() {
    let api = with_tags(&["a"]).await;
    let start = latest(&api).await;
    let from = json!({"kind": "DockerImage", "name": "registry.example.com/x:1"});
    patch(&api, json!({"spec": {"tags": [{"name": "w", "from": from, "reference": true}]}})).await;
    api.push("a", &image("j")).await;
    let mut stream_tags = watch(&api, &format!("{STREAM_TAGS}?resourceVersion={start}")).await;
    assert_eq!(stream_tags.told().await.as_deref(), Some("MODIFIED s:a"));
    let mut image_tags = watch(&api, &format!("{IMAGE_TAGS}?resourceVersion={start}")).await;
    assert_eq!(image_tags.told().await.as_deref(), Some("ADDED s:w"));
    assert_eq!(image_tags.told().await.as_deref(), Some("MODIFIED s:a"));
}

#[tokio::test]
async fn field_selector_names_the_watched_tag() {
    let api = with_tags(&["a", "b"]).await;
    let mut other = stream("s");
    other["metadata"]["namespace"] = "ns-2".into();
    api.post("namespaces/ns-2/imagestreams", &other).await.is(201);
    let mut push = mapping("s", "b", &image("i"));
    push["metadata"]["namespace"] = "ns-2".into();
    let name = "fieldSelector=metadata.name%3Ds:b";
    let mut one = watch(&api, &format!("{STREAM_TAGS}?{name}")).await;
    let mut all = watch(&api, &format!("imagestreamtags?{name}")).await;
    let both = "fieldSelector=metadata.name%3Ds:b,metadata.namespace%3Dns-2";
    let mut far = watch(&api, &format!("imagestreamtags?{both}")).await;
    for watch in [&mut one, &mut all] {
        assert_eq!(watch.told().await.as_deref(), Some("ADDED s:b"));
    }
    api.push("a", &image("j")).await;
    api.post("namespaces/ns-2/imagestreammappings", &push).await.is(201);
    api.delete(&format!("{STREAM_TAGS}/s:b")).await.is(200);
    assert_eq!(one.told().await.as_deref(), Some("DELETED s:b"));
    assert_eq!(all.told().await.as_deref(), Some("ADDED s:b"));
    assert_eq!(all.told().await.as_deref(), Some("DELETED s:b"));
    assert_eq!(far.told().await.as_deref(), Some("ADDED s:b"));
}

#[tokio::test]
async fn labels_of_the_stream_select_its_tags() {
    let api = with_tags(&["a", "b"]).await;
    let start = latest(&api).await;
    let path = format!("{STREAM_TAGS}?labelSelector=l%3Dyes&resourceVersion={start}");
    label(&api, "s", "no").await;
    label(&api, "s", "yes").await;
    api.push("b", &image("j")).await;
    label(&api, "s", "no").await;
    label(&api, "s", "yes").await;
    api.delete(&format!("{STREAMS}/s")).await.is(200);
    let mut watch = watch(&api, &path).await;
    for told in [
        "ADDED s:a",
        "ADDED s:b",
        "MODIFIED s:b",
        "DELETED s:a",
        "DELETED s:b",
        "ADDED s:a",
        "ADDED s:b",
        "DELETED s:a",
        "DELETED s:b",
    ] {
        let event = watch.next().await.expect("an event");
        assert_eq!(event["object"]["metadata"]["labels"]["l"], "yes", "{told}");
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
        assert_eq!(format!("{} {name}", event["type"].as_str().unwrap_or_default()), told);
    }
}

#[tokio::test]
async fn watch_resumes_within_the_tags_of_one_change() {
    // A client that lost its connection between two tags of one change gets the rest.
    let api = with_tags(&["a", "b", "c"]).await;
    let mut at = latest(&api).await;
    label(&api, "s", "x").await;
    let mut seen = Vec::new();
    for events in 1..=3 {
        let mut watch = watch(&api, &format!("{STREAM_TAGS}?resourceVersion={at}")).await;
        for _ in 0..events {
            let event = watch.next().await.expect("an event");
            at = version(&event["object"]).to_owned();
            seen.push(event["object"]["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        }
    }
    assert_eq!(at, latest(&api).await, "the last event of a change has its version");
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["s:a", "s:b", "s:c"]);
}

#[tokio::test]
async fn change_of_many_tags_is_sent_in_pieces() {
    // Each ImageTag repeats the annotations of its stream: 60 of them take 50 times the stream.
    let api = Api::with_stream().await;
    let from = json!({"kind": "DockerImage", "name": "registry.example.com/x:1"});
    let tag = |number| json!({"name": format!("t{number}"), "from": from, "reference": true});
    let tags: Vec<Value> = (10..70).map(tag).collect();
    patch(&api, json!({"spec": {"tags": tags}})).await;
    let mut live =
        watch(&api, &format!("{IMAGE_TAGS}?resourceVersion={}", latest(&api).await)).await;
    let note = "x".repeat(60_000);
    patch(&api, json!({"metadata": {"annotations": {"note": note}}})).await;
    let mut initial = watch(&api, &format!("{IMAGE_TAGS}?{INITIAL}")).await;
    let end = latest(&api).await;
    for (watch, r#type) in [(&mut live, "MODIFIED"), (&mut initial, "ADDED")] {
        for number in 10..70 {
            let event = watch.next().await.expect("an event");
            assert_eq!(event["type"], r#type);
            assert_eq!(event["object"]["metadata"]["name"], format!("s:t{number}"));
            assert_eq!(event["object"]["metadata"]["annotations"]["note"], note);
            let is_current = version(&event["object"]) == end;
            assert_eq!(is_current, r#type == "ADDED" || number == 69, "{number}");
        }
    }
    assert_eq!(initial.next().await.expect("a bookmark")["type"], "BOOKMARK");
    api.push("t10", &image("i")).await;
    for watch in [&mut live, &mut initial] {
        assert_eq!(watch.told().await.as_deref(), Some("MODIFIED s:t10"));
    }
}

#[tokio::test]
async fn watch_of_tags_reports_compaction_and_wrong_options() {
    let api = with_tags(&["a"]).await;
    let mut gone = watch(&api, &format!("{STREAM_TAGS}?resourceVersion=1")).await;
    let event = gone.next().await.expect("an event");
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(gone.next().await, None);
    for (query, code) in [
        ("resourceVersion=x", 400),
        ("fieldSelector=spec.x%3Dy", 400),
        ("labelSelector=a%20b", 400),
        ("sendInitialEvents=true", 422),
        ("timeoutSeconds=x", 400),
    ] {
        api.get(&format!("{STREAM_TAGS}?watch=true&{query}")).await.is(code);
    }
    let yaml = api.get_as(&format!("{STREAM_TAGS}?watch=true"), "application/yaml").await;
    assert_eq!(yaml.status, 406);
    api.get(&format!("watch/{STREAM_TAGS}")).await.is(404);
    api.get(&format!("watch/{STREAM_TAGS}/s:a")).await.is(404);
    api.ask(request("POST", &format!("{STREAM_TAGS}?watch=true")).json(&json!({}))).await.is(422);
}

#[tokio::test]
async fn watched_tags_are_sent_as_tables_and_metadata() {
    let api = with_tags(&["a", "b"]).await;
    let ask = |path: &str, accept: &str| {
        let target = format!("{path}?watch=true&timeoutSeconds=1");
        request("GET", &target).header("accept", accept)
    };
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut watch = api.client.watch(ask(STREAM_TAGS, table)).await;
    let first = watch.next().await.expect("an event");
    assert_eq!(first["object"]["kind"], "Table");
    assert_eq!(first["object"]["columnDefinitions"][1]["name"], "Image Reference");
    assert_eq!(first["object"]["rows"][0]["cells"][0], "s:a");
    let second = watch.next().await.expect("an event");
    assert_eq!(second["object"]["columnDefinitions"], Value::Null);
    assert_eq!(second["object"]["rows"][0]["cells"][0], "s:b");
    let partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let mut watch = api.client.watch(ask(IMAGE_TAGS, partial)).await;
    let first = watch.next().await.expect("an event");
    assert_eq!(first["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(first["object"]["metadata"]["name"], "s:a");
    let protobuf = "application/vnd.kubernetes.protobuf;stream=watch";
    let answer = api.ask(ask(STREAM_TAGS, protobuf)).await;
    assert_eq!(answer.header("content-type"), Some(protobuf));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(text.matches("ImageStreamTag").count(), 2, "{text}");
}

#[tokio::test]
async fn watch_of_tags_is_not_advertised() {
    let api = Api::start().await;
    let found = api.get("").await.is(200);
    for resource in found["resources"].as_array().expect("resources") {
        let name = resource["name"].as_str().unwrap_or_default();
        if ["imagestreamtags", "imagetags"].contains(&name) {
            let verbs = resource["verbs"].as_array().expect("verbs");
            assert!(!verbs.contains(&"watch".into()), "{resource}");
        }
    }
}

#[tokio::test]
async fn list_of_a_named_tag_has_a_version_to_watch_from() {
    let api = with_tags(&["a"]).await;
    let name = "fieldSelector=metadata.name%3Ds:a";
    let list = api.get(&format!("{STREAM_TAGS}?{name}")).await.is(200);
    assert_eq!(version(&list), latest(&api).await);
    let path = format!("{STREAM_TAGS}?{name}&resourceVersion={}", version(&list));
    api.delete(&format!("{STREAM_TAGS}/s:a")).await.is(200);
    assert_eq!(watch(&api, &path).await.told().await.as_deref(), Some("DELETED s:a"));
    for path in [format!("{STREAM_TAGS}?{name}"), STREAM_TAGS.to_owned()] {
        assert_eq!(api.get(&path).await.is(200)["metadata"], json!({}));
    }
}

/// Tags by namespace and name, without the metadata that follow writes of other tags.
type Tags = BTreeMap<String, Value>;

fn key(tag: &Value) -> String {
    let text = |field: &str| tag["metadata"][field].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text("namespace"), text("name"))
}

fn comparable(mut tag: Value) -> Value {
    for field in ["resourceVersion", "generation", "managedFields"] {
        tag["metadata"].as_object_mut().expect("metadata").remove(field);
    }
    for field in ["kind", "apiVersion"] {
        tag.as_object_mut().expect("an object").remove(field);
    }
    tag
}

async fn listed(api: &Api, path: &str) -> Tags {
    let list = api.get(path).await.is(200);
    let items = list["items"].as_array().expect("items").iter();
    items.map(|item| (key(item), comparable(item.clone()))).collect()
}

/// Applies events; panics if one does not fit.
fn apply(tags: &mut Tags, event: &Value) {
    let (tag, name) = (comparable(event["object"].clone()), key(&event["object"]));
    let replaced = match event["type"].as_str() {
        Some("ADDED" | "MODIFIED") => tags.insert(name.clone(), tag.clone()),
        Some("DELETED") => tags.remove(&name),
        other => panic!("{other:?}"),
    };
    let had = event["type"] != "ADDED";
    assert_eq!(replaced.is_some(), had, "{event}");
    if event["type"] == "MODIFIED" {
        assert_ne!(replaced, Some(tag), "an event without a change");
    }
}

/// A random change of one of two streams with three tags.
async fn change(api: &Api, choice: u64) {
    let pick = |shift: u32, count: u64| (choice >> shift) % count;
    let name = ["s", "t"][pick(8, 2) as usize];
    let tag = ["a", "b", "c"][pick(16, 3) as usize];
    let pushed = image(["i", "j"][pick(24, 2) as usize]);
    let target = format!("{name}:{tag}");
    let from = json!({"kind": "DockerImage", "name": format!("registry.example.com/{tag}:1")});
    // Requests for what does not exist fail, and change nothing.
    match pick(0, 8) {
        0 => api.post(STREAMS, &stream(name)).await,
        1 if pick(32, 3) == 0 => api.delete(&format!("{STREAMS}/{name}")).await,
        2 => api.delete(&format!("{STREAM_TAGS}/{target}")).await,
        3 | 4 => {
            let value = ["yes", "no"][pick(32, 2) as usize];
            let patch = json!({"metadata": {"labels": {"l": value},
                "annotations": {"a": pick(40, 2).to_string()}}});
            let request = request("PATCH", &format!("{STREAMS}/{name}")).json(&patch);
            let request = crate::support::client::Request { headers: Vec::new(), ..request };
            api.ask(request.header("content-type", "application/merge-patch+json")).await
        }
        5 => {
            let tag = json!({"kind": "ImageTag", "apiVersion": "image.openshift.io/v1",
                "metadata": {"name": target}, "spec": {"name": tag, "from": from, "reference": true}});
            api.post(IMAGE_TAGS, &tag).await
        }
        _ => api.post(MAPPINGS, &mapping(name, tag, &pushed)).await,
    };
}

#[tokio::test]
async fn events_of_tags_turn_each_list_into_a_later_one() {
    let api = Api::start().await;
    let queries = ["", "&labelSelector=l%3Dyes", "&fieldSelector=metadata.name%3Ds:a"];
    let paths = [STREAM_TAGS, IMAGE_TAGS, "imagestreamtags"];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..6 {
        let mut lists = Vec::new();
        for path in paths {
            for query in queries {
                lists.push((path, query, listed(&api, &format!("{path}?{query}")).await));
            }
        }
        let start = latest(&api).await;
        for _ in 0..25 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            change(&api, random).await;
        }
        let watches = lists.into_iter().map(async |(path, query, mut tags)| {
            let query = format!("{query}&timeoutSeconds=1");
            let mut watch = watch(&api, &format!("{path}?resourceVersion={start}{query}")).await;
            for event in watch.rest().await {
                apply(&mut tags, &event);
            }
            assert_eq!(tags, listed(&api, &format!("{path}?{query}")).await, "{path} {query}");
        });
        futures_util::future::join_all(watches).await;
    }
}
