//! Messages of `k8s.io/api/core/v1` that stand inside of others.

use super::FieldType::{Bool, Bytes, String};
use super::{FieldType, MessageDescriptor, OBJECT_META, map, optional, required};

/// A reference to an object.
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

/// A reference to an object of the same namespace.
pub static LOCAL_OBJECT_REFERENCE: MessageDescriptor =
    MessageDescriptor { name: "LocalObjectReference", fields: &[required(1, "name", String)] };

/// A secret.
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
