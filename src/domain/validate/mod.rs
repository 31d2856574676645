//! The rules that images, signatures, streams and mappings must keep, with the field and the text of each fault.
//!
//! The rules that all Kubernetes objects share are not here. Callers check the metadata of the object itself and put
//! those faults first; for objects inside of the object they lend the rules as a [`MetadataRules`].

mod image;
mod mapping;
mod signature;
mod stream;
mod tag;

pub use image::image;
pub use mapping::mapping;
pub use signature::signature;
pub use stream::{stream, stream_update, tag_reference};
pub use tag::{image_tag, image_tag_update, stream_tag, stream_tag_update};

use std::fmt;

use super::reference::Reference;
use crate::meta::{ObjectMeta, field};

/// The rules for metadata of objects outside of namespaces that are named by a path segment; paths start with
/// `metadata`.
pub type MetadataRules<'a> = &'a dyn Fn(&ObjectMeta) -> field::Errors;

/// A reference at `path`: it must be there and be one.
fn reference(path: impl fmt::Display, text: &str) -> Option<field::Error> {
    match text {
        "" => Some(field::Error::required(path, "")),
        text => reference_form(path, text),
    }
}

/// A reference at `path` that must be one; emptiness has no special text.
pub fn reference_form(path: impl fmt::Display, text: &str) -> Option<field::Error> {
    text.parse::<Reference>().err().map(|error| field::Error::invalid(path, text, error))
}
