//! Inspection of the serving certificate without a running server. It changes nothing.

use std::path::PathBuf;

use jiff::Timestamp;

use super::certificate::CertificateSource;
use super::error::CertificateError;
use super::names::{self, ServiceReference};
use super::options::{Options, PairSource};
use super::pem::{self, PemPair};
use super::self_managed::{self, folder::CertificateFolder};

/// State of the serving certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateStatus {
    /// A usable pair exists.
    Pair {
        /// Certificate file.
        file: PathBuf,
        /// Expiry.
        expires: Timestamp,
        /// DNS names and IP addresses of the certificate.
        names: Vec<String>,
        /// The name that kube-apiserver verifies, if the certificate is not valid for it.
        missing: Option<String>,
    },
    /// The server will issue the certificate when it starts: there is none, or a self-managed one
    /// that lacks a name.
    Pending {
        /// Certificate file to be written.
        file: PathBuf,
    },
    /// The certificate is stored in a Secret, which is not read.
    InSecret {
        /// Namespace and name.
        secret: String,
    },
}

/// File and expiry of the CA that the server has created in --cert-dir; `None` if the flags select
/// another source, or there is none yet.
///
/// # Errors
/// Inconsistent flags, or an invalid file.
pub fn self_made_ca(options: &Options) -> Result<Option<(PathBuf, Timestamp)>, CertificateError> {
    let PairSource::Folder(folder) = options.complete()?.source else { return Ok(None) };
    let location = CertificateFolder::new(folder, Vec::new()).locations().ca.certificate;
    if !location.path.exists() {
        return Ok(None);
    }
    let pem = pem::read(&location)?;
    let authorities = pem::certificates(&pem).map_err(|why| pem::malformed(&location, why))?;
    let Some(current) = authorities.first() else {
        return Err(CertificateError::NoCertificate(location));
    };
    let expires = pem::end_of_validity(current, &location)?;
    Ok(Some((location.path, expires)))
}

/// Inspects the pair that the flags select.
///
/// # Errors
/// Inconsistent flags, or invalid files.
pub fn inspect(options: &Options) -> Result<CertificateStatus, CertificateError> {
    let config = options.complete()?;
    let mut is_own = false;
    let source = match config.source {
        PairSource::Secret { namespace, name } => {
            return Ok(CertificateStatus::InSecret { secret: format!("{namespace}/{name}") });
        }
        PairSource::Files { certificate, key } => CertificateSource::files(certificate, key),
        PairSource::Folder(folder) => {
            let source = CertificateSource::folder(folder, Vec::new());
            let file = source.locations().certificate.path;
            if !file.exists() {
                return Ok(CertificateStatus::Pending { file });
            }
            is_own = std::fs::read(&file).is_ok_and(|pem| self_managed::is_own_pair(&pem));
            source
        }
    };
    let locations = source.locations();
    let pair = PemPair::read(&locations)?.parse(&locations)?;
    let (file, leaf) = (locations.certificate.path, &pair.key.cert[0]);
    let missing = config
        .service
        .as_ref()
        .map(ServiceReference::verified_name)
        .filter(|needed| !names::is_valid_for(leaf, needed));
    if is_own && missing.is_some() {
        return Ok(CertificateStatus::Pending { file });
    }
    Ok(CertificateStatus::Pair {
        file,
        expires: pair.expires,
        names: names::subject_alternative_names(leaf),
        missing,
    })
}
