//! Writes of any resource: replace, patch, apply and delete, for cases that the recorded
//! conversations do not cover: concurrent writes, oversized objects, dry runs.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::fixtures::{image, stream};
use crate::harness::{Api, Expect, STREAMS, V1, request};
use crate::support::client::{Answer, Request};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
/// The path of the stream `s`.
const S: &str = "namespaces/ns/imagestreams/s";

async fn patch(api: &Api, path: &str, kind: &str, body: &Value) -> Answer {
    api.ask(Request {
        body: Some(body.to_string().into_bytes()),
        ..request("PATCH", path).header("content-type", kind)
    })
    .await
}

/// An apply of the stream `s` that sets one field of its metadata or of its spec.
fn wanted(part: &str, name: &str, value: &Value) -> Value {
    let mut stream = stream("s");
    stream[part][name] = value.clone();
    stream
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().expect("an object has a version")
}

fn managers(object: &Value) -> Vec<&str> {
    let entries =
        object["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(|entry| entry["manager"].as_str()).collect()
}

#[tokio::test]
async fn no_op_update_is_not_stored() {
    let api = Api::start().await;
    let made = api.post(STREAMS, &stream("s")).await.is(201);
    let mut sent = stream("s");
    sent["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    assert_eq!(version(&api.put(S, &sent).await.is(200)), version(&made));
    assert_eq!(version(&api.put(S, &made).await.is(200)), version(&made));
    for (kind, body) in
        [(MERGE, json!({})), (JSON, json!([])), (STRATEGIC, json!({"metadata": {"labels": null}}))]
    {
        assert_eq!(version(&patch(&api, S, kind, &body).await.is(200)), version(&made), "{kind}");
    }
    let applied = patch(
        &api,
        &format!("{S}?fieldManager=m"),
        APPLY,
        &wanted("metadata", "labels", &json!({"a": "b"})),
    )
    .await
    .is(200);
    let again = patch(
        &api,
        &format!("{S}?fieldManager=m"),
        APPLY,
        &wanted("metadata", "labels", &json!({"a": "b"})),
    )
    .await;
    assert_eq!(again.is(200), applied);
}

#[tokio::test]
async fn concurrent_patches_succeed_without_resource_version() {
    let api = Api::with_stream().await;
    let patches: Vec<Value> = (0..32)
        .map(|number| json!({"metadata": {"labels": {format!("l{number}"): "x"}}}))
        .collect();
    let answers = join_all(patches.iter().map(|body| patch(&api, S, MERGE, body))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let stream = api.get(S).await.is(200);
    assert_eq!(stream["metadata"]["labels"].as_object().map(serde_json::Map::len), Some(32));

    let pinned: Vec<Value> = (0..8)
        .map(|number| json!({"metadata": {"resourceVersion": version(&stream), "labels": {"winner": number.to_string()}}}))
        .collect();
    let answers = join_all(pinned.iter().map(|body| patch(&api, S, MERGE, body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        let why = "Operation cannot be fulfilled on imagestreams.image.openshift.io \"s\": the object has been modified; please \
                   apply your changes to the latest version and try again";
        answer.fails(409, "Conflict", why);
    }
}

#[tokio::test]
async fn images_are_replaced_patched_and_applied_like_anything_else() {
    let api = Api::start().await;
    let made = api.post("images", &image("i")).await.is(201);
    let mut sent = image("i");
    sent["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    sent["metadata"]["annotations"] = json!({"a": "1"});
    api.put("images/i", &sent).await.is(200);
    let patched = patch(
        &api,
        "images/i",
        JSON,
        &json!([{"op": "add", "path": "/metadata/labels", "value": {"l": "1"}}]),
    )
    .await;
    assert_eq!(patched.is(200)["metadata"]["annotations"], json!({"a": "1"}));
    let mut applied = image("i");
    applied["metadata"]["labels"] = json!({"m": "2"});
    let applied = patch(&api, "images/i?fieldManager=m", APPLY, &applied).await.is(200);
    assert_eq!(applied["metadata"]["labels"], json!({"l": "1", "m": "2"}));
}

#[tokio::test]
async fn apply_creates_and_conflicts_name_the_managers() {
    let api = Api::start().await;
    let local = |local: bool| wanted("spec", "lookupPolicy", &json!({"local": local}));
    let made = patch(&api, &format!("{S}?fieldManager=one"), APPLY, &local(true)).await.is(201);
    assert_eq!(managers(&made), ["one"]);
    let refused = patch(&api, &format!("{S}?fieldManager=two"), APPLY, &local(false)).await;
    let why = "Apply failed with 1 conflict: conflict with \"one\": .spec.lookupPolicy.local";
    let status = refused.fails(409, "Conflict", why);
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldManagerConflict");
    let forced = patch(&api, &format!("{S}?fieldManager=two&force=true"), APPLY, &local(false))
        .await
        .is(200);
    assert_eq!(
        (managers(&forced), &forced["spec"]["lookupPolicy"]["local"]),
        (vec!["two"], &json!(false))
    );
}

#[tokio::test]
async fn patch_cannot_change_kind_or_version() {
    let api = Api::with_stream().await;
    let refused = async |change: Value| {
        let message =
            patch(&api, S, MERGE, &change).await.is(422)["message"].as_str().unwrap().to_owned();
        message.rsplit_once("}\": ").map(|(_, why)| why.to_owned())
    };
    let other = "converting (v1.Image) to (image.ImageStream): unknown conversion";
    assert_eq!(refused(json!({"kind": "Image"})).await.as_deref(), Some(other));
    let unknown = "no kind \"Pod\" is registered for version \"image.openshift.io/v1\" in scheme \"image.openshift.io\"";
    assert_eq!(refused(json!({"kind": "Pod"})).await.as_deref(), Some(unknown));
    let unknown = "no kind \"ImageStream\" is registered for version \"apps/v1\" in scheme \"image.openshift.io\"";
    assert_eq!(refused(json!({"apiVersion": "apps/v1"})).await.as_deref(), Some(unknown));
    let kept = patch(&api, S, MERGE, &json!({"apiVersion": "v1"})).await.is(200);
    for change in [json!({"kind": "Image"}), json!({"apiVersion": "apps/v1"})] {
        assert_eq!(patch(&api, S, STRATEGIC, &change).await.is(200), kept);
    }
}

#[tokio::test]
async fn the_status_has_owners_of_its_own() {
    // A status write has a managedFields entry of the subresource, and other writes keep the
    // status.
    let api = Api::start().await;
    api.post(STREAMS, &wanted("metadata", "labels", &json!({"a": "b"}))).await.is(201);
    let body = json!({"status": {"tags": [{"tag": "t", "items": null}]}});
    let written =
        patch(&api, &format!("{S}/status?fieldManager=who-knows"), MERGE, &body).await.is(200);
    let entry = written["metadata"]["managedFields"]
        .as_array()
        .and_then(|all| all.last())
        .expect("an entry")
        .clone();
    assert_eq!((&entry["manager"], &entry["subresource"]), (&json!("who-knows"), &json!("status")));
    let main =
        patch(&api, S, MERGE, &json!({"status": {"tags": []}, "metadata": {"labels": {"a": "b"}}}))
            .await
            .is(200);
    assert_eq!(main["status"]["tags"][0]["tag"], "t");
}

#[tokio::test]
async fn a_dry_run_of_any_write_leaves_no_trace() {
    let api = Api::with_stream().await;
    let before = api.get(S).await.is(200);
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    for kind in [MERGE, STRATEGIC] {
        let told = patch(&api, &format!("{S}?dryRun=All"), kind, &labels).await.is(200);
        assert_eq!(
            (&told["metadata"]["labels"]["a"], version(&told)),
            (&json!("b"), version(&before))
        );
    }
    let mut sent = before.clone();
    sent["spec"]["lookupPolicy"]["local"] = true.into();
    let told = api.put(&format!("{S}?dryRun=All"), &sent).await.is(200);
    assert_eq!((&told["metadata"]["generation"], version(&told)), (&json!(2), version(&before)));
    let mut applied = wanted("metadata", "labels", &json!({"a": "b"}));
    patch(&api, &format!("{S}?dryRun=All&fieldManager=m"), APPLY, &applied).await.is(200);
    applied["metadata"]["name"] = "s2".into();
    patch(&api, &format!("{S}2?dryRun=All&fieldManager=m"), APPLY, &applied).await.is(201);
    api.delete(&format!("{S}?dryRun=All")).await.is(200);
    api.delete(&format!("{STREAMS}?dryRun=All")).await.is(200);
    assert_eq!(api.get(S).await.is(200), before);
    assert_eq!(api.get(&format!("{S}2")).await.status, 404);
}

#[tokio::test]
async fn an_object_with_a_finalizer_goes_when_that_has_gone() {
    // The removal of the last finalizer completes a pending deletion.
    let api = Api::start().await;
    let mut sent = stream("s");
    sent["metadata"]["finalizers"] = json!(["example.com/a"]);
    api.post(STREAMS, &sent).await.is(201);
    let going = api.ask(request("DELETE", &format!("{S}?orphanDependents=false"))).await.is(202);
    assert!(going["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(api.delete(S).await.is(200), going);
    let exists = "object is being deleted: imagestreams.image.openshift.io \"s\" already exists";
    api.post(STREAMS, &stream("s")).await.fails(409, "AlreadyExists", exists);
    patch(&api, S, MERGE, &json!({"metadata": {"finalizers": null}})).await.is(200);
    assert_eq!(api.get(S).await.status, 404);
    api.post(STREAMS, &stream("s")).await.is(201);
}

#[tokio::test]
async fn only_what_is_selected_is_deleted_of_a_collection() {
    let api = Api::start().await;
    for (name, label) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let mut sent = stream(name);
        sent["metadata"]["labels"] = json!({"l": label});
        api.post(STREAMS, &sent).await.is(201);
    }
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().expect("a list has items");
        items
            .iter()
            .filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned))
            .collect()
    };
    let deleted = api
        .delete(&format!("{STREAMS}?labelSelector=l%3Dx&fieldSelector=metadata.name%21%3Db"))
        .await
        .is(200);
    assert_eq!(
        (&deleted["kind"], names(&deleted)),
        (&json!("ImageStreamList"), vec!["a".to_owned()])
    );
    assert_eq!(names(&api.get(STREAMS).await.is(200)), ["b", "c"]);
    assert_eq!(names(&api.delete(STREAMS).await.is(200)), ["b", "c"]);
    assert_eq!(api.delete("imagestreams").await.status, 405);
}

#[tokio::test]
async fn fields_that_nobody_knows_are_told_or_refused() {
    let api = Api::start().await;
    let mut sent = stream("s");
    sent["spec"] = json!({"quote\"d": 1});
    let warned = api.post(STREAMS, &sent).await;
    warned.is(201);
    assert_eq!(warned.header("warning"), Some(r#"299 - "unknown field \"spec.quote\\\"d\"""#));
    sent["metadata"]["name"] = "t".into();
    let ignored = api.post(&format!("{STREAMS}?fieldValidation=Ignore&dryRun=All"), &sent).await;
    ignored.is(201);
    assert_eq!(ignored.header("warning"), None);
    let refused = api.post(&format!("{STREAMS}?fieldValidation=Strict"), &sent).await.is(400);
    assert!(refused["message"].as_str().is_some_and(|text| {
        text.ends_with(r#"strict decoding error: unknown field "spec.quote\"d""#)
    }));
    let refused =
        patch(&api, &format!("{S}?fieldValidation=Strict"), MERGE, &json!({"spec": {"x": 1}}))
            .await;
    assert_eq!(refused.status, 422);
}

#[tokio::test]
async fn many_warnings_are_cut_to_what_a_header_can_hold() {
    let api = Api::start().await;
    let mut sent = stream("s");
    let spec: serde_json::Map<String, Value> =
        (0..5000).map(|number| (format!("unknown{number}"), json!(1))).collect();
    sent["spec"] = spec.into();
    let answer = api.post(STREAMS, &sent).await;
    answer.is(201);
    let told: usize = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "warning")
        .map(|(_, value)| value.len())
        .sum();
    assert!((1000..16_000).contains(&told), "{told}");
}

#[tokio::test]
async fn oversized_object_error_names_size_and_limit() {
    let api = Api::with(&["--max-object-size=1048576"]).await;
    api.post(STREAMS, &stream("s")).await.is(201);
    let before = api.get(S).await.is(200);
    let annotations = json!({"a": "x".repeat(600_000)});
    let tag = |name: &str| json!({"name": name, "annotations": annotations});
    patch(&api, S, STRATEGIC, &json!({"spec": {"tags": [tag("a")]}})).await.is(200);
    let refused = patch(&api, S, STRATEGIC, &json!({"spec": {"tags": [tag("b")]}})).await.is(413);
    assert_eq!(refused["reason"], "RequestEntityTooLarge");
    let text = refused["message"].as_str().unwrap_or_default();
    assert!(
        text.starts_with("imagestreams.image.openshift.io \"s\" is too large: it would take 1200"),
        "{text}"
    );
    assert!(text.contains("--max-object-size") && text.contains("1048576"), "{text}");
    let now = api.get(S).await.is(200);
    assert_eq!(now["spec"]["tags"].as_array().map(Vec::len), Some(1));
    assert_ne!(version(&now), version(&before));
}

#[tokio::test]
async fn tag_copies_its_source_stream_at_write_time() {
    let api = Api::with_stream().await;
    let image = image(&crate::fixtures::digest("1"));
    api.push("latest", &image).await;
    let mut other = stream("other");
    other["spec"] =
        json!({"tags": [{"name": "t", "from": {"kind": "ImageStreamTag", "name": "s:latest"}}]});
    let made = api.post(STREAMS, &other).await.is(201);
    assert_eq!(made["status"]["tags"][0]["items"][0]["image"], image["metadata"]["name"]);
    other["metadata"]["name"] = "third".into();
    other["spec"]["tags"][0]["from"]["name"] = "nosuch:latest".into();
    let refused = api.post(STREAMS, &other).await.is(422);
    assert_eq!(refused["details"]["causes"][0]["field"], "[]");
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_a_fault_of_the_request() {
    // Malformed requests fail with 400 or 415, and change nothing.
    let api = Api::with_stream().await;
    let mut sent = stream("s");
    sent["metadata"]["resourceVersion"] = "abc".into();
    api.put(S, &sent).await.fails(
        400,
        "BadRequest",
        "strconv.ParseUint: parsing \"abc\": invalid syntax",
    );
    sent["metadata"]["name"] = "t".into();
    sent["metadata"]["resourceVersion"] = "7".into();
    let why = "resourceVersion should not be set on objects to be created";
    api.post(STREAMS, &sent).await.fails(400, "BadRequest", why);
    let bad = Request {
        body: Some(b"{bad".to_vec()),
        ..request("DELETE", S).header("content-type", "application/json")
    };
    let why = "couldn't get version/kind; json parse error: invalid character 'b' looking for beginning of object key string";
    api.ask(bad).await.fails(400, "BadRequest", why);
    let why = "415: Unsupported Media Type";
    api.ask(request("PATCH", S).json(&json!({}))).await.fails(415, "UnsupportedMediaType", why);
    assert_eq!(api.get(S).await.status, 200, "{V1}");
}

#[tokio::test]
async fn a_create_passes_over_a_version_that_is_none() {
    let api = Api::start().await;
    for (at, version) in ["0", "00", "abc", "-1", "+1", "99999999999999999999"].iter().enumerate() {
        let mut sent = stream(&format!("s{at}"));
        sent["metadata"]["resourceVersion"] = (*version).into();
        let made = api.post(STREAMS, &sent).await.is(201);
        assert_ne!(made["metadata"]["resourceVersion"], **version);
    }
}

#[tokio::test]
async fn delete_collection_honours_limit_and_returns_items() {
    let api = Api::start().await;
    for name in ["a", "b", "c"] {
        api.post(STREAMS, &stream(name)).await.is(201);
    }
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().expect("items");
        items
            .iter()
            .map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let before = api.get(&format!("{STREAMS}?limit=2")).await.is(200);
    let mut refused = request("DELETE", STREAMS);
    refused =
        refused.header("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    api.ask(refused).await.is(406);
    assert_eq!(
        names(&api.get(STREAMS).await.is(200)),
        ["a", "b", "c"],
        "a rejected request deletes nothing"
    );
    let deleted = api.delete(&format!("{STREAMS}?limit=2")).await.is(200);
    assert_eq!(deleted, before);
    assert_eq!(names(&api.get(STREAMS).await.is(200)), ["c"]);
    assert_eq!(names(&api.delete(&format!("{STREAMS}?dryRun=All")).await.is(200)), ["c"]);
    assert_eq!(names(&api.delete(STREAMS).await.is(200)), ["c"]);
    assert_eq!(names(&api.get(STREAMS).await.is(200)), [""; 0]);
}

/// Creates a stream in a dry run from a body of this media type. Returns status, message and
/// warnings.
async fn created(api: &Api, kind: &str, body: &str) -> (u16, String, Vec<String>) {
    let request =
        Request { body: Some(body.into()), ..request("POST", &format!("{STREAMS}?dryRun=All")) };
    let answer = api.ask(request.header("content-type", kind)).await;
    let warnings =
        answer.headers.iter().filter(|(name, _)| name == "warning").map(|(_, value)| value.clone());
    let message = answer.json().map(|body| body["message"].as_str().unwrap_or_default().to_owned());
    (answer.status, message.unwrap_or_default(), warnings.collect())
}

#[tokio::test]
async fn wrong_types_are_refused_and_null_means_empty() {
    let api = Api::start().await;
    let json = |body| created(&api, "application/json", body);
    for (body, why) in [
        (
            r#"{"metadata": {"name": "s"}, "spec": []}"#,
            "json: cannot unmarshal array into Go struct field ImageStream.spec of type v1.ImageStreamSpec",
        ),
        (
            r#"{"metadata": {"name": "s", "creationTimestamp": "bad"}}"#,
            "parsing time \"bad\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"bad\" as \"2006\"",
        ),
        (
            r#"{"apiVersion": "image.openshift.io/v1", "kind": "DeleteOptions"}"#,
            "converting (v1.DeleteOptions) to (image.ImageStream): unknown conversion",
        ),
    ] {
        let (status, message, _) = json(body).await;
        let message = message
            .split_once("cannot be handled as a ImageStream: ")
            .map(|(_, why)| why.to_owned());
        assert_eq!((status, message.as_deref()), (400, Some(why)), "{body}");
    }
    let answer = json(r#"{"metadata": {"name": "s", "labels": {"a": null}}, "unknown": 1}"#).await;
    assert_eq!(
        (answer.0, answer.2),
        (201, vec![r#"299 - "unknown field \"unknown\"""#.to_owned()])
    );
}

#[tokio::test]
async fn warnings_come_with_refusals_too() {
    let api = Api::start().await;
    let refused =
        created(&api, "application/json", r#"{"metadata": {"name": ""}, "foo": 1}"#).await;
    assert_eq!((refused.0, refused.2), (422, vec![r#"299 - "unknown field \"foo\"""#.to_owned()]));
    let double =
        created(&api, "application/yaml", "metadata: {name: s}\nspec: {}\nspec: {}\n").await;
    assert_eq!(
        (double.0, double.2),
        (201, vec![r#"299 - "line 3: key \"spec\" already set in map""#.to_owned()])
    );
}

#[tokio::test]
async fn content_types_must_be_whole() {
    // Malformed parameters of a media type are rejected.
    let api = Api::start().await;
    let body = r#"{"metadata": {"name": "s"}}"#;
    for (kind, status) in [
        ("application/json;", 201),
        ("application/json; charset=utf-8", 201),
        ("APPLICATION/JSON;a=b", 201),
        ("application/json; x", 415),
        ("application/json;a=b;a=c", 415),
    ] {
        assert_eq!(created(&api, kind, body).await.0, status, "{kind}");
    }
}

#[tokio::test]
async fn propagation_policy_must_be_known() {
    let api = Api::with_stream().await;
    let refused = api.delete(&format!("{S}?propagationPolicy=")).await.is(422);
    let told = refused["message"].as_str().unwrap_or_default();
    assert!(told.contains("propagationPolicy: Unsupported value: \"\""), "{told}");
    api.delete(&format!("{S}?gracePeriodSeconds=")).await.is(400);
}
