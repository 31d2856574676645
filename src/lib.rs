//! map
#[allow(dead_code)]
pub mod meta;
pub mod api;
