//! Verbs of a resource as traits: a handler implements those that its resource serves.

use std::future::Future;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;

use super::actor::Actor;
use super::list::object_stream::{ListPage, ObjectStream};
use super::object_ref::ObjectRef;
use super::options::{GetOptions, ListOptions};
use super::outcome::{ReadResult, Written};
use super::watch::ObjectWatch;
use crate::machinery::updated_object::UpdatedObjectInfo;
use crate::meta::{Kind, Status};

/// The scope of a resource's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole cluster.
    Cluster,
    /// Namespaces.
    Namespaced,
}

impl Scope {
    /// Returns true if a name denotes at most one object of `at`; across all namespaces it may
    /// denote several.
    pub(crate) fn name_is_unique(self, at: &ObjectRef) -> bool {
        self == Self::Cluster || at.namespace.is_some()
    }
}

/// Reads one object.
pub trait Get<T>: Send + Sync + 'static {
    /// Returns the object.
    fn get(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        options: &GetOptions,
    ) -> impl Future<Output = Result<ReadResult<T>, Status>> + Send;
}

/// Lists the objects of a namespace or of all namespaces.
pub trait List<T>: Send + Sync + 'static {
    /// The stream of objects.
    type Objects: ObjectStream<Item = T>;

    /// Returns the selected objects. Nothing is read yet.
    ///
    /// # Errors
    /// 400 and 422 for invalid selectors and options, 405 for a watch that is not supported.
    fn list(
        self: &Arc<Self>,
        actor: &Actor,
        at: &ObjectRef,
        scope: Scope,
        options: &ListOptions,
    ) -> Result<ListPage<Self::Objects>, Status>;
}

/// Watches one object, those of a namespace, or all.
pub trait Watch<T>: Send + Sync + 'static {
    /// The type of the stored objects, of which the watch shows views or themselves.
    type Stored: Kind;

    /// Starts a watch.
    fn watch(
        self: Arc<Self>,
        actor: &Actor,
        at: &ObjectRef,
        scope: Scope,
        options: &ListOptions,
    ) -> impl Future<Output = Result<ObjectWatch<Self::Stored, T>, Status>> + Send;
}

/// Creates an object.
pub trait Create<T>: Send + Sync + 'static {
    /// Creates the object and returns it as stored.
    fn create(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        object: T,
    ) -> impl Future<Output = Result<Written<T>, Status>> + Send;
}

/// Changes an object: replaces it, patches it, or applies to it.
pub trait Update<T>: Send + Sync + 'static {
    /// Replaces the current object with the one that the edit makes of it.
    fn update(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        edit: &UpdatedObjectInfo<T>,
    ) -> impl Future<Output = Result<Written<T>, Status>> + Send;
}

/// Deletes an object.
pub trait Delete<T>: Send + Sync + 'static {
    /// Deletes the object.
    fn delete(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        options: &DeleteOptions,
    ) -> impl Future<Output = Result<Written<T>, Status>> + Send;
}

/// Deletes the objects of a namespace, or those of the cluster.
pub trait DeleteCollection<T>: Send + Sync + 'static {
    /// The stream of deleted objects.
    type Objects: ObjectStream<Item = T>;

    /// Deletes the selected objects and returns them as they were.
    fn delete_collection(
        self: &Arc<Self>,
        actor: &Actor,
        at: &ObjectRef,
        scope: Scope,
        delete: &DeleteOptions,
        list: &ListOptions,
    ) -> impl Future<Output = Result<ListPage<Self::Objects>, Status>> + Send;
}
