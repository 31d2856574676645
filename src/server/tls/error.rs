//! What can be wrong with a serving certificate, as sentences that name the flag and the file.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A file, and the flag that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The flag, with its dashes.
    pub flag: &'static str,
    /// The file or folder.
    pub path: PathBuf,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.flag)
    }
}

/// Why there is no serving certificate, or no new one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Only one of the two files is given.
    #[error("{given} needs {missing}: a certificate and its key are given together or not at all")]
    HalfGiven {
        /// The flag that is there.
        given: &'static str,
        /// The flag that is not.
        missing: &'static str,
    },
    /// A file is missing or may not be read.
    #[error("{place} cannot be read: {cause}")]
    Read {
        /// Which file.
        place: Place,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The file of the certificate has none in it.
    #[error("{0} holds no certificate: a block that begins with -----BEGIN CERTIFICATE----- is expected")]
    NoCertificate(Place),
    /// The file of the key has none in it.
    #[error("{0} holds no private key: a block like -----BEGIN PRIVATE KEY----- (not encrypted) is expected")]
    NoKey(Place),
    /// The content cannot be used.
    #[error("{place} cannot be used: {reason}")]
    Malformed {
        /// Which file.
        place: Place,
        /// What is wrong in it. Never a part of a key.
        reason: String,
    },
    /// The two files do not form a pair.
    #[error("the private key in {key} does not belong to the certificate in {certificate}")]
    Mismatch {
        /// The file of the certificate.
        certificate: Place,
        /// The file of the key.
        key: Place,
    },
    /// A self-signed pair would destroy a key of somebody else's.
    #[error("{key} has no certificate beside it: add {certificate}, or remove the key to have a new pair made")]
    KeyAlone {
        /// The file that is missing.
        certificate: Place,
        /// The file that is there.
        key: Place,
    },
    /// The self-signed pair cannot be kept.
    #[error("{place} cannot be written: {cause}")]
    Write {
        /// Which file or folder.
        place: Place,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The self-signed pair cannot be made.
    #[error("no self-signed certificate can be made for {names:?}: {cause}")]
    Make {
        /// The names it was to carry.
        names: Vec<String>,
        /// What the generator says.
        #[source]
        cause: rcgen::Error,
    },
}
