//! Errors of the serving certificate, with the flag and the file in their text.

use std::fmt;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use super::options::FlagError;
use crate::meta::file_error;

/// A file, or a key of a Secret, and the flag that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Flag, with its dashes.
    pub flag: &'static str,
    /// Path of the file or folder, or a description of the key of a Secret.
    pub path: PathBuf,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.flag)
    }
}

/// Failure to load, issue or store a serving certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The flags are inconsistent.
    #[error(transparent)]
    Flags(#[from] FlagError),
    /// A file cannot be read.
    #[error("{location} cannot be read: {}", file_error::reading(.cause))]
    Read {
        /// The file.
        location: Location,
        /// Error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// The certificate file contains no certificate.
    #[error(
        "{0} contains no certificate: expected a block that begins with -----BEGIN CERTIFICATE-----"
    )]
    NoCertificate(Location),
    /// The key file contains no private key.
    #[error(
        "{0} contains no private key: expected an unencrypted block like -----BEGIN PRIVATE KEY-----"
    )]
    NoKey(Location),
    /// The content is invalid.
    #[error("{location} cannot be used: {reason}")]
    Malformed {
        /// The file.
        location: Location,
        /// The reason, without any part of a key.
        reason: String,
    },
    /// The key does not belong to the certificate.
    #[error(
        "the private key in {key} does not belong to the certificate in {certificate}: name the key with which \
         this certificate was issued, or the certificate of this key"
    )]
    Mismatch {
        /// The certificate file.
        certificate: Location,
        /// The key file.
        key: Location,
    },
    /// A key exists without a certificate. Issuing a new pair would destroy the key.
    #[error(
        "{key} has no certificate beside it: add {certificate}, or remove the key to have a new pair issued"
    )]
    KeyWithoutCertificate {
        /// The missing file.
        certificate: Location,
        /// The key file.
        key: Location,
    },
    /// The CA cannot sign. It is not replaced automatically, because clients trust it.
    #[error(
        "the CA in {certificate} cannot sign: {reason}; restore {key}, or remove both to have a new CA created, in \
         which case the current pair stays in use for a week while clients reload the CAs"
    )]
    UnusableCa {
        /// The certificate file of the CA.
        certificate: Location,
        /// The key file of the CA.
        key: Location,
        /// The reason.
        reason: String,
    },
    /// A CA of other origin expires soon. The server does not replace it.
    #[error(
        "the CA in {certificate} was not created by this server and expires at {expires}: replace it and its key"
    )]
    ExpiringCa {
        /// The certificate file of the CA.
        certificate: Location,
        /// Expiry.
        expires: Timestamp,
    },
    /// A file cannot be written.
    #[error("{location} cannot be written: {}", file_error::writing(.cause))]
    Write {
        /// The file or folder.
        location: Location,
        /// Error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// A certificate cannot be issued.
    #[error("cannot issue a certificate for {names:?}: {cause}")]
    Issue {
        /// Names of the certificate; none for a CA.
        names: Vec<String>,
        /// Error of the generator.
        #[source]
        cause: rcgen::Error,
    },
    /// The Secret cannot be read or written.
    #[error("secret {namespace}/{name} (--cert-secret): {reason}")]
    Secret {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// The reason and the remedy.
        reason: String,
    },
}

impl CertificateError {
    /// Returns true if a later attempt may succeed.
    pub(super) fn is_retryable(&self) -> bool {
        matches!(self, Self::Secret { .. })
    }
}
