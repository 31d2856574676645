//! `SecretList`: the secrets that images of a namespace can be pulled with.

use k8s_openapi::api::core::v1::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::object;
use crate::meta::{Kind, ListMeta, ObjectMeta};

/// Secrets of a namespace, as the core API has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.SecretList")]
pub struct SecretList {
    /// Metadata of a list; of its fields only the resourceVersion is ever set.
    #[schemars(with = "ListMeta")]
    pub metadata: ObjectMeta,
    /// The secrets, with what they hold.
    #[schemars(with = "Vec<Value>")]
    pub items: Vec<Secret>,
}

object!(SecretList);

impl Kind for SecretList {
    const KIND: &'static str = "SecretList";
}
