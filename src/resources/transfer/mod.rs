//! Objects as lines of JSON: out of a store, and into one.
//!
//! What is written is what is stored, with kind and apiVersion and without the resourceVersion, which belongs to the store
//! and not to the object. So the lines of a store are those of every store that they were read into.

mod export;
mod import;
mod read;

pub use export::line;
pub use import::{Effect, Existing, Imported, Importer};
pub use read::{Object, Unreadable, objects};
