//! Bodies of Kubernetes that no Rust type of this server stands for: they are read by way of others.

use serde_json::{Value, json};

/// The name of [`delete_options`].
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
/// The name of [`preconditions`].
pub(super) const PRECONDITIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Preconditions";
/// The name of [`watch_event`].
pub(super) const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";
/// The name of [`patch`].
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

/// The body of a deletion, which refers to the preconditions.
pub(super) fn delete_options(preconditions: &Value) -> Value {
    let mut preconditions = preconditions.clone();
    preconditions["description"] = "What must hold of the object; otherwise the answer is 409.".into();
    json!({
        "type": "object",
        "description": "How an object is deleted.",
        "properties": {
            "apiVersion": text("Group and version of these options."),
            "kind": text("`DeleteOptions`."),
            "dryRun": {
                "type": "array",
                "items": { "type": "string" },
                "description": "`All` to be told what would happen, without anything being written.",
                "x-kubernetes-list-type": "atomic",
            },
            "gracePeriodSeconds": {
                "type": "integer",
                "format": "int64",
                "description": "Taken, and without effect: objects have nothing to end.",
            },
            "ignoreStoreReadErrorWithClusterBreakingPotential": {
                "type": "boolean",
                "description": "Taken, and without effect: what cannot be read can be deleted anyway.",
            },
            "orphanDependents": {
                "type": "boolean",
                "description": "Whether dependents stay; propagationPolicy is the newer form.",
            },
            "preconditions": preconditions,
            "propagationPolicy": text("What becomes of dependents: `Orphan`, `Background` or `Foreground`."),
        },
    })
}

/// What must hold of an object before it is deleted.
pub(super) fn preconditions() -> Value {
    json!({
        "type": "object",
        "description": "What must hold of an object before it is deleted.",
        "properties": {
            "resourceVersion": text("The version that the object must have."),
            "uid": text("The UID that the object must have."),
        },
    })
}

/// An event of a watch, whatever the kind of its object.
pub(super) fn watch_event() -> Value {
    json!({
        "type": "object",
        "description": "What became of an object, how far a watch has come, or why it ends.",
        "required": ["object", "type"],
        "properties": {
            "object": {
                "type": "object",
                "description": "The object as it is; of DELETED as it was last, of BOOKMARK with its resourceVersion only, of \
                                ERROR a Status.",
            },
            "type": text("`ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`."),
        },
    })
}

/// The body of a patch, whatever its type.
pub(super) fn patch() -> Value {
    json!({ "type": "object", "description": "A part of the object, or a list of changes, as the media type says." })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}
