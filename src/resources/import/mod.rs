//! Imports of images from external registries: the parts that use the network and the store.

mod attempt;
mod credentials;
mod failure;
mod fetch;
mod fetched_import;
mod image_set;
mod importer;
mod options;
mod places;
mod recorded_rows;
mod recorder;
mod result;
mod session_cache;
mod stream_importer;

pub use attempt::{FailedAttempt, TargetAttempt, TargetOutcome, TargetResult, TryKind};
pub use failure::FailureDetails;
pub use importer::ImageImporter;
pub use options::{BulkImportLimit, Options};
pub(super) use recorder::{ImportRecorder, RecordRules};
pub use stream_importer::{StreamImport, StreamImporter};
