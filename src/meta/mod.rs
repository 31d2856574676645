//! Types that all Kubernetes APIs share: object metadata, times, `Status` and field errors.
//!
//! Data and JSON format only; independent of images, storage and HTTP.

mod base64;
pub mod byte_size;
pub mod duration;
pub mod excerpt;
pub mod field;
pub mod file_error;
pub mod hex;
mod limited;
mod names;
mod object;
pub mod protobuf;
mod quantity;
mod rfc3339;
mod status;
mod status_cause;
mod time;

pub use base64::Base64;
pub use limited::{Limited, TextSize};
pub use names::{
    is_dns_label, is_dns_subdomain, label_value_errors, path_segment_errors, qualified_name_errors,
};
pub use object::{Kind, ListMeta, ManagedFieldsEntry, Object, ObjectMeta, OwnerReference};
pub use quantity::{ParseQuantityError, Quantity};
pub use rfc3339::TimeError;
pub use status::{GroupResource, Status, StatusDetails};
pub use status_cause::StatusCause;
pub use time::Time;
