//! Messages of k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto that this server reads or
//! writes.

use super::FieldType::{Bool, Int64, Json, String, StringList, Time};
use super::{FieldType, MessageDescriptor, map, optional, repeated, required};

/// `ObjectMeta`.
pub static OBJECT_META: MessageDescriptor = MessageDescriptor {
    name: "ObjectMeta",
    fields: &[
        required(1, "name", String),
        required(2, "generateName", String),
        required(3, "namespace", String),
        required(4, "selfLink", String),
        required(5, "uid", String),
        required(6, "resourceVersion", String),
        required(7, "generation", Int64),
        required(8, "creationTimestamp", Time),
        optional(9, "deletionTimestamp", Time),
        optional(10, "deletionGracePeriodSeconds", Int64),
        map(11, "labels", String),
        map(12, "annotations", String),
        repeated(13, "ownerReferences", FieldType::Message(&OWNER_REFERENCE)),
        repeated(14, "finalizers", String),
        repeated(17, "managedFields", FieldType::Message(&MANAGED_FIELDS_ENTRY)),
    ],
};

static OWNER_REFERENCE: MessageDescriptor = MessageDescriptor {
    name: "OwnerReference",
    fields: &[
        required(1, "kind", String),
        required(3, "name", String),
        required(4, "uid", String),
        required(5, "apiVersion", String),
        optional(6, "controller", Bool),
        optional(7, "blockOwnerDeletion", Bool),
    ],
};

static MANAGED_FIELDS_ENTRY: MessageDescriptor = MessageDescriptor {
    name: "ManagedFieldsEntry",
    fields: &[
        required(1, "manager", String),
        required(2, "operation", String),
        required(3, "apiVersion", String),
        optional(4, "time", Time),
        required(6, "fieldsType", String),
        optional(7, "fieldsV1", Json),
        required(8, "subresource", String),
    ],
};

/// `ListMeta`.
pub static LIST_META: MessageDescriptor = MessageDescriptor {
    name: "ListMeta",
    fields: &[
        required(1, "selfLink", String),
        required(2, "resourceVersion", String),
        required(3, "continue", String),
        optional(4, "remainingItemCount", Int64),
    ],
};

/// `Status`.
pub static STATUS: MessageDescriptor = MessageDescriptor {
    name: "Status",
    fields: &[
        required(1, "metadata", FieldType::Message(&LIST_META)),
        required(2, "status", String),
        required(3, "message", String),
        required(4, "reason", String),
        optional(5, "details", FieldType::Message(&STATUS_DETAILS)),
        required(6, "code", Int64),
    ],
};

static STATUS_DETAILS: MessageDescriptor = MessageDescriptor {
    name: "StatusDetails",
    fields: &[
        required(1, "name", String),
        required(2, "group", String),
        required(3, "kind", String),
        repeated(4, "causes", FieldType::Message(&STATUS_CAUSE)),
        required(5, "retryAfterSeconds", Int64),
        required(6, "uid", String),
    ],
};

static STATUS_CAUSE: MessageDescriptor = MessageDescriptor {
    name: "StatusCause",
    fields: &[
        required(1, "reason", String),
        required(2, "message", String),
        required(3, "field", String),
    ],
};

/// `PartialObjectMetadata`.
pub static PARTIAL_OBJECT_METADATA: MessageDescriptor = MessageDescriptor {
    name: "PartialObjectMetadata",
    fields: &[required(1, "metadata", FieldType::Message(&OBJECT_META))],
};

/// `DeleteOptions`, the only options that are sent in a request body.
pub static DELETE_OPTIONS: MessageDescriptor = MessageDescriptor {
    name: "DeleteOptions",
    fields: &[
        optional(1, "gracePeriodSeconds", Int64),
        optional(2, "preconditions", FieldType::Message(&PRECONDITIONS)),
        optional(3, "orphanDependents", Bool),
        optional(4, "propagationPolicy", String),
        repeated(5, "dryRun", String),
        optional(6, "ignoreStoreReadErrorWithClusterBreakingPotential", Bool),
    ],
};

static PRECONDITIONS: MessageDescriptor = MessageDescriptor {
    name: "Preconditions",
    fields: &[optional(1, "uid", String), optional(2, "resourceVersion", String)],
};

/// `APIGroupList`.
pub static API_GROUP_LIST: MessageDescriptor = MessageDescriptor {
    name: "APIGroupList",
    fields: &[repeated(1, "groups", FieldType::Message(&API_GROUP))],
};

/// `APIGroup`.
pub static API_GROUP: MessageDescriptor = MessageDescriptor {
    name: "APIGroup",
    fields: &[
        required(1, "name", String),
        repeated(2, "versions", FieldType::Message(&GROUP_VERSION)),
        required(3, "preferredVersion", FieldType::Message(&GROUP_VERSION)),
    ],
};

static GROUP_VERSION: MessageDescriptor = MessageDescriptor {
    name: "GroupVersionForDiscovery",
    fields: &[required(1, "groupVersion", String), required(2, "version", String)],
};

/// `APIVersions`.
pub static API_VERSIONS: MessageDescriptor = MessageDescriptor {
    name: "APIVersions",
    fields: &[
        repeated(1, "versions", String),
        repeated(2, "serverAddressByClientCIDRs", FieldType::Message(&SERVER_ADDRESS)),
    ],
};

static SERVER_ADDRESS: MessageDescriptor = MessageDescriptor {
    name: "ServerAddressByClientCIDR",
    fields: &[required(1, "clientCIDR", String), required(2, "serverAddress", String)],
};

/// `APIResourceList`.
pub static API_RESOURCE_LIST: MessageDescriptor = MessageDescriptor {
    name: "APIResourceList",
    fields: &[
        required(1, "groupVersion", String),
        repeated(2, "resources", FieldType::Message(&API_RESOURCE)),
    ],
};

static API_RESOURCE: MessageDescriptor = MessageDescriptor {
    name: "APIResource",
    fields: &[
        required(1, "name", String),
        required(2, "namespaced", Bool),
        required(3, "kind", String),
        optional(4, "verbs", StringList),
        repeated(5, "shortNames", String),
        required(6, "singularName", String),
        repeated(7, "categories", String),
        required(8, "group", String),
        required(9, "version", String),
        required(10, "storageVersionHash", String),
    ],
};
