//! `selfsubjectreviews`: the user of the request, for `kubectl auth whoami`.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::protobuf::SELF_SUBJECT_REVIEW;
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::machinery::group_version::GroupVersion;
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, Object, ObjectMeta, Status};
use crate::registry::actor::Actor;
use crate::registry::object_ref::ObjectRef;
use crate::registry::outcome::Written;
use crate::registry::verbs::{Create, Scope};

/// The API group of the resource.
pub(super) const API: GroupVersion = GroupVersion {
    group: "authentication.k8s.io",
    name: "authentication.k8s.io/v1",
    version: "v1",
    kinds: &["SelfSubjectReview"],
};

/// The endpoint of the resource.
pub(super) fn endpoint() -> Endpoint {
    Builder::new(API, "selfsubjectreviews", Scope::Cluster)
        .names("selfsubjectreview", &[])
        .create(&Arc::new(SelfSubjectReviewHandler))
        .build()
}

/// SelfSubjectReview is the user of a request, as the server sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.api.authentication.v1.SelfSubjectReview")]
struct SelfSubjectReview {
    /// Standard object metadata. Empty.
    metadata: ObjectMeta,
    /// Status is the result, which the server fills in.
    status: SelfSubjectReviewStatus,
}

/// SelfSubjectReviewStatus is the result of a review.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.api.authentication.v1.SelfSubjectReviewStatus")]
struct SelfSubjectReviewStatus {
    /// UserInfo is the user.
    user_info: UserInfo,
}

/// UserInfo is what the server knows of a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "io.k8s.api.authentication.v1.UserInfo")]
struct UserInfo {
    /// Username is the name of the user.
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    /// UID distinguishes users with the same name at different times.
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    /// Groups are the names of the user's groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    /// Extra is further information from the authenticator.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: BTreeMap<String, Vec<String>>,
}

impl Object for SelfSubjectReview {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Kind for SelfSubjectReview {
    const KIND: &'static str = "SelfSubjectReview";
    const MESSAGE: &'static MessageDescriptor = &SELF_SUBJECT_REVIEW;
}

struct SelfSubjectReviewHandler;

impl Create<SelfSubjectReview> for SelfSubjectReviewHandler {
    async fn create(
        &self,
        actor: &Actor,
        _: &ObjectRef,
        review: SelfSubjectReview,
    ) -> Result<Written<SelfSubjectReview>, Status> {
        let user = actor.user.as_ref().clone();
        let user_info =
            UserInfo { username: user.name, uid: user.uid, groups: user.groups, extra: user.extra };
        let status = SelfSubjectReviewStatus { user_info };
        Ok(Written::created(SelfSubjectReview { metadata: review.metadata, status }))
    }
}
