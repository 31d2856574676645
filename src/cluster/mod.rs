//! The control plane, as far as this server asks it anything: how to reach it, and what is followed of it.
//!
//! Knows Kubernetes' own objects; knows nothing of images, of requests, and of who may do what.

mod connect;
mod namespaces;
pub mod object_watch;
mod reloading_client;
mod reviews;
mod secrets;

pub use connect::{ClientReloads, Clients, ConnectError, Options, error_message};
pub use namespaces::{NamespaceReflector, NamespaceState, NamespaceUnavailable, Namespaces};
pub use reviews::{ReviewClient, ReviewError};
pub use secrets::{NamespaceSecrets, Secrets, SecretsUnavailable};
