//! Tests of the errors for unknown and duplicate fields.

use serde_json::json;

use super::*;
use crate::api::{Image, ImageStream};

fn stream(body: &str) -> Limited<String> {
    strict_errors("", body.as_bytes(), &Schema::of::<ImageStream>())
}

#[test]
fn unknown_and_duplicate_fields_are_reported_in_order() {
    let body = r#"{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"name":"fv","labels":{"a":"1","a":"2"},"bogus":1},"spec":{"foo":1,"lookupPolicy":{"local":true,"local":false}},"bar":{"x":1},"Spec":{}}"#;
    let expected = [
        r#"duplicate field "metadata.labels.a""#,
        r#"unknown field "metadata.bogus""#,
        r#"unknown field "spec.foo""#,
        r#"duplicate field "spec.lookupPolicy.local""#,
        r#"unknown field "bar""#,
        r#"unknown field "Spec""#,
    ];
    assert_eq!(stream(body)[..], expected);
    assert_eq!(
        error_message(&stream(r#"{"a":1,"b":1}"#)),
        r#"strict decoding error: unknown field "a", unknown field "b""#
    );
}

#[test]
fn errors_are_unique_and_at_most_one_hundred() {
    assert_eq!(stream(r#"{"a":1,"a":1,"metadata":{"name":"","name":"","name":""}}"#).len(), 2);
    let many: serde_json::Map<_, _> =
        (0..200).map(|number| (format!("f{number}"), json!(1))).collect();
    let many = stream(&Value::Object(many).to_string());
    assert_eq!((many.len(), many.is_cut(), warnings(many).len()), (100, true, 101));
}

#[test]
fn errors_with_a_very_long_path_are_reported() {
    let long = "x".repeat(1_100_000);
    let found = stream(&format!(r#"{{"{long}":1,"bad":2}}"#));
    assert_eq!((found.len(), found.is_cut()), (1, true));
    assert!(found[0].starts_with("unknown field \"xxx"), "{}", &found[0][..100]);
    let found = stream(&format!(r#"{{"bad":2,"{long}":1}}"#));
    assert_eq!((&found[..], found.is_cut()), (&[r#"unknown field "bad""#.to_owned()][..], true));
}

#[test]
fn errors_in_lists_have_the_index_of_the_item() {
    let body = r#"{"spec":{"tags":[{"name":"a"},{"name":"b","nosuch":1}]}}"#;
    assert_eq!(stream(body)[..], [r#"unknown field "spec.tags[1].nosuch""#]);
}

#[test]
fn untyped_values_are_not_checked() {
    let body = r#"{"dockerImageMetadata":{"x":1,"x":2},"metadata":{"managedFields":[{"fieldsV1":{"f:a":{},"f:a":{}}}]}}"#;
    assert_eq!(
        strict_errors("application/json", body.as_bytes(), &Schema::of::<Image>()),
        Limited::default()
    );
}

#[test]
fn invalid_bodies_have_no_errors() {
    for body in ["", "{", r#"{"a":1"#, "5", r#""x""#, "null", "[]"] {
        assert_eq!(stream(body), Limited::default(), "{body}");
    }
}

#[test]
fn duplicate_yaml_keys_are_reported_with_their_line() {
    let body = "metadata:\n  labels:\n    a: b\n    a: c\nfoo: 1\n";
    let expected = strict_errors(
        "application/yaml; charset=utf-8",
        body.as_bytes(),
        &Schema::of::<ImageStream>(),
    );
    let double = "yaml: unmarshal errors:\n  line 4: key \"a\" already set in map";
    assert_eq!(expected[..], [double, r#"unknown field "foo""#]);
}

#[test]
fn values_in_memory_are_checked_like_text() {
    let value = json!({"spec": {"dup": 1, "tags": [{"from": {"x": 1}}]}});
    let expected = [r#"unknown field "spec.dup""#, r#"unknown field "spec.tags[0].from.x""#];
    assert_eq!(unknown_fields(&value, &Schema::of::<ImageStream>())[..], expected);
}

#[test]
fn errors_below_a_long_path_take_bounded_time() {
    let start = std::time::Instant::now();
    let (name, doubles) = ("n".repeat(300_000), r#""a":1,"#.repeat(50_000));
    let body = format!(r#"{{"{name}":{{{doubles}"a":1}}}}"#);
    assert_eq!(duplicate_fields(body.as_bytes()).len(), 1);
    let many: String = (0..50_000).map(|at| format!(r#""k{at}":1,"k{at}":1,"#)).collect();
    let body = format!(r#"{{"{name}":{{{many}"a":1}}}}"#);
    assert!(!duplicate_fields(body.as_bytes()).is_empty());
    assert!(start.elapsed().as_secs() < 20, "took {:?}", start.elapsed());
}
