//! CA and pair in a Secret, for several replicas: the first one fills it, the others read. Every write is guarded by the
//! resourceVersion that was judged, so that of two replicas at once one takes what the other made.
//!
//! The Secret is never created: who may create Secrets could create any.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};

use super::super::error::{CertificateError, Place};
use super::super::options::SECRET_FLAG;
use super::super::pem::PairPlaces;
use super::{Content, Decision, Kept, Places, decide};
use crate::cluster::error_message;

const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// A CA and a pair are made in two steps, and each may be taken by another replica.
const STEPS: usize = 8;
/// The longest that the control plane may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A Secret with what the server makes for itself.
#[derive(Clone)]
pub(in super::super) struct Store {
    api: Api<Secret>,
    namespace: String,
    name: String,
    /// Host names and IP addresses that the pair is for.
    names: Vec<String>,
}

impl Store {
    pub(in super::super) fn new(client: Client, namespace: String, name: String, names: Vec<String>) -> Self {
        Self { api: Api::namespaced(client, &namespace), namespace, name, names }
    }

    pub(in super::super) fn places(&self) -> Places {
        let place = |key: &str| Place {
            flag: SECRET_FLAG,
            path: PathBuf::from(format!("{key} of secret {}/{}", self.namespace, self.name)),
        };
        let pair = |certificate, key| PairPlaces { certificate: place(certificate), key: place(key) };
        Places { authority: pair(CA_CERTIFICATE, CA_KEY), pair: pair(CERTIFICATE, KEY) }
    }

    /// Makes what is missing or due, and returns what is there then.
    pub(in super::super) async fn look(&self, now: Timestamp) -> Result<Kept, CertificateError> {
        let places = self.places();
        for _ in 0..STEPS {
            let secret = self.answered("get", self.api.get(&self.name)).await?;
            let content = content(&secret);
            match decide(&content, &places, &self.names, now)? {
                Decision::Keep(kept) => return Ok(kept),
                Decision::Write(content) => self.write(secret, content).await?,
            }
        }
        Err(self.fault("other writers change it all the time".to_owned()))
    }

    /// Writes, unless somebody else did since the Secret was read: what they wrote is judged next.
    async fn write(&self, mut secret: Secret, content: Content) -> Result<(), CertificateError> {
        let data = secret.data.get_or_insert_default();
        let Content { ca_certificates, ca_key, certificate, key } = content;
        let parts = [(CA_CERTIFICATE, ca_certificates), (CA_KEY, ca_key), (CERTIFICATE, certificate), (KEY, key)];
        data.extend(parts.into_iter().filter_map(|(key, part)| Some((key.to_owned(), ByteString(part?)))));
        let params = PostParams { field_manager: Some(env!("CARGO_PKG_NAME").to_owned()), ..PostParams::default() };
        let replaced = tokio::time::timeout(TIMEOUT, self.api.replace(&self.name, &params, &secret)).await;
        if matches!(&replaced, Ok(Err(kube::Error::Api(status))) if status.code == 409) {
            return Ok(());
        }
        self.judged("update", replaced).map(drop)
    }

    async fn answered<T>(
        &self,
        verb: &str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CertificateError> {
        self.judged(verb, tokio::time::timeout(TIMEOUT, call).await)
    }

    fn judged<T>(
        &self,
        verb: &str,
        outcome: Result<kube::Result<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, CertificateError> {
        let Self { namespace, name, .. } = self;
        let reason = match outcome {
            Ok(Ok(answer)) => return Ok(answer),
            Err(_) => format!("the control plane does not answer within {}s", TIMEOUT.as_secs()),
            Ok(Err(kube::Error::Api(status))) => match status.code {
                404 => format!(
                    "it is not there, and this server never creates it: `kubectl -n {namespace} create secret generic \
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
        Err(self.fault(reason))
    }

    fn fault(&self, reason: String) -> CertificateError {
        CertificateError::Secret { namespace: self.namespace.clone(), name: self.name.clone(), reason }
    }
}

/// An empty value is none: Secrets of type kubernetes.io/tls must have their keys.
fn content(secret: &Secret) -> Content {
    let empty = BTreeMap::new();
    let data = secret.data.as_ref().unwrap_or(&empty);
    let part = |key| data.get(key).map(|part| part.0.clone()).filter(|part| !part.is_empty());
    Content {
        ca_certificates: part(CA_CERTIFICATE),
        ca_key: part(CA_KEY),
        certificate: part(CERTIFICATE),
        key: part(KEY),
    }
}

#[cfg(test)]
mod tests;
