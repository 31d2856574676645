//! Admission: checks of a write that need more than the object, such as the cluster or a remote
//! service.
//!
//! The update loop runs the [`AdmissionChain`](chain::AdmissionChain) for each object of a
//! transaction, with the operation, the old and the new object, and the actor. A plugin may await
//! remote calls. It runs again when the object changed in between, as admission does in
//! `Store.Update` of k8s.io/apiserver/pkg/registry/generic/registry/store.go.
//!
//! To add a plugin, implement [`AdmissionPlugin`](plugin::AdmissionPlugin) in a file of this folder
//! and add it to the list in [`Catalog::new`](crate::resources::Catalog::new).

pub mod attributes;
pub mod chain;
pub mod namespace_lifecycle;
pub mod object_quota;
pub mod plugin;
#[cfg(test)]
mod tests;
