//! The attributes of a write that admission plugins check.

use std::sync::Arc;

use serde_json::Value;

use crate::machinery::group_version::GroupVersion;
use crate::machinery::value;
use crate::meta::{self, GroupResource, Kind};

/// The operation of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionOperation {
    /// The object is new.
    Create,
    /// The object replaces the current one.
    Update,
    /// The object is deleted, or its deletion begins.
    Delete,
}

/// A write of one object.
#[derive(Clone)]
pub struct AdmissionAttributes {
    /// The operation.
    pub operation: AdmissionOperation,
    /// The resource, which may be virtual, such as `imagestreamtags`.
    pub resource: GroupResource<'static>,
    /// The version of the objects.
    pub api: GroupVersion,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The name; empty for a create whose name is not generated yet.
    pub name: String,
    /// The current object; none for a create.
    pub old: Option<Arc<dyn DynObject>>,
    /// The requested object; none for a delete.
    pub new: Option<Arc<dyn DynObject>>,
}

impl AdmissionAttributes {
    /// The create of an object, as the client sent it.
    pub fn create<T: Kind>(
        resource: GroupResource<'static>,
        api: GroupVersion,
        namespace: &str,
        object: &T,
    ) -> Self {
        Self {
            operation: AdmissionOperation::Create,
            resource,
            api,
            namespace: namespace.to_owned(),
            name: object.metadata().name.clone(),
            old: None,
            new: Some(Arc::new(object.clone())),
        }
    }
}

/// An object of any kind.
pub trait DynObject: meta::Object + Send + Sync {
    /// The JSON of the object, with `kind` and `apiVersion`.
    fn to_value(&self, api: GroupVersion) -> Value;
}

impl<T: Kind> DynObject for T {
    fn to_value(&self, api: GroupVersion) -> Value {
        value::to_value(self, api)
    }
}
