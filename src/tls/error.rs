//! What can be wrong with a serving certificate, as sentences that name the flag and the file.

use std::fmt;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use super::options::FlagError;

/// A file, or a key of a Secret, and the flag that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The flag, with its dashes.
    pub flag: &'static str,
    /// The file or folder; the key of a Secret in words.
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
    /// Flags that do not go together.
    #[error(transparent)]
    Flags(#[from] FlagError),
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
    /// A new pair would destroy a key of somebody else's.
    #[error("{key} has no certificate beside it: add {certificate}, or remove the key to have a new pair made")]
    KeyAlone {
        /// The file that is missing.
        certificate: Place,
        /// The file that is there.
        key: Place,
    },
    /// The CA made here cannot sign, and is not replaced without being asked: clients trust it.
    #[error(
        "the CA in {certificate} cannot sign: {reason}; restore {key}, or remove both to have a new CA made, in which \
         case the present pair is still shown for a week, while clients learn the new CA"
    )]
    Authority {
        /// The file of the CA.
        certificate: Place,
        /// The file of its key.
        key: Place,
        /// What is wrong.
        reason: String,
    },
    /// A CA that was not made here will not be replaced here.
    #[error("the CA in {certificate} was not made by this server and ends at {ends}: put a new one with its key there")]
    Ending {
        /// The file of the CA.
        certificate: Place,
        /// When it ends.
        ends: Timestamp,
    },
    /// What is made here cannot be kept.
    #[error("{place} cannot be written: {cause}")]
    Write {
        /// Which file or folder.
        place: Place,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// A certificate cannot be made.
    #[error("no certificate can be made for {names:?}: {cause}")]
    Make {
        /// The names it was to carry; none for a CA.
        names: Vec<String>,
        /// What the generator says.
        #[source]
        cause: rcgen::Error,
    },
    /// The Secret cannot be read or written now.
    #[error("secret {namespace}/{name} (--cert-secret): {reason}")]
    Secret {
        /// Where it lies.
        namespace: String,
        /// What it is called.
        name: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}

impl CertificateError {
    /// Whether waiting may help: nothing is wrong with what was read, it could only not be read or written.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Secret { .. })
    }
}
