//! The attributes of a write that admission plugins check.

use std::any::Any;
use std::sync::Arc;

use serde_json::Value;

use crate::cluster::Namespaces;
use crate::machinery::group_version::GroupVersion;
use crate::machinery::value;
use crate::meta::{self, GroupResource, Kind, ObjectMeta, Status};

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

/// A phase of the chain. A deletion runs both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionPhase {
    /// Plugins may change the object, before the strategy validates it.
    Mutate,
    /// Plugins check the valid object.
    Validate,
}

/// The origin of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOrigin {
    /// The client wrote this object.
    Request,
    /// The write follows from one of another object, such as that of a stream from a push. The
    /// rules of the cluster apply to the other object, and only the limits of this server to both.
    Derived,
}

/// The attributes that all objects of a resource have in common.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionTarget {
    /// The operation.
    pub operation: AdmissionOperation,
    /// The origin of the write.
    pub origin: WriteOrigin,
    /// The resource, which may be virtual, such as `imagestreamtags`.
    pub resource: GroupResource<'static>,
    /// The subresource; empty for the object itself.
    pub subresource: &'static str,
    /// The kind of the objects.
    pub kind: &'static str,
    /// The version of the objects.
    pub api: GroupVersion,
}

/// A write of one object.
#[derive(Clone)]
pub struct AdmissionAttributes {
    /// The operation and the resource.
    pub target: AdmissionTarget,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The name; empty for a create whose name is not generated yet.
    pub name: String,
    /// The current object; none for a create.
    pub old: Option<Arc<dyn DynObject>>,
    /// The requested object; none for a delete.
    pub new: Option<Arc<dyn DynObject>>,
}

/// The facts about a write that are known without a copy of its objects.
#[derive(Clone, Copy)]
pub struct WriteSummary<'a> {
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// The namespaces of the cluster.
    pub namespaces: &'a Namespaces,
    /// The metadata of the current object; none for a create.
    pub old: Option<&'a ObjectMeta>,
    /// The metadata of the requested object; none for a deletion.
    pub new: Option<&'a ObjectMeta>,
}

/// A run of one phase for a write.
#[derive(Clone)]
pub struct AdmissionStep {
    /// The phase.
    pub phase: AdmissionPhase,
    /// The write.
    pub attributes: AdmissionAttributes,
}

impl AdmissionOperation {
    /// The operation that replaces `old` with `new`.
    pub fn of<T>(old: Option<&T>, new: Option<&T>) -> Self {
        match (old, new) {
            (_, None) => Self::Delete,
            (None, Some(_)) => Self::Create,
            (Some(_), Some(_)) => Self::Update,
        }
    }

    /// The name in rules and requests of webhooks.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

impl AdmissionTarget {
    /// The target of a client's write to a resource.
    pub fn requested<T: Kind>(
        operation: AdmissionOperation,
        resource: GroupResource<'static>,
        api: GroupVersion,
    ) -> Self {
        let origin = WriteOrigin::Request;
        Self { operation, origin, resource, subresource: "", kind: T::KIND, api }
    }
}

impl AdmissionAttributes {
    /// The name in errors: that of the object, or what its name is generated from. As
    /// `extractResourceName` in k8s.io/apiserver/pkg/admission/errors.go.
    fn shown_name(&self) -> &str {
        let meta = self.new.as_deref().map(|new| new.metadata());
        let names = [Some(self.name.as_str())]
            .into_iter()
            .chain([meta.map(|meta| &*meta.name), meta.map(|meta| &*meta.generate_name)]);
        names.flatten().find(|name| !name.is_empty()).unwrap_or("Unknown")
    }

    /// 403 for this write, as `NewForbidden` in k8s.io/apiserver/pkg/admission/errors.go.
    pub fn forbidden(&self, why: &str) -> Status {
        let (resource, name) = (self.target.resource, self.shown_name());
        let text = format!("{resource} {} is forbidden: {why}", meta::field::quote(name));
        Status::forbidden(text).about(resource, name)
    }
}

/// An object of any kind.
pub trait DynObject: meta::Object + Send + Sync {
    /// The JSON of the object, with `kind` and `apiVersion`.
    fn to_value(&self, api: GroupVersion) -> Value;

    /// Decodes another state of the object, without its internal fields.
    ///
    /// # Errors
    /// A sentence with the part that has the wrong type.
    fn decode(&self, value: Value) -> Result<Arc<dyn DynObject>, String>;

    /// The object for a downcast to its type.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<T: Kind> DynObject for T {
    fn to_value(&self, api: GroupVersion) -> Value {
        value::to_value(self, api)
    }

    fn decode(&self, value: Value) -> Result<Arc<dyn DynObject>, String> {
        Ok(Arc::new(value::object_from::<T>(value)?))
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Returns the object of a plugin as its type.
pub fn typed<T: Kind>(object: Arc<dyn DynObject>) -> T {
    let object = object.into_any().downcast::<T>();
    Arc::unwrap_or_clone(object.expect("plugins keep the type of the object"))
}
