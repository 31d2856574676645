//! Objects with many errors, whose messages once multiplied: gigabytes of text from a few hundred
//! kilobytes.

use serde_json::{Value, json};

use crate::bodies::{digest, image, mapping, repeat, stream};
use crate::row::{Form, Row, Table};
use crate::site::{apply, get, merge_patch, post, send};
use crate::support::client::Request;

const STREAMS: &str = "namespaces/mal/imagestreams";
const STREAM: &str = "namespaces/mal/imagestreams/s";
const MAPPINGS: &str = "namespaces/mal/imagestreammappings";
const REFUSED: &[u16] = &[400, 413, 422];

fn with_stream() -> Vec<Request> {
    vec![post(STREAMS, &stream("s"))]
}

/// Metadata with errors, through every kind of write, each twice in parallel.
pub(crate) fn metadata(form: Form) -> Table {
    let mut rows = Vec::new();
    for (fault, metadata) in faulty_metadata(form) {
        for (way, request) in WAYS {
            let metadata = metadata.clone();
            let requests = move || {
                let request = request(&metadata);
                vec![request.clone(), request]
            };
            // A mapping may also drop fields that it must not set.
            let statuses: &[u16] =
                if way == "mapping" { &[201, 400, 409, 413, 422] } else { REFUSED };
            rows.push(
                Row::new(format!("{fault}, {way}"), statuses, requests)
                    .after(with_stream)
                    .cpu(4.0)
                    .memory(96),
            );
        }
    }
    Table::new("c2 metadata", rows)
}

type Way = fn(&Value) -> Request;
const WAYS: [(&str, Way); 5] = [
    ("create", |metadata| post(STREAMS, &with_metadata(stream("new"), metadata))),
    ("merge patch", |metadata| merge_patch(STREAM, &json!({"metadata": metadata}).to_string())),
    ("apply", |metadata| apply(STREAM, "mal", &with_metadata(stream("s"), metadata))),
    ("mapping", |metadata| {
        post(MAPPINGS, &mapping("s", "t", &with_metadata(image(&digest("bad")), metadata)))
    }),
    ("image", |metadata| post("images", &with_metadata(image(&digest("bad")), metadata))),
];

fn with_metadata(mut object: Value, metadata: &Value) -> Value {
    for (name, value) in metadata.as_object().expect("the metadata is an object") {
        object["metadata"][name] = value.clone();
    }
    object
}

/// Errors that grow with the number of their neighbours or with the length of a client's text.
fn faulty_metadata(form: Form) -> Vec<(&'static str, Value)> {
    let count = form.of(4_000, 12_000);
    let long = "x".repeat(form.of(200_000, 800_000));
    let owner = |n: usize| json!({"apiVersion": "v1", "kind": "A", "name": format!("n{n}"), "uid": "u", "controller": true});
    let owners: Vec<Value> = (0..count).map(owner).collect();
    let labels = |value: &str| {
        (0..count).map(|n| (format!("_{n}"), value.into())).collect::<serde_json::Map<_, _>>()
    };
    let finalizers: Vec<Value> = (0..count).map(|n| format!("_{n}").into()).collect();
    vec![
        ("owners that all control", json!({"ownerReferences": owners})),
        ("bad labels", json!({"labels": labels("_")})),
        ("long bad label", json!({"labels": {"a": long}})),
        ("bad annotations", json!({"annotations": labels("")})),
        ("bad finalizers", json!({"finalizers": finalizers})),
        ("long bad finalizer", json!({"finalizers": [long]})),
    ]
}

/// Unknown fields, conflicts and invalid events below a tag with a long name: each error contains
/// the name.
pub(crate) fn tags(form: Form) -> Table {
    let fields = form.of(4_000, 20_000);
    let events = form.of(8_000, 30_000);
    let long = form.of(200_000, 500_000);
    let unknown = move |length: usize| {
        let name = "n".repeat(length);
        let tag =
            repeat(&format!(r#"{{"name":"{name}","#), fields, |n| format!(r#""u{n}":1"#), "}");
        format!(
            r#"{{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{{"name":"s"}},"spec":{{"tags":[{tag}]}}}}"#
        )
    };
    let apply_text = |body: String| {
        send("PATCH", &format!("{STREAM}?fieldManager=x"), "application/apply-patch+yaml", body)
    };
    let strict = |body: String| {
        send(
            "POST",
            &format!("{STREAMS}?fieldValidation=Strict"),
            "application/json",
            body.replace(r#":"s""#, r#":"new""#),
        )
    };
    let lenient = |body: String| {
        send("POST", STREAMS, "application/json", body.replace(r#":"s""#, r#":"new""#))
    };
    let row = |name: &str, statuses, requests: Box<dyn Fn() -> Vec<Request>>| {
        Row::new(name, statuses, requests).after(with_stream).cpu(4.0).memory(96)
    };
    let rows = vec![
        row(
            "unknown fields of a long tag, apply",
            REFUSED,
            Box::new(move || vec![apply_text(unknown(long))]),
        ),
        row(
            "unknown fields of a tag of 1,000 bytes, apply",
            &[400, 413, 422, 500],
            Box::new(move || vec![apply_text(unknown(1_000))]),
        ),
        row(
            "unknown fields of a long tag, strict create",
            REFUSED,
            Box::new(move || vec![strict(unknown(long))]),
        ),
        row(
            "unknown fields, create with warnings",
            &[201, 400, 413, 422],
            Box::new(move || vec![lenient(unknown(1_000))]),
        ),
        row(
            "conflicts below a tag of 1,000 bytes",
            &[409],
            Box::new(move || vec![conflict(fields)]),
        )
        .after(move || vec![owned_tag(fields)]),
        row(
            "bad events of a tag of 1,000 bytes, patch of status",
            REFUSED,
            Box::new(move || vec![bad_events(events, 1_000)]),
        ),
        row(
            "bad events of a long tag, patch of status",
            REFUSED,
            Box::new(move || vec![bad_events(events / 4, long)]),
        ),
        row(
            "long tag, create",
            REFUSED,
            Box::new(move || vec![post(STREAMS, &tagged("new", &["n".repeat(long)]))]),
        ),
        row(
            "tags of the same long name, create",
            &[201, 422],
            Box::new(move || vec![post(STREAMS, &tagged("new", &vec!["n".repeat(1_000); 700]))]),
        )
        .answer(2_048),
        row(
            "long unknown kind",
            REFUSED,
            Box::new(move || {
                vec![post(
                    STREAMS,
                    &json!({"kind": "x".repeat(long), "apiVersion": "y".repeat(long)}),
                )]
            }),
        ),
        row(
            "long value of the wrong type",
            REFUSED,
            Box::new(move || {
                vec![post(
                    STREAMS,
                    &json!({"kind": "ImageStream", "metadata": {"name": ["x".repeat(long)]}}),
                )]
            }),
        ),
        row(
            "long name",
            REFUSED,
            Box::new(move || vec![post(STREAMS, &stream(&"x/".repeat(long / 2)))]),
        ),
    ];
    Table::new("c2 tags", rows)
}

fn tagged(name: &str, tags: &[String]) -> Value {
    let mut stream = stream(name);
    stream["spec"]["tags"] =
        tags.iter().map(|tag| json!({"name": tag, "annotations": {"": ""}})).collect();
    stream
}

fn annotated_tag(count: usize, value: &str) -> Value {
    let annotations: serde_json::Map<_, _> =
        (0..count).map(|n| (format!("a{n}"), value.into())).collect();
    let mut stream = stream("s");
    stream["spec"]["tags"] = json!([{"name": "n".repeat(1_000), "annotations": annotations}]);
    stream
}

fn owned_tag(count: usize) -> Request {
    apply(STREAM, "a", &annotated_tag(count, "1"))
}

fn conflict(count: usize) -> Request {
    apply(STREAM, "b", &annotated_tag(count, "2"))
}

/// Status with events that reference no images.
fn bad_events(count: usize, name: usize) -> Request {
    let items: Vec<Value> = (0..count)
        .map(|_| json!({"created": null, "dockerImageReference": "", "image": ""}))
        .collect();
    let status = json!({"tags": [{"tag": "n".repeat(name), "items": items}]});
    merge_patch(&format!("{STREAM}/status"), &json!({"status": status}).to_string())
}

/// Errors of all images of a stream, which `imagestreams/layers` lists.
pub(crate) fn images(form: Form) -> Table {
    let count = form.of(150, 1_000);
    let setup = move || {
        let mut requests = with_stream();
        requests.extend((0..count).map(|n| {
            let manifest = json!({"schemaVersion": 2, "mediaType": crate::bodies::OCI_MANIFEST, "n": n,
                "config": {"mediaType": "x".repeat(3_000), "digest": digest(&format!("{n:x}")), "size": 1}, "layers": []});
            let manifest = manifest.to_string();
            let mut image = image(&crate::bodies::digest_of(&manifest));
            image["dockerImageManifestMediaType"] = crate::bodies::OCI_MANIFEST.into();
            image["dockerImageManifest"] = manifest.into();
            post(MAPPINGS, &mapping("s", &format!("t{n}"), &image))
        }));
        requests
    };
    let layers = || vec![get(&format!("{STREAM}/layers")); 2];
    Table::new(
        "c2 images",
        vec![
            Row::new("images without configuration, layers", &[200, 422, 500], layers)
                .after(setup)
                .cpu(4.0),
        ],
    )
}
