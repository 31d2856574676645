//! Pure image logic: names, references, digests, manifests, metadata, tag history and the rules of validation.
//!
//! Knows nothing of storage, HTTP or clocks: everything that changes between two calls is an argument.

pub mod configuration;
pub mod content;
pub mod digest;
pub mod history;
mod images;
pub mod intake;
pub mod layers;
pub mod layers_view;
pub mod limits;
pub mod lookup;
pub mod manifest;
pub mod mapping;
pub mod metadata;
pub mod names;
pub mod policy;
pub mod proof;
pub mod reference;
pub mod resolve;
pub mod signatures;
pub mod signed;
pub mod source;
pub mod spec;
pub mod status;
pub mod tag_edit;
pub mod tag_view;
pub mod tags;
pub mod unproved;
pub mod validate;

#[cfg(test)]
mod tests;

pub use crate::meta::go_json::GoJsonError;
