//! The OpenAPI documents: they are current and complete, and describe the responses.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::child::{Output, Running};
use crate::every_field;
use crate::fixtures::digest;
use crate::harness::{Api, Expect, V1};
use crate::support::client::Request;

const KIND: &str = "x-kubernetes-group-version-kind";

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A document and the path of its schemas.
struct Document {
    content: Value,
    schemas: &'static str,
}

impl Document {
    /// Returns the committed documents, version 2 and version 3.
    fn both() -> [Self; 2] {
        [("openapi/v2.json", "/definitions"), ("openapi/v3.json", "/components/schemas")].map(
            |(path, schemas)| {
                let text = fs::read_to_string(at(path)).expect("the document can be read");
                Self {
                    content: serde_json::from_str(&text).expect("the document is JSON"),
                    schemas,
                }
            },
        )
    }

    fn schemas(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.content
            .pointer(self.schemas)
            .and_then(Value::as_object)
            .expect("the document has schemas")
            .iter()
    }

    /// Returns the schema of a kind.
    fn kind(&self, api_version: &str, kind: &str) -> Option<&Value> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let wanted = json!({"group": group, "version": version, "kind": kind});
        let is_it =
            |schema: &Value| schema[KIND].as_array().is_some_and(|kinds| kinds.contains(&wanted));
        self.schemas().map(|(_, schema)| schema).find(|schema| is_it(schema))
    }

    /// Resolves a reference, plain or wrapped in `allOf`.
    fn target<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str()) {
            Some(reference) => self
                .content
                .pointer(&reference[1..])
                .unwrap_or_else(|| panic!("{reference} is missing")),
            None => schema,
        }
    }

    /// Returns the differences between an object and its schema.
    fn faults_of(&self, object: &Value) -> Vec<String> {
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        let mut faults = Vec::new();
        match self.kind(text("apiVersion"), text("kind")) {
            Some(schema) => self.compare(schema, object, text("kind"), &mut faults),
            None => faults.push(format!(
                "there is no schema of {} {}",
                text("apiVersion"),
                text("kind")
            )),
        }
        faults
    }

    fn compare(&self, schema: &Value, value: &Value, path: &str, faults: &mut Vec<String>) {
        let is_nullable = schema["nullable"] == true || self.schemas == "/definitions";
        let schema = self.target(schema);
        let mut fault = |what: &str| faults.push(format!("{path}: {what}"));
        match (schema["type"].as_str().unwrap_or_default(), value) {
            // Kubernetes treats null as absent, and version 2 cannot express it. Values that change with
            // every run are recorded as placeholders in angle brackets.
            (_, Value::Null) if is_nullable => {}
            ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => {}
            ("integer", Value::Number(number)) if number.is_i64() => {}
            ("integer", Value::String(text)) if text.starts_with('<') => {}
            ("array", Value::Array(items)) => {
                items.iter().for_each(|item| self.compare(&schema["items"], item, path, faults));
            }
            ("object", Value::Object(fields)) => {
                for name in
                    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
                {
                    if !fields.contains_key(name) {
                        fault(&format!("{name} is missing"));
                    }
                }
                let is_open = schema.get("properties").is_none()
                    && schema.get("additionalProperties").is_none();
                for (name, field) in fields.iter().filter(|_| !is_open) {
                    let path = format!("{path}.{name}");
                    match schema["properties"].get(name).or(schema.get("additionalProperties")) {
                        Some(schema) => self.compare(schema, field, &path, faults),
                        None => faults.push(format!("{path}: no such field")),
                    }
                }
            }
            (wanted, found) => fault(&format!("{found} is no {wanted}")),
        }
    }
}

/// Returns the complete bodies of recorded responses.
fn recorded() -> Vec<Value> {
    fn walk(folder: &Path, out: &mut Vec<Value>) {
        for entry in fs::read_dir(folder).expect("the recorded conversations can be read") {
            let path = entry.expect("the recorded conversations can be read").path();
            if path.is_dir() {
                walk(&path, out);
                continue;
            }
            let case: Value =
                serde_json::from_str(&fs::read_to_string(path).expect("a case is text"))
                    .expect("a case is JSON");
            let is_whole = |step: &&Value| {
                let skipped =
                    step["skip"].as_array().into_iter().flatten().filter_map(Value::as_str);
                !skipped.into_iter().any(|path| path.starts_with("body"))
            };
            let steps = case["steps"].as_array().into_iter().flatten().filter(is_whole);
            out.extend(steps.map(|step| step["response"]["body"].clone()));
        }
    }
    let mut bodies = Vec::new();
    walk(&at("tests/conformance/cases"), &mut bodies);
    bodies
        .retain(|body| body["apiVersion"] == "v1" || body["apiVersion"] == "image.openshift.io/v1");
    bodies
}

#[tokio::test]
async fn the_documents_are_made_of_the_resources_of_now() {
    // The committed documents are up to date.
    let folder = tempfile::tempdir().expect("a folder can be created");
    let path = folder.path().to_str().expect("the path is text");
    let (status, _) = Running::start(["openapi", path], Output::Logged).end().await;
    assert!(status.success());
    for name in ["v2.json", "v2.pb", "v3.json", "v3-group.json"] {
        let made = fs::read(folder.path().join(name)).expect("the document exists");
        let kept = fs::read(at("openapi").join(name)).expect("the document can be read");
        assert!(
            made == kept,
            "openapi/{name} is stale: update it with `cargo run -- openapi openapi`"
        );
    }
    assert_eq!(
        fs::read_dir(folder.path()).expect("the folder can be read").count(),
        4,
        "the folder has no other files"
    );
}

#[tokio::test]
async fn the_documents_are_served_byte_for_byte() {
    let api = Api::start().await;
    for (target, path) in [
        ("/openapi/v2", "openapi/v2.json"),
        ("/openapi/v3/apis/image.openshift.io", "openapi/v3-group.json"),
        ("/openapi/v3/apis/image.openshift.io/v1", "openapi/v3.json"),
    ] {
        let answer = api.ask(Request::new("GET", target)).await;
        assert!(answer.body == fs::read(at(path)).expect("the document can be read"), "{target}");
    }
}

#[tokio::test]
async fn version_2_is_sent_as_protobuf_to_whoever_asks_for_that_first() {
    // Protobuf is sent if it is the first supported type in `Accept`.
    let api = Api::start().await;
    let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let ask =
        |accept: String| api.ask(Request::new("GET", "/openapi/v2").header("accept", &accept));
    for accept in [protobuf.to_owned(), format!("text/html,{protobuf};q=0.9,application/json")] {
        let answer = ask(accept).await;
        let sent_as = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(sent_as)));
        assert!(answer.body == fs::read(at("openapi/v2.pb")).expect("the document can be read"));
    }
    for accept in [format!("application/json,{protobuf}"), "*/*".to_owned()] {
        assert_eq!(ask(accept).await.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn every_kind_of_discovery_has_a_schema_and_so_has_its_list() {
    let api = Api::start().await;
    let resources = api.ask(Request::new("GET", V1)).await.is(200);
    for document in Document::both() {
        assert_eq!(document.faults_of(&resources), Vec::<String>::new());
        for resource in resources["resources"].as_array().expect("the document has resources") {
            let kind = resource["kind"].as_str().expect("a resource has a kind");
            let is_listed =
                resource["verbs"].as_array().is_some_and(|verbs| verbs.contains(&"list".into()));
            for kind in [kind.to_owned(), format!("{kind}List")]
                .into_iter()
                .take(1 + usize::from(is_listed))
            {
                assert!(document.kind("image.openshift.io/v1", &kind).is_some(), "{kind}");
            }
        }
    }
}

#[test]
fn recorded_answers_of_every_kind_are_as_the_schemas_say() {
    let bodies = recorded();
    let kinds: BTreeSet<&str> = bodies.iter().filter_map(|body| body["kind"].as_str()).collect();
    for kind in [
        "Image",
        "ImageList",
        "ImageSignature",
        "ImageStream",
        "ImageStreamImage",
        "ImageStreamLayers",
        "ImageStreamList",
        "ImageStreamTag",
        "ImageStreamTagList",
        "ImageTag",
        "ImageTagList",
        "SecretList",
        "Status",
    ] {
        assert!(kinds.contains(kind), "no {kind} is recorded");
    }
    let [whole, of_version] = Document::both();
    let faults: BTreeSet<String> = bodies.iter().flat_map(|body| whole.faults_of(body)).collect();
    assert_eq!(faults, BTreeSet::new());
    // The document of a group version does not describe the group.
    let of_version_bodies = bodies.iter().filter(|body| body["kind"] != "APIGroup");
    let faults: BTreeSet<String> =
        of_version_bodies.flat_map(|body| of_version.faults_of(body)).collect();
    assert_eq!(faults, BTreeSet::new());
}

#[test]
fn a_fault_is_seen() {
    // The schema comparison of this module detects errors.
    for document in Document::both() {
        let mut image = json!({"kind": "Image", "apiVersion": "image.openshift.io/v1", "dockerImageLayers": [{"size": 1}]});
        assert_eq!(document.faults_of(&image), Vec::<String>::new());
        image["dockerImageLayers"][0]["size"] = "1".into();
        image["signatures"] = json!([{"unknown": 1}]);
        let wanted = [
            "Image.dockerImageLayers.size: \"1\" is no integer",
            "Image.signatures: type is missing",
            "Image.signatures: content is missing",
            "Image.signatures.unknown: no such field",
        ];
        assert_eq!(document.faults_of(&image), wanted);
    }
}

#[tokio::test]
async fn images_with_all_fields_are_answered_as_the_schemas_say() {
    let api = Api::start().await;
    for image in [
        every_field::layered(&digest("1")),
        every_field::listing(&digest("2")),
        every_field::old(&digest("3")),
    ] {
        let image = api.post("images", &image).await.is(201);
        for document in Document::both() {
            assert_eq!(document.faults_of(&image), Vec::<String>::new());
        }
    }
}

#[test]
fn version_2_knows_nothing_of_version_3() {
    // Version 2 has no keywords of version 3.
    let [v2, _] = Document::both();
    let text = v2.content.to_string();
    for word in ["allOf", "anyOf", "nullable", "#/components", "\"default\""] {
        assert!(!text.contains(word), "{word}");
    }
}

/// Code generators drop schemas with a default beside a reference.
#[test]
fn documents_suit_code_generators() {
    fn walk(value: &Value, is_wrong: &impl Fn(&Value) -> bool) -> bool {
        is_wrong(value)
            || match value {
                Value::Array(items) => items.iter().any(|item| walk(item, is_wrong)),
                Value::Object(fields) => fields.values().any(|field| walk(field, is_wrong)),
                _ => false,
            }
    }
    let is_default_of_reference = |value: &Value| {
        value.get("default").is_some()
            && (value.get("allOf").is_some() || value["default"] == json!({}))
    };
    let [v2, v3] = Document::both();
    assert!(!walk(&v3.content, &is_default_of_reference));
    assert!(walk(&json!([{"default": {}, "allOf": []}]), &is_default_of_reference));
    for (document, schemes) in [(v2, "/securityDefinitions"), (v3, "/components/securitySchemes")] {
        let schemes = document.content.pointer(schemes).and_then(Value::as_object);
        let names: Vec<_> = schemes.expect("the document has schemes").keys().collect();
        assert_eq!(names, ["BearerToken"]);
        assert_eq!(document.content["security"], json!([{"BearerToken": []}]));
    }
}

#[test]
fn merge_keys_and_formats_are_told() {
    for document in Document::both() {
        let property = |kind: &str, path: &[&str]| {
            let schema =
                document.kind("image.openshift.io/v1", kind).expect("the kind has a schema");
            path.iter()
                .fold(schema, |schema, name| &document.target(schema)["properties"][*name])
                .clone()
        };
        let tags = property("ImageStream", &["spec", "tags"]);
        assert_eq!(
            (&tags["x-kubernetes-patch-strategy"], &tags["x-kubernetes-patch-merge-key"]),
            (&json!("merge"), &json!("name"))
        );
        let owners = property("ImageStream", &["metadata", "ownerReferences"]);
        assert_eq!(
            (&owners["x-kubernetes-list-type"], &owners["x-kubernetes-list-map-keys"]),
            (&json!("map"), &json!(["uid"]))
        );
        let created = property("Image", &["metadata", "creationTimestamp"]);
        assert_eq!(document.target(&created)["format"], "date-time");
        assert_eq!(property("ImageStreamTag", &["generation"])["format"], "int64");
        assert_eq!(property("ImageSignature", &["content"])["format"], "byte");
        let metadata = property("Image", &["dockerImageMetadata"]);
        assert_eq!(document.target(&metadata)["x-kubernetes-preserve-unknown-fields"], true);
    }
}
