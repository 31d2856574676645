//! CA and pair in a folder.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::super::error::{CertificateError, Place};
use super::super::pem::{PairPlaces, read};
use super::{Content, Decision, Kept, Places, decide};

const FLAG: &str = "--cert-dir";
/// A CA and a pair are made in two steps.
const STEPS: usize = 4;

/// A folder with what the server makes for itself.
#[derive(Clone, Debug)]
pub(in super::super) struct Folder {
    directory: PathBuf,
    /// Host names and IP addresses that the pair is for.
    names: Vec<String>,
}

impl Folder {
    pub(in super::super) fn new(directory: PathBuf, names: Vec<String>) -> Self {
        Self { directory, names }
    }

    pub(in super::super) fn places(&self) -> Places {
        let place = |name: &str| Place { flag: FLAG, path: self.directory.join(name) };
        let pair = |certificate, key| PairPlaces { certificate: place(certificate), key: place(key) };
        Places { authority: pair("ca.crt", "ca.key"), pair: pair("apiserver.crt", "apiserver.key") }
    }

    /// Makes what is missing or due, and returns what is there then. Blocks on the file system.
    ///
    /// A file that is there but cannot be read now is an error: making a new one would break the trust in it.
    pub(in super::super) fn look(&self, now: Timestamp) -> Result<Kept, CertificateError> {
        let places = self.places();
        for _ in 0..STEPS {
            let found = self.read(&places)?;
            match decide(&found, &places, &self.names, now)? {
                Decision::Keep(kept) => return Ok(kept),
                Decision::Write(content) => self.write(&places, &found, &content)?,
            }
        }
        let cause = io::Error::other("what is written there is not found there again");
        Err(CertificateError::Write { place: places.pair.certificate, cause })
    }

    fn read(&self, places: &Places) -> Result<Content, CertificateError> {
        let Places { authority, pair } = places;
        Ok(Content {
            ca_certificates: read_if_present(&authority.certificate)?,
            ca_key: read_if_present(&authority.key)?,
            certificate: read_if_present(&pair.certificate)?,
            key: read_if_present(&pair.key)?,
        })
    }

    /// Everything is written beside its place before the first file is put in place. Certificates go first: if only
    /// one half gets there, the other is made again.
    fn write(&self, places: &Places, before: &Content, after: &Content) -> Result<(), CertificateError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(|cause| {
            CertificateError::Write { place: Place { flag: FLAG, path: self.directory.clone() }, cause }
        })?;
        let Places { authority, pair } = places;
        let files = [
            (&authority.certificate, &before.ca_certificates, &after.ca_certificates, 0o644),
            (&authority.key, &before.ca_key, &after.ca_key, 0o600),
            (&pair.certificate, &before.certificate, &after.certificate, 0o644),
            (&pair.key, &before.key, &after.key, 0o600),
        ];
        let changed = files.into_iter().filter(|(_, before, after, _)| before != after);
        let mut staged = Vec::new();
        for (place, _, content, mode) in changed {
            let fault = |cause| CertificateError::Write { place: place.clone(), cause };
            let new = place.path.with_extension(if mode == 0o600 { "key.tmp" } else { "crt.tmp" });
            write_new(&new, content.as_deref().unwrap_or_default(), mode).map_err(fault)?;
            staged.push((place, new));
        }
        for (place, new) in staged {
            fs::rename(new, &place.path).map_err(|cause| CertificateError::Write { place: place.clone(), cause })?;
        }
        Ok(())
    }
}

fn read_if_present(place: &Place) -> Result<Option<Vec<u8>>, CertificateError> {
    match read(place) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(CertificateError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
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
