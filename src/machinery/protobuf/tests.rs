//! Tests of the message tables against the Rust types, of the encoded bytes, and of round trips.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::*;
use crate::api::{
    Image, ImageSignature, ImageStream, ImageStreamImage, ImageStreamImport, ImageStreamLayers,
    ImageStreamMapping, ImageStreamTag, ImageTag, SecretList,
};
use crate::machinery::group_version::GroupVersion;
use crate::machinery::value;
use crate::meta::protobuf::{
    Cardinality, FieldDescriptor, FieldType, LIST_META, MessageDescriptor, OBJECT_META,
    PARTIAL_OBJECT_METADATA, STATUS,
};
use crate::meta::{Kind, ListMeta, Status, Time};

const API: GroupVersion = GroupVersion {
    group: "image.openshift.io",
    name: "image.openshift.io/v1",
    version: "v1",
    kinds: &["ImageStream"],
};

/// Differences between a message table and its Rust type.
pub(crate) fn differences<T: JsonSchema>(message: &MessageDescriptor) -> Vec<String> {
    let settings = SchemaSettings::draft07()
        .with(|settings| settings.inline_subschemas = true)
        .for_serialize();
    let mut found = Vec::new();
    compare(message, settings.into_generator().into_root_schema_for::<T>().as_value(), &mut found);
    found
}

fn compare(message: &MessageDescriptor, schema: &Value, found: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else {
        return found.push(format!("{} is no object", message.name));
    };
    for name in properties.keys().filter(|name| message.keys().all(|field| field.name != *name)) {
        found.push(format!("{}.{name} is not in the table", message.name));
    }
    for field in message.keys() {
        match properties.get(field.name) {
            None => found.push(format!("{}.{} is not in the type", message.name, field.name)),
            Some(schema) => compare_field(message, field, schema, found),
        }
    }
}

fn compare_field(
    message: &MessageDescriptor,
    field: &FieldDescriptor,
    schema: &Value,
    found: &mut Vec<String>,
) {
    let (schema, is_nullable) = not_null(schema);
    let (expected, one) = match (field.cardinality, field.field_type) {
        (Cardinality::Repeated, _) => ("array", &schema["items"]),
        (Cardinality::Map, _) => ("object", &schema["additionalProperties"]),
        (_, FieldType::StringList) => ("array", &schema["items"]),
        _ => ("", schema),
    };
    let is_pointer = field.cardinality == Cardinality::Optional;
    let can_tell = ["String", "Int64", "Bool", "Message"].contains(&variant_name(field.field_type));
    if !expected.is_empty() && !types_of(schema).contains(&expected)
        || expected.is_empty() && can_tell && is_pointer != is_nullable
        || !is_of_type(one, field.field_type)
    {
        found.push(format!("{}.{} is {field:?}, but {schema}", message.name, field.name));
    }
    if let FieldType::Message(inner) = field.field_type {
        compare(inner, not_null(one).0, found);
    }
}

fn variant_name(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::String => "String",
        FieldType::Int64 => "Int64",
        FieldType::Bool => "Bool",
        FieldType::Message(_) => "Message",
        _ => "",
    }
}

fn is_of_type(schema: &Value, field_type: FieldType) -> bool {
    let (schema, _) = not_null(schema);
    let types = types_of(schema);
    let (expected, format) = match field_type {
        FieldType::String | FieldType::StringList => ("string", None),
        FieldType::Bytes => ("string", Some("byte")),
        FieldType::Time => ("string", Some("date-time")),
        FieldType::Bool => ("boolean", None),
        FieldType::Int64 => return types.contains(&"integer"),
        FieldType::Json | FieldType::JsonLine | FieldType::Message(_) | FieldType::Inline(_) => {
            ("object", None)
        }
    };
    types.contains(&expected) && schema["format"].as_str() == format
}

fn types_of(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// A schema without the choice `null`, and true if it had one.
fn not_null(schema: &Value) -> (&Value, bool) {
    let is_null = |schema: &Value| schema["type"] == "null";
    match (schema["anyOf"].as_array(), schema["type"].as_array()) {
        (Some(choices), _) => (
            choices.iter().find(|choice| !is_null(choice)).unwrap_or(schema),
            choices.iter().any(is_null),
        ),
        (None, Some(types)) => (schema, types.iter().any(|each| each == "null")),
        (None, None) => (schema, false),
    }
}

#[test]
fn message_tables_match_the_types() {
    fn of<T: Kind>() -> Vec<String> {
        differences::<T>(T::MESSAGE)
    }
    let all = [
        of::<Image>(),
        of::<ImageSignature>(),
        of::<ImageStream>(),
        of::<ImageStreamImage>(),
        of::<ImageStreamImport>(),
        of::<ImageStreamLayers>(),
        of::<ImageStreamMapping>(),
        of::<ImageStreamTag>(),
        of::<ImageTag>(),
        differences::<ListMeta>(&LIST_META),
        differences::<Status>(&STATUS),
    ];
    assert_eq!(all.concat(), [""; 0]);
    // The schema of SecretList is not derived from a type, so it does not show pointers.
    let secrets = of::<SecretList>();
    assert!(
        secrets.len() == 1 && secrets[0].starts_with("Secret.immutable is FieldDescriptor"),
        "{secrets:?}"
    );
}

#[test]
fn fields_are_sorted_by_number_with_unique_names() {
    fn check(message: &MessageDescriptor) {
        assert!(
            message.fields.windows(2).all(|pair| pair[0].number < pair[1].number),
            "{}",
            message.name
        );
        let mut names: Vec<_> = message.keys().map(|field| field.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{}", message.name);
        for field in message.fields {
            if let FieldType::Message(inner) | FieldType::Inline(inner) = field.field_type {
                check(inner);
            }
        }
    }
    let of_meta = [
        &STATUS,
        &crate::meta::protobuf::API_RESOURCE_LIST,
        &crate::meta::protobuf::API_GROUP_LIST,
    ];
    let of_meta = of_meta
        .into_iter()
        .chain([&crate::meta::protobuf::DELETE_OPTIONS, &PARTIAL_OBJECT_METADATA]);
    let of_api = [Image::MESSAGE, ImageStream::MESSAGE, ImageStreamTag::MESSAGE, ImageTag::MESSAGE];
    let more = [ImageStreamLayers::MESSAGE, SecretList::MESSAGE, ImageStreamImport::MESSAGE];
    of_meta.chain(of_api).chain(more).for_each(check);
}

/// Generates JSON of a message.
fn any_object(message: &'static MessageDescriptor) -> BoxedStrategy<Value> {
    let fields: Vec<BoxedStrategy<(&str, Value)>> = message.keys().map(any_field).collect();
    fields
        .prop_map(|fields| {
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        })
        .boxed()
}

fn any_field(field: &'static FieldDescriptor) -> BoxedStrategy<(&'static str, Value)> {
    let one = match field.name {
        // Other texts cannot be decoded.
        "dockerImageMetadataVersion" => {
            prop_oneof![Just("1.0"), Just("pre012")].prop_map(Value::from).boxed()
        }
        // A Status has small numbers.
        "code" | "retryAfterSeconds" | "remainingItemCount" => {
            (0..600_i64).prop_map(Value::from).boxed()
        }
        _ => any_value(field.field_type),
    };
    let values = match field.cardinality {
        Cardinality::Required | Cardinality::Optional => {
            prop_oneof![3 => one, 1 => Just(Value::Null)].boxed()
        }
        Cardinality::Repeated => prop::collection::vec(one, 0..3).prop_map(Value::from).boxed(),
        Cardinality::Map => {
            let entries = prop::collection::btree_map("\\PC{0,6}", one, 0..3);
            entries.prop_map(|entries| Value::Object(entries.into_iter().collect())).boxed()
        }
    };
    values.prop_map(|value| (field.name, value)).boxed()
}

fn any_value(field_type: FieldType) -> BoxedStrategy<Value> {
    match field_type {
        FieldType::String => {
            prop_oneof!["\\PC{0,8}", "[<>&\"\\\\\n]{0,3}"].prop_map(Value::from).boxed()
        }
        FieldType::Int64 => prop_oneof![any::<i64>(), 0..2_i64].prop_map(Value::from).boxed(),
        FieldType::Bool => any::<bool>().prop_map(Value::from).boxed(),
        FieldType::Bytes => {
            any::<Vec<u8>>().prop_map(|bytes| STANDARD.encode(bytes).into()).boxed()
        }
        FieldType::Time => (-70_000_000_000..250_000_000_000_i64)
            .prop_map(|seconds| Time::from_unix_seconds(seconds).to_string().into())
            .boxed(),
        FieldType::Json => {
            "[a-z]{0,3}".prop_map(|name| json!({ "f:spec": { format!("f:{name}"): {} } })).boxed()
        }
        FieldType::JsonLine => ("\\PC{0,8}", any::<i64>())
            .prop_map(|(id, size)| json!({ "Id": id, "Size": size }))
            .boxed(),
        FieldType::StringList => {
            prop::collection::vec("[a-z]{0,3}", 0..3).prop_map(Value::from).boxed()
        }
        FieldType::Message(message) | FieldType::Inline(message) => any_object(message),
    }
}

fn json_of<T: Kind>(object: &T) -> Vec<u8> {
    crate::machinery::json::encode(&value::to_value(object, API))
}

fn assert_round_trip<T: Kind + std::fmt::Debug>() {
    let mut runner =
        TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(100) });
    let checked = runner.run(&any_object(T::MESSAGE), |value| {
        let made: T = value::object_from(value).expect("generated JSON is a valid object");
        // Compare in the form that a client gets: an empty image becomes an object with zero
        // values.
        let object: T =
            value::from_value(value::to_value(&made, API)).expect("encoded objects can be decoded");
        let bytes = object_of(&object);
        let typed = decode_envelope(&bytes).unwrap();
        prop_assert_eq!((typed.kind.as_str(), typed.api_version.as_str()), (T::KIND, API.name));
        let again: T =
            value::from_value(decode_fields(T::MESSAGE, typed.message).unwrap().into()).unwrap();
        prop_assert_eq!(
            without_zeros(value::to_value(&again, API)),
            without_zeros(value::to_value(&object, API))
        );
        prop_assert_eq!(object_of(&again), bytes);
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{}: {error}", T::KIND));
}

/// A value without fields that are zero or empty: many types cannot distinguish these from missing
/// fields. The comparison of the bytes covers the others.
fn without_zeros(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.values_mut().for_each(|value| *value = without_zeros(value.take()));
        fields.retain(|_, value| {
            ![json!({}), json!([]), json!(""), json!(0), json!(false), Value::Null].contains(value)
        });
    }
    if let Value::Array(items) = &mut value {
        items.iter_mut().for_each(|item| *item = without_zeros(item.take()));
    }
    value
}

fn object_of<T: Kind>(object: &T) -> Vec<u8> {
    super::encode_object(T::MESSAGE, &json_of(object)).unwrap()
}

#[test]
fn all_objects_survive_a_round_trip() {
    assert_round_trip::<Image>();
    assert_round_trip::<ImageSignature>();
    assert_round_trip::<ImageStream>();
    assert_round_trip::<ImageStreamImage>();
    assert_round_trip::<ImageStreamImport>();
    assert_round_trip::<ImageStreamLayers>();
    assert_round_trip::<ImageStreamMapping>();
    assert_round_trip::<ImageStreamTag>();
    assert_round_trip::<ImageTag>();
    assert_round_trip::<SecretList>();
}

/// A length-delimited field.
fn part(number: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    wire::bytes(number, content.as_ref(), &mut out);
    out
}

#[test]
fn streams_have_the_bytes_that_openshift_stores() {
    let uid = "0b2ab6a3-74e6-4e4b-9c1c-3a9a3b3fd3a7";
    let repository = "image-registry.openshift-image-registry.svc:5000/t2/e2";
    let (reference, image) =
        (format!("quay.io/x/y@sha256:{:4<64}", ""), format!("sha256:{:4<64}", ""));
    let event = json!({"created": "2026-11-24T00:45:14Z", "dockerImageReference": reference, "image": image, "generation": 1});
    let stream = json!({
        "kind": "ImageStream", "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "e2", "namespace": "t2", "uid": uid, "generation": 1, "creationTimestamp": "2026-11-24T00:45:14Z"},
        "spec": {"lookupPolicy": {"local": false}},
        "status": {"dockerImageRepository": repository, "tags": [{"tag": "latest", "items": [event]}]},
    });
    let time = b"\x08\x9a\xbc\x93\xd8\x06\x10\x00";
    let metadata = [
        b"\x0a\x02e2\x12\x00\x1a\x02t2\x22\x00\x2a\x24".as_slice(),
        uid.as_bytes(),
        b"\x32\x00\x38\x01\x42\x08",
        time,
    ];
    let event =
        [part(1, time), part(2, &reference), part(3, &image), b"\x20\x01".to_vec()].concat();
    let tag = [b"\x0a\x06latest".to_vec(), part(2, event)].concat();
    let status = [part(1, repository), part(2, tag), b"\x1a\x00".to_vec()].concat();
    let content =
        [part(1, metadata.concat()), b"\x12\x06\x0a\x00\x1a\x02\x18\x00".to_vec(), part(3, status)]
            .concat();
    let expected = [
        b"k8s\0\x0a\x24\x0a\x15image.openshift.io/v1\x12\x0bImageStream".to_vec(),
        part(2, content),
    ]
    .concat();
    assert_eq!(
        encode_object(ImageStream::MESSAGE, &serde_json::to_vec(&stream).unwrap()).unwrap(),
        [&expected[..], &ENVELOPE_TAIL].concat()
    );
}

#[test]
fn image_metadata_ends_with_newline_and_empty_strings_are_set() {
    let image = object_of(&Image::default());
    let ends = [part(3, part(1, br#"{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"","Created":null,"ContainerConfig":{}}"#.iter().chain(b"\n").copied().collect::<Vec<u8>>())),
        b"\x22\x00\x2a\x00\x4a\x00\x52\x00".to_vec(), ENVELOPE_TAIL.to_vec()].concat();
    assert!(image.ends_with(&ends), "{:?}", String::from_utf8_lossy(&image));
}

#[test]
fn watch_events_have_a_length_prefix() {
    let json = br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7"}}"#;
    let object = encode_object(&PARTIAL_OBJECT_METADATA, json).unwrap();
    let event = [part(1, "BOOKMARK"), part(2, part(1, &object))].concat();
    let expected = [&(event.len() as u32).to_be_bytes(), event.as_slice()].concat();
    assert_eq!(watch_event("BOOKMARK", &PARTIAL_OBJECT_METADATA, json).unwrap(), expected);
}

fn read(message: &MessageDescriptor, bytes: &[u8]) -> Result<Map<String, Value>, String> {
    decode_fields(message, bytes).map_err(|error| error.to_string())
}

#[test]
fn repeated_messages_merge_and_the_last_scalar_wins() {
    let pieces = b"\x0a\x03\x0a\x01a\x0a\x04\x1a\x02ns\x0a\x03\x0a\x01b\x78\x05";
    let expected = json!({"metadata": {"name": "b", "namespace": "ns"}});
    assert_eq!(Value::from(read(&PARTIAL_OBJECT_METADATA, pieces).unwrap()), expected);
}

#[test]
fn map_entries_may_lack_key_or_value() {
    let content = part(1, [part(11, b""), part(11, b"\x0a\x01k"), part(11, b"\x12\x01v")].concat());
    let expected = json!({"metadata": {"labels": {"": "v", "k": ""}}});
    assert_eq!(Value::from(read(&PARTIAL_OBJECT_METADATA, &content).unwrap()), expected);
}

#[test]
fn decode_errors_have_the_texts_of_kubernetes() {
    let message = |bytes: &[u8]| decode_envelope(bytes).unwrap_err().to_string();
    assert_eq!(message(b""), "empty data");
    assert_eq!(message(b"k8s\0"), "empty body");
    assert_eq!(
        message(b"zzzz"),
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    );
    assert_eq!(message(b"k8s\0\x0a\x05"), "unexpected EOF");
    let message = |bytes: &[u8]| read(ImageStream::MESSAGE, bytes).unwrap_err();
    assert_eq!(message(b"\x08\x01"), "proto: wrong wireType = 0 for field metadata");
    assert_eq!(message(b"\x0a\x03\x0a\x01\xff"), "proto: the text of field name is not in UTF-8");
    let message = read(Image::MESSAGE, &part(3, part(1, "{"))).unwrap_err();
    assert_eq!(message, "unexpected end of JSON input in field dockerImageMetadata");
}

#[test]
fn encoding_fails_for_fields_missing_in_the_message() {
    let message = encode_object(&STATUS, br#"{"kind":"Status","apiVersion":"v1","other":1}"#)
        .unwrap_err()
        .to_string();
    assert!(message.contains("Status has no field other"), "{message}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        let _ = decode_envelope(&bytes);
        for message in [ImageStream::MESSAGE, Image::MESSAGE, ImageStreamLayers::MESSAGE, SecretList::MESSAGE] {
            let _ = decode_fields(message, &bytes);
        }
    }
}

#[test]
fn values_inside_json_fields_are_counted() {
    let list = format!("[{}0]", "0,".repeat(150_000));
    let owner = part(17, part(7, part(1, &list)));
    assert!(read(&OBJECT_META, &owner).is_ok());
    assert_eq!(read(&OBJECT_META, &owner.repeat(2)), Err(DecodeError::TooManyValues.to_string()));
}
