//! YAML as Go writes it.

use super::*;
use serde_json::json;

fn yaml(value: Value) -> String {
    encode(&value).unwrap()
}

#[test]
fn lists_are_not_indented_and_keys_are_in_natural_order() {
    let value =
        json!({"b": [1, {"y": 1, "x": [[]]}, ["p", "q"]], "a10": {}, "a9": null, "B": true});
    assert_eq!(
        yaml(value),
        "B: true\na9: null\na10: {}\nb:\n- 1\n- x:\n  - []\n  \"y\": 1\n- - p\n  - q\n"
    );
}

#[test]
fn strings_are_quoted_by_content_and_by_syntax() {
    let quoted =
        ["", "1.0", "no", "2021-02-03T04:05:06Z", "1:30", "0x1f", "1_000", "-.inf", "~", "1e3"];
    for text in quoted {
        assert_eq!(yaml(json!(text)), format!("\"{text}\"\n"));
    }
    for text in ["a: b", "- x", "#x", " x", "{x", "x:", "x #y", "@x", "%x"] {
        assert_eq!(yaml(json!(text)), format!("'{text}'\n"));
    }
    for text in
        ["a \"b\" c", "<a>@<b>", "a:b", "sha256:12", "1.2.3", "x#y", "-x", "é", "10.0.0.0/8"]
    {
        assert_eq!(yaml(json!(text)), format!("{text}\n"));
    }
}

#[test]
fn numeric_keys_are_ordered_by_value() {
    let ordered = [
        "-", "0", "00", "1", "01", "2", "10", "10a", "a", "a0", "a00", "a1", "a2", "a02", "a10",
        "ab",
    ];
    for (at, left) in ordered.iter().enumerate() {
        for (other, right) in ordered.iter().enumerate() {
            assert_eq!(natural_order(left, right), at.cmp(&other), "{left} {right}");
        }
    }
}

#[test]
fn one_long_key_among_short_ones_takes_bounded_time() {
    let start = std::time::Instant::now();
    for character in ["k", "1"] {
        let short = (0..100_000).map(|at| (format!("{character}{at}"), json!(1)));
        let long = (character.repeat(1_000_000), json!(1));
        assert!(yaml(Value::Object(short.chain([long]).collect())).len() > 1_000_000);
    }
    assert!(start.elapsed().as_secs() < 20, "took {:?}", start.elapsed());
}

#[test]
fn multiline_strings_are_literal_and_controls_escaped() {
    assert_eq!(yaml(json!({"a": "x\ny"})), "a: |-\n  x\n  y\n");
    assert_eq!(yaml(json!({"a": "x\n\n"})), "a: |+\n  x\n\n");
    assert_eq!(yaml(json!({"a": "x\n"})), "a: |\n  x\n");
    assert_eq!(yaml(json!("a\tb\\c\u{1}")), "\"a\\tb\\\\c\\x01\"\n");
    assert_eq!(encode(&json!("\u{7f}")), Err(ControlCharacter));
}

#[test]
fn long_strings_are_folded_at_single_spaces() {
    let long = format!("{} b c", "a".repeat(90));
    assert_eq!(yaml(json!({"k": {"m": long}})), format!("k:\n  m: {}\n    b c\n", "a".repeat(90)));
}

proptest::proptest! {
    #[test]
    fn yaml_survives_a_round_trip(texts in proptest::collection::vec("[ -~éä\n\t]{0,120}", 1..4)) {
        let value = json!({"list": texts, "map": {texts[0].clone(): "x"}});
        let text = encode(&value).unwrap();
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        proptest::prop_assert_eq!(back, value, "{}", text);
    }
}
