//! The control plane, as far as this server asks it anything: how to reach it, and what is followed of it.
//!
//! Knows Kubernetes' own objects; knows nothing of images, of requests, and of who may do what.

mod connect;
pub mod follow;
mod namespaces;
mod reviews;
mod secrets;
mod source;

pub use connect::{Clients, ConnectError, Connection, Options, told};
pub use namespaces::{NamespaceReflector, Namespaces, State, Unknown};
pub use reviews::{ReviewError, Reviews};
pub use secrets::{Secrets, SecretsOf, Unreadable};
