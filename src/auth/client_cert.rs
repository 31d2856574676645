//! Client certificates: who signed them, and which user they name.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::User;

/// An authority whose certificates name users: the common name is the user, each organization a group.
pub struct ClientCa {
    verifier: Arc<dyn ClientCertVerifier>,
}

/// Why a file of certificate authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientCaError {
    /// The file is no PEM, or holds something that is no certificate.
    #[error("it holds no readable PEM certificate: {0}")]
    Pem(String),
    /// There is not one certificate that can be an authority.
    #[error("it holds no certificate")]
    Empty,
}

impl ClientCa {
    /// Reads authorities in PEM form.
    ///
    /// # Errors
    /// What is wrong with the content.
    pub fn parse(pem: &[u8]) -> Result<Self, ClientCaError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|why| ClientCaError::Pem(why.to_string()))?;
            roots.add(certificate).map_err(|why| ClientCaError::Pem(why.to_string()))?;
        }
        if roots.is_empty() {
            return Err(ClientCaError::Empty);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
        Ok(Self { verifier: verifier.map_err(|why| ClientCaError::Pem(why.to_string()))? })
    }

    /// The user that a chain of certificates names, if this authority signed it for clients and it is valid now.
    pub fn user(&self, chain: &[CertificateDer<'static>]) -> Option<Arc<User>> {
        let (leaf, intermediates) = chain.split_first()?;
        self.verifier.verify_client_cert(leaf, intermediates, UnixTime::now()).ok()?;
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned);
        Some(User::authenticated(name, String::new(), groups.collect()))
    }
}

impl fmt::Debug for ClientCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCa")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

    fn authority() -> (Issuer<'static, KeyPair>, ClientCa) {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        (Issuer::new(params, key), ClientCa::parse(pem.as_bytes()).unwrap())
    }

    fn client(issuer: &Issuer<'static, KeyPair>, usage: ExtendedKeyUsagePurpose) -> Vec<CertificateDer<'static>> {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "alice");
        params.distinguished_name.push(DnType::OrganizationName, "devs");
        params.extended_key_usages.push(usage);
        vec![params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()]
    }

    #[test]
    fn a_certificate_of_the_authority_names_its_user() {
        let (issuer, ca) = authority();
        let user = ca.user(&client(&issuer, ExtendedKeyUsagePurpose::ClientAuth)).unwrap();
        assert_eq!(
            (user.name.as_str(), user.groups.as_slice()),
            ("alice", &["devs".to_owned(), "system:authenticated".into()][..])
        );
    }

    #[test]
    fn strangers_servers_and_rubbish_name_nobody() {
        let ((issuer, ca), (stranger, _)) = (authority(), authority());
        assert!(ca.user(&client(&stranger, ExtendedKeyUsagePurpose::ClientAuth)).is_none());
        assert!(ca.user(&client(&issuer, ExtendedKeyUsagePurpose::ServerAuth)).is_none());
        assert!(ca.user(&[CertificateDer::from(vec![1, 2, 3])]).is_none());
    }

    #[test]
    fn an_empty_file_is_no_authority() {
        assert!(matches!(ClientCa::parse(b""), Err(ClientCaError::Empty)));
    }
}
