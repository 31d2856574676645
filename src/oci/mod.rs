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
//! A [`RegistryClient`] belongs to a process, a [`PullSession`] to one import. Sessions share
//! connections, but neither credentials nor tokens nor content.

mod certs_dir;
mod challenge;
mod client;
mod credential;
mod docker_config;
mod endpoint;
mod error;
mod failure;
mod guard;
mod keyring;
mod limits;
mod manifest;
mod options;
mod registries_conf;
mod repository;
mod resolver;
mod response_error;
mod session;
mod tags;
mod token;
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
pub use options::{Options, RegistryOptionsError};
pub use registries_conf::{RegistriesConf, RegistriesConfError};
pub use repository::{InvalidName, ManifestReference, Repository, Tag};
pub use response_error::{ApiError, ErrorCode, ResponseError};
pub use session::PullSession;
pub use trust::Security;
