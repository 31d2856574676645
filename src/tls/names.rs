//! The names that a serving certificate must carry and those that it carries.

use std::fmt;
use std::net::IpAddr;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A Service of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceReference {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ServiceReference {
    #[cfg(test)]
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The name that kube-apiserver asks for and verifies, whatever it connects to.
    pub(super) fn verified_name(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

impl fmt::Display for ServiceReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Host names and IP addresses for a pair made here: this machine, and the Service under all its names.
pub(super) fn wanted(service: Option<&ServiceReference>) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(service) = service {
        let (name, verified) = (&service.name, service.verified_name());
        names.extend([name.clone(), format!("{name}.{}", service.namespace)]);
        names.extend([format!("{verified}.cluster.local"), verified]);
    }
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    names
}

/// Whether a client that asks for the name accepts the certificate, wildcards included. The common name counts for
/// nothing.
pub(super) fn serves(leaf: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
    ServerName::try_from(name).is_ok_and(|name| verify_server_name(&leaf, &name).is_ok())
}

/// The names in the certificate, for a person to read.
pub(super) fn carried(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let Ok(Some(names)) = leaf.subject_alternative_name() else { return Vec::new() };
    names.value.general_names.iter().filter_map(text).collect()
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn wildcards_stand_for_one_label() {
        let name = ServiceReference::new("registry", "images").verified_name();
        for (names, is_served) in [
            (&["images.registry.svc"][..], true),
            (&["IMAGES.registry.svc"], true),
            (&["other", "*.registry.svc"], true),
            (&["*.svc"], false),
            (&["images.registry"], false),
            (&["images.registry.svc.cluster.local"], false),
            (&[], false),
        ] {
            assert_eq!(serves(&leaf(names), &name), is_served, "{names:?}");
        }
    }

    #[test]
    fn a_service_has_four_names_beside_those_of_the_machine() {
        let names = wanted(Some(&ServiceReference::new("registry", "images")));
        let leaf = leaf(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(carried(&leaf), names);
        assert_eq!(names.len(), 7);
        assert!(names.iter().all(|name| serves(&leaf, name)), "{names:?}");
        assert_eq!(wanted(None), ["localhost", "127.0.0.1", "::1"]);
    }
}
