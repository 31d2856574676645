//! map
pub mod meta;
pub mod api;
pub mod auth;
pub mod store;
pub mod domain;
pub mod resources;
pub mod rest;
