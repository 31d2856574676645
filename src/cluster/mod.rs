//! Client of the control plane: configuration, reviews, Namespaces, Secrets and the APIService.
//!
//! The module knows the objects of Kubernetes, not images or requests.

mod connect;
mod error_message;
mod event_book;
mod events;
mod namespaces;
mod object_event;
pub mod object_watch;
mod reloading_client;
mod reviews;
mod secret_watch;
mod secrets;

pub use connect::{ClientReloads, Clients, ConnectError, Options};
pub use error_message::error_message;
pub use events::{EventRecorder, EventSender};
pub use namespaces::{NamespaceReflector, NamespaceState, NamespaceUnavailable, Namespaces};
pub use object_event::{EventSubject, ObjectEvent, ObjectEventType};
pub use reviews::{ReviewClient, ReviewError};
pub use secret_watch::{SecretChanges, SecretWatch};
pub use secrets::{NamespaceSecrets, Secrets, SecretsUnavailable};
