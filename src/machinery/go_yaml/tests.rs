//! Tests of the YAML reader with values that `sigs.k8s.io/yaml` gives.

use serde_json::json;

use super::*;

fn value(text: &str) -> Value {
    read(text.as_bytes()).unwrap_or_else(|why| panic!("{text:?}: {why}")).value
}

fn error(text: &str) -> String {
    match read(text.as_bytes()) {
        Ok(document) => panic!("{text:?} was read as {}", document.value),
        Err(why) => why,
    }
}

#[test]
fn plain_scalars_have_the_types_of_yaml_1_1() {
    for (text, expected) in [
        ("1.0", json!(1)),
        ("1e3", json!(1000)),
        ("1.5e+06", json!(1_500_000)),
        ("1.5", json!(1.5)),
        ("0777", json!(511)),
        ("08", json!(8)),
        ("0o17", json!(15)),
        ("0b101", json!(5)),
        ("-0x1F", json!(-31)),
        ("1_000", json!(1000)),
        ("-0", json!(0)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64 as f64)),
        ("1e999", json!("1e999")),
        ("1:30", json!("1:30")),
        ("2001-12-14", json!("2001-12-14")),
        ("yes", json!(true)),
        ("OFF", json!(false)),
        ("yEs", json!("yEs")),
        ("~", Value::Null),
        ("'1'", json!("1")),
        ("! 12", json!("12")),
        ("0b-1", json!(-1)),
        (".5_0", json!(0.5)),
        (".5_", json!(".5_")),
        ("!!str 12", json!("12")),
        ("!!float 1", json!(1)),
        ("!!binary 6eE=", json!("\u{fffd}\u{fffd}")),
        ("!!timestamp 2001-12-14", json!("2001-12-14")),
        ("!mine 5", json!("5")),
        ("", Value::Null),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn texts_that_are_not_of_their_tag_are_errors() {
    assert_eq!(error("!!null x"), "yaml: cannot decode !!str `x` as a !!null");
    assert_eq!(error("!!int 1.5"), "yaml: cannot decode !!float `1.5` as a !!int");
    assert_eq!(error("!!binary x"), "yaml: !!binary value contains invalid base64 data");
    assert_eq!(error(".inf"), "json: unsupported value: +Inf");
}

#[test]
fn keys_are_strings_of_their_values() {
    let text = "{n: 1, on: 2, 0x10: 3, 1.50: 4, 1e7: 5, '5': 6, 2001-01-01: 7}";
    let expected =
        json!({"false": 1, "true": 2, "16": 3, "1.5": 4, "1e+07": 5, "5": 6, "2001-01-01": 7});
    assert_eq!(value(text), expected);
    assert!(error("~: x").starts_with("unsupported map key of type"));
    assert!(error("[a]: x").starts_with("yaml: invalid map key"));
}

#[test]
fn line_breaks_are_those_of_yaml_1_1() {
    assert_eq!(value("a: b\u{85}c: d"), json!({"a": "b", "c": "d"}));
    assert_eq!(value("a: b\u{2028}  c"), json!({"a": "b\u{2028}c"}));
    assert_eq!(error("%YAML 1.2\n---\na: b"), "yaml: found incompatible YAML document");
    assert_eq!(value("%YAML 1.1\n---\na: b"), json!({"a": "b"}));
}

#[test]
fn merges_apply_in_order_and_the_last_key_wins() {
    assert_eq!(
        value("a: &a {x: 1, w: 2}\nb: {x: 0, <<: *a, z: 3}")["b"],
        json!({"x": 1, "w": 2, "z": 3})
    );
    let several = "a: &a {x: 1}\nb: &b {x: 2, w: 2}\nc: {<<: [*a, *b]}";
    assert_eq!(value(several)["c"], json!({"x": 1, "w": 2}));
    assert!(error("{<<: x}").contains("map merge requires map"));
    assert_eq!(value("{'<<': x}"), json!({"<<": "x"}));
}

#[test]
fn duplicate_keys_are_reported_with_the_line_of_the_value() {
    let document = read(b"a: 1\nb: {c: 1, c: 2}\na:\n  - 3\n1: x\n1: z").unwrap();
    assert_eq!(document.value, json!({"a": [3], "b": {"c": 2}, "1": "z"}));
    let lines = ["line 2: key \"c\" already set in map", "line 4: key \"a\" already set in map"];
    assert_eq!(document.duplicate_keys[..2], lines);
    assert_eq!(document.duplicate_keys[2], "line 6: key 1 already set in map");
}

#[test]
fn block_scalars_may_end_without_a_break() {
    for (text, expected) in [
        ("a: |\n  text", "text"),
        ("a: |+\n  text", "text"),
        ("a: |-\n  text", "text"),
        ("a: >\n  b\n  text", "b text"),
        ("a: |\n  text\n", "text\n"),
        ("a: |\n  text\n  ", "text\n"),
        ("a: |+\n  text\n\n  ", "text\n\n"),
        ("a: |", ""),
        ("a: |\n", ""),
    ] {
        assert_eq!(value(text), json!({"a": expected}), "{text:?}");
    }
    assert_eq!(value("- |\n a\n- b"), json!(["a\n", "b"]));
}

#[test]
fn only_the_first_document_is_read() {
    assert_eq!(value("a: 1\n---\n{["), json!({"a": 1}));
    assert_eq!(value("# nothing"), Value::Null);
}

#[test]
fn anchors_are_checked_and_depth_is_limited() {
    assert_eq!(error("a: *b"), "yaml: unknown anchor 'b' referenced");
    assert_eq!(error("&a [*a]"), "yaml: anchor 'a' value contains itself");
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(deep(128).as_bytes()).is_ok());
    assert_eq!(error(&deep(129)), "yaml: the document is nested deeper than 128 levels");
    let aliases = (1..130).map(|at| format!("a{at}: &a{at} [*a{}]\n", at - 1));
    let nested = aliases.fold("a0: &a0 x\n".to_owned(), |text, line| text + &line);
    assert_eq!(error(&nested), "yaml: the document is nested deeper than 128 levels");
}

#[test]
fn syntax_errors_have_the_texts_of_the_go_library() {
    for (text, expected) in [
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("{a: b", "yaml: line 1: did not find expected ',' or '}'"),
        ("a: 1\nb", "yaml: line 3: could not find expected ':'"),
        ("a: \u{1}", "yaml: control characters are not allowed"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
    assert_eq!(read(b"a: \xe9").unwrap_err(), "yaml: invalid UTF-8");
    assert_eq!(error("{a: !!str, b: c}"), "yaml: found an unfinished tag");
    assert!(error("\"a\\").starts_with("yaml: "));
}

proptest::proptest! {
    #[test]
    fn no_document_panics(text in "\\PC*|[\\[\\]{}:,?&*!|>'\"%@#~a-c0-9 \\n\\r\\t-]{0,60}") {
        let _ = read(text.as_bytes());
    }

    #[test]
    fn json_is_read_as_json(texts in proptest::collection::vec("[ -~é]{0,20}", 0..5), number: i64) {
        let json = json!({"texts": texts, "number": number, "nested": [{}, [], null, true]});
        proptest::prop_assert_eq!(value(&json.to_string()), json);
    }
}
