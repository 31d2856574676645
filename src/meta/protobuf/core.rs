//! Messages of k8s.io/api/core/v1/generated.proto that other messages contain.

use super::FieldType::{Bool, Bytes, String};
use super::{FieldType, MessageDescriptor, OBJECT_META, map, optional, required};

/// `ObjectReference`.
pub static OBJECT_REFERENCE: MessageDescriptor = MessageDescriptor {
    name: "ObjectReference",
    fields: &[
        required(1, "kind", String),
        required(2, "namespace", String),
        required(3, "name", String),
        required(4, "uid", String),
        required(5, "apiVersion", String),
        required(6, "resourceVersion", String),
        required(7, "fieldPath", String),
    ],
};

/// `LocalObjectReference`.
pub static LOCAL_OBJECT_REFERENCE: MessageDescriptor =
    MessageDescriptor { name: "LocalObjectReference", fields: &[required(1, "name", String)] };

/// `Secret`.
pub static SECRET: MessageDescriptor = MessageDescriptor {
    name: "Secret",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        map(2, "data", Bytes),
        required(3, "type", String),
        map(4, "stringData", String),
        optional(5, "immutable", Bool),
    ],
};
