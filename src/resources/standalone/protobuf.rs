//! Messages of the kinds. The field numbers are those of generated.proto in k8s.io/api.

use crate::meta::protobuf::FieldType::{Bool, String};
use crate::meta::protobuf::{
    FieldType, MessageDescriptor, OBJECT_META, map, optional, repeated, required,
};

/// `Namespace` of core/v1.
pub(super) static NAMESPACE: MessageDescriptor = MessageDescriptor {
    name: "Namespace",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        required(2, "spec", FieldType::Message(&NAMESPACE_SPEC)),
        required(3, "status", FieldType::Message(&NAMESPACE_STATUS)),
    ],
};

static NAMESPACE_SPEC: MessageDescriptor =
    MessageDescriptor { name: "NamespaceSpec", fields: &[repeated(1, "finalizers", String)] };

static NAMESPACE_STATUS: MessageDescriptor =
    MessageDescriptor { name: "NamespaceStatus", fields: &[required(1, "phase", String)] };

/// `SelfSubjectReview` of authentication/v1.
pub(super) static SELF_SUBJECT_REVIEW: MessageDescriptor = MessageDescriptor {
    name: "SelfSubjectReview",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        required(2, "status", FieldType::Message(&SELF_SUBJECT_REVIEW_STATUS)),
    ],
};

static SELF_SUBJECT_REVIEW_STATUS: MessageDescriptor = MessageDescriptor {
    name: "SelfSubjectReviewStatus",
    fields: &[required(1, "userInfo", FieldType::Message(&USER_INFO))],
};

static USER_INFO: MessageDescriptor = MessageDescriptor {
    name: "UserInfo",
    fields: &[
        required(1, "username", String),
        required(2, "uid", String),
        repeated(3, "groups", String),
        map(4, "extra", FieldType::StringList),
    ],
};

/// `SelfSubjectAccessReview` of authorization/v1.
pub(super) static SELF_SUBJECT_ACCESS_REVIEW: MessageDescriptor = MessageDescriptor {
    name: "SelfSubjectAccessReview",
    fields: &[
        required(1, "metadata", FieldType::Message(&OBJECT_META)),
        required(2, "spec", FieldType::Message(&ACCESS_SPEC)),
        required(3, "status", FieldType::Message(&ACCESS_STATUS)),
    ],
};

static ACCESS_SPEC: MessageDescriptor = MessageDescriptor {
    name: "SelfSubjectAccessReviewSpec",
    fields: &[
        optional(1, "resourceAttributes", FieldType::Message(&RESOURCE_ATTRIBUTES)),
        optional(2, "nonResourceAttributes", FieldType::Message(&NON_RESOURCE_ATTRIBUTES)),
    ],
};

static RESOURCE_ATTRIBUTES: MessageDescriptor = MessageDescriptor {
    name: "ResourceAttributes",
    fields: &[
        required(1, "namespace", String),
        required(2, "verb", String),
        required(3, "group", String),
        required(4, "version", String),
        required(5, "resource", String),
        required(6, "subresource", String),
        required(7, "name", String),
    ],
};

static NON_RESOURCE_ATTRIBUTES: MessageDescriptor = MessageDescriptor {
    name: "NonResourceAttributes",
    fields: &[required(1, "path", String), required(2, "verb", String)],
};

static ACCESS_STATUS: MessageDescriptor = MessageDescriptor {
    name: "SubjectAccessReviewStatus",
    fields: &[
        required(1, "allowed", Bool),
        required(2, "reason", String),
        required(3, "evaluationError", String),
        required(4, "denied", Bool),
    ],
};
