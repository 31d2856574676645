//! The flags of the server, and what they must not be together. Names follow kube-apiserver.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{compaction, inflight, listen, shutdown, tls};
use crate::auth::{Authenticator, Authorizer, ClientCa, TokenFile};
use crate::domain::policy::Registries;

/// All flags of the server.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Options {
    /// Where it listens.
    #[command(flatten)]
    pub listen: listen::Options,
    /// How it speaks TLS.
    #[command(flatten)]
    pub tls: tls::Options,
    /// How it reaches the control plane.
    #[command(flatten)]
    pub cluster: crate::cluster::Options,
    /// Whom it serves.
    #[command(flatten)]
    pub access: Access,
    /// Where it keeps its data.
    #[command(flatten)]
    pub storage: Storage,
    /// How long it remembers.
    #[command(flatten)]
    pub compaction: compaction::Options,
    /// Which registries it knows.
    #[command(flatten)]
    pub registries: RegistryOptions,
    /// How much it takes on.
    #[command(flatten)]
    pub in_flight: inflight::Options,
    /// The longest that a request may take, such as 1m; requests that change something end after 34s at the latest.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = shutdown::some_duration)]
    pub request_timeout: Duration,
    /// How it ends.
    #[command(flatten)]
    pub shutdown: shutdown::Options,
}

/// The flags of authentication and authorization.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Access {
    /// File with bearer tokens, a line each: token,user,uid,"group1,group2".
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// File with the certificate authorities of users, in PEM. A certificate's common name is the user, its organizations the groups.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Whether requests without credentials are served as system:anonymous. Not possible with AlwaysAllow.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set)]
    pub anonymous_auth: bool,
    /// Who may do what. AlwaysAllow lets every authenticated user do everything.
    #[arg(long, value_name = "MODE", value_enum)]
    pub authorization_mode: Option<Mode>,
}

/// Ways to decide who may do what. The names are the ones that kube-apiserver takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Every authenticated user may do everything.
    #[value(name = "AlwaysAllow")]
    AlwaysAllow,
    /// The cluster decides.
    #[value(name = "Webhook")]
    Webhook,
}

/// The flags of the embedded store.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Storage {
    /// Folder of the data. Made if it is not there, readable for this user only.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    pub data_dir: PathBuf,
    /// How long to wait for another process to let go of --data-dir, as during a rolling restart.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = shutdown::duration)]
    pub data_dir_lock_timeout: Duration,
}

/// The flags about registries.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct RegistryOptions {
    /// Host and port of the registry inside of the cluster: what streams say in status.dockerImageRepository.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = host)]
    pub internal_registry_hostname: Option<String>,
    /// Host and port of the same registry from outside: what streams say in status.publicDockerImageRepository.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = host)]
    pub external_registry_hostname: Option<String>,
}

/// Why the server does not start with these flags.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// Nobody said who may do what.
    #[error(
        "--authorization-mode is not given: say --authorization-mode=AlwaysAllow to let every authenticated user do \
         everything; asking a cluster (Webhook) is not possible yet"
    )]
    NoMode,
    /// Webhook needs what is not there yet.
    #[error(
        "--authorization-mode=Webhook is not possible yet: this version cannot ask a cluster; AlwaysAllow is the only mode"
    )]
    Webhook,
    /// Everybody would be allowed everything.
    #[error("--anonymous-auth=true cannot go with --authorization-mode=AlwaysAllow: everybody could do everything")]
    OpenDoor,
    /// Nobody could be served.
    #[error("neither --token-auth-file nor --client-ca-file is given: nobody could prove who they are")]
    NoAuthentication,
    /// A file cannot be read.
    #[error("{flag}: {path} cannot be read: {why}")]
    Unreadable {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The content of a file cannot be used.
    #[error("{flag}: {path} cannot be used: {why}")]
    Unusable {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Access {
    /// Who may do what.
    ///
    /// # Errors
    /// A mode that is missing, not there yet, or too open.
    pub fn authorizer(&self) -> Result<Authorizer, OptionsError> {
        match self.authorization_mode {
            None => Err(OptionsError::NoMode),
            Some(Mode::Webhook) => Err(OptionsError::Webhook),
            Some(Mode::AlwaysAllow) if self.anonymous_auth => Err(OptionsError::OpenDoor),
            Some(Mode::AlwaysAllow) => Ok(Authorizer::AlwaysAllow),
        }
    }

    /// How users prove who they are.
    ///
    /// # Errors
    /// A file that cannot be used, or no way at all.
    pub fn authenticator(&self) -> Result<Authenticator, OptionsError> {
        let Self { token_auth_file, client_ca_file, .. } = self;
        if token_auth_file.is_none() && client_ca_file.is_none() {
            return Err(OptionsError::NoAuthentication);
        }
        let tokens = load("--token-auth-file", token_auth_file.as_deref(), |content| {
            TokenFile::parse(content).map_err(|why| why.to_string())
        })?;
        let client_ca = load("--client-ca-file", client_ca_file.as_deref(), |content| {
            ClientCa::parse(content).map_err(|why| why.to_string())
        })?;
        Ok(Authenticator { tokens, client_ca })
    }
}

impl From<&RegistryOptions> for Registries {
    fn from(options: &RegistryOptions) -> Self {
        let RegistryOptions { internal_registry_hostname, external_registry_hostname } = options.clone();
        Self { internal: internal_registry_hostname, external: external_registry_hostname }
    }
}

fn load<T>(
    flag: &'static str,
    path: Option<&Path>,
    parse: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<Option<T>, OptionsError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let content = std::fs::read(path).map_err(|why| OptionsError::Unreadable { flag, path: path.into(), why })?;
    parse(&content).map(Some).map_err(|why| OptionsError::Unusable { flag, path: path.into(), why })
}

/// A host name with an optional port, as it stands at the beginning of an image reference.
fn host(text: &str) -> Result<String, String> {
    let reference = format!("{text}/namespace/name").parse::<crate::domain::reference::Reference>();
    match reference {
        Ok(reference) if reference.registry == text => Ok(text.to_owned()),
        _ => Err("it must be the host name of a registry, with a dot or a port, and without scheme and path".into()),
    }
}
