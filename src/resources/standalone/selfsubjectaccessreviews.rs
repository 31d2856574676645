//! `selfsubjectaccessreviews`: what the user of the request may do, for `kubectl auth can-i`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::protobuf::SELF_SUBJECT_ACCESS_REVIEW;
use crate::auth::{Attributes, ResourceAction};
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::machinery::group_version::GroupVersion;
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{GroupResource, Kind, Object, ObjectMeta, Status, field};
use crate::registry::actor::Actor;
use crate::registry::object_ref::ObjectRef;
use crate::registry::outcome::Written;
use crate::registry::permission::Permission;
use crate::registry::verbs::{Create, Scope};

/// The API group of the resource.
pub(super) const API: GroupVersion = GroupVersion {
    group: "authorization.k8s.io",
    name: "authorization.k8s.io/v1",
    version: "v1",
    kinds: &["SelfSubjectAccessReview"],
};

/// The endpoint of the resource.
pub(super) fn endpoint() -> Endpoint {
    Builder::new(API, "selfsubjectaccessreviews", Scope::Cluster)
        .names("selfsubjectaccessreview", &[])
        .create(&Arc::new(SelfSubjectAccessReviewHandler))
        .build()
}

/// SelfSubjectAccessReview asks if the user of the request may perform an action.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "io.k8s.api.authorization.v1.SelfSubjectAccessReview")]
struct SelfSubjectAccessReview {
    /// Standard object metadata. Empty.
    metadata: ObjectMeta,
    /// Spec is the action, exactly one of its fields.
    spec: SelfSubjectAccessReviewSpec,
    /// Status is the answer, which the server fills in.
    status: SubjectAccessReviewStatus,
}

/// SelfSubjectAccessReviewSpec is an action.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.api.authorization.v1.SelfSubjectAccessReviewSpec")]
struct SelfSubjectAccessReviewSpec {
    /// ResourceAttributes is an action on a resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_attributes: Option<ResourceAttributes>,
    /// NonResourceAttributes is an action on a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    non_resource_attributes: Option<NonResourceAttributes>,
}

/// ResourceAttributes is an action on a resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "io.k8s.api.authorization.v1.ResourceAttributes")]
struct ResourceAttributes {
    /// Namespace of the object. Empty for cluster-scoped resources and for all namespaces.
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    /// Verb, such as get.
    #[serde(skip_serializing_if = "String::is_empty")]
    verb: String,
    /// API group of the resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    /// Version of the API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    /// Resource in the plural.
    #[serde(skip_serializing_if = "String::is_empty")]
    resource: String,
    /// Subresource, such as status.
    #[serde(skip_serializing_if = "String::is_empty")]
    subresource: String,
    /// Name of the object. Empty for all objects.
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
}

/// NonResourceAttributes is an action on a path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "io.k8s.api.authorization.v1.NonResourceAttributes")]
struct NonResourceAttributes {
    /// Path, such as /metrics.
    #[serde(skip_serializing_if = "String::is_empty")]
    path: String,
    /// Verb, which is an HTTP method in lower case.
    #[serde(skip_serializing_if = "String::is_empty")]
    verb: String,
}

/// SubjectAccessReviewStatus is the answer to a review.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.api.authorization.v1.SubjectAccessReviewStatus")]
struct SubjectAccessReviewStatus {
    /// Allowed is true if the user may perform the action.
    allowed: bool,
    /// Reason for the decision.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// EvaluationError is the reason why the decision may be wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    evaluation_error: String,
    /// Denied is true if no other authorizer may allow the action.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    denied: bool,
}

impl Object for SelfSubjectAccessReview {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Kind for SelfSubjectAccessReview {
    const KIND: &'static str = "SelfSubjectAccessReview";
    const MESSAGE: &'static MessageDescriptor = &SELF_SUBJECT_ACCESS_REVIEW;
}

struct SelfSubjectAccessReviewHandler;

impl Create<SelfSubjectAccessReview> for SelfSubjectAccessReviewHandler {
    async fn create(
        &self,
        actor: &Actor,
        _: &ObjectRef,
        review: SelfSubjectAccessReview,
    ) -> Result<Written<SelfSubjectAccessReview>, Status> {
        let attributes = review.spec.attributes()?;
        let permission = actor.permissions.review(&actor.user, &Arc::new(attributes)).await;
        let status = match permission {
            Permission::Allowed => {
                SubjectAccessReviewStatus { allowed: true, ..Default::default() }
            }
            Permission::Denied { reason } => {
                SubjectAccessReviewStatus { reason, ..Default::default() }
            }
            Permission::Unknown { why } => {
                SubjectAccessReviewStatus { evaluation_error: why, ..Default::default() }
            }
        };
        Ok(Written::created(SelfSubjectAccessReview { status, ..review }))
    }
}

impl SelfSubjectAccessReviewSpec {
    /// The action.
    ///
    /// # Errors
    /// 422 for no action and for two, as `ValidateSelfSubjectAccessReviewSpec` in
    /// k8s.io/kubernetes/pkg/apis/authorization/validation.
    fn attributes(&self) -> Result<Attributes, Status> {
        match (&self.resource_attributes, &self.non_resource_attributes) {
            (Some(action), None) => Ok(Attributes::Resource(Box::new(action.clone().into()))),
            (None, Some(NonResourceAttributes { path, verb })) => {
                Ok(Attributes::Path { path: path.clone(), verb: verb.clone() })
            }
            (Some(_), Some(_)) => Err(invalid(field::Error::invalid(
                "spec.nonResourceAttributes",
                "",
                "cannot be specified in combination with resourceAttributes",
            ))),
            (None, None) => Err(invalid(field::Error::required(
                "spec.resourceAttributes",
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ))),
        }
    }
}

fn invalid(error: field::Error) -> Status {
    let kind = GroupResource { group: API.group, name: SelfSubjectAccessReview::KIND };
    Status::invalid(kind, "", &field::Errors::from_iter([error]))
}

impl From<ResourceAttributes> for ResourceAction {
    fn from(attributes: ResourceAttributes) -> Self {
        let ResourceAttributes { namespace, verb, group, version, resource, subresource, name } =
            attributes;
        Self { verb, group, version, resource, subresource, namespace, name, ..Self::default() }
    }
}
