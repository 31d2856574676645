//! What every Kubernetes object carries, in the order in which the reference implementation writes it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Time;
use super::protobuf::MessageDescriptor;

/// Something with Kubernetes metadata.
pub trait Object {
    /// The object's metadata.
    fn metadata(&self) -> &ObjectMeta;
    /// The object's metadata, to be changed.
    fn metadata_mut(&mut self) -> &mut ObjectMeta;
}

/// A kind of object that this server reads and writes.
pub trait Kind:
    Object + Serialize + DeserializeOwned + JsonSchema + Clone + Default + PartialEq + Send + Sync + 'static
{
    /// The kind as it stands in `kind`, for example `ImageStream`.
    const KIND: &'static str;
    /// How objects of the kind look in protobuf.
    const MESSAGE: &'static MessageDescriptor;

    /// Fills in what the API defines for fields that the client left out.
    ///
    /// Runs on everything that is decoded, be it from a request or from storage.
    fn default_fields(&mut self) {}
}

/// Metadata that all objects of the cluster have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")]
pub struct ObjectMeta {
    /// The object's name, unique among objects of its kind (and namespace); cannot be changed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Beginning of a name that the server completes with random letters when `name` is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub generate_name: String,
    /// The namespace that the object lives in; empty for objects of the whole cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Not used any more; kept as sent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub self_link: String,
    /// Identifies this very object among all that ever had its name. Set by the server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Opaque version of the object's content, for optimistic locking and watches. Set by the server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Counts changes of the wanted state. Set by the server.
    #[serde(skip_serializing_if = "is_zero")]
    pub generation: i64,
    /// When the object was created. Set by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    /// When the object was asked to go; it lingers while it has finalizers. Set by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Time>,
    /// Seconds that the object was given to end. Set by the server together with `deletionTimestamp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<i64>,
    /// Keys and values by which objects are selected and grouped.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Keys and values that tools attach to the object; not for selecting.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Objects without which this one is garbage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["uid"],
        "x-kubernetes-patch-strategy" = "merge",
        "x-kubernetes-patch-merge-key" = "uid"
    ))]
    pub owner_references: Vec<OwnerReference>,
    /// Names of parties that must clean up before the object may vanish.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set", "x-kubernetes-patch-strategy" = "merge"))]
    pub finalizers: Vec<String>,
    /// Which writer owns which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub managed_fields: Vec<ManagedFieldsEntry>,
}

/// An object that another one depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(
    rename = "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference",
    extend("x-kubernetes-map-type" = "atomic")
)]
pub struct OwnerReference {
    /// API version of the owner.
    #[schemars(extend("required" = true))]
    pub api_version: String,
    /// Kind of the owner.
    #[schemars(extend("required" = true))]
    pub kind: String,
    /// Name of the owner.
    #[schemars(extend("required" = true))]
    pub name: String,
    /// UID of the owner.
    #[schemars(extend("required" = true))]
    pub uid: String,
    /// Whether the owner is the managing controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether the owner cannot go in foreground deletion before this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

/// The fields that one writer owns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry")]
pub struct ManagedFieldsEntry {
    /// Name of the writer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub manager: String,
    /// `Apply` or `Update`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// API version that the field names below belong to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// When the entry last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// Format of the field set: `FieldsV1`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fields_type: String,
    /// The field set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<FieldsV1>")]
    pub fields_v1: Option<serde_json::Value>,
    /// Subresource through which the fields were written; empty for the object itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// Metadata of a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")]
pub struct ListMeta {
    /// Not used any more.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub self_link: String,
    /// Version of the store that the list shows.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Token for the next page; empty at the end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub r#continue: String,
    /// How many items follow after this page, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<u64>,
}

/// What stands in `fieldsV1`, for OpenAPI.
struct FieldsV1;

impl JsonSchema for FieldsV1 {
    fn schema_name() -> Cow<'static, str> {
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A set of fields: each key is a field, a key of a map or an item of a list, and holds what is inside of it.",
        })
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}
