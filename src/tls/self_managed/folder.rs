//! Storage of the self-managed CA and serving pair in a folder.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::super::error::{CertificateError, Location};
use super::super::pem::{PairLocations, read};
use super::certificate_data::{CertificateData, DataLocations};
use super::{CertificateAction, LoadedCertificate, decide};

const FLAG: &str = "--cert-dir";
/// Maximum number of decisions in one load. Creating a CA and a pair takes two writes.
const MAX_STEPS: usize = 4;

/// A folder with the self-managed CA and serving pair.
#[derive(Clone, Debug)]
pub(in super::super) struct CertificateFolder {
    directory: PathBuf,
    /// Host names and IP addresses of the serving certificate.
    names: Vec<String>,
}

impl CertificateFolder {
    pub(in super::super) fn new(directory: PathBuf, names: Vec<String>) -> Self {
        Self { directory, names }
    }

    pub(in super::super) fn locations(&self) -> DataLocations {
        let location = |name: &str| Location { flag: FLAG, path: self.directory.join(name) };
        let pair = |certificate, key| PairLocations {
            certificate: location(certificate),
            key: location(key),
        };
        DataLocations { ca: pair("ca.crt", "ca.key"), pair: pair("apiserver.crt", "apiserver.key") }
    }

    /// Loads the certificate, after creating or renewing it if needed. Blocks on the file system.
    ///
    /// A file that exists but cannot be read is an error, because replacing it would break the
    /// trust of clients.
    pub(in super::super) fn load(
        &self,
        now: Timestamp,
    ) -> Result<LoadedCertificate, CertificateError> {
        let locations = self.locations();
        for _ in 0..MAX_STEPS {
            let stored = self.read(&locations)?;
            match decide(&stored, &locations, &self.names, now)? {
                CertificateAction::Serve(loaded) => return Ok(loaded),
                CertificateAction::Write(data) => self.write(&locations, &stored, &data)?,
            }
        }
        let cause = io::Error::other("the folder does not return the data that was written");
        Err(CertificateError::Write { location: locations.pair.certificate, cause })
    }

    fn read(&self, locations: &DataLocations) -> Result<CertificateData, CertificateError> {
        let DataLocations { ca, pair } = locations;
        Ok(CertificateData {
            ca_certificates: read_if_present(&ca.certificate)?,
            ca_key: read_if_present(&ca.key)?,
            certificate: read_if_present(&pair.certificate)?,
            key: read_if_present(&pair.key)?,
        })
    }

    /// Writes all temporary files before the first rename. Certificates are renamed before keys,
    /// because a certificate without its key is issued again.
    fn write(
        &self,
        locations: &DataLocations,
        before: &CertificateData,
        after: &CertificateData,
    ) -> Result<(), CertificateError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(|cause| {
            CertificateError::Write {
                location: Location { flag: FLAG, path: self.directory.clone() },
                cause,
            }
        })?;
        let DataLocations { ca, pair } = locations;
        let files = [
            (&ca.certificate, &before.ca_certificates, &after.ca_certificates, 0o644),
            (&ca.key, &before.ca_key, &after.ca_key, 0o600),
            (&pair.certificate, &before.certificate, &after.certificate, 0o644),
            (&pair.key, &before.key, &after.key, 0o600),
        ];
        let changed = files.into_iter().filter(|(_, before, after, _)| before != after);
        let mut staged = Vec::new();
        for (location, _, content, mode) in changed {
            let to_error = |cause| CertificateError::Write { location: location.clone(), cause };
            let new =
                location.path.with_extension(if mode == 0o600 { "key.tmp" } else { "crt.tmp" });
            write_new(&new, content.as_deref().unwrap_or_default(), mode).map_err(to_error)?;
            staged.push((location, new));
        }
        for (location, new) in staged {
            fs::rename(new, &location.path)
                .map_err(|cause| CertificateError::Write { location: location.clone(), cause })?;
        }
        Ok(())
    }
}

fn read_if_present(location: &Location) -> Result<Option<Vec<u8>>, CertificateError> {
    match read(location) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(CertificateError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
