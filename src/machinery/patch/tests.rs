//! Tests of patches on an image stream.

mod cost;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::{Image, ImageStream};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

fn schema() -> Schema {
    Schema::of::<ImageStream>()
}

fn stream() -> Value {
    let tag = |name: &str| json!({"name": name, "annotations": null, "generation": 1});
    json!({
        "kind": "ImageStream",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "s", "annotations": {"a/b": "1"}, "finalizers": ["x/a", "x/b"]},
        "spec": {"lookupPolicy": {"local": false}, "tags": [tag("a"), tag("b"), tag("c")]},
    })
}

/// The stream after a patch.
fn patched(content_type: &str, patch: &Value) -> Result<Value, Status> {
    Patch::read(content_type, patch.to_string().as_bytes())?.apply_to(&stream(), &schema())
}

/// Code and message of the error for a patch.
fn rejection(content_type: &str, body: &str) -> (u16, String) {
    let patch = Patch::read(content_type, body.as_bytes());
    let status = patch.and_then(|patch| patch.apply_to(&stream(), &schema())).unwrap_err();
    (status.code, status.message)
}

fn tag_names(stream: &Value) -> Vec<&str> {
    stream["spec"]["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect()
}

const UNPROCESSABLE: &str = "the server rejected our request due to an error in our request";

#[test]
fn operations_are_applied_in_order() {
    let patch = json!([
        {"op": "test", "path": "/metadata/annotations/a~1b", "value": "1"},
        {"op": "replace", "path": "/metadata/annotations/a~1b", "value": "2"},
        {"op": "copy", "from": "/spec/tags/0", "path": "/spec/tags/-"},
        {"op": "replace", "path": "/spec/tags/-1/name", "value": "copy"},
        {"op": "move", "from": "/spec/tags/0", "path": "/spec/tags/1"},
        {"op": "remove", "path": "/metadata/finalizers"},
        {"op": "add", "path": "/metadata/labels", "value": {"l": "1"}},
    ]);
    let after = patched(JSON, &patch).unwrap();
    assert_eq!(tag_names(&after), ["b", "a", "c", "copy"]);
    assert_eq!(
        after["metadata"],
        json!({"name": "s", "annotations": {"a/b": "2"}, "labels": {"l": "1"}})
    );
}

#[test]
fn empty_patches_change_nothing() {
    for patch in [json!([]), json!(null)] {
        assert_eq!(patched(JSON, &patch).unwrap(), stream());
    }
}

#[test]
fn failed_operations_are_422_without_details() {
    for operation in [
        json!({"op": "test", "path": "/metadata/annotations/a~1b", "value": "9"}),
        json!({"op": "remove", "path": "/nosuch/x"}),
        json!({"op": "remove", "path": "/metadata/nosuch"}),
        json!({"op": "bogus", "path": "/a"}),
        json!({"path": "/a"}),
        json!({"op": "add", "path": "/spec/tags/9", "value": {}}),
        json!({"op": "add", "path": "/spec/tags/-9", "value": {}}),
        json!({"op": "add", "path": "/spec/tags/x", "value": {}}),
        json!({"op": "add", "value": {}}),
        json!({"op": "add", "path": "", "value": {}}),
        json!({"op": "copy", "from": "", "path": "/a"}),
        json!({"op": "replace", "path": "", "value": "x"}),
        json!({"op": "move", "from": "/metadata", "path": "/metadata/x"}),
        json!(null),
    ] {
        assert_eq!(
            rejection(JSON, &json!([operation]).to_string()),
            (422, UNPROCESSABLE.into()),
            "{operation}"
        );
    }
}

#[test]
fn replace_creates_fields_and_accepts_the_whole_document() {
    let after =
        patched(JSON, &json!([{"op": "replace", "path": "/metadata/x", "value": 1}])).unwrap();
    assert_eq!(after["metadata"]["x"], 1);
    assert_eq!(
        patched(JSON, &json!([{"op": "replace", "path": "", "value": {}}])).unwrap(),
        json!({})
    );
    let missing = json!([{"op": "test", "path": "/metadata/nosuch", "value": null}]);
    assert_eq!(patched(JSON, &missing).unwrap(), stream());
}

#[test]
fn copies_are_limited_by_their_values_not_only_bytes() {
    let refused = "the copy operations of the patch make more than 20000 values, which is more than the server allows: \
                   split the patch up, or send the values themselves";
    let copies = |value: &Value, times: usize| {
        let add = json!({"op": "add", "path": "/x", "value": vec![value; 400]});
        json!([vec![add], vec![json!({"op": "copy", "from": "/x", "path": "/y"}); times]].concat())
    };
    for empty in [json!({}), json!([]), json!(""), json!(null)] {
        // Each copy has 401 values.
        assert!(patched(JSON, &copies(&empty, 49)).is_ok(), "{empty}");
        assert_eq!(
            rejection(JSON, &copies(&empty, 50).to_string()),
            (413, refused.into()),
            "{empty}"
        );
    }
}

#[test]
fn growing_patches_are_rejected() {
    let copies = vec![json!({"op": "copy", "from": "/spec/tags", "path": "/spec/tags/-"}); 30];
    assert_eq!(rejection(JSON, &json!(copies).to_string()).0, 413);
    let long = json!({"op": "add", "path": "/x", "value": ["x".repeat(1 << 20)]});
    let copies = [vec![long], vec![json!({"op": "copy", "from": "/x", "path": "/y"}); 4]].concat();
    assert_eq!(rejection(JSON, &json!(copies).to_string()).0, 422);
    let dive = |depth: usize| json!({"op": "add", "path": "/a".repeat(depth), "value": {}});
    let dives: Vec<_> = (1..200).map(dive).collect();
    assert_eq!(rejection(JSON, &json!(dives).to_string()).0, 422);
    let many = vec![json!({"op": "test", "path": ""}); 10_001];
    let expected = "The allowed maximum operations in a JSON patch is 10000, got 10001";
    assert_eq!(rejection(JSON, &json!(many).to_string()), (413, expected.into()));
}

#[test]
fn invalid_patches_have_the_errors_of_kubernetes() {
    for (content_type, body, expected) in [
        (
            JSON,
            "[bad",
            "error decoding patch: invalid character 'b' looking for beginning of value",
        ),
        (JSON, "", "error decoding patch: unexpected end of JSON input"),
        (
            JSON,
            r#"{"op":"add"}"#,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
        (
            JSON,
            "[1]",
            "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp",
        ),
        (
            JSON,
            r#"[{"op":1}]"#,
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
        ),
        (
            MERGE,
            "{bad",
            "error decoding patch: invalid character 'b' looking for beginning of object key string",
        ),
        (MERGE, "", "error decoding patch: unexpected end of JSON input"),
        (
            MERGE,
            "[]",
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (MERGE, "null", "Invalid JSON Patch"),
        (
            STRATEGIC,
            "\"x\"",
            "json: cannot unmarshal string into Go value of type map[string]interface {}",
        ),
    ] {
        assert_eq!(rejection(content_type, body), (400, expected.into()), "{content_type} {body}");
    }
    let (code, expected) = rejection(APPLY, "{bad");
    assert!(code == 400 && expected.starts_with("error decoding YAML: "), "{expected}");
    assert_eq!(rejection("text/plain", "{}"), (415, "415: Unsupported Media Type".into()));
}

#[test]
fn a_merge_patch_sets_and_removes_fields_and_replaces_lists() {
    let patch = json!({"metadata": {"annotations": {"a/b": null, "y": "2"}}, "spec": {"tags": [{"name": "x"}]}, "a": {"b": null}});
    let after = patched(MERGE, &patch).unwrap();
    assert_eq!(after["metadata"]["annotations"], json!({"y": "2"}));
    assert_eq!(after["spec"], json!({"lookupPolicy": {"local": false}, "tags": [{"name": "x"}]}));
    assert_eq!(after["a"], json!({}));
    assert_eq!(patched(MERGE, &json!({"spec": null})).unwrap().get("spec"), None);
}

#[test]
fn a_strategic_merge_patch_merges_tags_by_name() {
    let tags = |tags: Value| json!({"spec": {"tags": tags}});
    let after = patched(STRATEGIC, &tags(json!([{"name": "b", "reference": true}]))).unwrap();
    assert_eq!(tag_names(&after), ["a", "b", "c"]);
    assert_eq!(
        after["spec"]["tags"][1],
        json!({"name": "b", "annotations": null, "generation": 1, "reference": true})
    );

    let deleted =
        json!([{"name": "a", "$patch": "delete"}, {"name": "nosuch", "$patch": "delete"}]);
    assert_eq!(tag_names(&patched(STRATEGIC, &tags(deleted)).unwrap()), ["b", "c"]);
    let replaced = json!([{"$patch": "replace"}, {"name": "x"}]);
    assert_eq!(tag_names(&patched(STRATEGIC, &tags(replaced)).unwrap()), ["x"]);
    let added = json!([{"name": "c"}, {"name": "x"}]);
    assert_eq!(tag_names(&patched(STRATEGIC, &tags(added)).unwrap()), ["a", "b", "c", "x"]);
    let annotated = json!([{"name": "a", "annotations": {"k": "v"}}]);
    assert_eq!(
        patched(STRATEGIC, &tags(annotated)).unwrap()["spec"]["tags"][0]["annotations"],
        json!({"k": "v"})
    );
}

#[test]
fn directives_are_applied() {
    let after = |patch: Value| patched(STRATEGIC, &patch).unwrap();
    assert_eq!(after(json!({"spec": {"$patch": "replace"}}))["spec"], json!({}));
    assert_eq!(after(json!({"spec": {"$patch": "delete", "x": 1}}))["spec"], json!({}));
    assert_eq!(after(json!({"metadata": {"$retainKeys": ["x"]}}))["metadata"], json!({}));
    let ordered = json!({"spec": {"$setElementOrder/tags": [{"name": "c"}, {"name": "x"}, {"name": "a"}], "tags": [{"name": "x"}]}});
    assert_eq!(tag_names(&after(ordered)), ["b", "c", "x", "a"]);
    let finalizers =
        |patch: Value| after(json!({"metadata": patch}))["metadata"]["finalizers"].clone();
    assert_eq!(finalizers(json!({"finalizers": ["x/c"]})), json!(["x/c", "x/a", "x/b"]));
    assert_eq!(finalizers(json!({"$deleteFromPrimitiveList/finalizers": ["x/a"]})), json!(["x/b"]));
    let ordered = json!({"$setElementOrder/finalizers": ["x/b", "x/a"]});
    assert_eq!(finalizers(ordered), json!(["x/b", "x/a"]));
}

#[test]
fn new_values_contain_no_directives() {
    let patch = json!({"metadata": {"labels": {"$patch": "replace", "a": "b", "c": null}, "ownerReferences": [{"uid": "u", "$patch": "delete"}]}});
    let after = patched(STRATEGIC, &patch).unwrap();
    assert_eq!(after["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!(after["metadata"]["ownerReferences"], json!([]));
}

#[test]
fn invalid_strategic_merge_patches_have_detailed_errors() {
    let refused = |patch: Value| rejection(STRATEGIC, &patch.to_string());
    for (patch, expected) in [
        (
            json!({"spec": {"tags": [{"noname": "x"}]}}),
            "map: map[noname:x] does not contain declared merge key: name",
        ),
        (
            json!({"spec": {"$patch": "bogus"}}),
            "unknown patch type: bogus in map: map[$patch:bogus]",
        ),
        (json!({"metadata": {"$retainKeys": "x"}}), "invalid patch format of retainKeys"),
        (
            json!({"metadata": {"$retainKeys": ["x"], "name": "y"}}),
            "invalid patch format of retainKeys",
        ),
        (
            json!({"spec": {"$setElementOrder/tags": 1}}),
            "invalid patch format of setElementOrder list",
        ),
        (json!({"spec": {"$setElementOrder": []}}), "invalid patch format of setElementOrder list"),
        (
            json!({"spec": {"$setElementOrder/tags": [{"name": "a"}], "tags": [{"name": "b"}]}}),
            "The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n",
        ),
    ] {
        assert_eq!(refused(patch), (400, expected.into()));
    }
    assert_eq!(refused(json!({"metadata": {"finalizers": [["x"]]}})).0, 400);
    let signed = json!({"signatures": [{"type": "t"}]});
    let patch = Patch::read(STRATEGIC, signed.to_string().as_bytes()).unwrap();
    let after = patch.apply_to(&json!({"metadata": {}}), &Schema::of::<Image>()).unwrap();
    assert_eq!(after["signatures"], signed["signatures"]);
    assert_eq!(patch.apply_to(&after, &Schema::of::<Image>()).unwrap_err().code, 400);
}

#[test]
fn errors_show_the_patched_object() {
    let patch = Patch::read(MERGE, br#"{"kind":"Pod"}"#).unwrap();
    let after = patch.apply_to(
        &json!({"kind": "ImageStream", "apiVersion": "v1", "metadata": {"name": "a", "labels": {}}}),
        &schema(),
    );
    let expected = r#" "" is invalid: patch: Invalid value: "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"labels\":{}}}": reason"#;
    assert_eq!(patch.invalid(&after.unwrap(), "reason").message, expected);

    let patch = Patch::read(STRATEGIC, br#"{"metadata":{"labels":{"a":"1","a":"2"}}}"#).unwrap();
    assert_eq!(patch.strict_errors()[..], [r#"duplicate field "metadata.labels.a""#]);
    let refused = patch.strict_error(&json!({}), patch.strict_errors());
    let expected = r#" "" is invalid: patch: Invalid value: "map[metadata:map[labels:map[a:2]]]": strict decoding error: duplicate field "metadata.labels.a""#;
    assert_eq!((refused.code, refused.message.as_str()), (422, expected));
    let details = json!({"causes": [{"reason": "FieldValueInvalid", "message": &expected[23..], "field": "patch"}]});
    assert_eq!(serde_json::to_value(refused.details).unwrap(), details);
}

#[test]
fn duplicate_fields_of_a_patch_are_strict_errors() {
    let strict_errors = |content_type: &str, body: &str| {
        Patch::read(content_type, body.as_bytes()).unwrap().strict_errors().to_vec()
    };
    let operations = r#"[{"op":"add","op":"add","path":"/a","value":{"a":1,"a":2},"foo":1}]"#;
    assert_eq!(
        strict_errors(JSON, operations),
        [r#"json patch duplicate field "[0].op""#, r#"json patch unknown field "[0].foo""#]
    );
    let tags = r#"{"spec":{"tags":[{"a":1,"a":1}]}}"#;
    assert_eq!(strict_errors(MERGE, tags), [r#"duplicate field "spec.tags[0].a""#]);
    let double = "yaml: unmarshal errors:\n  line 2: key \"a\" already set in map";
    let patch = Patch::read(APPLY, b"a: 1\na: 2\n").unwrap();
    assert_eq!(
        (&patch.strict_errors()[..], patch.apply_configuration()),
        (&[double.to_owned()][..], Some(&json!({"a": 2})))
    );
    let refused = patch.strict_error(&json!({}), patch.strict_errors());
    assert_eq!(
        (refused.code, refused.message),
        (400, format!("error strict decoding YAML: error converting YAML to JSON: {double}"))
    );
}

#[test]
fn errors_sort_the_keys_of_visited_objects() {
    let patch = Patch::read(JSON, br#"[{"op":"add","path":"/b/d/x","value":5}]"#).unwrap();
    let current = json!({"z": {"y": 1, "x": 2}, "b": {"d": {"y": 1}, "c": {"y": 1, "x": 2}}});
    let patched = patch.apply_to(&current, &schema()).unwrap();
    let shown = r#"{"b":{"c":{"y":1,"x":2},"d":{"x":5,"y":1}},"z":{"y":1,"x":2}}"#;
    let expected = patch.invalid(&patched, "reason").message;
    assert!(expected.contains(&format!("Invalid value: {shown:?}: reason")), "{expected}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = "spec|metadata|tags|name|labels|finalizers|\\$patch|\\$retainKeys|\\$setElementOrder/tags|a|";
    let text = "delete|replace|merge|a|b|";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        text.prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(key, inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_operations() -> impl Strategy<Value = Value> {
    let path = "(/(spec|metadata|tags|name|labels|-|0|1|-1|99|a~1b|~|)){0,4}|x";
    let op = "add|remove|replace|move|copy|test|bogus";
    let operation = (op, path, path, any_json()).prop_map(
        |(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}),
    );
    prop::collection::vec(operation, 0..12).prop_map(Value::from)
}

fn any_stream() -> impl Strategy<Value = Value> {
    let tag = ("[a-c]{1,2}", prop::option::of("[xy]"), any::<i8>()).prop_map(
        |(name, annotation, generation)| {
            let annotations = annotation.map(|value| json!({"k": value}));
            json!({"name": name, "annotations": annotations, "generation": generation})
        },
    );
    let tags = prop::collection::btree_map("[a-z]{1,2}", tag, 0..6).prop_map(|tags| {
        let named = |(name, mut tag): (String, Value)| {
            tag["name"] = json!(name);
            tag
        };
        Value::Array(tags.into_iter().map(named).collect())
    });
    let finalizers = prop::collection::btree_set("[a-z]{1,3}/[a-z]", 0..4);
    (tags, finalizers).prop_map(
        |(tags, finalizers)| json!({"metadata": {"name": "s", "finalizers": finalizers}, "spec": {"tags": tags}}),
    )
}

/// The value without `null` fields, which a patch cannot set.
fn without_nulls(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(|value| *value = without_nulls(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_nulls(item.take())),
        _ => {}
    }
    value
}

proptest! {
    #[test]
    fn no_json_makes_a_patch_panic(current in any_json(), patch in prop_oneof![any_json(), any_operations()]) {
        for content_type in [JSON, MERGE, STRATEGIC, APPLY] {
            let patch = Patch::read(content_type, patch.to_string().as_bytes());
            for object in [&current, &stream()] {
                if let Ok(patched) = patch.as_ref().map(|patch| patch.apply_to(object, &schema())) {
                    prop_assert!(patched.is_ok() || [400, 422].contains(&patched.unwrap_err().code));
                }
            }
        }
    }

    #[test]
    fn a_stream_merged_with_itself_is_the_same_stream(stream in any_stream()) {
        for content_type in [MERGE, STRATEGIC] {
            let patch = Patch::read(content_type, stream.to_string().as_bytes()).unwrap();
            let merged = patch.apply_to(&stream, &schema()).unwrap();
            prop_assert_eq!(without_nulls(merged), without_nulls(stream.clone()), "{}", content_type);
        }
    }
}
