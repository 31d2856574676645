//! Messages of `k8s.io/api/core/v1` that stand inside of others.

use super::Form::{Bytes, Flag, Text};
use super::{Form, Message, OBJECT_META, always, if_set, keyed};

/// A reference to an object.
pub static OBJECT_REFERENCE: Message = Message {
    name: "ObjectReference",
    fields: &[
        always(1, "kind", Text),
        always(2, "namespace", Text),
        always(3, "name", Text),
        always(4, "uid", Text),
        always(5, "apiVersion", Text),
        always(6, "resourceVersion", Text),
        always(7, "fieldPath", Text),
    ],
};

/// A reference to an object of the same namespace.
pub static LOCAL_OBJECT_REFERENCE: Message =
    Message { name: "LocalObjectReference", fields: &[always(1, "name", Text)] };

/// A secret.
pub static SECRET: Message = Message {
    name: "Secret",
    fields: &[
        always(1, "metadata", Form::Message(&OBJECT_META)),
        keyed(2, "data", Bytes),
        always(3, "type", Text),
        keyed(4, "stringData", Text),
        if_set(5, "immutable", Flag),
    ],
};
