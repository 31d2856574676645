//! Writes of image streams with kubectl, on both servers.

use serde_json::{Value, json};

use super::objects;
use super::places::{WORKSHOP, places};

/// A stream with a tag that refers to an image of a registry.
fn stream(name: &str, image: &str) -> Value {
    let mut stream = objects::stream(name);
    stream["metadata"]["labels"] = json!({"app": name});
    stream["spec"] =
        json!({"tags": [{"name": "v1", "from": {"kind": "DockerImage", "name": image}}]});
    stream
}

const ONE: &str = "registry.example.com/shop/web:1";
const TWO: &str = "registry.example.com/shop/web:2";

/// The names of the spec tags, and the source of the first.
fn tags(stream: &Value) -> (Vec<&str>, &str) {
    let tags = stream["spec"]["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = tags.iter().filter_map(|tag| tag["name"].as_str()).collect();
    (names, tags.first().and_then(|tag| tag["from"]["name"].as_str()).unwrap_or_default())
}

#[tokio::test]
async fn create_works_once_and_refuses_unknown_fields() {
    for place in places().await {
        let created = place.give(&["create"], &stream("created", ONE)).done();
        assert_eq!(created, "imagestream.image.openshift.io/created created\n");
        let refused = place.give(&["create"], &stream("created", ONE)).failed();
        assert!(
            refused.contains("imagestreams.image.openshift.io \"created\" already exists"),
            "{refused}"
        );
        let mut strange = stream("strange", ONE);
        strange["spec"]["tgas"] = json!([]);
        let refused = place.give(&["create"], &strange).failed();
        assert!(refused.contains("unknown field \"spec.tgas\""), "{refused}");
        place.give(&["create", "--dry-run=server"], &stream("tried", ONE)).done();
        for missing in ["strange", "tried"] {
            assert!(
                place.run(&["get", "imagestream", missing]).failed().contains("(NotFound)"),
                "{missing}"
            );
        }
    }
}

#[tokio::test]
async fn client_side_apply_is_idempotent() {
    for place in places().await {
        let what = "imagestream/applied";
        let applied = place.give(&["apply"], &stream("applied", ONE)).done();
        assert_eq!(applied, "imagestream.image.openshift.io/applied created\n");
        let version = place.version(what);
        place.give(&["apply"], &stream("applied", ONE)).done();
        assert_eq!(place.version(what), version);

        let mut changed = stream("applied", TWO);
        changed["metadata"]["labels"] = json!({});
        changed["spec"]["tags"]
            .as_array_mut()
            .expect("the value is a list")
            .push(json!({"name": "v2"}));
        let applied = place.give(&["apply"], &changed).done();
        assert_eq!(applied, "imagestream.image.openshift.io/applied configured\n");
        let object = place.get(what);
        assert_eq!(tags(&object), (vec!["v1", "v2"], TWO));
        assert_eq!(object["metadata"]["labels"], Value::Null);
        place.give(&["apply"], &stream("applied", TWO)).done();
        assert_eq!(tags(&place.get(what)), (vec!["v1"], TWO));
    }
}

#[tokio::test]
async fn server_side_apply_of_the_same_again_changes_nothing() {
    for place in places().await {
        let apply = || place.give(&["apply", "--server-side"], &stream("declared", ONE)).done();
        assert_eq!(apply(), "imagestream.image.openshift.io/declared serverside-applied\n");
        let before = place.get("imagestream/declared");
        apply();
        assert_eq!(place.get("imagestream/declared"), before);
        let entry = &before["metadata"]["managedFields"][0];
        assert_eq!(
            (&entry["manager"], &entry["operation"]),
            (&"kubectl".into(), &"Apply".into()),
            "{entry}"
        );
    }
}

#[tokio::test]
async fn two_managers_conflict_until_one_takes_the_fields_over() {
    for place in places().await {
        let apply = |manager: &str, image: &str, more: &[&str]| {
            let manager = format!("--field-manager={manager}");
            place.give(
                &[&["apply", "--server-side", &manager], more].concat(),
                &stream("disputed", image),
            )
        };
        apply("one", ONE, &[]).done();
        let refused = apply("two", TWO, &[]).failed();
        assert!(
            refused.contains("conflict with \"one\": .spec.tags[name=\"v1\"].from"),
            "{refused}"
        );
        assert_eq!(tags(&place.get("imagestream/disputed")).1, ONE);
        apply("two", TWO, &["--force-conflicts"]).done();
        assert_eq!(tags(&place.get("imagestream/disputed")).1, TWO);
        assert!(apply("one", ONE, &[]).failed().contains("conflict with \"two\""));
        // Both managers own fields on which they agree.
        apply("one", TWO, &[]).done();
    }
}

#[tokio::test]
async fn apply_removes_dropped_fields_that_nobody_else_owns() {
    for place in places().await {
        let apply = |tags: Value| {
            let mut object = objects::stream("shared");
            object["spec"] = json!({ "tags": tags });
            place.give(&["apply", "--server-side"], &object).done();
        };
        let tag = |name: &str| json!({"name": name, "from": {"kind": "DockerImage", "name": ONE}});
        apply(json!([tag("mine"), tag("gone")]));
        let theirs = json!({ "spec": { "tags": [tag("theirs")] } }).to_string();
        place.run(&["patch", "imagestream/shared", "--patch", &theirs]).done();
        apply(json!([tag("mine")]));
        let object = place.get("imagestream/shared");
        let mut names = tags(&object).0;
        names.sort_unstable();
        assert_eq!(names, ["mine", "theirs"]);
    }
}

#[tokio::test]
async fn diff_ends_with_0_or_1_and_writes_nothing() {
    for place in places().await {
        place.give(&["apply"], &stream("compared", ONE)).done();
        let version = place.version("imagestream/compared");
        let diff = |image: &str, more: &[&str]| {
            place.give(&[&["diff"], more].concat(), &stream("compared", image))
        };
        diff(ONE, &[]).done();
        for more in [&[][..], &["--server-side", "--force-conflicts"]] {
            let said = diff(TWO, more);
            assert_eq!(said.code, Some(1), "{said:?}");
            let has = |line: String| {
                said.output.lines().any(|each| each.split_whitespace().eq(line.split_whitespace()))
            };
            assert!(has(format!("- name: {ONE}")) && has(format!("+ name: {TWO}")), "{said:?}");
        }
        let said = place.give(&["diff"], &stream("compared-to-nothing", ONE));
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(
            place.run(&["get", "imagestream/compared-to-nothing"]).failed().contains("(NotFound)")
        );
        assert_eq!(place.version("imagestream/compared"), version);
    }
}

#[tokio::test]
async fn edit_writes_what_somebody_changed_and_nothing_else() {
    for place in places().await {
        let what = "imagestream/edited";
        place.give(&["create"], &stream("edited", ONE)).done();
        place.run(&["annotate", what, "example.com/by=nobody"]).done();
        let before = place.get(what);
        let edited = place.edit(what, "nobody", "somebody").done();
        assert_eq!(edited, "imagestream.image.openshift.io/edited edited\n");
        let after = place.get(what);
        assert_eq!(after["metadata"]["annotations"], json!({"example.com/by": "somebody"}));
        assert_eq!(after["spec"], before["spec"]);
        place.edit(what, "no-such-text", "x").done();
        assert_eq!(
            place.version(what),
            after["metadata"]["resourceVersion"].as_str().unwrap_or_default()
        );
    }
}

#[tokio::test]
async fn each_kind_of_patch_is_taken() {
    for place in places().await {
        let what = "imagestream/patched";
        place.give(&["create"], &stream("patched", ONE)).done();
        let patch = |kind: &str, patch: &Value| {
            place.run(&["patch", what, &format!("--type={kind}"), "--patch", &patch.to_string()])
        };
        patch("json", &json!([{"op": "add", "path": "/metadata/labels/by", "value": "json"}]))
            .done();
        assert_eq!(place.get(what)["metadata"]["labels"], json!({"app": "patched", "by": "json"}));
        let test = json!([{"op": "test", "path": "/metadata/labels/by", "value": "nobody"}]);
        patch("json", &test).failed();
        patch("merge", &json!({"metadata": {"labels": {"app": null, "by": "merge"}}})).done();
        assert_eq!(place.get(what)["metadata"]["labels"], json!({"by": "merge"}));
        // Tags merge by name, so the first one stays.
        let tag = json!({"name": "v2", "from": {"kind": "DockerImage", "name": TWO}});
        let added = json!({"spec": {"tags": [tag]}});
        patch("strategic", &added).done();
        let object = place.get(what);
        assert_eq!(tags(&object).0.len(), 2, "{object}");
        let again = patch("strategic", &added).done();
        assert_eq!(again, "imagestream.image.openshift.io/patched patched (no change)\n");
        patch("strategic", &json!({"spec": {"tags": [{"name": "v1", "$patch": "delete"}]}})).done();
        assert_eq!(tags(&place.get(what)), (vec!["v2"], TWO));
        patch("merge", &json!({"spec": {"tags": []}})).done();
        assert_eq!(tags(&place.get(what)).0, Vec::<&str>::new());
    }
}

#[tokio::test]
async fn label_and_annotate_set_change_and_remove() {
    for place in places().await {
        let what = "imagestream/marked";
        place.give(&["create"], &objects::stream("marked")).done();
        for (verb, marks) in [("label", "labels"), ("annotate", "annotations")] {
            place.run(&[verb, what, "colour=red"]).done();
            assert_eq!(place.get(what)["metadata"][marks], json!({"colour": "red"}));
            place.run(&[verb, what, "colour=blue"]).failed();
            place.run(&[verb, what, "colour=blue", "--overwrite"]).done();
            assert_eq!(place.get(what)["metadata"][marks], json!({"colour": "blue"}));
            let version = place.version(what);
            place.run(&[verb, what, "colour=blue", "--overwrite"]).done();
            assert_eq!(place.version(what), version);
            place.run(&[verb, what, "colour-"]).done();
            assert_eq!(place.get(what)["metadata"][marks], Value::Null);
        }
    }
}

#[tokio::test]
async fn replace_writes_the_whole_object_unless_it_is_an_old_one() {
    for place in places().await {
        let what = "imagestream/replaced";
        let missing = place.give(&["replace"], &stream("replaced", ONE)).failed();
        assert!(missing.contains("(NotFound)"), "{missing}");
        place.give(&["create"], &stream("replaced", ONE)).done();
        let old = place.get(what);
        let replaced = place.give(&["replace"], &stream("replaced", TWO)).done();
        assert_eq!(replaced, "imagestream.image.openshift.io/replaced replaced\n");
        assert_eq!(tags(&place.get(what)).1, TWO);
        let conflict = place.give(&["replace"], &old).failed();
        assert!(
            conflict.contains("(Conflict)") && conflict.contains("the object has been modified"),
            "{conflict}"
        );
        assert_eq!(tags(&place.get(what)).1, TWO);
    }
}

#[tokio::test]
async fn delete_by_name_by_selector_and_orphaning_work() {
    for place in places().await {
        for name in ["doomed-1", "doomed-2", "doomed-3", "kept"] {
            let mut object = objects::stream(name);
            object["metadata"]["labels"] = json!({"fate": name.split('-').next()});
            place.give(&["create"], &object).done();
        }
        let delete = |what: &[&str]| place.run(&[&["delete", "imagestream"], what].concat());
        let deleted = delete(&["doomed-1"]).done();
        assert!(
            deleted.starts_with("imagestream.image.openshift.io \"doomed-1\" deleted"),
            "{deleted}"
        );
        assert!(delete(&["doomed-1"]).failed().contains("(NotFound)"));
        delete(&["doomed-1", "--ignore-not-found"]).done();
        let tried = delete(&["--selector=fate=doomed", "--dry-run=server"]).done();
        assert_eq!(tried.lines().count(), 2, "{tried}");
        let deleted = delete(&["--selector=fate=doomed"]).done();
        assert_eq!(deleted.lines().count(), 2, "{deleted}");
        let left = place.run(&["get", "imagestream", "--output=name", "--selector=fate"]).done();
        assert_eq!(left, "imagestream.image.openshift.io/kept\n");
        // The object waits for its dependents to be orphaned: the garbage collector does not run
        // here.
        delete(&["kept", "--cascade=orphan", "--wait=false"]).done();
        let object = place.get("imagestream/kept");
        assert_eq!(object["metadata"]["finalizers"], json!(["orphan"]));
        assert!(object["metadata"]["deletionTimestamp"].is_string(), "{object}");
        let free = r#"{"metadata":{"finalizers":null}}"#;
        place.run(&["patch", "imagestream/kept", "--type=merge", "--patch", free]).done();
        assert!(place.run(&["get", "imagestream/kept"]).failed().contains("(NotFound)"));
    }
}

#[tokio::test]
async fn a_finalizer_keeps_an_object_until_it_is_removed() {
    for place in places().await {
        let what = "imagestream/held";
        let mut object = objects::stream("held");
        object["metadata"]["finalizers"] = json!(["example.com/hold"]);
        place.give(&["create"], &object).done();
        place.run(&["delete", what, "--wait=false"]).done();
        let deleted = place.get(what);
        assert!(deleted["metadata"]["deletionTimestamp"].is_string(), "{deleted}");
        assert_eq!(deleted["metadata"]["namespace"], WORKSHOP);
        let add = r#"{"metadata":{"finalizers":["example.com/hold","example.com/more"]}}"#;
        place.run(&["patch", what, "--type=merge", "--patch", add]).failed();
        place
            .run(&[
                "patch",
                what,
                "--type=json",
                r#"--patch=[{"op":"remove","path":"/metadata/finalizers"}]"#,
            ])
            .done();
        assert!(place.run(&["get", what]).failed().contains("(NotFound)"));
    }
}
