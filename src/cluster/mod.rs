//! Client of the control plane: configuration, reviews, Namespaces, Secrets and the APIService.
//!
//! The module knows the objects of Kubernetes, not images or requests.

mod connect;
mod error_message;
mod namespaces;
pub mod object_watch;
mod reloading_client;
mod reviews;
mod secrets;

pub use connect::{ClientReloads, Clients, ConnectError, Options};
pub use error_message::error_message;
pub use namespaces::{NamespaceReflector, NamespaceState, NamespaceUnavailable, Namespaces};
pub use reviews::{ReviewClient, ReviewError};
pub use secrets::{NamespaceSecrets, Secrets, SecretsUnavailable};
