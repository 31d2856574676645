//! Kubernetes' REST over HTTP: request info, negotiation, bodies, verbs, encoders, discovery and
//! OpenAPI.
//!
//! A resource is declared once as an [`endpoint::Endpoint`]; [`serve::Api`] answers for all.

pub mod body;
pub mod codec;
pub mod context;
pub mod delete_options;
pub mod discovery;
pub mod endpoint;
mod gzip;
pub mod list;
pub mod negotiate;
pub mod openapi;
pub mod options;
pub mod reply;
pub mod request_info;
pub mod serve;
pub mod table;
pub mod verb;
pub mod watch;
