//! The functions behind the fuzz targets. `tests/fuzz_seeds.rs` runs them on all seeds.
//!
//! Each function passes its input through the code that handles it in a request, up to the object
//! to be stored. No input may panic; the doc comments state the other invariants.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use imagestream_apiserver::api::{GROUP_VERSION, Image, ImageStream};
use imagestream_apiserver::endpoints::context::{RequestContext, Transport};
use imagestream_apiserver::endpoints::decode;
use imagestream_apiserver::endpoints::negotiation::{Media, ObjectForm, Representation};
use imagestream_apiserver::endpoints::write_options::{WriteKind, WriteOptions};
use imagestream_apiserver::machinery::field_validation::FieldValidation;
use imagestream_apiserver::machinery::json;
use imagestream_apiserver::machinery::managed_fields::Manager;
use imagestream_apiserver::machinery::patch::Patch;
use imagestream_apiserver::machinery::protobuf;
use imagestream_apiserver::machinery::query::Query;
use imagestream_apiserver::machinery::schema::Schema;
use imagestream_apiserver::machinery::selector::{self, Selector};
use imagestream_apiserver::machinery::updated_object::{ExistingObject, UpdatedObjectInfo};
use imagestream_apiserver::machinery::value;
use imagestream_apiserver::meta::protobuf::DELETE_OPTIONS;
use imagestream_apiserver::meta::{Kind, Time};
use imagestream_apiserver::registry::actor::Actor;
use imagestream_apiserver::registry::object_ref::ObjectRef;
use imagestream_apiserver::registry::options::{GetOptions, ListOptions};
use imagestream_apiserver::registry::page;
use imagestream_apiserver::resources::API;
use imagestream_apiserver::store::At;
use serde_json::{Value, json};

mod work;

pub use self::work::work;

/// A fuzz target.
pub struct Target {
    /// Name of the target and of its folder in `corpus`.
    pub name: &'static str,
    /// Runs the target on an input.
    pub run: fn(&[u8]),
}

/// All targets.
pub const ALL: [Target; 11] = [
    Target { name: "json_body", run: json_body },
    Target { name: "yaml_body", run: yaml_body },
    Target { name: "protobuf_body", run: protobuf_body },
    Target { name: "json_patch", run: json_patch },
    Target { name: "merge_patch", run: merge_patch },
    Target { name: "strategic_merge_patch", run: strategic_merge_patch },
    Target { name: "apply", run: apply },
    Target { name: "query", run: query },
    Target { name: "selector", run: selector },
    Target { name: "continue_token", run: continue_token },
    Target { name: "work", run: work },
];

/// A JSON body is rejected, or decoded to an object that survives a round trip through JSON.
pub fn json_body(bytes: &[u8]) {
    body("application/json", bytes);
}

/// A YAML body is rejected, or decoded to an object that survives a round trip through JSON.
pub fn yaml_body(bytes: &[u8]) {
    body("application/yaml", bytes);
}

/// A protobuf body is rejected, or decoded to an object that survives round trips through JSON and
/// protobuf. The input is also decoded as delete options.
pub fn protobuf_body(bytes: &[u8]) {
    body(protobuf::MEDIA_TYPE, bytes);
    round_trip::<ImageStream>(bytes, &SCHEMA);
    round_trip::<Image>(bytes, &IMAGE_SCHEMA);
    let _ = decode::options(&request(protobuf::MEDIA_TYPE, bytes), &DELETE_OPTIONS);
}

/// A JSON patch fails or results in an object.
pub fn json_patch(bytes: &[u8]) {
    patch("application/json-patch+json", bytes);
}

/// A merge patch fails or results in an object. Applying it again changes nothing.
pub fn merge_patch(bytes: &[u8]) {
    if let Some(once) = patch("application/merge-patch+json", bytes) {
        let twice = updated("application/merge-patch+json", bytes, Some(&once))
            .expect("the same update succeeded before");
        assert_eq!(to_json(&once), to_json(&twice));
    }
}

/// A strategic merge patch fails or results in an object.
pub fn strategic_merge_patch(bytes: &[u8]) {
    patch("application/strategic-merge-patch+json", bytes);
}

/// An apply configuration fails or results in an object, both with and without a live object.
/// Applying it again changes at most the times of owners.
pub fn apply(bytes: &[u8]) {
    const APPLY: &str = "application/apply-patch+yaml";
    for existing in [None, Some(&*STREAM)] {
        let Some(once) = updated(APPLY, bytes, existing) else { continue };
        let twice = updated(APPLY, bytes, Some(&once)).expect("the same update succeeded before");
        assert_equal_except_times(&once, &twice);
    }
}

/// A query string is rejected or results in list options.
pub fn query(bytes: &[u8]) {
    let query = Query::parse(Some(&String::from_utf8_lossy(bytes)));
    let _ =
        (page::least_version(&GetOptions::read(&query)), query.timeout(), query.switch("watch"));
    let _ = ListOptions::read(&query).and_then(|options| page::PageOptions::read(&options));
    select(&query);
}

/// A label selector in the first line and a field selector after it are rejected, or match the
/// stream or not.
pub fn selector(bytes: &[u8]) {
    let escaped =
        |bytes: &[u8]| bytes.iter().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let (labels, fields) =
        bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len()));
    let fields = fields.strip_prefix(b"\n").unwrap_or(fields);
    select(&Query::parse(Some(&format!(
        "labelSelector={}&fieldSelector={}",
        escaped(labels),
        escaped(fields)
    ))));
}

/// A continue token, encoded and decoded, is rejected or results in list options. Encoding these
/// options again results in an equivalent token.
pub fn continue_token(bytes: &[u8]) {
    for token in [String::from_utf8_lossy(bytes).into_owned(), URL_SAFE_NO_PAD.encode(bytes)] {
        let read = |token: &str| {
            let query = Query::parse(Some(&format!("continue={token}")));
            ListOptions::read(&query).and_then(|options| page::PageOptions::read(&options))
        };
        let Ok(options) = read(&token) else { continue };
        let (At::Revision(revision), Some(start)) = (options.at, &options.start) else { continue };
        if let Some(last) = start.strip_suffix('\0') {
            assert_eq!(
                read(&page::continue_token(revision, last))
                    .expect("an encoded token can be decoded"),
                options
            );
        }
    }
}

/// Matches the stream with the selectors of a query and computes their requirements.
fn select(query: &Query) {
    let text = |name| query.get(name).unwrap_or_default();
    let requirements = selector::requirements(query);
    if let Ok(selector) = Selector::parse(
        text("labelSelector"),
        text("fieldSelector"),
        &["spec.dockerImageRepository"],
    ) {
        let is_selected = selector.selects(&STREAM.metadata, |_| "registry.example.com/a".into());
        assert!(is_selected || !selector.is_empty());
        assert!(!selector.is_empty() || requirements.0.is_empty() && requirements.1.is_empty());
    }
    let _ = selector::exact_name(query);
}

/// The patched stream: associative lists, sets, owners, and an item that lacks most fields.
static STREAM: LazyLock<ImageStream> = LazyLock::new(|| {
    let stream = json!({
        "metadata": {
            "name": "s", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"l": "1"}, "annotations": {"a/b": "1"}, "finalizers": ["x/a", "x/b"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "1"}],
            "managedFields": [
                {"manager": "fuzzer", "operation": "Apply", "apiVersion": GROUP_VERSION, "fieldsType": "FieldsV1",
                 "time": "2026-01-01T00:00:00Z",
                 "fieldsV1": {"f:metadata": {"f:labels": {"f:l": {}}}, "f:spec": {"f:tags": {"k:{\"name\":\"a\"}": {"f:name": {}, "f:from": {}}}}}},
                {"manager": "other", "operation": "Update", "apiVersion": GROUP_VERSION, "fieldsType": "FieldsV1",
                 "time": "2026-01-01T00:00:00Z",
                 "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:a/b": {}}}, "f:spec": {"f:tags": {"k:{\"name\":\"b\"}": {".": {}, "f:name": {}}}}}},
            ],
        },
        "spec": {"lookupPolicy": {"local": true}, "tags": [
            {"name": "a", "from": {"kind": "DockerImage", "name": "registry.example.com/a:1"}, "annotations": {"t": "1"}, "generation": 2},
            {"name": "b"},
        ]},
        "status": {"dockerImageRepository": "", "tags": [
            {"tag": "a", "items": [{"created": "2026-01-01T00:00:00Z", "dockerImageReference": "registry.example.com/a:1", "image": "sha256:1", "generation": 2}]},
        ]},
    });
    value::object_from(stream).expect("the value is a stream")
});

static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| Arc::new(Schema::of::<ImageStream>()));
static IMAGE_SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<Image>);

fn body(content_type: &str, bytes: &[u8]) {
    let cx = request(content_type, bytes);
    for validation in [FieldValidation::Ignore, FieldValidation::Warn, FieldValidation::Strict] {
        read::<ImageStream>(&cx, &SCHEMA, validation);
        read::<Image>(&cx, &IMAGE_SCHEMA, validation);
    }
}

fn read<T: Kind>(cx: &RequestContext, schema: &Schema, validation: FieldValidation) {
    if let Ok(decoded) = decode::object::<T>(cx, API, schema, validation) {
        let value = to_json(&decoded.object);
        let again: T = value::object_from(value.clone()).expect("encoded objects can be decoded");
        assert_eq!(to_json(&again), value);
    }
}

fn round_trip<T: Kind>(bytes: &[u8], schema: &Schema) {
    let read = |bytes: &[u8]| {
        decode::object::<T>(
            &request(protobuf::MEDIA_TYPE, bytes),
            API,
            schema,
            FieldValidation::Ignore,
        )
    };
    if let Ok(decoded) = read(bytes) {
        let value = to_json(&decoded.object);
        let encoded = protobuf::encode_object(T::MESSAGE, &json::encode(&value))
            .expect("decoded objects can be encoded");
        assert_eq!(to_json(&read(&encoded).expect("encoded objects can be decoded").object), value);
    }
}

/// The stream after a patch; none if the patch fails.
fn patch(content_type: &str, bytes: &[u8]) -> Option<ImageStream> {
    updated(content_type, bytes, Some(&STREAM))
}

/// The object after an update, with its owners; none if the update fails.
fn updated(
    content_type: &str,
    bytes: &[u8],
    existing: Option<&ImageStream>,
) -> Option<ImageStream> {
    let cx = request(content_type, bytes);
    let options =
        WriteOptions::read(&cx, WriteKind::of_patch(content_type)).expect("the options are valid");
    let manager = Manager {
        name: options.field_manager.clone(),
        subresource: "",
        api_version: GROUP_VERSION,
        time: cx.actor.now,
        ignored: &["status"],
    };
    let patch = Patch::read(content_type, bytes).ok()?;
    let update = UpdatedObjectInfo::<ImageStream>::from_patch(
        patch,
        options.validation,
        options.conflicts,
        &SCHEMA,
        API,
    );
    // The strategy of streams resets the fields that the manager ignores.
    let status = existing.map(|stream| stream.status.clone()).unwrap_or_default();
    let existing = existing.map(|stream| ExistingObject::new(stream, API));
    let mut object = update.updated_object(existing.as_ref(), &manager).ok()?.object;
    object.status = status;
    object.metadata.managed_fields = update
        .managed_fields(existing.as_ref(), &object, &manager)
        .expect("computed owners can be decoded");
    Some(object)
}

fn assert_equal_except_times(once: &ImageStream, twice: &ImageStream) {
    let without_times = |stream: &ImageStream| {
        let mut stream = stream.clone();
        stream.metadata.managed_fields.iter_mut().for_each(|entry| entry.time = None);
        to_json(&stream)
    };
    assert_eq!(without_times(once), without_times(twice));
}

fn to_json<T: Kind>(object: &T) -> Value {
    value::to_value(object, API)
}

/// A request with this body from a user with all permissions.
fn request(content_type: &str, body: &[u8]) -> RequestContext {
    RequestContext {
        actor: Actor::internal("fuzzer", Time::from_unix_seconds(1_800_000_000)),
        at: ObjectRef::default(),
        query: Query::parse(content_type.contains("apply").then_some("fieldManager=fuzzer")),
        content_type: Some(content_type.to_owned()),
        agent: "fuzzer/1".into(),
        body: body.to_vec().into(),
        representation: Representation {
            media: Media::Json { pretty: false },
            form: ObjectForm::Object,
            meta_version: "v1",
        },
        transport: Transport::Stream,
        events_sent: None,
    }
}
