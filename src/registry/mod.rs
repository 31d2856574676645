//! Generic storage of Kubernetes objects of any type: create, update, delete, list and watch.
//!
//! Knows neither HTTP nor images.

pub mod actor;
pub mod admission;
mod change;
mod create;
pub mod delete;
pub mod failure;
pub mod list;
pub mod metadata;
pub mod object_ref;
pub mod options;
pub mod outcome;
pub mod page;
pub mod permission;
pub mod pool;
mod quota;
mod read;
pub mod rules;
pub mod stored;
pub mod update;
pub mod verbs;
pub mod watch;
pub mod write;
