//! Ownership in sequences of writes to one stream. Expected owners are those of kube-apiserver.

mod cost;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::{GROUP_VERSION, ImageStream};
use crate::meta::{Kind, Status};

/// A stream with tracked ownership.
struct ManagedStream {
    schema: Schema,
    live: Option<Value>,
    clock: i64,
}

impl ManagedStream {
    fn new() -> Self {
        Self { schema: Schema::of::<ImageStream>(), live: None, clock: 0 }
    }

    fn manager(&mut self, name: &str, subresource: &'static str) -> Manager {
        self.clock += 1;
        let time = Time::from_unix_seconds(self.clock);
        Manager { name: name.into(), subresource, api_version: GROUP_VERSION, time, ignored: &[] }
    }

    /// Updates the stream to `new`, decoded as in a request.
    fn put(&mut self, name: &str, subresource: &'static str, new: Value) -> &mut Self {
        let manager = self.manager(name, subresource);
        self.live = Some(update(&self.schema, self.live.as_ref(), decoded(new), &manager));
        self.live.as_mut().unwrap()["metadata"]["uid"] = json!("u");
        self
    }

    /// Changes the current stream and updates it.
    fn edit(
        &mut self,
        name: &str,
        subresource: &'static str,
        edit: impl Fn(&mut Value),
    ) -> &mut Self {
        let mut new = self.live.clone().unwrap();
        edit(&mut new);
        self.put(name, subresource, new)
    }

    fn try_apply(
        &mut self,
        name: &str,
        configuration: Value,
        conflicts: ConflictPolicy,
    ) -> Result<(), Status> {
        let manager = self.manager(name, "");
        let mut configuration = configuration;
        configuration["kind"] = json!("ImageStream");
        configuration["apiVersion"] = json!(GROUP_VERSION);
        configuration["metadata"]["name"] = json!("s");
        let applied = apply(&self.schema, self.live.as_ref(), &configuration, &manager, conflicts)?;
        self.live = Some(decoded(applied));
        self.live.as_mut().unwrap()["metadata"]["uid"] = json!("u");
        Ok(())
    }

    fn apply(&mut self, name: &str, configuration: Value) -> &mut Self {
        self.try_apply(name, configuration, ConflictPolicy::Fail).unwrap();
        self
    }

    /// The stream without the times of its owners, which change when an applier applies an empty
    /// list that is not stored.
    fn without_times(&self) -> Value {
        let mut live = self.live.clone().unwrap();
        let entries = live["metadata"]["managedFields"].as_array_mut().into_iter().flatten();
        entries.for_each(|entry| _ = entry.as_object_mut().unwrap().remove("time"));
        live
    }

    /// The owners, one line each: name, operation and subresource, second of the change, fields.
    fn owners(&self) -> Vec<String> {
        let entries = self
            .live
            .as_ref()
            .and_then(entries_of)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let line = |entry: &Value| {
            assert_eq!(
                (&entry["apiVersion"], &entry["fieldsType"]),
                (&json!(GROUP_VERSION), &json!("FieldsV1"))
            );
            let text = |key: &str| entry[key].as_str().unwrap_or_default();
            let second = text("time").get(17..19).unwrap_or("--");
            let subresource =
                entry["subresource"].as_str().map(|name| format!("/{name}")).unwrap_or_default();
            let fields = &entry["fieldsV1"];
            format!("{} {}{subresource} {second} {fields}", text("manager"), text("operation"))
        };
        entries.iter().map(line).collect()
    }
}

/// The value as the server decodes it.
fn decoded(value: Value) -> Value {
    let mut stream: ImageStream = crate::machinery::value::from_value(value).unwrap();
    stream.default_fields();
    serde_json::to_value(stream).unwrap()
}

fn tag(name: &str) -> Value {
    json!({"name": name, "from": {"kind": "DockerImage", "name": "registry.example.com/a:1"}, "reference": true})
}

const TAG_FIELDS: &str = r#"{".":{},"f:annotations":{},"f:from":{},"f:generation":{},"f:importPolicy":{".":{},"f:importMode":{}},"f:name":{},"f:reference":{},"f:referencePolicy":{".":{},"f:type":{}}}"#;

#[test]
fn creators_own_set_fields_and_updaters_own_changes() {
    let mut object = ManagedStream::new();
    object.put(
        "creator",
        "",
        json!({"metadata": {"name": "s", "labels": {"l": "1"}}, "spec": {"tags": [tag("a")]}}),
    );
    let creator = format!(
        r#"creator Update 01 {{"f:metadata":{{"f:labels":{{".":{{}},"f:l":{{}}}}}},"f:spec":{{"f:tags":{{".":{{}},"k:{{\"name\":\"a\"}}":{TAG_FIELDS}}}}}}}"#
    );
    assert_eq!(object.owners(), [creator.as_str()]);

    object.edit("other", "", |stream| stream["metadata"]["labels"]["m"] = json!("2"));
    let other = r#"other Update 02 {"f:metadata":{"f:labels":{"f:m":{}}}}"#;
    assert_eq!(object.owners(), [creator.as_str(), other]);

    let conditions = json!([{"type": "ImportSuccess", "status": "True", "generation": 1}]);
    object.edit("third", "status", |stream| {
        stream["status"]["tags"] = json!([{"tag": "q", "items": null, "conditions": conditions}]);
    });
    let third = r#"third Update/status 03 {"f:status":{"f:tags":{".":{},"k:{\"tag\":\"q\"}":{".":{},"f:conditions":{},"f:items":{},"f:tag":{}}}}}"#;
    assert_eq!(object.owners(), [creator.as_str(), other, third]);
}

#[test]
fn changed_fields_move_and_removed_fields_have_no_owner() {
    let mut object = ManagedStream::new();
    object.put("a", "", json!({"metadata": {"labels": {"x": "1", "y": "1"}}}));
    object.edit("b", "", |stream| stream["metadata"]["labels"] = json!({"x": "2"}));
    let a = r#"a Update 01 {"f:metadata":{"f:labels":{}}}"#;
    assert_eq!(object.owners(), [a, r#"b Update 02 {"f:metadata":{"f:labels":{"f:x":{}}}}"#]);
    object.edit("c", "", |stream| _ = stream["metadata"].as_object_mut().unwrap().remove("labels"));
    assert_eq!(object.owners(), Vec::<String>::new());
}

#[test]
fn writes_without_changes_own_nothing() {
    let mut object = ManagedStream::new();
    object.put("a", "", json!({"metadata": {"labels": {"x": "1"}}}));
    let owners = object.owners();
    object.edit("b", "", |_| ()).edit("a", "", |_| ());
    assert_eq!(object.owners(), owners);
}

#[test]
fn updates_of_one_manager_share_an_entry() {
    let mut object = ManagedStream::new();
    object.put("a", "", json!({"metadata": {"labels": {"x": "1"}}}));
    object.edit("a", "", |stream| stream["spec"]["lookupPolicy"]["local"] = json!(true));
    let both = r#"a Update 02 {"f:metadata":{"f:labels":{".":{},"f:x":{}}},"f:spec":{"f:lookupPolicy":{"f:local":{}}}}"#;
    assert_eq!(object.owners(), [both]);
}

#[test]
fn untracked_objects_are_tracked_from_the_first_apply() {
    let mut object = ManagedStream::new();
    object.put("a", "", json!({"metadata": {"name": "s"}}));
    object.edit("b", "", |stream| stream["metadata"]["labels"] = json!({"x": "1"}));
    assert_eq!(object.owners(), Vec::<String>::new());
    object.apply("m", json!({"spec": {"lookupPolicy": {"local": true}}}));
    let m = r#"m Apply 03 {"f:spec":{"f:lookupPolicy":{"f:local":{}}}}"#;
    let before = r#"before-first-apply Update 03 {"f:metadata":{"f:labels":{".":{},"f:x":{}}}}"#;
    assert_eq!(object.owners(), [m, before]);
}

#[test]
fn the_status_of_an_untracked_object_has_an_owner_too() {
    let mut object = ManagedStream::new();
    object.put("a", "", json!({"metadata": {"name": "s"}}));
    object.edit("b", "", |stream| stream["status"]["dockerImageRepository"] = json!("r/a"));
    assert_eq!(object.owners(), Vec::<String>::new());
    let configuration = |part: Value| {
        let mut configuration =
            json!({"kind": "ImageStream", "apiVersion": GROUP_VERSION, "metadata": {"name": "s"}});
        configuration.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        configuration
    };
    let of_spec = Manager { ignored: &["status"], ..object.manager("m", "") };
    let of_status = Manager { ignored: &["spec"], ..object.manager("n", "status") };
    let local = configuration(json!({"spec": {"lookupPolicy": {"local": true}}}));
    let other = configuration(json!({"status": {"dockerImageRepository": "r/b"}}));
    let (schema, live) = (&object.schema, object.live.as_ref());
    let applied = apply(schema, live, &local, &of_spec, ConflictPolicy::Fail).unwrap();
    let refused = apply(schema, Some(&applied), &other, &of_status, ConflictPolicy::Fail);
    let message = refused.unwrap_err().message;
    assert!(message.contains("conflict with \"before-first-apply\""), "{message}");
}

#[test]
fn empty_managed_fields_end_the_tracking() {
    for reset in [json!([]), json!([{}])] {
        let mut object = ManagedStream::new();
        object.put("a", "", json!({"metadata": {"labels": {"x": "1"}}}));
        let manager = object.manager("b", "");
        let mut new = object.live.clone().unwrap();
        new["metadata"]["managedFields"] = reset;
        let through_status = Manager { subresource: "status", ..manager.clone() };
        let kept = update(&object.schema, object.live.as_ref(), new.clone(), &through_status);
        assert!(entries_of(&kept).is_some(), "not through a subresource");
        assert_eq!(entries_of(&update(&object.schema, object.live.as_ref(), new, &manager)), None);
    }
}

#[test]
fn invalid_managed_fields_are_ignored() {
    let mut object = ManagedStream::new();
    object.put("a", "", json!({"metadata": {"labels": {"x": "1"}}}));
    let owners = object.owners();
    object.edit("b", "", |stream| {
        stream["metadata"]["managedFields"] = json!([{"manager": "x", "operation": "Bogus"}])
    });
    assert_eq!(object.owners(), owners);
}

#[test]
fn the_oldest_of_many_updaters_are_merged() {
    let mut object = ManagedStream::new();
    object.put("m0", "", json!({"metadata": {"labels": {"l0": "1"}}}));
    for number in 1..13 {
        object.edit(&format!("m{number}"), "", |stream| {
            stream["metadata"]["labels"][format!("l{number}")] = json!("1")
        });
    }
    let owners = object.owners();
    assert_eq!(owners.len(), 10);
    let ancient = r#"ancient-changes Update 04 {"f:metadata":{"f:labels":{".":{},"f:l0":{},"f:l1":{},"f:l2":{},"f:l3":{}}}}"#;
    assert_eq!(owners[0], ancient);
    assert_eq!(owners[9], r#"m12 Update 13 {"f:metadata":{"f:labels":{"f:l12":{}}}}"#);
}

#[test]
fn ignored_fields_are_never_owned() {
    let mut object = ManagedStream::new();
    object.put("a", "", json!({"metadata": {"labels": {"x": "1"}}}));
    let manager = Manager { ignored: &["status"], ..object.manager("b", "") };
    let mut new = object.live.clone().unwrap();
    new["status"]["dockerImageRepository"] = json!("somewhere");
    let after = update(&object.schema, object.live.as_ref(), new, &manager);
    assert_eq!(entries_of(&after), object.live.as_ref().and_then(entries_of));
}

#[test]
fn appliers_own_applied_fields_and_release_the_others() {
    let mut object = ManagedStream::new();
    let local = |local: bool| json!({"spec": {"lookupPolicy": {"local": local}}});
    object.apply("m1", local(true));
    let first = r#"m1 Apply 01 {"f:spec":{"f:lookupPolicy":{"f:local":{}}}}"#;
    assert_eq!(object.owners(), [first]);
    object.apply("m1", local(true));
    assert_eq!(object.owners(), [first], "no change, no new time");

    let from = json!({"kind": "DockerImage", "name": "registry.example.com/a:1"});
    let tags = json!([{"name": "a", "from": from}]);
    object.apply("m1", json!({"spec": {"lookupPolicy": {"local": false}, "tags": tags}}));
    let both = r#"m1 Apply 03 {"f:spec":{"f:lookupPolicy":{"f:local":{}},"f:tags":{"k:{\"name\":\"a\"}":{".":{},"f:from":{},"f:name":{}}}}}"#;
    assert_eq!(object.owners(), [both]);

    object.apply("m1", json!({"spec": {"tags": tags}}));
    let tags = r#"{"f:spec":{"f:tags":{"k:{\"name\":\"a\"}":{".":{},"f:from":{},"f:name":{}}}}}"#;
    assert_eq!(object.owners(), [format!("m1 Apply 04 {tags}")]);
    object.apply("m1", json!({"spec": {}}));
    assert_eq!(object.owners(), [r#"m1 Apply 05 {"f:spec":{}}"#]);
    assert_eq!(object.live.as_ref().unwrap()["spec"].get("tags"), None);
}

#[test]
fn items_of_other_appliers_are_kept() {
    let mut object = ManagedStream::new();
    object.apply("m1", json!({"spec": {"tags": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}}));
    object.apply("m2", json!({"spec": {"tags": [{"name": "b", "annotations": {"k": "v"}}]}}));
    object.apply("m1", json!({"spec": {"tags": [{"name": "c"}]}}));
    let tags = &object.live.as_ref().unwrap()["spec"]["tags"];
    let names: Vec<_> =
        tags.as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["b", "c"]);
    let m2 = r#"m2 Apply 02 {"f:spec":{"f:tags":{"k:{\"name\":\"b\"}":{".":{},"f:annotations":{"f:k":{}},"f:name":{}}}}}"#;
    assert!(object.owners().contains(&m2.to_owned()), "{:?}", object.owners());
}

#[test]
fn applying_an_applied_field_conflicts_unless_forced() {
    let mut object = ManagedStream::new();
    let local = |local: bool| json!({"spec": {"lookupPolicy": {"local": local}}});
    let fields = r#"{"f:spec":{"f:lookupPolicy":{"f:local":{}}}}"#;
    object.apply("m1", local(true));
    let refused = object.try_apply("m2", local(false), ConflictPolicy::Fail).unwrap_err();
    assert_eq!(refused.code, 409);
    assert_eq!(
        refused.message,
        r#"Apply failed with 1 conflict: conflict with "m1": .spec.lookupPolicy.local"#
    );
    let details = json!({"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"m1\"", "field": ".spec.lookupPolicy.local"}]});
    assert_eq!(serde_json::to_value(refused.details).unwrap(), details);

    object.try_apply("m2", local(false), ConflictPolicy::Force).unwrap();
    assert_eq!(object.owners(), [format!("m2 Apply 03 {fields}")]);
    object.apply("m3", local(false));
    assert_eq!(object.owners(), [format!("m3 Apply -- {fields}"), format!("m2 Apply 03 {fields}")]);

    let refused = object.try_apply("m1", local(true), ConflictPolicy::Fail).unwrap_err();
    let expected = "Apply failed with 2 conflicts: conflicts with \"m2\":\n- .spec.lookupPolicy.local\n\
                conflicts with \"m3\":\n- .spec.lookupPolicy.local";
    assert_eq!(refused.message, expected);
}

#[test]
fn applying_an_updated_field_conflicts() {
    let mut object = ManagedStream::new();
    object.put(
        "creator",
        "",
        json!({"metadata": {"labels": {"l": "1"}}, "spec": {"dockerImageRepository": "x/y"}}),
    );
    let refused = object
        .try_apply("m1", json!({"spec": {"dockerImageRepository": "x/z"}}), ConflictPolicy::Fail)
        .unwrap_err();
    let expected = "Apply failed with 1 conflict: conflict with \"creator\" using image.openshift.io/v1: .spec.dockerImageRepository";
    assert_eq!(refused.message, expected);
    object.apply("m1", json!({"spec": {"dockerImageRepository": "x/y"}}));
    object
        .try_apply(
            "m1",
            json!({"metadata": {"labels": {"l": "2", "m": "3"}}}),
            ConflictPolicy::Force,
        )
        .unwrap();
    let m1 = r#"m1 Apply 04 {"f:metadata":{"f:labels":{"f:l":{},"f:m":{}}}}"#;
    let creator = r#"creator Update 01 {"f:metadata":{"f:labels":{}},"f:spec":{"f:dockerImageRepository":{}}}"#;
    assert_eq!(object.owners(), [m1, creator]);
    assert_eq!(object.live.as_ref().unwrap()["spec"]["dockerImageRepository"], "x/y");
}

#[test]
fn applied_configurations_must_match_the_schema() {
    let stream = |spec: Value| json!({"kind": "ImageStream", "apiVersion": GROUP_VERSION, "metadata": {"name": "ae"}, "spec": spec});
    let object =
        "failed to create typed patch object (/ae; image.openshift.io/v1, Kind=ImageStream): ";
    let mut with_owners = stream(json!({}));
    with_owners["metadata"]["managedFields"] = json!([{}]);
    for (configuration, expected) in [
        (json!({}), "invalid object type: /, Kind=".into()),
        (
            json!({"kind": "Image", "apiVersion": GROUP_VERSION}),
            "invalid object type: image.openshift.io/v1, Kind=Image".into(),
        ),
        (
            json!({"kind": "ImageStream", "apiVersion": "v1"}),
            "invalid object type: /v1, Kind=ImageStream".into(),
        ),
        (with_owners, "metadata.managedFields must be nil".to_owned()),
        (stream(json!({"foo": 1})), format!("{object}.spec.foo: field not declared in schema")),
        (
            stream(json!({"lookupPolicy": "x"})),
            format!("{object}.spec.lookupPolicy: expected map, got &{{x}}"),
        ),
        (
            stream(json!({"tags": [{"name": "a"}, {"name": "a"}]})),
            format!("{object}.spec.tags: duplicate entries for key [name=\"a\"]"),
        ),
    ] {
        let mut object = ManagedStream::new();
        let manager = object.manager("m", "");
        let refused = apply(&object.schema, None, &configuration, &manager, ConflictPolicy::Fail)
            .unwrap_err();
        assert_eq!((refused.code, refused.message), (400, expected));
    }
}

#[test]
fn kubectl_migrates_from_client_side_apply() {
    let note = |repository: &str| {
        let noted = json!({"kind": "ImageStream", "apiVersion": GROUP_VERSION, "metadata": {"name": "s"}, "spec": {"dockerImageRepository": repository}});
        json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{noted}\n")})
    };
    let repository = |name: &str| json!({"dockerImageRepository": name});
    let mut object = ManagedStream::new();
    object.put(
        "kubectl-client-side-apply",
        "",
        json!({"metadata": {"name": "s", "annotations": note("x/y")}, "spec": repository("x/y")}),
    );
    object
        .try_apply("other", json!({"spec": repository("x/z")}), ConflictPolicy::Fail)
        .unwrap_err();
    object.apply("kubectl", json!({"spec": repository("x/z")}));
    let noted = &object.live.as_ref().unwrap()["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert!(noted.as_str().unwrap().contains("x/z"), "{noted}");

    object.edit("somebody", "", |stream| stream["spec"] = repository("x/w"));
    object
        .try_apply("kubectl", json!({"spec": repository("x/v")}), ConflictPolicy::Fail)
        .unwrap_err();
}

/// Generates apply configurations with labels, a repository and tags.
fn any_configuration() -> impl Strategy<Value = Value> {
    let tag =
        (prop::option::of("[xy]"), prop::option::of("[mn]")).prop_map(|(annotation, from)| {
            let mut tag = json!({});
            if let Some(annotation) = annotation {
                tag["annotations"] = json!({"k": annotation});
            }
            if let Some(from) = from {
                tag["from"] = json!({"kind": "DockerImage", "name": from});
            }
            tag
        });
    let tags = prop::collection::btree_map("[a-d]", tag, 0..4).prop_map(|tags| {
        let named = |(name, mut tag): (String, Value)| {
            tag["name"] = json!(name);
            tag
        };
        tags.into_iter().map(named).collect::<Vec<_>>()
    });
    // Empty maps are not stored, so applying one conflicts with the owners of its keys each time.
    let labels = prop::option::of(prop::collection::btree_map("[ab]", "[12]", 1..3));
    (labels, prop::option::of("[xy]"), tags).prop_map(|(labels, repository, tags)| {
        let mut configuration = json!({"metadata": {}, "spec": {"tags": tags}});
        if let Some(labels) = labels {
            configuration["metadata"]["labels"] = json!(labels);
        }
        if let Some(repository) = repository {
            configuration["spec"]["dockerImageRepository"] = json!(repository);
        }
        configuration
    })
}

proptest! {
    #[test]
    fn applying_again_changes_nothing(writes in prop::collection::vec((any_configuration(), "m[12]"), 1..4)) {
        let mut object = ManagedStream::new();
        for (configuration, manager) in writes {
            object.try_apply(&manager, configuration.clone(), ConflictPolicy::Force).unwrap();
            let once = object.without_times();
            object.apply(&manager, configuration);
            prop_assert_eq!(object.without_times(), once);
        }
    }

    #[test]
    fn applied_fields_are_in_the_live_object(first in any_configuration(), second in any_configuration()) {
        let mut object = ManagedStream::new();
        object.apply("m1", first);
        object.try_apply("m2", second.clone(), ConflictPolicy::Force).unwrap();
        let live = object.live.unwrap();
        let mut again = live.clone();
        merge::merge(&object.schema.root, &mut again, &second).unwrap();
        prop_assert_eq!(decoded(again), live);
    }
}
