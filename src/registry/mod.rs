//! Generic storage of Kubernetes objects of any type: create, update, delete, list and watch.
//!
//! Knows neither HTTP nor images.

pub mod actor;
pub mod admission;
pub mod companions;
mod create;
mod decoded_objects;
pub mod delete;
mod dependencies;
pub mod follower;
pub mod guaranteed_update;
pub mod history_limit;
pub mod keys;
pub mod list;
pub mod metadata;
pub mod object_change;
pub mod object_ref;
pub mod object_store;
pub mod options;
pub mod outcome;
pub mod page;
pub mod permission;
pub mod pool;
mod read;
pub mod read_set;
pub mod storage_errors;
pub mod strategy;
pub mod unreadable;
mod update;
pub mod verbs;
pub mod watch;
pub mod workload;
pub mod write;
