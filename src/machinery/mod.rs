//! Kubernetes' formats and rules as pure functions: JSON, YAML and protobuf, schemas, patches,
//! managed fields, selectors, query values, and texts as Go formats them.
//!
//! Nothing here is async, reads a store or knows HTTP.

pub mod body_cost;
pub mod body_limits;
pub mod field_validation;
pub mod go_fmt;
pub(crate) mod go_json;
pub(crate) mod go_yaml;
pub mod group_version;
pub mod json;
pub mod managed_fields;
pub mod media_type;
pub mod ordered_value;
pub mod patch;
pub mod protobuf;
pub mod query;
pub mod schema;
pub mod selector;
pub mod step_budget;
pub mod updated_object;
pub mod value;
pub mod yaml;
