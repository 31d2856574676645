//! The pair that the server makes for itself when it is given none: kept in a folder so that clients that were told to
//! trust it still do after a restart, and renewed before it ends.
//!
//! A pair that somebody else put there is used as it is and never overwritten.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::error::{CertificateError, Place};
use super::pem::{PairPlaces, PemPair};

const FLAG: &str = "--cert-dir";
/// Marks the common name of what is made here, and with it the pairs that may be replaced.
const MARK: &str = "imagestream-apiserver@";
const LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Clocks of clients may be behind.
const BACKDATE: Duration = Duration::from_secs(60 * 60);

/// A folder with a pair of our own making.
#[derive(Clone, Debug)]
pub(super) struct SelfSigned {
    directory: PathBuf,
    /// Host names and IP addresses that the certificate is for.
    names: Vec<String>,
}

impl SelfSigned {
    pub(super) fn new(directory: PathBuf, names: Vec<String>) -> Self {
        Self { directory, names }
    }

    pub(super) fn places(&self) -> PairPlaces {
        let place = |name: &str| Place { flag: FLAG, path: self.directory.join(name) };
        PairPlaces { certificate: place("apiserver.crt"), key: place("apiserver.key") }
    }

    /// Sees to it that a pair is there that serves beyond the renewal time and carries the names.
    ///
    /// A file that is there but cannot be read now is an error: a new pair would break the trust in the present one.
    pub(super) fn ensure(&self, now: Timestamp) -> Result<(), CertificateError> {
        let places = self.places();
        match (read_if_present(&places.certificate)?, read_if_present(&places.key)?) {
            (None, Some(_)) => Err(CertificateError::KeyAlone { certificate: places.certificate, key: places.key }),
            (Some(certificate), _) if !is_ours(&certificate) => Ok(()),
            (Some(certificate), Some(key)) => {
                let serves = self.serves(&PemPair::new(certificate, key), now, &places);
                if serves { Ok(()) } else { self.make(now, &places) }
            }
            (_, None) => self.make(now, &places),
        }
    }

    fn serves(&self, pem: &PemPair, now: Timestamp, places: &PairPlaces) -> bool {
        let Ok(pair) = pem.parse(places) else { return false };
        pair.ends.duration_since(now) > RENEW_BEFORE && pair.key.cert.first().is_some_and(|leaf| self.is_named_by(leaf))
    }

    /// Whether the certificate carries all the names.
    fn is_named_by(&self, leaf: &CertificateDer<'_>) -> bool {
        let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return false };
        let Ok(Some(carried)) = leaf.subject_alternative_name() else { return false };
        let carried = &carried.value.general_names;
        self.names.iter().all(|name| carried.iter().any(|general| is_name(general, name)))
    }

    fn make(&self, now: Timestamp, places: &PairPlaces) -> Result<(), CertificateError> {
        let (certificate, key) =
            generate(&self.names, now).map_err(|cause| CertificateError::Make { names: self.names.clone(), cause })?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(|cause| {
            CertificateError::Write { place: Place { flag: FLAG, path: self.directory.clone() }, cause }
        })?;
        // The certificate goes first: if only one half gets there, its mark says that the pair may be made again.
        write(&places.certificate, certificate.as_bytes(), 0o644)?;
        write(&places.key, key.as_bytes(), 0o600)
    }
}

/// A leaf that is its own trust anchor: OpenSSL, Go and webpki take it as a CA file, yet it can sign nothing else.
fn generate(names: &[String], now: Timestamp) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let since_epoch = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
    let now = date_time_ymd(1970, 1, 1) + since_epoch;
    params.not_before = now - BACKDATE;
    params.not_after = now + LIFE;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{MARK}{}", since_epoch.as_secs()));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Whether the first certificate of a PEM file was made here. What does not parse was not.
fn is_ours(pem: &[u8]) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(pem) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return false };
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    name.is_some_and(|name| name.starts_with(MARK)) && certificate.issuer() == certificate.subject()
}

fn is_name(general: &GeneralName<'_>, name: &str) -> bool {
    match (general, name.parse::<IpAddr>()) {
        (GeneralName::DNSName(carried), Err(_)) => carried.eq_ignore_ascii_case(name),
        (GeneralName::IPAddress(carried), Ok(IpAddr::V4(address))) => *carried == address.octets(),
        (GeneralName::IPAddress(carried), Ok(IpAddr::V6(address))) => *carried == address.octets(),
        _ => false,
    }
}

fn read_if_present(place: &Place) -> Result<Option<Vec<u8>>, CertificateError> {
    match super::pem::read(place) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(CertificateError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a file in place in one step, so that a crash leaves the old content or the new.
fn write(place: &Place, content: &[u8], mode: u32) -> Result<(), CertificateError> {
    let temporary = place.path.with_extension("tmp");
    let written = write_new(&temporary, content, mode).and_then(|()| fs::rename(&temporary, &place.path));
    written.map_err(|cause| CertificateError::Write { place: place.clone(), cause })
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn day(count: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + count * 24 * 60 * 60).unwrap()
    }

    fn maker(directory: &Path, names: &[&str]) -> SelfSigned {
        SelfSigned::new(directory.to_owned(), names.iter().map(ToString::to_string).collect())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_pair_is_made_once_with_the_key_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let certs = folder.path().join("new/certs");
        let maker = maker(&certs, &["localhost", "127.0.0.1", "::1"]);
        maker.ensure(day(0)).unwrap();
        assert_eq!((mode(&certs), mode(&certs.join("apiserver.key"))), (0o700, 0o600));
        let first = fs::read(certs.join("apiserver.crt")).unwrap();
        maker.ensure(day(300)).unwrap();
        assert_eq!(fs::read(certs.join("apiserver.crt")).unwrap(), first);
        let names: Vec<_> = fs::read_dir(&certs).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "temporary files stay behind: {names:?}");
    }

    #[test]
    fn a_pair_is_renewed_thirty_days_before_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let maker = maker(folder.path(), &["localhost"]);
        maker.ensure(day(0)).unwrap();
        let first = fs::read(folder.path().join("apiserver.crt")).unwrap();
        maker.ensure(day(336)).unwrap();
        assert_ne!(fs::read(folder.path().join("apiserver.crt")).unwrap(), first);
        let places = maker.places();
        let pair = PemPair::read(&places).unwrap().parse(&places).unwrap();
        assert_eq!(pair.ends, day(336 + 365));
    }

    #[test]
    fn a_pair_without_the_wanted_names_is_made_again_and_fewer_names_keep_it() {
        let folder = tempfile::tempdir().unwrap();
        maker(folder.path(), &["localhost", "10.0.0.1"]).ensure(day(0)).unwrap();
        let first = fs::read(folder.path().join("apiserver.crt")).unwrap();
        maker(folder.path(), &["LOCALHOST"]).ensure(day(1)).unwrap();
        assert_eq!(fs::read(folder.path().join("apiserver.crt")).unwrap(), first);
        maker(folder.path(), &["localhost", "10.0.0.2"]).ensure(day(1)).unwrap();
        assert_ne!(fs::read(folder.path().join("apiserver.crt")).unwrap(), first);
    }

    #[test]
    fn half_a_pair_of_our_own_is_made_again_but_a_lone_key_is_never_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let maker = maker(folder.path(), &["localhost"]);
        maker.ensure(day(0)).unwrap();
        fs::remove_file(folder.path().join("apiserver.key")).unwrap();
        maker.ensure(day(0)).unwrap();
        assert!(folder.path().join("apiserver.key").exists());
        fs::remove_file(folder.path().join("apiserver.crt")).unwrap();
        let error = maker.ensure(day(0)).unwrap_err().to_string();
        assert!(error.contains("apiserver.key (--cert-dir) has no certificate beside it"), "{error}");
    }

    #[test]
    fn a_pair_of_somebody_elses_is_left_alone_even_when_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let theirs = CertificateParams::new(["other".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
        fs::write(folder.path().join("apiserver.crt"), &theirs).unwrap();
        fs::write(folder.path().join("apiserver.key"), key.serialize_pem()).unwrap();
        maker(folder.path(), &["localhost"]).ensure(day(1_000_000)).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("apiserver.crt")).unwrap(), theirs);
    }

    #[test]
    fn a_key_that_cannot_be_read_now_is_an_error_and_not_a_reason_for_a_new_pair() {
        let folder = tempfile::tempdir().unwrap();
        let maker = maker(folder.path(), &["localhost"]);
        maker.ensure(day(0)).unwrap();
        let first = fs::read(folder.path().join("apiserver.crt")).unwrap();
        fs::remove_file(folder.path().join("apiserver.key")).unwrap();
        fs::create_dir(folder.path().join("apiserver.key")).unwrap();
        let error = maker.ensure(day(0)).unwrap_err().to_string();
        assert!(error.contains("apiserver.key (--cert-dir) cannot be read"), "{error}");
        assert_eq!(fs::read(folder.path().join("apiserver.crt")).unwrap(), first);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_with_its_flag() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let error = maker(&folder.path().join("file/certs"), &["localhost"]).ensure(day(0)).unwrap_err().to_string();
        assert!(error.contains("file/certs") && error.contains("(--cert-dir)"), "{error}");
    }
}
