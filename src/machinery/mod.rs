//! Kubernetes' formats and rules as pure functions: JSON, YAML and protobuf, schemas, patches,
//! managed fields, selectors, query values, and texts as Go formats them.
//!
//! Nothing here is async, reads a store or knows HTTP.

pub mod edit;
pub mod go_text;
pub mod group_version;
pub mod json;
pub mod managed;
pub mod patch;
pub mod protobuf;
pub mod query;
pub mod schema;
pub mod selector;
pub mod single;
pub mod steps;
pub mod strict;
pub mod value;
pub mod values;
pub mod yaml;
