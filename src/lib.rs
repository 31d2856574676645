//! map
pub mod meta;
pub mod api;
pub mod rest;
