//! The serving certificate, and its replacement at run time.
//!
//! Files are read on a timer, because a volume of a Secret replaces a symbolic link, which file
//! watches miss. An invalid pair never replaces a valid one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tracing::warn;

use super::error::{CertificateError, Location};
use super::names::required_names;
use super::options::{CERT_FLAG, KEY_FLAG};
use super::pem::{Pair, PairLocations, PemPair};
use super::self_managed::LoadedCertificate;
use super::self_managed::folder::CertificateFolder;
use super::self_managed::secret::CertificateSecret;
use crate::runtime::{Reload, Reloadable};
use crate::telemetry::OnChange;

/// Origin of the serving certificate.
#[derive(Clone)]
pub struct CertificateSource(CertificateSourceKind);

#[derive(Clone)]
enum CertificateSourceKind {
    Files(PairLocations),
    Folder(CertificateFolder),
    Secret(Box<CertificateSecret>),
}

impl CertificateSource {
    /// PEM files that another program maintains.
    pub fn files(certificate: PathBuf, key: PathBuf) -> Self {
        Self(CertificateSourceKind::Files(PairLocations {
            certificate: Location { flag: CERT_FLAG, path: certificate },
            key: Location { flag: KEY_FLAG, path: key },
        }))
    }

    /// A self-managed CA and pair in `directory` for these host names and IP addresses; if none are
    /// given, for `localhost`, `127.0.0.1` and `::1`.
    pub fn folder(directory: PathBuf, mut names: Vec<String>) -> Self {
        if names.is_empty() {
            names = required_names(None, []);
        }
        Self(CertificateSourceKind::Folder(CertificateFolder::new(directory, names)))
    }

    /// A self-managed CA and pair in a Secret.
    pub fn secret(client: Client, namespace: String, name: String, names: Vec<String>) -> Self {
        Self(CertificateSourceKind::Secret(Box::new(CertificateSecret::new(
            client, namespace, name, names,
        ))))
    }

    pub(super) fn locations(&self) -> PairLocations {
        match &self.0 {
            CertificateSourceKind::Files(locations) => locations.clone(),
            CertificateSourceKind::Folder(folder) => folder.locations().pair,
            CertificateSourceKind::Secret(secret) => secret.locations().pair,
        }
    }

    async fn load(&self, now: Timestamp) -> Result<LoadedCertificate, CertificateError> {
        match &self.0 {
            CertificateSourceKind::Files(locations) => {
                let locations = locations.clone();
                blocking(move || {
                    let pair = PemPair::read(&locations)?.parse(&locations)?;
                    Ok(LoadedCertificate { pair, bundle: None, ca_expires: None, warning: None })
                })
                .await
            }
            CertificateSourceKind::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || folder.load(now)).await
            }
            CertificateSourceKind::Secret(secret) => secret.load(now).await,
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CertificateError> + Send + 'static,
) -> Result<T, CertificateError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, so the result is no longer needed.
            Err(_) => std::future::pending().await,
        },
    }
}

/// The certificate that TLS handshakes use.
pub struct ServingCertificate {
    source: CertificateSource,
    path: PathBuf,
    serving: Reloadable<ServedCertificate>,
    /// The CAs that clients must trust, in PEM; empty if they are not known.
    bundle: watch::Sender<Bytes>,
    /// Warning of the last load.
    warning: Mutex<OnChange<Option<String>>>,
}

struct ServedCertificate {
    key: Arc<CertifiedKey>,
    expires: Timestamp,
    ca_expires: Option<Timestamp>,
}

impl std::fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServingCertificate").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ServingCertificate {
    /// Loads the pair, after creating it if it is self-managed.
    pub async fn open(source: CertificateSource, now: Timestamp) -> Result<Self, CertificateError> {
        let path = source.locations().certificate.path;
        let LoadedCertificate { pair: Pair { key, expires }, bundle, ca_expires, warning } =
            source.load(now).await?;
        let serving = Reloadable::new(ServedCertificate { key, expires, ca_expires });
        let bundle = watch::Sender::new(bundle.unwrap_or_default());
        let this = Self {
            source,
            path,
            serving,
            bundle,
            warning: Mutex::new(OnChange::from_initial(None)),
        };
        this.log(warning);
        Ok(this)
    }

    /// Path of the certificate, or a description of its key in the Secret.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Expiry of the serving certificate.
    pub fn expires(&self) -> Timestamp {
        self.serving.with(|current| current.expires)
    }

    /// Expiry of the CA; none if it is not known.
    pub fn ca_expires(&self) -> Option<Timestamp> {
        self.serving.with(|current| current.ca_expires)
    }

    /// The CAs that clients must trust, in PEM, now and after each change. Empty if they are not
    /// known.
    pub fn bundle(&self) -> watch::Receiver<Bytes> {
        self.bundle.subscribe()
    }

    /// The serving certificate without its chain.
    pub(super) fn leaf(&self) -> CertificateDer<'static> {
        let leaf = self.serving.with(|current| current.key.cert.first().cloned());
        leaf.unwrap_or_else(|| CertificateDer::from(Vec::new()))
    }

    /// Loads the certificate again, after renewing it if it is self-managed and due.
    pub async fn reload(&self, now: Timestamp) -> Reload<CertificateError> {
        let loaded = self.source.load(now).await.map(
            |LoadedCertificate { pair: Pair { key, expires }, bundle, ca_expires, warning }| {
                self.log(warning);
                // An unknown list does not clear the published one, because the file may be
                // damaged.
                if let Some(bundle) = bundle {
                    self.bundle.send_if_modified(|current| {
                        std::mem::replace(current, bundle.clone()) != bundle
                    });
                }
                ServedCertificate { key, expires, ca_expires }
            },
        );
        self.serving.reload(loaded, |new, current| new.key.cert == current.key.cert)
    }

    fn log(&self, warning: Option<CertificateError>) {
        let warning = warning.map(|warning| warning.to_string());
        let is_new = self.warning.lock().record(warning.clone());
        if let Some(error) = warning.filter(|_| is_new) {
            warn!(error, "cannot renew the serving certificate");
        }
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.serving.with(|current| Arc::clone(&current.key)))
    }
}
