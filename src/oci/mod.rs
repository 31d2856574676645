//! Client for OCI registries: manifests, configurations and tags, within limits.
//!
//! Registries, their token servers and mirrors are chosen by users and are not trusted:
//!
//! * Every message is bounded in size ([`MAX_MANIFEST_BYTES`]), in number and in time
//!   ([`PullTimeouts`]). Content is verified against its digest.
//! * [`AddressGuard`] refuses addresses of the server itself and of cloud metadata, in URLs and in
//!   answers of the DNS.
//! * Credentials go to the registry that they are for and to the token server that it names, never
//!   to the target of a redirect.
//!
//! * Registries get no more requests than `--registry-requests-per-second` and fewer if they refuse
//!   some ([`Throttle`]). A registry that hangs delays no other, and namespaces take turns.
//!
//! A [`RegistryClient`] belongs to a process, a [`PullSession`] to one import. Sessions share
//! connections, the pace of requests, and access tokens of equal credentials, but neither
//! credentials nor content. The credentials of two namespaces are never equal.

mod body_memory;
mod certs_dir;
mod challenge;
mod client;
mod client_state;
mod credential;
mod docker_config;
mod endpoint;
mod error;
mod failure;
mod guard;
mod keyring;
mod known_registries;
mod limits;
mod manifest;
mod options;
mod pace;
mod registries_conf;
mod registry_limiter;
mod registry_limiters;
mod repository;
mod request_sender;
mod resolver;
mod response_error;
mod session;
mod slot_queue;
mod tags;
mod throttle;
mod token;
mod token_cache;
mod transport;
mod trust;

pub use certs_dir::CertsDirError;
pub use client::RegistryClient;
pub use credential::Credential;
pub use docker_config::{ConfigFormat, DockerConfigError};
pub use error::{RegistryError, RegistryErrorKind, RequestFailure};
pub use guard::{AddressGuard, BlockedAddress};
pub use keyring::{CredentialError, CredentialSet, Keyring};
pub use limits::{MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, MAX_TAGS, PullTimeouts};
pub use manifest::{FetchedManifest, PullSource};
pub use options::{Options, PacingOptions, RegistryOptionsError, RequestRate};
pub use registries_conf::{RegistriesConf, RegistriesConfError};
pub use repository::{InvalidName, ManifestReference, Repository, Tag};
pub use response_error::{ApiError, ErrorCode, ResponseError};
pub use session::PullSession;
pub use throttle::{Throttle, ThrottleReason};
pub use trust::Security;
