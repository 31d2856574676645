//! The certificate that the server shows, and its replacement while the server runs.
//!
//! Files are compared by content on a timer: volumes of Secrets swap a symlink, which file watching misses. A pair that
//! cannot serve never replaces one that can.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{info, warn};

use super::error::{CertificateError, Place};
use super::pem::{Pair, PairPlaces, PemPair};
use super::self_signed::SelfSigned;

const CERT_FLAG: &str = "--tls-cert-file";
const KEY_FLAG: &str = "--tls-private-key-file";

/// Where the serving certificate comes from.
#[derive(Clone, Debug)]
pub struct Source(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Files(PairPlaces),
    SelfSigned(SelfSigned),
}

impl Source {
    /// Files that somebody else keeps, in PEM.
    pub fn files(certificate: PathBuf, key: PathBuf) -> Self {
        Self(Kind::Files(PairPlaces {
            certificate: Place { flag: CERT_FLAG, path: certificate },
            key: Place { flag: KEY_FLAG, path: key },
        }))
    }

    /// A pair of our own in `directory`, for these host names and IP addresses. None means this machine only:
    /// `localhost`, `127.0.0.1` and `::1`.
    pub fn self_signed(directory: PathBuf, mut names: Vec<String>) -> Self {
        if names.is_empty() {
            names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        }
        Self(Kind::SelfSigned(SelfSigned::new(directory, names)))
    }

    /// What the flags ask for: the files if they are given, otherwise a pair of our own for `names`.
    pub fn from_options(options: &super::Options, names: Vec<String>) -> Result<Self, CertificateError> {
        let super::Options { tls_cert_file, tls_private_key_file, cert_dir, tls_min_version: _ } = options;
        match (tls_cert_file, tls_private_key_file) {
            (Some(certificate), Some(key)) => Ok(Self::files(certificate.clone(), key.clone())),
            (None, None) => Ok(Self::self_signed(cert_dir.clone(), names)),
            (Some(_), None) => Err(CertificateError::HalfGiven { given: CERT_FLAG, missing: KEY_FLAG }),
            (None, Some(_)) => Err(CertificateError::HalfGiven { given: KEY_FLAG, missing: CERT_FLAG }),
        }
    }

    fn places(&self) -> PairPlaces {
        match &self.0 {
            Kind::Files(places) => places.clone(),
            Kind::SelfSigned(own) => own.places(),
        }
    }

    fn read(&self, places: &PairPlaces, now: Timestamp) -> Result<PemPair, CertificateError> {
        if let Kind::SelfSigned(own) = &self.0 {
            own.ensure(now)?;
        }
        PemPair::read(places)
    }
}

/// The outcome of a look at the files.
#[derive(Debug)]
pub enum Reload {
    /// The files are as they were at the last look, whatever that led to.
    Unchanged,
    /// New handshakes see a new certificate.
    Replaced {
        /// When the new certificate ends.
        ends: Timestamp,
    },
    /// The files changed to something that cannot serve; the certificate of before stays. Told once for each content.
    Refused(CertificateError),
}

/// The certificate of the server: what handshakes resolve to.
#[derive(Debug)]
pub struct ServingCertificate {
    source: Source,
    places: PairPlaces,
    serving: RwLock<Serving>,
    /// What the last look found, so that a fault is told once and an unchanged pair is not parsed again.
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Serving {
    key: Arc<CertifiedKey>,
    ends: Timestamp,
}

enum Seen {
    Content(PemPair),
    Failure(String),
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Content(_) => f.write_str("Content(..)"),
            Self::Failure(reason) => f.debug_tuple("Failure").field(reason).finish(),
        }
    }
}

impl ServingCertificate {
    /// Loads the pair, making it first if it is to be our own.
    pub fn open(source: Source, now: Timestamp) -> Result<Self, CertificateError> {
        let places = source.places();
        let pem = source.read(&places, now)?;
        let Pair { key, ends } = pem.parse(&places)?;
        let serving = RwLock::new(Serving { key, ends });
        Ok(Self { source, places, serving, seen: Mutex::new(Seen::Content(pem)) })
    }

    /// The file with the certificate, for a client that is to trust it.
    pub fn path(&self) -> &std::path::Path {
        &self.places.certificate.path
    }

    /// When the certificate that is being served ends.
    pub fn ends(&self) -> Timestamp {
        self.serving.read().unwrap_or_else(PoisonError::into_inner).ends
    }

    /// Looks at the files again (renewing our own pair if its end is near) and serves what they hold now. Blocks on
    /// the file system.
    pub fn reload(&self, now: Timestamp) -> Reload {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let pem = match self.source.read(&self.places, now) {
            Ok(pem) => pem,
            Err(error) => {
                let reason = error.to_string();
                if matches!(&*seen, Seen::Failure(before) if *before == reason) {
                    return Reload::Unchanged;
                }
                *seen = Seen::Failure(reason);
                return Reload::Refused(error);
            }
        };
        if matches!(&*seen, Seen::Content(before) if *before == pem) {
            return Reload::Unchanged;
        }
        let parsed = pem.parse(&self.places);
        *seen = Seen::Content(pem);
        match parsed {
            Ok(pair) => self.serve(pair),
            Err(error) => Reload::Refused(error),
        }
    }

    fn serve(&self, Pair { key, ends }: Pair) -> Reload {
        let mut serving = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        // After an unreadable moment the same certificate is no news.
        if serving.key.cert == key.cert {
            return Reload::Unchanged;
        }
        *serving = Serving { key, ends };
        Reload::Replaced { ends }
    }

    /// Reloads for ever, every `interval`, and logs what changes. Runs until it is dropped.
    pub async fn keep_current(self: Arc<Self>, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            let this = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || this.reload(Timestamp::now())).await {
                Ok(outcome) => self.log(&outcome),
                Err(error) => warn!(%error, "looking for a new serving certificate failed"),
            }
        }
    }

    fn log(&self, outcome: &Reload) {
        match outcome {
            Reload::Unchanged => {}
            Reload::Replaced { ends } => {
                info!(file = %self.places.certificate, %ends, "serving a new certificate");
                if *ends < Timestamp::now() {
                    warn!(file = %self.places.certificate, %ends, "the serving certificate has ended");
                }
            }
            Reload::Refused(error) => warn!(%error, "no new serving certificate, the present one stays"),
        }
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.serving.read().unwrap_or_else(PoisonError::into_inner).key))
    }
}
