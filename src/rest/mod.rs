//! Kubernetes REST for any type: paths, queries, representations, bodies, and the loop that writes.
//!
//! Knows nothing of images. A resource is declared once as an [`endpoint::Endpoint`]; [`serve::Api`] answers for all.

mod admission;
pub mod body;
mod change;
pub mod codec;
mod create;
pub mod cx;
pub mod delete;
pub mod discovery;
pub mod edit;
pub mod endpoint;
pub mod failure;
mod go_text;
mod gzip;
pub mod json;
pub mod list;
pub mod managed;
pub mod metadata;
pub mod negotiate;
pub mod openapi;
pub mod options;
pub mod page;
pub mod patch;
pub mod permission;
pub mod pool;
pub mod protobuf;
pub mod query;
mod quota;
mod read;
pub mod reply;
pub mod request_info;
pub mod rules;
pub mod schema;
pub mod selector;
pub mod serve;
mod single;
mod steps;
pub mod stored;
pub mod strict;
pub mod table;
pub mod target;
pub mod update;
mod values;
pub mod watch;
pub mod write;
mod yaml;
