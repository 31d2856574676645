//! Schemas of standard bodies of Kubernetes without a Rust type of this server.

use serde_json::{Value, json};

/// The name of [`delete_options`].
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
/// The name of [`preconditions`].
pub(super) const PRECONDITIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Preconditions";
/// The name of [`watch_event`].
pub(super) const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";
/// The name of [`patch`].
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

/// `DeleteOptions`, with a reference to [`preconditions`].
pub(super) fn delete_options(preconditions: &Value) -> Value {
    let mut preconditions = preconditions.clone();
    preconditions["description"] =
        "Conditions that the object must meet. If it does not, the deletion fails with 409 Conflict.".into();
    json!({
        "type": "object",
        "description": "DeleteOptions are the options of a deletion.",
        "properties": {
            "apiVersion": text("APIVersion is the group and version of the schema of these options."),
            "kind": text("Kind is `DeleteOptions`."),
            "dryRun": {
                "type": "array",
                "items": { "type": "string" },
                "description": "When present, the request is validated and executed, but not stored. The only valid value is `All`.",
                "x-kubernetes-list-type": "atomic",
            },
            "gracePeriodSeconds": {
                "type": "integer",
                "format": "int64",
                "description": "Accepted for compatibility. Objects are deleted without a grace period.",
            },
            "ignoreStoreReadErrorWithClusterBreakingPotential": {
                "type": "boolean",
                "description": "Deletes an object whose stored value cannot be read, without regard to finalizers and preconditions. Requires the verb unsafe-delete-ignore-read-errors. Rejected for readable objects.",
            },
            "orphanDependents": {
                "type": "boolean",
                "description": "Deprecated: use propagationPolicy. If true, dependent objects are orphaned.",
            },
            "preconditions": preconditions,
            "propagationPolicy": text("Garbage collection of dependents: `Orphan`, `Background` or `Foreground`."),
        },
    })
}

/// `Preconditions` of a deletion.
pub(super) fn preconditions() -> Value {
    json!({
        "type": "object",
        "description": "Preconditions are conditions that an object must meet to be deleted.",
        "properties": {
            "resourceVersion": text("Required resourceVersion of the object."),
            "uid": text("Required UID of the object."),
        },
    })
}

/// `WatchEvent`, with an object of any kind.
pub(super) fn watch_event() -> Value {
    json!({
        "type": "object",
        "description": "WatchEvent is a single event of a watch.",
        "required": ["object", "type"],
        "properties": {
            "object": {
                "type": "object",
                "description": "The new state of the object if type is ADDED or MODIFIED, the last state before the \
                                deletion if DELETED, an object with only a resourceVersion if BOOKMARK, a Status if ERROR.",
            },
            "type": text("Type is `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`."),
        },
    })
}

/// `Patch`: the body of a patch of any media type.
pub(super) fn patch() -> Value {
    json!({ "type": "object", "description": "Patch is the body of a PATCH request. Its structure depends on the media type." })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}
