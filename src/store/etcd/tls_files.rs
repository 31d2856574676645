//! The files for TLS connections to etcd, and their changes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use etcd_client::{Certificate, Identity, TlsOptions};

use crate::store::EtcdTls;

/// The interval at which the files are read again.
const INTERVAL: Duration = Duration::from_secs(5);

/// The content of the files for TLS.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TlsContent {
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Calls `changed` when the content of the files has changed. Runs until it is dropped.
pub(super) async fn follow(tls: EtcdTls, changed: impl Fn()) {
    if tls == EtcdTls::default() {
        return;
    }
    let mut used = read_tls(&tls).ok();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let files = tls.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || read_tls(&files)).await else { return };
        match read {
            // A certificate without its key fails: then the next round makes connections again.
            Ok(content) if used.as_ref() != Some(&content) => {
                tracing::info!("the files for TLS to etcd have changed, connecting again");
                used = Some(content);
                changed();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the files for TLS to etcd cannot be read"),
        }
    }
}

/// Reads the files for TLS.
///
/// # Errors
/// A file cannot be read.
pub(super) fn read_tls(tls: &EtcdTls) -> Result<TlsContent, String> {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let ca = tls.ca.as_deref().map(read).transpose()?;
    let identity = tls.identity.as_ref();
    let identity =
        identity.map(|(certificate, key)| Ok::<_, String>((read(certificate)?, read(key)?)));
    Ok(TlsContent { ca, identity: identity.transpose()? })
}

impl From<TlsContent> for TlsOptions {
    fn from(content: TlsContent) -> Self {
        let mut options = Self::new();
        if let Some(ca) = content.ca {
            options = options.ca_certificate(Certificate::from_pem(ca));
        }
        if let Some((certificate, key)) = content.identity {
            options = options.identity(Identity::from_pem(certificate, key));
        }
        options
    }
}
