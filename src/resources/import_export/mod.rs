//! Import and export of objects as lines of JSON.
//!
//! A line is a stored object with kind and apiVersion, and without its resourceVersion, which
//! belongs to the store. An export of a store that was imported therefore equals the import.
//!
//! Internal fields come first in a line, as in the store: `evidence` in each image, `unproved` in
//! streams with unproved images. Without them an import would vouch for images without proof.
//! Superseded images follow the images and streams. Their kind `SupersededImage` is not served by
//! the API, so that a tool that creates exported objects does not take them for images.

mod decode;
mod encode;
mod importer;

pub use decode::{DecodeError, StoredObject, decode_objects};
pub use encode::{encode_for_api, encode_object, is_exported, read_object};
pub use importer::{ConflictPolicy, ImageOrigin, ImportMode, Imported, Importer};
