//! Imports of images from external registries: the parts that use the network and the store.

mod credentials;
mod failure;
mod fetch;
mod image_set;
mod importer;
mod options;
mod places;
mod result;

pub(super) use image_set::ImportedImageSet;
pub use importer::ImageImporter;
pub use options::{BulkImportLimit, Options};
