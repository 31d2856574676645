//! Kubernetes REST for any type.
pub mod json;
pub mod query;
pub mod yaml;
