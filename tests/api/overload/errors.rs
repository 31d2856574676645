//! Bodies with very many errors, or with errors about very long values: each response is small and
//! cheap.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::peak;
use crate::fixtures::{image, mapping, stream};
use crate::harness::{Expect, MAPPINGS, ProcessApi, STREAMS, request};
use crate::support::client::Request;

/// The maximum size of an error response in bytes.
const MOST_BYTES: usize = 128 << 10;
/// The maximum length of one value in an error response, in bytes.
const MOST_SHOWN: usize = 2 << 10;
/// The maximum duration of such a request, in a test build on a busy machine.
const PROMPT: Duration = Duration::from_secs(10);
/// The maximum growth of the server's peak memory in bytes. The values of a 300 kB body alone take
/// about 20 MiB.
const GROWTH: usize = 96 << 20;

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const JSON_PATCH: &str = "application/json-patch+json";
const S: &str = "namespaces/ns/imagestreams/s";

fn patch(path: &str, kind: &str, body: &Value) -> Request {
    let body = Some(body.to_string().into_bytes());
    Request { body, ..request("PATCH", path).header("content-type", kind) }
}

/// A text of the letter that [`longest_run`] counts.
fn long(bytes: usize) -> String {
    "Z".repeat(bytes)
}

fn longest_run(body: &[u8]) -> usize {
    body.split(|byte| *byte != b'Z').map(<[u8]>::len).max().unwrap_or_default()
}

/// Sends each request to a new server with a stream `s`, and checks the response and its cost.
async fn all_are_small(cases: Vec<(&str, u16, Request)>) {
    let mut faults = Vec::new();
    for (name, code, request) in cases {
        let api = ProcessApi::with_stream().await;
        faults.extend(
            faults_of(&api, code, request)
                .await
                .into_iter()
                .map(|fault| format!("{name}: {fault}")),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

async fn is_small(api: &ProcessApi, code: u16, request: Request) {
    let faults = faults_of(api, code, request).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Sends a request and returns the errors in its response and its cost.
async fn faults_of(api: &ProcessApi, code: u16, request: Request) -> Vec<String> {
    let (before, start) = (peak(api), Instant::now());
    let answer = api.ask(request).await;
    let (time, grown) = (start.elapsed(), peak(api).saturating_sub(before));
    let (bytes, shown) = (answer.body.len(), longest_run(&answer.body));
    let head = || String::from_utf8_lossy(&answer.body[..bytes.min(300)]).into_owned();
    let faults = [
        (answer.status != code).then(|| format!("{} instead of {code}: {}", answer.status, head())),
        (bytes >= MOST_BYTES).then(|| format!("a response of {bytes} bytes: {}", head())),
        (shown > MOST_SHOWN).then(|| format!("{shown} bytes of one value: {}", head())),
        (time >= PROMPT).then(|| format!("takes {time:?}")),
        (grown >= GROWTH).then(|| format!("costs {grown} bytes")),
    ];
    faults.into_iter().flatten().collect()
}

fn owners(count: usize) -> Value {
    let owner =
        json!({"apiVersion": "v1", "kind": "A", "name": "n", "uid": "u", "controller": true});
    vec![owner; count].into()
}

#[tokio::test]
async fn owners_that_all_control_cost_little() {
    // Thousands of owner references with `controller: true`.
    let mut sent = stream("o");
    sent["metadata"]["ownerReferences"] = owners(4000);
    let mut pushed = image("i");
    pushed["metadata"]["ownerReferences"] = owners(4000);
    all_are_small(vec![
        ("create", 422, request("POST", STREAMS).json(&sent)),
        ("mapping", 422, request("POST", MAPPINGS).json(&mapping("s", "t", &pushed))),
        (
            "merge patch",
            422,
            patch(S, MERGE, &json!({"metadata": {"ownerReferences": owners(4000)}})),
        ),
    ])
    .await;
}

/// An apply of the stream `s` with one tag that has unknown fields.
fn unknown_fields(name: &str, fields: usize) -> Value {
    let mut tag = json!({"name": name});
    (0..fields).for_each(|at| tag[format!("u{at}")] = 1.into());
    let mut wanted = stream("s");
    wanted["spec"] = json!({"tags": [tag]});
    wanted
}

#[tokio::test]
async fn unknown_fields_below_a_long_name_cost_little() {
    let path = format!("{S}?fieldManager=x");
    let strict = format!("{S}?fieldValidation=Strict");
    let lines = unknown_fields(&"\n".repeat(100_000), 2000);
    let duplicates: String = (0..40).map(|at| format!("\"{}{at}\":1,", long(10_000))).collect();
    let unknown = |body: &str| {
        let body = Some(format!("{{{body}\"kind\":\"ImageStream\"}}").into_bytes());
        Request { body, ..request("POST", &format!("{STREAMS}?fieldValidation=Strict")) }
            .header("content-type", "application/json")
    };
    all_are_small(vec![
        ("apply", 400, patch(&path, APPLY, &unknown_fields(&long(200_000), 4000))),
        ("lines in YAML", 400, patch(&path, APPLY, &lines).header("accept", "application/yaml")),
        ("strict create", 400, unknown(&duplicates)),
        (
            "strict patch",
            422,
            patch(&strict, MERGE, &json!({"spec": {long(300_000): 1, "x": long(300_000)}})),
        ),
    ])
    .await;
}

#[tokio::test]
async fn conflicts_below_a_long_name_cost_little() {
    let wanted = |value: &str| {
        let annotations: serde_json::Map<_, _> =
            (0..10_000).map(|at| (format!("a{at}"), json!(value))).collect();
        let mut wanted = stream("c");
        wanted["spec"] = json!({"tags": [{"name": long(1000), "annotations": annotations}]});
        wanted
    };
    let apply = |manager: &str, value: &str| {
        patch(&format!("{STREAMS}/c?fieldManager={manager}"), APPLY, &wanted(value))
    };
    let api = ProcessApi::start().await;
    api.ask(apply("a", "1")).await.is(201);
    is_small(&api, 409, apply("b", "2")).await;
}

#[tokio::test]
async fn events_of_a_tag_with_a_long_name_cost_little() {
    let api = ProcessApi::with_stream().await;
    let items = vec![
        json!({"created": null, "dockerImageReference": "A B", "image": "", "generation": 1});
        20_000
    ];
    let status = json!({"status": {"tags": [{"tag": long(1000), "items": items}]}});
    is_small(&api, 422, patch(&format!("{S}/status"), MERGE, &status)).await;
}

#[tokio::test]
async fn long_values_are_cut_wherever_an_answer_shows_them() {
    let text = long(700_000);
    let of = |field: &str, value: &str| {
        let mut sent = stream("o");
        sent[field] = value.into();
        request("POST", STREAMS).json(&sent)
    };
    let with_metadata = |field: &str, value: Value| {
        let mut sent = stream("s");
        sent["metadata"]["resourceVersion"] = "1".into();
        sent["metadata"][field] = value;
        sent
    };
    let mut labelled = stream("o");
    labelled["metadata"]["labels"] = json!({ format!("{text}!"): format!("{text}!") });
    let tags = json!([{"name": "t", "from": {"kind": text, "name": format!("{text}:{text}")}}]);
    let mut tagged = stream("o");
    tagged["spec"] = json!({"tags": tags});
    let directive = json!({"spec": {"$patch": text, "x": text}});
    let preconditions = json!({"kind": "DeleteOptions", "preconditions": {"uid": text}});
    all_are_small(vec![
        ("kind", 400, of("kind", &text)),
        ("version", 400, of("apiVersion", &text)),
        ("version of the group", 400, of("apiVersion", &format!("image.openshift.io/{text}"))),
        ("slashes", 400, of("apiVersion", &format!("{text}/{text}/{text}"))),
        ("type", 400, of("metadata", &text)),
        ("labels", 422, request("POST", STREAMS).json(&labelled)),
        (
            "name in the body",
            400,
            request("PUT", S).json(&with_metadata("name", text.as_str().into())),
        ),
        ("uid", 409, request("PUT", S).json(&with_metadata("uid", text.as_str().into()))),
        (
            "version of the object",
            400,
            request("PUT", S).json(&with_metadata("resourceVersion", text.as_str().into())),
        ),
        ("source of a tag", 422, request("POST", STREAMS).json(&tagged)),
        ("merge patch", 422, patch(S, MERGE, &json!({"spec": 5, "x": text}))),
        ("kind by merge patch", 422, patch(S, MERGE, &json!({"kind": text}))),
        ("strategic patch", 400, patch(S, STRATEGIC, &directive)),
        (
            "JSON patch",
            422,
            patch(S, JSON_PATCH, &json!([{"op": "add", "path": "/spec", "value": text}])),
        ),
        ("applied kind", 400, patch(&format!("{S}?fieldManager=x"), APPLY, &json!({"kind": text}))),
        (
            "applied type",
            400,
            patch(
                &format!("{S}?fieldManager=x"),
                APPLY,
                &with_metadata("labels", text.as_str().into()),
            ),
        ),
        ("preconditions", 409, request("DELETE", S).json(&preconditions)),
        ("options", 400, request("DELETE", S).json(&json!({"kind": text, "apiVersion": text}))),
        (
            "image",
            422,
            request("POST", "images")
                .json(&json!({"metadata": {"name": text}, "dockerImageReference": text})),
        ),
        (
            "parameter",
            422,
            request("POST", &format!("{STREAMS}?fieldValidation={}", long(20_000)))
                .json(&stream("o")),
        ),
        (
            "selector",
            400,
            request("GET", &format!("{STREAMS}?labelSelector=a%3D{}!", long(20_000))),
        ),
        ("fields", 400, request("GET", &format!("{STREAMS}?fieldSelector={}%3D1", long(20_000)))),
    ])
    .await;
}
