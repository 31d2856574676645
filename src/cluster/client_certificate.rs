//! Client certificates in kubeconfigs.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use kube::config::{AuthInfo, Kubeconfig};
use x509_parser::pem::Pem;

/// Expiry of the client certificate of the current context; `None` without a readable one.
pub(super) fn expiry(kubeconfig: &Path) -> Option<Timestamp> {
    let config = Kubeconfig::read_from(kubeconfig).ok()?;
    let current = config.current_context?;
    let context = config.contexts.into_iter().find(|context| context.name == current)?;
    let user = context.context?.user?;
    let user = config.auth_infos.into_iter().find(|each| each.name == user)?.auth_info?;
    let pem = certificate(&user)?;
    let pem = Pem::iter_from_buffer(&pem).next()?.ok()?;
    let certificate = pem.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn certificate(user: &AuthInfo) -> Option<Vec<u8>> {
    match (&user.client_certificate_data, &user.client_certificate) {
        (Some(data), _) => BASE64_STANDARD.decode(data).ok(),
        (None, Some(path)) => std::fs::read(path).ok(),
        (None, None) => None,
    }
}
