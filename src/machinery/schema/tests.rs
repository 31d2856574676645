//! Tests of the schemas of API types.

use serde_json::json;

use super::{ListType, MapType, PatchStrategy, Scalar, Schema, Shape};
use crate::api::{Image, ImageStream};

/// The shape at a path of field names.
fn at<'a>(schema: &'a Schema, path: &str) -> &'a Shape {
    path.split('.').fold(&schema.root, |shape, name| {
        let shape = if let Shape::List(_, items) = shape { items } else { shape };
        shape.value(name).unwrap_or_else(|| panic!("{name} of {path}"))
    })
}

fn key(schema: &Schema, path: &str) -> Option<(String, Option<serde_json::Value>)> {
    match at(schema, path) {
        Shape::List(ListType::Map(keys), _) => {
            keys.first().map(|key| (key.name.clone(), key.default.clone()))
        }
        _ => None,
    }
}

#[test]
fn tags_are_keyed_by_name() {
    let schema = Schema::of::<ImageStream>();
    assert_eq!(key(&schema, "spec.tags"), Some(("name".into(), Some(json!("")))));
    assert_eq!(key(&schema, "status.tags"), Some(("tag".into(), Some(json!("")))));
    assert_eq!(key(&schema, "metadata.ownerReferences"), Some(("uid".into(), Some(json!("")))));
    let tags = at(&schema, "spec").field("tags").unwrap();
    assert_eq!(tags.patch, PatchStrategy::Merge(Some("name".into())));
}

#[test]
fn lists_without_a_type_are_atomic() {
    let schema = Schema::of::<ImageStream>();
    for path in ["status.tags.items", "status.tags.conditions", "metadata.managedFields"] {
        assert!(matches!(at(&schema, path), Shape::List(ListType::Atomic, _)), "{path}");
    }
    assert!(matches!(at(&schema, "metadata.finalizers"), Shape::List(ListType::Set, _)));
}

#[test]
fn object_references_are_atomic_and_other_objects_granular() {
    let schema = Schema::of::<ImageStream>();
    assert!(matches!(at(&schema, "spec.tags.from"), Shape::Struct(MapType::Atomic, _)));
    assert!(matches!(at(&schema, "spec.tags.importPolicy"), Shape::Struct(MapType::Granular, _)));
    assert!(matches!(at(&schema, "metadata.labels"), Shape::Map(MapType::Granular, _)));
    assert!(matches!(at(&schema, "spec.tags.annotations"), Shape::Map(MapType::Granular, _)));
}

#[test]
fn optional_and_required_scalars_have_types() {
    let schema = Schema::of::<ImageStream>();
    for (path, scalar) in [
        ("kind", Scalar::String),
        ("spec.tags.generation", Scalar::Integer),
        ("metadata.creationTimestamp", Scalar::String),
        ("spec.lookupPolicy.local", Scalar::Boolean),
    ] {
        assert_eq!(at(&schema, path), &Shape::Scalar(scalar), "{path}");
    }
}

#[test]
fn image_metadata_and_signatures_are_atomic() {
    let schema = Schema::of::<Image>();
    assert!(matches!(at(&schema, "dockerImageMetadata"), Shape::Map(MapType::Atomic, _)));
    assert_eq!(schema.root.field("dockerImageMetadata").unwrap().patch, PatchStrategy::Replace);
    assert!(matches!(at(&schema, "signatures"), Shape::List(ListType::Atomic, _)));
    assert_eq!(at(&schema, "signatures.kind"), &Shape::Scalar(Scalar::String));
    assert_eq!(
        schema.root.field("signatures").unwrap().patch,
        PatchStrategy::Merge(Some("name".into()))
    );
}

#[test]
fn empty_objects_have_zero_values_only() {
    let empty = Schema::of::<ImageStream>().empty;
    let expected = json!({"metadata": {}, "spec": {"lookupPolicy": {"local": false}}, "status": {"dockerImageRepository": ""}});
    assert_eq!(empty, expected);
}
