//! Storage of the self-managed CA and serving pair in a Secret that replicas share.
//!
//! The first replica fills the Secret, the others read it. Updates carry the resourceVersion that
//! was read, so one of two concurrent replicas uses the data of the other. The server never creates
//! the Secret, because RBAC cannot restrict `create` to one name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};

use super::super::error::{CertificateError, Location};
use super::super::options::SECRET_FLAG;
use super::super::pem::PairLocations;
use super::certificate_data::{CertificateData, DataLocations};
use super::{CertificateAction, LoadedCertificate, decide};
use crate::cluster::error_message;

const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Maximum number of decisions in one load. Creating a CA and a pair takes two writes, and each may
/// conflict with another replica.
const MAX_STEPS: usize = 8;
/// Timeout of a request to the control plane.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A Secret with the self-managed CA and serving pair.
#[derive(Clone)]
pub(in super::super) struct CertificateSecret {
    api: Api<Secret>,
    namespace: String,
    name: String,
    /// Host names and IP addresses of the serving certificate.
    names: Vec<String>,
}

impl CertificateSecret {
    pub(in super::super) fn new(
        client: Client,
        namespace: String,
        name: String,
        names: Vec<String>,
    ) -> Self {
        Self { api: Api::namespaced(client, &namespace), namespace, name, names }
    }

    pub(in super::super) fn locations(&self) -> DataLocations {
        let location = |key: &str| Location {
            flag: SECRET_FLAG,
            path: PathBuf::from(format!("{key} of secret {}/{}", self.namespace, self.name)),
        };
        let pair = |certificate, key| PairLocations {
            certificate: location(certificate),
            key: location(key),
        };
        DataLocations { ca: pair(CA_CERTIFICATE, CA_KEY), pair: pair(CERTIFICATE, KEY) }
    }

    /// Loads the certificate, after creating or renewing it if needed.
    pub(in super::super) async fn load(
        &self,
        now: Timestamp,
    ) -> Result<LoadedCertificate, CertificateError> {
        let locations = self.locations();
        for _ in 0..MAX_STEPS {
            let secret = self.call("get", self.api.get(&self.name)).await?;
            let data = data(&secret);
            match decide(&data, &locations, &self.names, now)? {
                CertificateAction::Serve(loaded) => return Ok(loaded),
                CertificateAction::Write(data) => self.write(secret, data).await?,
            }
        }
        Err(self.error("conflicting updates by other writers".to_owned()))
    }

    /// Updates the Secret. A conflict is not an error: the next decision reads the new data.
    async fn write(
        &self,
        mut secret: Secret,
        data: CertificateData,
    ) -> Result<(), CertificateError> {
        let values = secret.data.get_or_insert_default();
        let CertificateData { ca_certificates, ca_key, certificate, key } = data;
        let parts = [
            (CA_CERTIFICATE, ca_certificates),
            (CA_KEY, ca_key),
            (CERTIFICATE, certificate),
            (KEY, key),
        ];
        values.extend(
            parts.into_iter().filter_map(|(key, part)| Some((key.to_owned(), ByteString(part?)))),
        );
        let params = PostParams {
            field_manager: Some(env!("CARGO_PKG_NAME").to_owned()),
            ..PostParams::default()
        };
        let replaced =
            tokio::time::timeout(TIMEOUT, self.api.replace(&self.name, &params, &secret)).await;
        if matches!(&replaced, Ok(Err(kube::Error::Api(status))) if status.code == 409) {
            return Ok(());
        }
        self.check("update", replaced).map(drop)
    }

    async fn call<T>(
        &self,
        verb: &str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CertificateError> {
        self.check(verb, tokio::time::timeout(TIMEOUT, request).await)
    }

    fn check<T>(
        &self,
        verb: &str,
        outcome: Result<kube::Result<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, CertificateError> {
        let Self { namespace, name, .. } = self;
        let reason = match outcome {
            Ok(Ok(value)) => return Ok(value),
            Err(_) => format!("the control plane does not respond within {}s", TIMEOUT.as_secs()),
            Ok(Err(kube::Error::Api(status))) => match status.code {
                404 => format!(
                    "it does not exist, and this server does not create it: `kubectl -n {namespace} create secret generic \
                     {name}`"
                ),
                403 => format!(
                    "this server may not {verb} it ({}): a Role in {namespace} must allow apiGroups [\"\"], resources \
                     [\"secrets\"], resourceNames [\"{name}\"], verbs [\"get\", \"update\"]",
                    status.message
                ),
                _ => format!("{verb} is refused: {}", status.message),
            },
            Ok(Err(error)) => format!("{verb} fails: {}", error_message(&error)),
        };
        Err(self.error(reason))
    }

    fn error(&self, reason: String) -> CertificateError {
        CertificateError::Secret {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            reason,
        }
    }
}

/// Reads the data of the Secret. An empty value counts as missing, because Secrets of type
/// kubernetes.io/tls must have their keys.
fn data(secret: &Secret) -> CertificateData {
    let empty = BTreeMap::new();
    let data = secret.data.as_ref().unwrap_or(&empty);
    let part = |key| data.get(key).map(|part| part.0.clone()).filter(|part| !part.is_empty());
    CertificateData {
        ca_certificates: part(CA_CERTIFICATE),
        ca_key: part(CA_KEY),
        certificate: part(CERTIFICATE),
        key: part(KEY),
    }
}

#[cfg(test)]
mod tests;
