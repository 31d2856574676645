//! Messages of `k8s.io/apimachinery/pkg/apis/meta/v1`, as far as they are sent or read.

use super::Form::{Flag, Integer, Json, Text, Texts, Time};
use super::{Form, Message, always, each, if_set, keyed};

/// Metadata of an object.
pub static OBJECT_META: Message = Message {
    name: "ObjectMeta",
    fields: &[
        always(1, "name", Text),
        always(2, "generateName", Text),
        always(3, "namespace", Text),
        always(4, "selfLink", Text),
        always(5, "uid", Text),
        always(6, "resourceVersion", Text),
        always(7, "generation", Integer),
        always(8, "creationTimestamp", Time),
        if_set(9, "deletionTimestamp", Time),
        if_set(10, "deletionGracePeriodSeconds", Integer),
        keyed(11, "labels", Text),
        keyed(12, "annotations", Text),
        each(13, "ownerReferences", Form::Message(&OWNER_REFERENCE)),
        each(14, "finalizers", Text),
        each(17, "managedFields", Form::Message(&MANAGED_FIELDS_ENTRY)),
    ],
};

static OWNER_REFERENCE: Message = Message {
    name: "OwnerReference",
    fields: &[
        always(1, "kind", Text),
        always(3, "name", Text),
        always(4, "uid", Text),
        always(5, "apiVersion", Text),
        if_set(6, "controller", Flag),
        if_set(7, "blockOwnerDeletion", Flag),
    ],
};

static MANAGED_FIELDS_ENTRY: Message = Message {
    name: "ManagedFieldsEntry",
    fields: &[
        always(1, "manager", Text),
        always(2, "operation", Text),
        always(3, "apiVersion", Text),
        if_set(4, "time", Time),
        always(6, "fieldsType", Text),
        if_set(7, "fieldsV1", Json),
        always(8, "subresource", Text),
    ],
};

/// Metadata of a list.
pub static LIST_META: Message = Message {
    name: "ListMeta",
    fields: &[
        always(1, "selfLink", Text),
        always(2, "resourceVersion", Text),
        always(3, "continue", Text),
        if_set(4, "remainingItemCount", Integer),
    ],
};

/// The outcome of a request.
pub static STATUS: Message = Message {
    name: "Status",
    fields: &[
        always(1, "metadata", Form::Message(&LIST_META)),
        always(2, "status", Text),
        always(3, "message", Text),
        always(4, "reason", Text),
        if_set(5, "details", Form::Message(&STATUS_DETAILS)),
        always(6, "code", Integer),
    ],
};

static STATUS_DETAILS: Message = Message {
    name: "StatusDetails",
    fields: &[
        always(1, "name", Text),
        always(2, "group", Text),
        always(3, "kind", Text),
        each(4, "causes", Form::Message(&STATUS_CAUSE)),
        always(5, "retryAfterSeconds", Integer),
        always(6, "uid", Text),
    ],
};

static STATUS_CAUSE: Message = Message {
    name: "StatusCause",
    fields: &[always(1, "reason", Text), always(2, "message", Text), always(3, "field", Text)],
};

/// Of an object its metadata alone.
pub static PARTIAL_OBJECT_METADATA: Message =
    Message { name: "PartialObjectMetadata", fields: &[always(1, "metadata", Form::Message(&OBJECT_META))] };

/// How an object is deleted: the one kind of options that comes in a body.
pub static DELETE_OPTIONS: Message = Message {
    name: "DeleteOptions",
    fields: &[
        if_set(1, "gracePeriodSeconds", Integer),
        if_set(2, "preconditions", Form::Message(&PRECONDITIONS)),
        if_set(3, "orphanDependents", Flag),
        if_set(4, "propagationPolicy", Text),
        each(5, "dryRun", Text),
        if_set(6, "ignoreStoreReadErrorWithClusterBreakingPotential", Flag),
    ],
};

static PRECONDITIONS: Message =
    Message { name: "Preconditions", fields: &[if_set(1, "uid", Text), if_set(2, "resourceVersion", Text)] };

/// The groups of a server.
pub static API_GROUP_LIST: Message =
    Message { name: "APIGroupList", fields: &[each(1, "groups", Form::Message(&API_GROUP))] };

/// The versions of a group.
pub static API_GROUP: Message = Message {
    name: "APIGroup",
    fields: &[
        always(1, "name", Text),
        each(2, "versions", Form::Message(&GROUP_VERSION)),
        always(3, "preferredVersion", Form::Message(&GROUP_VERSION)),
    ],
};

static GROUP_VERSION: Message = Message {
    name: "GroupVersionForDiscovery",
    fields: &[always(1, "groupVersion", Text), always(2, "version", Text)],
};

/// The resources of a version.
pub static API_RESOURCE_LIST: Message = Message {
    name: "APIResourceList",
    fields: &[always(1, "groupVersion", Text), each(2, "resources", Form::Message(&API_RESOURCE))],
};

static API_RESOURCE: Message = Message {
    name: "APIResource",
    fields: &[
        always(1, "name", Text),
        always(2, "namespaced", Flag),
        always(3, "kind", Text),
        if_set(4, "verbs", Texts),
        each(5, "shortNames", Text),
        always(6, "singularName", Text),
        each(7, "categories", Text),
        always(8, "group", Text),
        always(9, "version", Text),
        always(10, "storageVersionHash", Text),
    ],
};
