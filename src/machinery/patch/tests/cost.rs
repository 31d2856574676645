//! Limits on the work of a patch.

use super::*;

/// Fails if `run` takes long. Linear cost takes a fraction of a second here, quadratic cost
/// minutes.
fn within_deadline<R>(run: impl FnOnce() -> R) -> R {
    let start = std::time::Instant::now();
    let result = run();
    assert!(start.elapsed().as_secs() < 20, "took {:?}", start.elapsed());
    result
}

#[test]
fn unread_pointers_cost_nothing() {
    let from = "/".repeat(1_000_000);
    let kind = json!({"op": "replace", "path": "/kind", "value": "Pod"});
    let unread = json!({"op": "add", "path": "/metadata/annotations", "value": {}, "from": from});
    let patch = Patch::read(JSON, json!([kind, unread]).to_string().as_bytes()).unwrap();
    let after = patch.apply_to(&stream(), &schema()).unwrap();
    assert_eq!(within_deadline(|| patch.invalid(&after, "reason")).code, 422);
}

#[test]
fn errors_sort_the_keys_of_each_object_once() {
    let fields: Map<String, Value> =
        (0..20_000).map(|at| (format!("k{:05}", 20_000 - at), json!(at))).collect();
    let operations: Vec<_> =
        (1..=10_000).map(|at| json!({"op": "test", "path": format!("/a/k{at:05}/x")})).collect();
    let patch = JsonPatch::read(&json!(operations), Status::bad_request).unwrap();
    let shown = within_deadline(|| patch.with_sorted_keys(&json!({"a": fields})));
    assert!(shown["a"].as_object().unwrap().keys().is_sorted());
}

#[test]
fn moves_cannot_nest_a_document_arbitrarily() {
    let nest = |depth: usize| format!("{}1{}", "{\"b\":".repeat(depth), "}".repeat(depth));
    let mut operations = vec![r#"{"op":"add","path":"/y0","value":{}}"#.to_owned()];
    for at in 0..900 {
        operations.push(format!(r#"{{"op":"add","path":"/y{}","value":{}}}"#, at + 1, nest(60)));
        operations.push(format!(
            r#"{{"op":"move","from":"/y{at}","path":"/y{}{}"}}"#,
            at + 1,
            "/b".repeat(60)
        ));
    }
    assert_eq!(
        rejection(JSON, &format!("[{}]", operations.join(","))),
        (422, UNPROCESSABLE.into())
    );
}

#[test]
fn moving_too_many_values_is_rejected() {
    let numbers = json!({"op": "add", "path": "/x", "value": vec![0; 100_000]});
    let moves = vec![json!({"op": "move", "from": "/x/0", "path": "/x/0"}); 9_000];
    let operations: Vec<_> = std::iter::once(numbers).chain(moves).collect();
    let (code, expected) = rejection(JSON, &json!(operations).to_string());
    assert_eq!(code, 413);
    assert!(
        expected.starts_with("the patch takes more steps than the server allows"),
        "{expected}"
    );
}

#[test]
fn all_operations_may_remove_the_first_item() {
    let tag = |at: usize| json!({"name": format!("v{at:05}"), "from": {"kind": "DockerImage", "name": "r.example.com/a/b:c"}, "generation": 1, "referencePolicy": {"type": "Source"}});
    let tags: Vec<Value> = (0..10_000).map(tag).collect();
    let current = json!({"metadata": {}, "spec": {"tags": tags}});
    let operations = vec![json!({"op": "remove", "path": "/spec/tags/0"}); 10_000];
    let patch = Patch::read(JSON, json!(operations).to_string().as_bytes()).unwrap();
    assert_eq!(patch.apply_to(&current, &schema()).unwrap()["spec"]["tags"], json!([]));
}

#[test]
fn nulls_remove_fields_in_linear_time() {
    let labels = |value: &Value| -> Map<String, Value> {
        (0..100_000).map(|at| (format!("k{at}"), value.clone())).collect()
    };
    let current = json!({"metadata": {"labels": labels(&json!(""))}});
    let body = json!({"metadata": {"labels": labels(&Value::Null)}}).to_string();
    for content_type in [MERGE, STRATEGIC] {
        let patch = Patch::read(content_type, body.as_bytes()).unwrap();
        let after = within_deadline(|| patch.apply_to(&current, &schema())).unwrap();
        assert_eq!(after["metadata"]["labels"], json!({}), "{content_type}");
    }
}

#[test]
fn repeated_items_are_bounded_by_the_budget() {
    let list = json!({"name": "a", "x": vec!["y"; 20_000]});
    for more in [
        json!({"name": "a", "$setElementOrder/x": []}),
        json!({"name": "a", "$deleteFromPrimitiveList/x": []}),
    ] {
        let tags = |count: usize| -> Vec<Value> {
            [list.clone(), list.clone()].into_iter().chain(vec![more.clone(); count]).collect()
        };
        let body = |count: usize| json!({"spec": {"tags": tags(count)}}).to_string();
        let (code, expected) = within_deadline(|| rejection(STRATEGIC, &body(20_000)));
        assert_eq!((code, expected.contains("steps")), (413, true), "{expected}");
        let patch = Patch::read(STRATEGIC, body(3).as_bytes()).unwrap();
        assert_eq!(tag_names(&patch.apply_to(&stream(), &schema()).unwrap()), ["a", "b", "c"]);
    }
}
