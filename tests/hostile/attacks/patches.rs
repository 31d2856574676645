//! Patches whose cost was once quadratic in their length.

use serde_json::{Map, Value, json};

use crate::bodies::{repeat, stream};
use crate::row::{Form, Row, Table};
use crate::site::{apply, json_patch, merge_patch, post, strategic_patch};
use crate::support::client::Request;

const STREAMS: &str = "namespaces/mal/imagestreams";
const STREAM: &str = "namespaces/mal/imagestreams/s";
/// Linear cost, or refusal by a limit.
const DONE_OR_REFUSED: &[u16] = &[200, 400, 413, 422];
const REFUSED: &[u16] = &[400, 413, 422];

fn with_stream() -> Vec<Request> {
    vec![post(STREAMS, &stream("s"))]
}

/// Runs every row twice in parallel: two requests once blocked a server with two workers.
fn twice(request: Request) -> Vec<Request> {
    vec![request.clone(), request]
}

/// JSON patches (RFC 6902).
pub(crate) fn json_patches(form: Form) -> Table {
    let slashes = form.of(300_000, 2_900_000);
    let row = |name: &str, statuses, patch: fn(usize) -> String| {
        let requests = move || twice(json_patch(STREAM, &patch(slashes)));
        Row::new(name, statuses, requests).after(with_stream).memory(128)
    };
    let rows = vec![
        row("from of add, only slashes", &[200], |n| from("add", &"/".repeat(n))),
        row("from of an add that fails, only slashes", REFUSED, |n| {
            json!([{"op": "add", "path": "/metadata/name", "value": "_", "from": "/".repeat(n)}])
                .to_string()
        }),
        row("from of replace, only slashes", DONE_OR_REFUSED, |n| from("replace", &"/".repeat(n))),
        row("from of remove, only slashes", DONE_OR_REFUSED, |n| from("remove", &"/".repeat(n))),
        row("from of test, only slashes", DONE_OR_REFUSED, |n| from("test", &"/".repeat(n))),
        row("from of move, only slashes", REFUSED, |n| from("move", &"/".repeat(n))),
        row("from of copy, only slashes", REFUSED, |n| from("copy", &"/".repeat(n))),
        row("path of add, only slashes", REFUSED, |n| path("add", &"/".repeat(n))),
        row("path of remove, only slashes", REFUSED, |n| path("remove", &"/".repeat(n))),
        row("path of test, escaped slashes", REFUSED, |n| path("test", &"/~1".repeat(n / 3))),
        row("from of add, 64 long steps", &[200], |n| {
            from("add", &format!("/{}", "x".repeat(n / 64)).repeat(64))
        }),
        row("9,000 paths of 64 steps", DONE_OR_REFUSED, |n| {
            let step = |number: usize| path_item("test", &format!("/a{number}{}", "/b".repeat(63)));
            repeat("[", (n / 160).min(9_000), step, "]")
        }),
        row("add to the front of an array", DONE_OR_REFUSED, |n| {
            let add = r#"{"op":"add","path":"/x/0","value":0}"#;
            let grow =
                repeat(r#"[{"op":"add","path":"/x","value":["#, n / 3, |_| "0".into(), "]},");
            repeat(&grow, 9_000, |_| add.into(), "]")
        }),
        row("moves within an array", DONE_OR_REFUSED, |n| {
            let item = r#"{"op":"move","from":"/x/0","path":"/x/0"}"#;
            let grow =
                repeat(r#"[{"op":"add","path":"/x","value":["#, n / 3, |_| "0".into(), "]},");
            repeat(&grow, 9_000, |_| item.into(), "]")
        }),
        row("copies that double", REFUSED, |_| {
            let grow = r#"[{"op":"add","path":"/x","value":["0123456789"]},"#;
            repeat(grow, 40, |_| r#"{"op":"copy","from":"/x","path":"/x/-"}"#.into(), "]")
        }),
        row("tests of a large value", DONE_OR_REFUSED, |n| {
            let grow =
                repeat(r#"[{"op":"add","path":"/x","value":["#, n / 3, |_| "0".into(), "]},");
            repeat(&grow, 9_000, |_| r#"{"op":"test","path":"","value":{}}"#.into(), "]")
        }),
        row("copies of a large value over each other", DONE_OR_REFUSED, |n| {
            let grow =
                repeat(r#"[{"op":"add","path":"/x","value":["#, n / 3, |_| "0".into(), "]},");
            repeat(&grow, 9_000, |_| r#"{"op":"copy","from":"/x","path":"/y"}"#.into(), "]")
        }),
    ];
    Table::new("c1 json patch", rows)
}

/// An `add` of annotations that succeeds, or another operation on an existing path, with a `from`.
fn from(operation: &str, from: &str) -> String {
    let path = match operation {
        "add" | "move" | "copy" => "/metadata/annotations",
        _ => "/metadata/name",
    };
    json!([{"op": operation, "path": path, "value": {}, "from": from}]).to_string()
}

fn path_item(operation: &str, path: &str) -> String {
    json!({"op": operation, "path": path, "value": {}}).to_string()
}

fn path(operation: &str, path: &str) -> String {
    format!("[{}]", path_item(operation, path))
}

/// Patches that set all labels to null; as many labels as a limit of 256 KiB permits.
pub(crate) fn nulls(_form: Form) -> Table {
    const LABELS: usize = 37_000;
    let labels =
        || repeat(r#"{"metadata":{"labels":{"#, LABELS, |n| format!(r#""k{n:05}":"""#), "}}}");
    let nulls =
        || repeat(r#"{"metadata":{"labels":{"#, LABELS, |n| format!(r#""k{n:05}":null"#), "}}}");
    let with_labels = move || {
        let mut requests = with_stream();
        requests.push(merge_patch(STREAM, &labels()));
        requests
    };
    let row = |name, request: fn(&str) -> Request| {
        Row::new(name, &[200, 409], move || twice(request(&nulls())))
            .after(with_labels)
            .cpu(4.0)
            .memory(128)
    };
    let applied = || {
        let labels: Map<String, Value> =
            (0..LABELS).map(|n| (format!("k{n:05}"), "".into())).collect();
        let mut stream = stream("s");
        stream["metadata"]["labels"] = labels.into();
        vec![apply(STREAM, "mal", &stream)]
    };
    let given_up = || twice(apply(STREAM, "mal", &stream("s")));
    Table::new(
        "m2 nulls",
        vec![
            Row::new("all labels, given up by apply", &[200, 409], given_up)
                .after(applied)
                .cpu(4.0)
                .memory(128),
            row("all labels, merge patch", |nulls| merge_patch(STREAM, nulls)),
            row("all labels, strategic patch", |nulls| strategic_patch(STREAM, nulls)),
        ],
    )
}
