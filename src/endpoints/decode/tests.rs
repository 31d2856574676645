//! Limits of YAML bodies.

use super::*;

/// A stream whose `count` tags reuse the fields of a first tag with a merge key.
fn shared_tags(count: usize) -> String {
    let base = "spec:\n  tags:\n  - &base\n    name: x\n    from: {kind: DockerImage, name: registry.example/a:1}\n    \
                importPolicy: {scheduled: true}\n    referencePolicy: {type: Local}\n    annotations: {a: b, c: d, e: f}\n";
    let tag = |at: usize| format!("  - <<: *base\n    name: x{at}\n");
    (0..count).map(tag).fold(base.to_owned(), |text, tag| text + &tag)
}

fn tags(body: &str) -> Result<usize, String> {
    parse_yaml(body.as_bytes()).map(|value| value["spec"]["tags"].as_array().map_or(0, Vec::len))
}

#[test]
fn yaml_may_reuse_an_anchor_many_times() {
    assert!(shared_tags(80).len() < 3 << 10);
    assert_eq!(tags(&shared_tags(80)), Ok(81));
    // The library's default limit is ten aliases for each anchor.
    assert_eq!(tags(&shared_tags(500)), Ok(501));
}

#[test]
fn small_yaml_expands_to_a_bounded_number_of_nodes() {
    let why = tags(&shared_tags(2_000)).unwrap_err();
    assert!(why.contains("limit") || why.contains("budget"), "{why}");
    // Each anchor contains the previous one ten times.
    let level =
        |at: usize| format!("a{at}: &a{at} [{}]\n", vec![format!("*a{}", at - 1); 10].join(","));
    let bomb = (1..9).map(level).fold("a0: &a0 [x]\n".to_owned(), |text, level| text + &level);
    let why = parse_yaml(bomb.as_bytes()).unwrap_err();
    assert!(why.contains("limit") || why.contains("budget"), "{why}");
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1000), vec!["*a"; 300].join(","));
    let why = parse_yaml(long.as_bytes()).unwrap_err();
    assert!(why.contains("budget"), "{why}");
}

#[test]
fn large_yaml_may_have_as_many_values_as_json() {
    let tag = |at: usize| {
        serde_json::json!({
            "name": format!("t{at}"), "generation": 1, "importPolicy": {"scheduled": true, "importMode": "Legacy"},
            "from": {"kind": "DockerImage", "name": format!("registry.example/some/image:{at}")},
            "referencePolicy": {"type": "Local"}, "annotations": {"description": "d", "iconClass": "c", "tags": "t"},
        })
    };
    let tags: Vec<_> = (0..10_000).map(tag).collect();
    let body = serde_json::json!({"spec": {"tags": tags}}).to_string();
    assert!(body_limits::check_value_count(body.as_bytes()).is_ok());
    let value = parse_yaml(body.as_bytes()).unwrap();
    assert_eq!(value["spec"]["tags"].as_array().unwrap().len(), 10_000);
}
