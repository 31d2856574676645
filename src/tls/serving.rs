//! The serving certificate of a running server: reload, metrics, and a check against the Service.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::certificate::{CertificateSource, ServingCertificate};
use super::error::CertificateError;
use super::names::{self, ServiceReference};
use super::options::{CertificateConfig, FlagError, INJECT_FLAG, Options, PairSource, SECRET_FLAG};
use crate::runtime::Reload;
use crate::telemetry::OnChange;
use crate::telemetry::metrics::{Certificate, Metrics};

/// Interval between attempts to read the Secret.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The serving certificate with its checks and metrics.
pub struct Serving {
    /// The certificate that TLS handshakes use.
    pub certificate: Arc<ServingCertificate>,
    /// Service whose APIService gets the CA of the certificate, with --inject-ca-bundle.
    pub registered_service: Option<ServiceReference>,
    service: Option<ServiceReference>,
    metrics: Arc<Metrics>,
}

impl Serving {
    /// Opens the certificate that the flags select. A self-managed one in a folder is valid for
    /// `address`, on which the server listens. Waits, with a log message, while the Secret of
    /// --cert-secret cannot be read.
    ///
    /// # Errors
    /// Inconsistent flags, or a certificate that is invalid or cannot be issued.
    pub async fn open(
        options: &Options,
        address: IpAddr,
        control_plane: Option<Client>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, CertificateError> {
        let CertificateConfig { source, service, inject } = options.complete()?;
        if inject.is_some() && control_plane.is_none() {
            return Err(FlagError::NoControlPlane { flag: INJECT_FLAG }.into());
        }
        let further = options.tls_san.iter().cloned();
        let names = names::required_names(service.as_ref(), further.clone());
        let source = match (source, &control_plane) {
            (PairSource::Files { certificate, key }, _) => {
                CertificateSource::files(certificate, key)
            }
            (PairSource::Folder(directory), _) => {
                let address = (!address.is_unspecified()).then(|| address.to_string());
                let names =
                    names::required_names(service.as_ref(), address.into_iter().chain(further));
                let folder = directory.display();
                info!(%folder, ?names, "clients must trust ca.crt in the folder of certificates");
                CertificateSource::folder(directory, names)
            }
            (PairSource::Secret { namespace, name }, Some(client)) => {
                CertificateSource::secret(client.clone(), namespace, name, names)
            }
            (PairSource::Secret { .. }, None) => {
                return Err(FlagError::NoControlPlane { flag: SECRET_FLAG }.into());
            }
        };
        let certificate = Arc::new(open(source).await?);
        let this = Self { certificate, registered_service: inject, service, metrics };
        this.check();
        this.measure();
        Ok(this)
    }

    /// The CAs that clients must trust, in PEM, now and after each change. Empty if they are not
    /// known.
    pub fn ca_bundle(&self) -> watch::Receiver<Bytes> {
        self.certificate.bundle()
    }

    /// Reloads the certificate after each `interval`. Never returns.
    pub async fn keep_current(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            self.reload().await;
        }
    }

    async fn reload(&self) {
        match self.certificate.reload(Timestamp::now()).await {
            Reload::Unchanged => {}
            Reload::Replaced => {
                let expires = self.certificate.expires();
                info!(file = %self.certificate.path().display(), ends = %expires, "serving a new certificate");
                self.check();
            }
            Reload::Failed(error) => {
                warn!(%error, "cannot reload the serving certificate, keeping the current one")
            }
        }
        self.measure();
    }

    fn measure(&self) {
        self.metrics.set_certificate_expiry(Certificate::Serving, self.certificate.expires());
        if let Some(expires) = self.certificate.ca_expires() {
            self.metrics.set_certificate_expiry(Certificate::ServingCa, expires);
        }
    }

    /// Logs the reasons for which clients will reject the certificate. The server keeps running,
    /// because the certificate may be replaced.
    fn check(&self) {
        let (file, expires) = (self.certificate.path().display(), self.certificate.expires());
        if expires < Timestamp::now() {
            error!(%file, ends = %expires, "the serving certificate has expired, clients reject it: replace it");
        }
        let Some(needed) = self.service.as_ref().map(ServiceReference::verified_name) else {
            return;
        };
        let leaf = self.certificate.leaf();
        if !names::is_valid_for(&leaf, &needed) {
            let carried = names::subject_alternative_names(&leaf).join(", ");
            error!(
                %file, needed, carried,
                "the serving certificate is not valid for the Service of this server, so kube-apiserver rejects it: issue \
                 one with the needed name among its subject alternative names (the common name does not count), or \
                 correct --service-name and --service-namespace"
            );
        }
    }
}

async fn open(source: CertificateSource) -> Result<ServingCertificate, CertificateError> {
    let mut errors = OnChange::default();
    loop {
        match ServingCertificate::open(source.clone(), Timestamp::now()).await {
            Err(error) if error.is_retryable() => {
                if errors.record(error.to_string()) {
                    warn!(%error, "waiting for the serving certificate");
                }
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            outcome => return outcome,
        }
    }
}
