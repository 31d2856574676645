//! Object and list metadata. The order of the fields is that of apimachinery.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Time;
use super::protobuf::MessageDescriptor;

/// An object with metadata.
pub trait Object {
    /// Returns the metadata.
    fn metadata(&self) -> &ObjectMeta;
    /// Returns the metadata for changes.
    fn metadata_mut(&mut self) -> &mut ObjectMeta;
}

/// A kind of API object.
pub trait Kind:
    Object
    + Serialize
    + DeserializeOwned
    + JsonSchema
    + Clone
    + Default
    + PartialEq
    + Send
    + Sync
    + 'static
{
    /// Value of `kind`, such as `ImageStream`.
    const KIND: &'static str;
    /// Protobuf descriptor of the kind.
    const MESSAGE: &'static MessageDescriptor;

    /// Sets the defaults of the API on unset fields.
    ///
    /// Called after decoding, for requests and stored objects alike.
    fn default_fields(&mut self) {}
}

/// ObjectMeta is the metadata that all objects have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")]
pub struct ObjectMeta {
    /// Name of the object. Unique among objects of the same kind, within a namespace if the kind is
    /// namespaced. Cannot be changed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// GenerateName is a prefix from which the server generates a unique name if name is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub generate_name: String,
    /// Namespace of the object. Empty for cluster-scoped objects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Deprecated: selfLink is stored as sent and has no meaning.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub self_link: String,
    /// UID is the unique ID of the object. It distinguishes the object from earlier objects of the
    /// same name. Set by the server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// ResourceVersion is an opaque value that changes with each write of the object. Used for
    /// optimistic concurrency, change detection and watches. Set by the server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Generation is a sequence number of the desired state. Set by the server.
    #[serde(skip_serializing_if = "is_zero")]
    pub generation: i64,
    /// CreationTimestamp is the time at which the object was created. Set by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    /// DeletionTimestamp is the time of a graceful deletion. The object remains until its
    /// finalizers are removed. Set by the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Time>,
    /// DeletionGracePeriodSeconds is the number of seconds that the object has to terminate
    /// gracefully. Set by the server together with deletionTimestamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_grace_period_seconds: Option<i64>,
    /// Labels is a map of keys and values to organize and select objects.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations is a map of arbitrary metadata set by tools. Annotations cannot be used in
    /// selectors.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// OwnerReferences is the list of objects on which this object depends. The object is garbage
    /// collected when all of them are deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["uid"],
        "x-kubernetes-patch-strategy" = "merge",
        "x-kubernetes-patch-merge-key" = "uid"
    ))]
    pub owner_references: Vec<OwnerReference>,
    /// Finalizers is the list of identifiers of components that must act before the object is
    /// removed. They may be processed in any order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set", "x-kubernetes-patch-strategy" = "merge"))]
    pub finalizers: Vec<String>,
    /// ManagedFields records the fields that each manager owns. Used by server-side apply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub managed_fields: Vec<ManagedFieldsEntry>,
}

/// OwnerReference identifies an owner of an object. The owner is in the same namespace or
/// cluster-scoped.
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
    /// Controller is true if the owner is the managing controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// BlockOwnerDeletion is true if a foreground deletion of the owner waits for the deletion of
    /// this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

/// ManagedFieldsEntry is the set of fields that one manager owns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry")]
pub struct ManagedFieldsEntry {
    /// Manager identifies the component that owns the fields.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub manager: String,
    /// Operation is the type of the write: `Apply` or `Update`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// APIVersion is the version of the object to which the field set applies.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Time is the time at which the entry was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// FieldsType is the format of the field set: `FieldsV1`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fields_type: String,
    /// FieldsV1 is the field set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<FieldsV1>")]
    pub fields_v1: Option<Arc<serde_json::Value>>,
    /// Subresource is the name of the subresource through which the fields were written. Empty for
    /// the main resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

impl ManagedFieldsEntry {
    /// Returns true if both entries differ at most in their times.
    pub fn is_same_but_time(&self, other: &Self) -> bool {
        let Self { manager, operation, api_version, time: _, fields_type, fields_v1, subresource } =
            self;
        *fields_v1 == other.fields_v1
            && [manager, operation, api_version, fields_type, subresource]
                == [
                    &other.manager,
                    &other.operation,
                    &other.api_version,
                    &other.fields_type,
                    &other.subresource,
                ]
    }
}

/// ListMeta is the metadata of a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")]
pub struct ListMeta {
    /// Deprecated: selfLink is not set.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub self_link: String,
    /// ResourceVersion is the version of the storage that the list shows. Used to watch for changes
    /// after the list.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Continue is a token that requests the next page. Empty on the last page.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub r#continue: String,
    /// RemainingItemCount is the number of items after this page, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<u64>,
}

/// Schema of `fieldsV1` in OpenAPI.
struct FieldsV1;

impl JsonSchema for FieldsV1 {
    fn schema_name() -> Cow<'static, str> {
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "FieldsV1 is a set of fields. Each key is a field, a map key or a list item, and its value is the set of its nested fields.",
        })
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}
