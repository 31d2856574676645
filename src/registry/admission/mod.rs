//! Admission: checks of a write that need more than the object, such as the cluster or a remote
//! service.
//!
//! The update loop runs the [`AdmissionChain`](chain::AdmissionChain) for each object of a
//! transaction, with the operation, the old and the new object, and the actor. A plugin may await
//! remote calls. It runs again when the object changed in between, as admission does in
//! `Store.Update` of k8s.io/apiserver/pkg/registry/generic/registry/store.go.
//!
//! The mutating phase runs before the strategy of the type validates the object, the validating phase
//! after it. Remote calls of both run outside of the transaction, with no lock held.
//!
//! To add a plugin, implement [`AdmissionPlugin`](plugin::AdmissionPlugin) in a file of this folder.
//! Give it a [`PluginName`](selection::PluginName), whose order is that of the chain, and build it
//! in `server/admission.rs`.

pub mod attributes;
pub mod chain;
pub mod configuration;
pub mod namespace_lifecycle;
pub mod notes;
pub mod object_quota;
pub mod owner_references;
pub mod plugin;
pub mod quota;
pub mod selection;
#[cfg(test)]
mod tests;
pub mod unknown_rules;
pub mod webhooks;
