//! Validation of images, signatures, streams, tags and mappings, as openshift-apiserver
//! pkg/image/apis/image/validation/validation.go.
//!
//! Callers validate the metadata of the object itself and put those errors first. For nested
//! objects they pass the rules as [`MetadataRules`].

mod image;
mod mapping;
mod signature;
mod stream;
mod stream_import;
mod tag;

pub use image::image;
pub use mapping::mapping;
pub use signature::signature;
pub use stream::{stream, stream_update, tag_reference};
pub use stream_import::stream_import;
pub use tag::{image_tag, image_tag_update, stream_tag, stream_tag_update};

use std::fmt;

use super::reference::Reference;
use crate::meta::{ObjectMeta, field};

/// Validation of the metadata of nested cluster-scoped objects. Paths begin with `metadata`.
pub type MetadataRules<'a> = &'a dyn Fn(&ObjectMeta) -> field::Errors;

/// Validates a required pull spec.
fn reference(path: impl fmt::Display, text: &str) -> Option<field::Error> {
    match text {
        "" => Some(field::Error::required(path, "")),
        text => reference_form(path, text),
    }
}

/// Validates the form of a pull spec. An empty one has no error text of its own.
pub fn reference_form(path: impl fmt::Display, text: &str) -> Option<field::Error> {
    text.parse::<Reference>().err().map(|error| field::Error::invalid(path, text, error))
}
