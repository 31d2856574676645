//! Many large bodies at once, whose decoded values once took memory in proportion to the number of
//! cores.

use serde_json::{Value, json};

use crate::bodies::{repeat, stream};
use crate::row::{Form, Ground, Row, Table};
use crate::site::{apply, json_patch, merge_patch, post};
use crate::support::client::Request;

const STREAMS: &str = "namespaces/mal/imagestreams";
const STREAM: &str = "namespaces/mal/imagestreams/s";
/// Success, refusal by a limit, or a request to retry.
const ANSWERED: &[u16] = &[200, 409, 413, 422, 429, 504];

/// The same limits for any number of worker threads, which stands for the number of cores.
pub(crate) fn table(form: Form, workers: usize) -> Table {
    let name = if workers == 2 { "c3 2 workers" } else { "c3 16 workers" };
    let (patches, applies) = (form.of(40, 150), form.of(6, 16));
    let (tags, owners) = (form.of(8_000, 49_000), form.of(8_000, 20_000));
    let with_stream = || vec![post(STREAMS, &stream("s"))];
    let row = |name: String, requests: Box<dyn Fn() -> Vec<Request>>| {
        Row::new(name, ANSWERED, requests).after(with_stream).answer(16 << 10)
    };
    let rows = vec![
            row(
                format!("{patches} merge patches of 66,000 objects"),
                Box::new(move || {
                    vec![
                        merge_patch(
                            STREAM,
                            &repeat(r#"{"x":["#, 66_000, |_| r#"{"a":0}"#.into(), "]}")
                        );
                        patches
                    ]
                }),
            )
            .memory(form.of(480, 700))
            .cpu(form.of(40.0, 150.0)),
            // 2 KiB each that expand to 800,000 values, below the threshold of a large request.
            row(
                "32 json patches of doubled objects".into(),
                Box::new(|| vec![json_patch(STREAM, &doubled("{}")); 32]),
            )
            .memory(128)
            .cpu(10.0),
            row(
                format!("{applies} applies of {tags} tags"),
                Box::new(move || vec![apply(STREAM, "mal", &with_tags(tags)); applies]),
            )
            .memory(form.of(300, 1_200))
            .cpu(form.of(60.0, 600.0)),
            row(
                format!("{applies} applies of {owners} owners"),
                Box::new(move || vec![apply(STREAM, "mal", &with_owners(owners)); applies]),
            )
            .memory(300)
            .cpu(form.of(30.0, 200.0)),
        ];
    Table::new(name, rows).on(Ground::with_workers(workers))
}

/// Adds 400 copies of an empty value and doubles them eleven times.
fn doubled(empty: &str) -> String {
    let add = repeat(r#"[{"op":"add","path":"/x","value":[["#, 400, |_| empty.into(), "]]},");
    repeat(&add, 11, |_| r#"{"op":"copy","from":"/x","path":"/x/-"}"#.into(), "]")
}

pub(crate) fn with_tags(count: usize) -> Value {
    let mut stream = stream("s");
    stream["spec"]["tags"] = (0..count).map(|n| json!({"name": format!("t{n}")})).collect();
    stream
}

fn with_owners(count: usize) -> Value {
    let mut stream = stream("s");
    let owner =
        |n: usize| json!({"apiVersion": "v1", "kind": "A", "name": "n", "uid": format!("u{n}")});
    stream["metadata"]["ownerReferences"] = (0..count).map(owner).collect();
    stream
}
