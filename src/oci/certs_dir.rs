//! `CertsDir`: CA and client certificates of registries in files, as in `/etc/containers/certs.d`.
//!
//! A folder is named after the host and port of a registry. Its files `*.crt` are CA certificates
//! beside the system's; `client.cert` and `client.key` are the certificate for the registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use crate::meta::file_error;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Certificates of all registries, by host and port.
#[derive(Debug, Default)]
pub(super) struct CertsDir {
    hosts: BTreeMap<String, HostCertificates>,
}

/// Certificates of a registry.
#[derive(Default)]
pub(super) struct HostCertificates {
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// Error of a file of `--registry-ca-dir`.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct CertsDirError {
    path: PathBuf,
    reason: String,
}

impl CertsDir {
    /// Reads a folder with a folder for each registry.
    ///
    /// # Errors
    /// An unreadable or malformed file, and a client certificate without its key.
    pub(super) fn read(folder: &Path) -> Result<Self, CertsDirError> {
        let mut hosts = BTreeMap::new();
        for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
            let name = path.file_name().and_then(|name| name.to_str());
            // Names such as `..data` belong to the mount of a volume.
            let Some(host) = name.filter(|name| !name.starts_with('.')) else { continue };
            hosts.insert(host.to_owned(), HostCertificates::read(&path)?);
        }
        Ok(Self { hosts })
    }

    /// Returns the certificates of a host, with their name. A folder with the port is preferred.
    pub(super) fn find(&self, host: &str, port: u16) -> Option<(&str, &HostCertificates)> {
        let exact = self.hosts.get_key_value(&format!("{host}:{port}"));
        let default = || self.hosts.get_key_value(host).filter(|_| port == 443 || port == 80);
        let found = exact.or_else(default).or_else(|| {
            let is_hub = host == "registry-1.docker.io";
            self.hosts.get_key_value("docker.io").filter(|_| is_hub)
        });
        found.map(|(name, certificates)| (name.as_str(), certificates))
    }
}

impl HostCertificates {
    fn read(folder: &Path) -> Result<Self, CertsDirError> {
        let mut certificates = Self::default();
        for path in entries(folder)? {
            if path.extension().is_some_and(|extension| extension == "crt") {
                certificates.authorities.extend(read_chain(&path)?);
            }
        }
        let (cert, key) = (folder.join("client.cert"), folder.join("client.key"));
        if cert.exists() || key.exists() {
            let chain = read_chain(&cert)?;
            let key_der = PrivateKeyDer::from_pem_slice(&read(&key)?)
                .map_err(|error| CertsDirError { path: key, reason: error.to_string() })?;
            certificates.client = Some((chain, key_der));
        }
        Ok(certificates)
    }
}

impl fmt::Debug for HostCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostCertificates")
            .field("authorities", &self.authorities.len())
            .field("client", &self.client.is_some())
            .finish()
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, CertsDirError> {
    let error = |error: io::Error| CertsDirError {
        path: folder.into(),
        reason: file_error::reading(&error),
    };
    let entries = fs::read_dir(folder).map_err(error)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>().map_err(error)?;
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>, CertsDirError> {
    fs::read(path)
        .map_err(|error| CertsDirError { path: path.into(), reason: file_error::reading(&error) })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertsDirError> {
    let error = |reason: String| CertsDirError { path: path.into(), reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|why| error(why.to_string()))?;
    match chain.is_empty() {
        true => Err(error("it contains no certificate in PEM".into())),
        false => Ok(chain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["r.io".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn certificates_are_found_by_host_and_port() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pem();
        for host in ["r.io", "r.io:5000", "docker.io"] {
            fs::create_dir(folder.path().join(host)).unwrap();
            fs::write(folder.path().join(host).join("ca.crt"), &certificate).unwrap();
        }
        fs::write(folder.path().join("r.io/client.cert"), &certificate).unwrap();
        fs::write(folder.path().join("r.io/client.key"), key).unwrap();
        let dir = CertsDir::read(folder.path()).unwrap();
        let name = |host, port| dir.find(host, port).map(|(name, _)| name);
        assert_eq!(name("r.io", 443), Some("r.io"));
        assert_eq!(name("r.io", 5000), Some("r.io:5000"));
        assert_eq!(name("r.io", 5001), None);
        assert_eq!(name("registry-1.docker.io", 443), Some("docker.io"));
        let (_, certificates) = dir.find("r.io", 443).unwrap();
        assert_eq!((certificates.authorities.len(), certificates.client.is_some()), (1, true));
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("r.io")).unwrap();
        let read = || CertsDir::read(folder.path()).unwrap_err().to_string();
        fs::write(folder.path().join("r.io/client.cert"), pem().0).unwrap();
        assert!(read().contains("r.io/client.key: "), "{}", read());
        fs::write(folder.path().join("r.io/ca.crt"), "none").unwrap();
        assert!(read().contains("r.io/ca.crt: it contains no certificate"), "{}", read());
    }
}
