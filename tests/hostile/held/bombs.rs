//! Bodies in JSON, YAML and protobuf that are small to send and expensive to parse.

use crate::row::{Form, Row, Table};
use crate::site::send;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const REFUSED: &[u16] = &[400, 413, 415, 422];
const DONE_OR_REFUSED: &[u16] = &[201, 400, 409, 413, 415, 422];
/// Size just below the limit of a body.
const ALMOST: usize = (3 << 20) - 1024;

pub(crate) fn table(form: Form) -> Table {
    let size = form.of(ALMOST / 4, ALMOST);
    let row = |name: &str, statuses, kind: &'static str, body: Box<dyn Fn() -> Vec<u8>>| {
        Row::new(name, statuses, move || {
            vec![send("POST", "namespaces/mal/imagestreams", kind, body())]
        })
        .cpu(form.of(6.0, 20.0))
        .memory(form.of(128, 300))
        .answer(form.of(2, 6) << 10)
    };
    let rows = vec![
        row("JSON depth", REFUSED, JSON, Box::new(move || text("[".repeat(size)))),
        row(
            "JSON depth of objects",
            REFUSED,
            JSON,
            Box::new(move || text("{\"a\":".repeat(size / 5))),
        ),
        row(
            "JSON width",
            REFUSED,
            JSON,
            Box::new(move || text(format!("[{}0]", "[],".repeat(size / 3)))),
        ),
        row(
            "JSON keys that repeat",
            DONE_OR_REFUSED,
            JSON,
            Box::new(move || text(metadata(&r#","name":"s""#.repeat(size / 11)))),
        ),
        row(
            "JSON unknown fields",
            DONE_OR_REFUSED,
            JSON,
            Box::new(move || {
                text(metadata(&(0..size / 14).map(|n| format!(r#","u{n}":1"#)).collect::<String>()))
            }),
        ),
        row(
            "JSON long number",
            REFUSED,
            JSON,
            Box::new(move || text(metadata(&format!(r#","generation":{}"#, "9".repeat(size))))),
        ),
        row(
            "JSON exponent",
            REFUSED,
            JSON,
            Box::new(move || text(metadata(r#","generation":1e999999999"#))),
        ),
        row(
            "JSON escapes",
            DONE_OR_REFUSED,
            JSON,
            Box::new(move || {
                text(metadata(&format!(
                    r#","annotations":{{"a":"{}"}}"#,
                    "\\u0041".repeat(size / 6)
                )))
            }),
        ),
        row(
            "JSON lone surrogates",
            DONE_OR_REFUSED,
            JSON,
            Box::new(move || {
                text(metadata(&format!(r#","annotations":{{"a":"{}"}}"#, "\\ud800".repeat(20_000))))
            }),
        ),
        row("JSON with gzip inside", REFUSED, JSON, Box::new(|| vec![0x1f, 0x8b, 8, 0])),
        row("JSON spaces", REFUSED, JSON, Box::new(move || vec![b' '; size])),
        row("YAML references", REFUSED, YAML, Box::new(|| text(references()))),
        row("YAML merges", REFUSED, YAML, Box::new(|| text(merges()))),
        row(
            "YAML anchors",
            DONE_OR_REFUSED,
            YAML,
            Box::new(|| text((0..30_000).map(|n| format!("k{n}: &a{n} x\n")).collect())),
        ),
        row("YAML depth", REFUSED, YAML, Box::new(|| text("[".repeat(100_000)))),
        row(
            "YAML depth by indentation",
            REFUSED,
            YAML,
            Box::new(|| text((0..1_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect())),
        ),
        row("YAML depth by dashes", REFUSED, YAML, Box::new(|| text("- ".repeat(100_000)))),
        row(
            "YAML documents",
            DONE_OR_REFUSED,
            YAML,
            Box::new(|| text("---\na: 1\n".repeat(30_000))),
        ),
        row(
            "YAML long key",
            REFUSED,
            YAML,
            Box::new(|| text(format!("? {}\n: 1\n", "a".repeat(200_000)))),
        ),
        row("YAML reference to itself", REFUSED, YAML, Box::new(|| text("a: &a [*a]\n".into()))),
        row("YAML tags", REFUSED, YAML, Box::new(|| text("!!binary ".repeat(20_000) + "x"))),
        row(
            "YAML quotes",
            REFUSED,
            YAML,
            Box::new(|| text("\"".to_owned() + &"\\x41".repeat(200_000))),
        ),
        row(
            "protobuf empty items",
            REFUSED,
            PROTOBUF,
            Box::new(move || protobuf(&[0x1a, 0].repeat(size / 2))),
        ),
        row(
            "protobuf length of 2^63",
            REFUSED,
            PROTOBUF,
            Box::new(|| protobuf(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
        ),
        row("protobuf varint without end", REFUSED, PROTOBUF, Box::new(|| protobuf(&[0xff; 1000]))),
        row("protobuf groups", REFUSED, PROTOBUF, Box::new(|| protobuf(&[0x0b].repeat(200_000)))),
        row("protobuf depth", DONE_OR_REFUSED, PROTOBUF, Box::new(|| protobuf(&nested(10_000)))),
        row("protobuf without an object", REFUSED, PROTOBUF, Box::new(|| b"k8s\0".to_vec())),
    ];
    Table::new("bombs", rows)
}

fn text(text: String) -> Vec<u8> {
    text.into_bytes()
}

/// ImageStream with additional metadata.
fn metadata(rest: &str) -> String {
    format!(
        r#"{{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{{"name":"s"{rest}}}}}"#
    )
}

/// Nested lists of references: a few lines that expand to billions of items.
fn references() -> String {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(",")));
    }
    text
}

/// Nested YAML merges, each of which doubles the object.
fn merges() -> String {
    let mut text = "a0: &a0 {x: 1, y: 2}\n".to_owned();
    for level in 1..40 {
        let before = level - 1;
        text.push_str(&format!(
            "a{level}: &a{level} {{<<: [*a{before}, *a{before}], z{level}: *a{before}}}\n"
        ));
    }
    text
}

/// Envelope of a protobuf body around an ImageStream.
fn protobuf(stream: &[u8]) -> Vec<u8> {
    let mut body = b"k8s\0\x0a\x24\x0a\x15image.openshift.io/v1\x12\x0bImageStream\x12".to_vec();
    write_varint(&mut body, stream.len());
    body.extend_from_slice(stream);
    body
}

/// Nested messages, each the first field of its parent.
fn nested(depth: usize) -> Vec<u8> {
    let mut message = Vec::new();
    for _ in 0..depth {
        let mut outer = vec![0x0a];
        write_varint(&mut outer, message.len());
        outer.append(&mut message);
        message = outer;
    }
    message
}

fn write_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
