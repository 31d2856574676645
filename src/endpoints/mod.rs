//! The Kubernetes API over HTTP: request info, content negotiation, bodies, verbs, encoders,
//! discovery and OpenAPI.
//!
//! A resource is declared once as an [`endpoint::Endpoint`]. [`serve::Api`] serves all of them.

pub mod context;
pub mod decode;
pub mod delete_options;
pub mod discovery;
pub mod endpoint;
mod gzip;
pub mod list;
pub mod list_options;
pub mod negotiation;
pub mod openapi;
pub mod request_info;
pub mod response;
pub mod response_body;
pub mod serve;
pub mod table;
pub mod verb;
pub mod watch;
pub mod write_options;
