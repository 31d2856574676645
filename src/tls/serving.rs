//! The serving certificate that the flags select: opened, reloaded, measured, and checked against the
//! Service that it is for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::certificate::{ServingCertificate, Source};
use super::error::CertificateError;
use super::names::{self, ServiceReference};
use super::options::{FlagError, Options, Plan, Wanted};
use crate::runtime::Reload;
use crate::telemetry::OnChange;
use crate::telemetry::metrics::{Certificate, Metrics};

/// How long until the control plane is asked again for a Secret that could not be read.
const RETRY: Duration = Duration::from_secs(5);

/// The serving certificate with its checks and metrics.
pub struct Serving {
    /// The certificate of handshakes.
    pub certificate: Arc<ServingCertificate>,
    /// The Service whose APIService gets the CA of the certificate, with --inject-ca-bundle.
    pub registered_service: Option<ServiceReference>,
    service: Option<ServiceReference>,
    metrics: Arc<Metrics>,
}

impl Serving {
    /// Opens the certificate that the flags select. Waits, and logs the reason, while the Secret of
    /// --cert-secret cannot be read.
    ///
    /// # Errors
    /// Conflicting flags, and a certificate that cannot be used or created.
    pub async fn open(
        options: &Options,
        control_plane: Option<Client>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, CertificateError> {
        let Plan { wanted, service, inject } = options.plan(control_plane.is_some())?;
        let names = names::wanted(service.as_ref());
        let source = match (wanted, &control_plane) {
            (Wanted::Files { certificate, key }, _) => Source::files(certificate, key),
            (Wanted::Folder(directory), _) => Source::folder(directory, names),
            (Wanted::Secret { namespace, name }, Some(client)) => {
                Source::secret(client.clone(), namespace, name, names)
            }
            (Wanted::Secret { .. }, None) => {
                return Err(FlagError::NoControlPlane { flag: super::options::SECRET_FLAG }.into());
            }
        };
        let certificate = Arc::new(open(source).await?);
        let this = Self { certificate, registered_service: inject, service, metrics };
        this.check();
        this.measure();
        Ok(this)
    }

    /// The CAs that clients are to trust, in PEM, now and after each change. Empty where nobody knows them.
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
                let ends = self.certificate.ends();
                info!(file = %self.certificate.path().display(), %ends, "serving a new certificate");
                self.check();
            }
            Reload::Failed(error) => warn!(%error, "no new serving certificate, the present one stays"),
        }
        self.measure();
    }

    fn measure(&self) {
        self.metrics.set_certificate_expiry(Certificate::Serving, self.certificate.ends());
        if let Some(ends) = self.certificate.authority_ends() {
            self.metrics.set_certificate_expiry(Certificate::ServingCa, ends);
        }
    }

    /// Tells what clients will refuse. The server goes on: the certificate may be replaced while it runs.
    fn check(&self) {
        let (file, ends) = (self.certificate.path().display(), self.certificate.ends());
        if ends < Timestamp::now() {
            error!(%file, %ends, "the serving certificate has ended: clients refuse it, put a new one there");
        }
        let Some(needed) = self.service.as_ref().map(ServiceReference::verified_name) else { return };
        let leaf = self.certificate.leaf();
        if !names::serves(&leaf, &needed) {
            let carried = names::carried(&leaf).join(", ");
            error!(
                %file, needed, carried,
                "the serving certificate is not for the Service of this server, so kube-apiserver will refuse it: issue one \
                 that has the needed name among its subject alternative names (the common name does not count), or correct \
                 --service-name and --service-namespace"
            );
        }
    }
}

async fn open(source: Source) -> Result<ServingCertificate, CertificateError> {
    let mut faults = OnChange::default();
    loop {
        match ServingCertificate::open(source.clone(), Timestamp::now()).await {
            Err(error) if error.may_pass() => {
                if faults.record(error.to_string()) {
                    warn!(%error, "waiting for the serving certificate");
                }
                tokio::time::sleep(RETRY).await;
            }
            outcome => return outcome,
        }
    }
}
