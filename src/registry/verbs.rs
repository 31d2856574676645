//! Verbs of a resource as traits: a handler implements those that its resource serves.

use std::future::Future;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;

use super::actor::Actor;
use super::list::{Listing, Walk};
use super::object_ref::ObjectRef;
use super::options::{GetOptions, ListOptions};
use super::outcome::{Sent, Written};
use super::watch::Changes;
use crate::machinery::updated_object::UpdatedObjectInfo;
use crate::meta::Status;

/// The scope of a resource's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole cluster.
    Cluster,
    /// Namespaces.
    Namespaced,
}

/// Reads one object.
pub trait Get<T>: Send + Sync + 'static {
    /// Returns the object.
    fn get(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        options: &GetOptions,
    ) -> impl Future<Output = Result<Sent<T>, Status>> + Send;
}

/// Lists the objects of a namespace or of all namespaces.
pub trait List<T>: Send + Sync + 'static {
    /// The stream of objects.
    type Walk: Walk<Item = T>;

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
    ) -> Result<Listing<Self::Walk>, Status>;
}

/// Watches one object, those of a namespace, or all.
pub trait Watch<T>: Send + Sync + 'static {
    /// Starts a watch.
    fn watch(
        self: Arc<Self>,
        actor: &Actor,
        at: &ObjectRef,
        scope: Scope,
        options: &ListOptions,
    ) -> impl Future<Output = Result<Changes<T>, Status>> + Send;
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
    type Walk: Walk<Item = T>;

    /// Deletes the selected objects and returns them as they were.
    fn delete_collection(
        self: &Arc<Self>,
        actor: &Actor,
        at: &ObjectRef,
        scope: Scope,
        delete: &DeleteOptions,
        list: &ListOptions,
    ) -> impl Future<Output = Result<Listing<Self::Walk>, Status>> + Send;
}
