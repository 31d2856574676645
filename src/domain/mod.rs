//! Image logic without I/O: references, digests, manifests, metadata, tag history and validation.
//!
//! Independent of storage and HTTP. The current time is an argument.

pub mod allowed_registries;
pub mod content;
pub mod digest;
pub mod image_config;
pub mod image_metadata;
pub mod image_signatures;
pub mod image_strategy;
pub mod import;
pub mod import_warnings;
pub mod layers_builder;
pub mod limits;
pub mod manifest;
pub mod mapping;
pub mod names;
pub mod presentable;
pub mod proof;
pub mod reference;
pub mod registries;
pub mod resolve;
pub mod signed_manifest;
mod source_images;
pub mod status_strategy;
pub mod stream_index;
pub mod stream_limits;
pub mod stream_strategy;
pub mod tag_comparison;
pub mod tag_edit;
pub mod tag_history;
pub mod tag_source;
pub mod tag_view;
pub mod tags;
pub mod unproved;
pub mod validate;

#[cfg(test)]
mod tests;

pub use crate::machinery::go_json::GoJsonError;
