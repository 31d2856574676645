//! The certificate that the server shows, and its replacement while the server runs.
//!
//! Places are looked at on a timer: volumes of Secrets swap a symlink, which file watching misses. A pair that cannot
//! serve never replaces one that can.

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

use super::error::{CertificateError, Place};
use super::options::{CERT_FLAG, KEY_FLAG};
use super::own::Kept;
use super::own::folder::Folder;
use super::own::secret::Store;
use super::pem::{Pair, PairPlaces, PemPair};
use crate::runtime::{Reload, Reloadable};
use crate::telemetry::OnChange;

/// Where the serving certificate comes from.
#[derive(Clone)]
pub struct Source(Kind);

#[derive(Clone)]
enum Kind {
    Files(PairPlaces),
    Folder(Folder),
    Secret(Box<Store>),
}

impl Source {
    /// Files that somebody else keeps, in PEM.
    pub fn files(certificate: PathBuf, key: PathBuf) -> Self {
        Self(Kind::Files(PairPlaces {
            certificate: Place { flag: CERT_FLAG, path: certificate },
            key: Place { flag: KEY_FLAG, path: key },
        }))
    }

    /// A CA and a pair of our own in `directory`, for these host names and IP addresses. None means this machine only:
    /// `localhost`, `127.0.0.1` and `::1`.
    pub fn folder(directory: PathBuf, mut names: Vec<String>) -> Self {
        if names.is_empty() {
            names = super::names::wanted(None);
        }
        Self(Kind::Folder(Folder::new(directory, names)))
    }

    /// A CA and a pair of our own in a Secret.
    pub fn secret(client: Client, namespace: String, name: String, names: Vec<String>) -> Self {
        Self(Kind::Secret(Box::new(Store::new(client, namespace, name, names))))
    }

    pub(super) fn places(&self) -> PairPlaces {
        match &self.0 {
            Kind::Files(places) => places.clone(),
            Kind::Folder(folder) => folder.places().pair,
            Kind::Secret(store) => store.places().pair,
        }
    }

    async fn look(&self, now: Timestamp) -> Result<Kept, CertificateError> {
        match &self.0 {
            Kind::Files(places) => {
                let places = places.clone();
                blocking(move || {
                    let pair = PemPair::read(&places)?.parse(&places)?;
                    Ok(Kept { pair, bundle: None, authority_ends: None, concern: None })
                })
                .await
            }
            Kind::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || folder.look(now)).await
            }
            Kind::Secret(store) => store.look(now).await,
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
            // The runtime is being shut down, and nobody waits for an answer.
            Err(_) => std::future::pending().await,
        },
    }
}

/// The certificate of the server: what handshakes resolve to.
pub struct ServingCertificate {
    source: Source,
    path: PathBuf,
    serving: Reloadable<Current>,
    /// The CAs that clients are to trust, in PEM; empty where nobody knows.
    bundle: watch::Sender<Bytes>,
    /// The concern of the last load.
    concern: Mutex<OnChange<Option<String>>>,
}

struct Current {
    key: Arc<CertifiedKey>,
    ends: Timestamp,
    authority_ends: Option<Timestamp>,
}

impl std::fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServingCertificate").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ServingCertificate {
    /// Loads the pair, making it first if it is to be our own.
    pub async fn open(source: Source, now: Timestamp) -> Result<Self, CertificateError> {
        let path = source.places().certificate.path;
        let Kept { pair: Pair { key, ends }, bundle, authority_ends, concern } = source.look(now).await?;
        let serving = Reloadable::new(Current { key, ends, authority_ends });
        let bundle = watch::Sender::new(bundle.unwrap_or_default());
        let this = Self { source, path, serving, bundle, concern: Mutex::new(OnChange::from_initial(None)) };
        this.log(concern);
        Ok(this)
    }

    /// Where the certificate lies. If it is a file, a client may be told to trust it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the certificate that is being served ends.
    pub fn ends(&self) -> Timestamp {
        self.serving.with(|current| current.ends)
    }

    /// When our own CA ends; none where the certificate is somebody else's.
    pub fn authority_ends(&self) -> Option<Timestamp> {
        self.serving.with(|current| current.authority_ends)
    }

    /// The CAs that clients are to trust, in PEM, now and after each change. Empty where nobody knows them.
    pub fn bundle(&self) -> watch::Receiver<Bytes> {
        self.bundle.subscribe()
    }

    /// The certificate that is being served, without its chain.
    pub(super) fn leaf(&self) -> CertificateDer<'static> {
        let leaf = self.serving.with(|current| current.key.cert.first().cloned());
        leaf.unwrap_or_else(|| CertificateDer::from(Vec::new()))
    }

    /// Looks again (renewing what is our own if its end is near) and serves what is there now.
    pub async fn reload(&self, now: Timestamp) -> Reload<CertificateError> {
        let loaded =
            self.source.look(now).await.map(|Kept { pair: Pair { key, ends }, bundle, authority_ends, concern }| {
                self.log(concern);
                // Without news the list of before stays: a damaged file is no reason to trust nobody.
                if let Some(bundle) = bundle {
                    self.bundle.send_if_modified(|present| std::mem::replace(present, bundle.clone()) != bundle);
                }
                Current { key, ends, authority_ends }
            });
        self.serving.reload(loaded, |new, present| new.key.cert == present.key.cert)
    }

    fn log(&self, concern: Option<CertificateError>) {
        let concern = concern.map(|concern| concern.to_string());
        let is_new = self.concern.lock().record(concern.clone());
        if let Some(error) = concern.filter(|_| is_new) {
            warn!(error, "the serving certificate cannot be renewed as things are");
        }
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.serving.with(|current| Arc::clone(&current.key)))
    }
}
