//! Objects as lines of JSON: out of a store, and into one.
//!
//! What is written is what is stored, with kind and apiVersion and without the resourceVersion, which belongs to the store
//! and not to the object. So the lines of a store are those of every store that they were read into.
//!
//! Marks (see `marks`) come first in the line of their object, as they do in a store: `evidence` in the line of each
//! image, `unproved` in that of a stream that has images without proof. Without them an import would vouch for images
//! that nobody proved. The unproved form of an image that a proof replaced has a line of its own behind those of images
//! and streams, with the kind `SupersededImage`, which no API serves: a tool that creates the objects of an export must
//! not take it for the image.

mod decode;
mod encode;
mod importer;

pub use decode::{DecodeError, StoredObject, decode_objects};
pub use encode::encode_line;
pub use importer::{ConflictPolicy, ImportMode, Imported, Importer};
