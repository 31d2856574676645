//! Flags of the client for registries.

use std::fs;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::{fmt, str::FromStr};

use clap::Args;
use ipnet::IpNet;

use super::certs_dir::{CertsDir, CertsDirError};
use super::docker_config::{ConfigFormat, DockerConfigError};
use super::guard::AddressGuard;
use super::keyring::CredentialSet;
use super::registries_conf::{RegistriesConf, RegistriesConfError};
use crate::meta::file_error;

/// Flags of the client for registries.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
#[command(next_help_heading = "Image imports")]
pub struct Options {
    /// Credentials for registries (docker's config.json) if the namespace has none that match.
    ///
    /// They are used for imports into every namespace.
    #[arg(long, value_name = "FILE")]
    pub registry_config: Option<PathBuf>,
    /// Certificates for registries, laid out like /etc/containers/certs.d.
    ///
    /// The folder has a folder HOST or HOST:PORT for each registry, with CA certificates (*.crt)
    /// and a client certificate (client.cert and client.key). It is read at start.
    #[arg(long, value_name = "FOLDER")]
    pub registry_ca_dir: Option<PathBuf>,
    /// Mirrors, blocked and insecure registries (registries.conf, version 2).
    #[arg(long, value_name = "FILE")]
    pub registries_config: Option<PathBuf>,
    /// Networks to which imports may connect although they are closed by default.
    ///
    /// Closed are loopback, link-local, unspecified and multicast addresses, and the metadata
    /// services of clouds.
    #[arg(long, value_name = "CIDRS", value_delimiter = ',', value_parser = network)]
    pub import_allow_cidrs: Vec<IpNet>,
    /// Networks to which imports must not connect. They override --import-allow-cidrs.
    #[arg(long, value_name = "CIDRS", value_delimiter = ',', value_parser = network)]
    pub import_deny_cidrs: Vec<IpNet>,
    /// Pace of requests to each registry.
    #[command(flatten)]
    pub pacing: PacingOptions,
}

/// Flags of the pace of requests to a registry. All imports of the process share it.
#[derive(Clone, Copy, Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "Image imports")]
pub struct PacingOptions {
    /// Maximum rate of requests to each registry, which may save up five seconds for a burst.
    ///
    /// Imports by users and by the server share it, and namespaces get it in turns. A registry that
    /// refuses requests (429) halves the rate, which recovers within five minutes. Retry-After is
    /// respected.
    #[arg(long, value_name = "RATE", default_value_t)]
    pub registry_requests_per_second: RequestRate,
    /// Maximum number of concurrent requests to each registry, and so of connections.
    ///
    /// A registry that refuses requests or does not respond halves the number for a while.
    #[arg(long, value_name = "COUNT", default_value_t = SLOTS)]
    pub max_requests_inflight_per_registry: NonZeroU16,
}

/// Default of `--max-requests-inflight-per-registry`.
const SLOTS: NonZeroU16 = NonZeroU16::new(16).expect("it is not zero");

/// Rate of requests in a second, from 0.01 to 10000.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequestRate(f64);

/// Error of a file of the flags.
#[derive(Debug, thiserror::Error)]
pub enum RegistryOptionsError {
    /// A file that cannot be read.
    #[error("{flag}: cannot use {}: {}", path.display(), file_error::reading(.cause))]
    Read {
        /// Flag.
        flag: &'static str,
        /// File.
        path: PathBuf,
        /// Cause.
        cause: std::io::Error,
    },
    /// A file of credentials that cannot be parsed.
    #[error("--registry-config: {}: {cause}", path.display())]
    Credentials {
        /// File.
        path: PathBuf,
        /// Cause.
        cause: DockerConfigError,
    },
    /// A file of mirrors that cannot be used.
    #[error("--registries-config: {}: {cause}", path.display())]
    Registries {
        /// File.
        path: PathBuf,
        /// Cause.
        cause: RegistriesConfError,
    },
    /// A certificate that cannot be used.
    #[error("--registry-ca-dir: {0}")]
    Certificates(#[from] CertsDirError),
}

impl Default for PacingOptions {
    fn default() -> Self {
        Self {
            registry_requests_per_second: RequestRate::default(),
            max_requests_inflight_per_registry: SLOTS,
        }
    }
}

impl RequestRate {
    pub(super) fn per_second(self) -> f64 {
        self.0
    }
}

impl Default for RequestRate {
    /// 50: an import of 100 images needs no wait, and a round of 10,000 tags of one registry takes
    /// less than four minutes.
    fn default() -> Self {
        Self(50.0)
    }
}

impl fmt::Display for RequestRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RequestRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(rate) if (0.01..=10_000.0).contains(&rate) => Ok(Self(rate)),
            _ => Err("it must be a number from 0.01 to 10000".into()),
        }
    }
}

impl Options {
    pub(super) fn guard(&self) -> AddressGuard {
        AddressGuard::new(self.import_allow_cidrs.clone(), self.import_deny_cidrs.clone())
    }

    pub(super) fn certificates(&self) -> Result<CertsDir, RegistryOptionsError> {
        let read = self.registry_ca_dir.as_deref().map(CertsDir::read).transpose()?;
        Ok(read.unwrap_or_default())
    }

    /// The credentials of `--registry-config`.
    pub(super) fn credentials(&self) -> Result<CredentialSet, RegistryOptionsError> {
        let mut set = CredentialSet::default();
        if let Some(path) = &self.registry_config {
            let content = read("--registry-config", path)?;
            set.add(
                "the registry configuration of the server",
                ConfigFormat::DockerConfigJson,
                &content,
            )
            .map_err(|cause| RegistryOptionsError::Credentials { path: path.clone(), cause })?;
        }
        Ok(set)
    }

    /// The rules of `--registries-config`.
    pub(super) fn registries(&self) -> Result<RegistriesConf, RegistryOptionsError> {
        let Some(path) = &self.registries_config else { return Ok(RegistriesConf::default()) };
        let content = read("--registries-config", path)?;
        let parsed = match std::str::from_utf8(&content) {
            Ok(text) => RegistriesConf::parse(text),
            Err(_) => Err(RegistriesConfError::Syntax("it is not UTF-8".into())),
        };
        parsed.map_err(|cause| RegistryOptionsError::Registries { path: path.clone(), cause })
    }
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, RegistryOptionsError> {
    fs::read(path).map_err(|cause| RegistryOptionsError::Read { flag, path: path.into(), cause })
}

/// Parses a network such as `10.0.0.0/8`, or an address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address));
    text.parse().ok().or_else(address).ok_or_else(|| {
        "it must be a network such as 10.0.0.0/8 or fd00::/8, or an address".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_a_positive_number() {
        assert_eq!("0.5".parse(), Ok(RequestRate(0.5)));
        assert_eq!(RequestRate::default().to_string().parse(), Ok(RequestRate::default()));
        for bad in ["0", "-1", "inf", "NaN", "1e9", "", "x"] {
            assert!(bad.parse::<RequestRate>().is_err(), "{bad}");
        }
    }
}
