//! Names of a serving certificate: required ones and actual ones.

use std::fmt;
use std::net::IpAddr;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::meta::is_dns_subdomain;

/// Namespace and name of a Kubernetes Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceReference {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ServiceReference {
    #[cfg(test)]
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// DNS name that kube-apiserver verifies, whatever address it connects to: `updateAPIService`
    /// in k8s.io/kube-aggregator/pkg/apiserver/handler_proxy.go.
    pub(super) fn verified_name(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

impl fmt::Display for ServiceReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Names of a self-managed certificate: those of the Service and of the local machine, and further
/// ones.
pub(super) fn required_names(
    service: Option<&ServiceReference>,
    further: impl IntoIterator<Item = String>,
) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(service) = service {
        let (name, verified) = (&service.name, service.verified_name());
        names.extend([name.clone(), format!("{name}.{}", service.namespace)]);
        names.extend([format!("{verified}.cluster.local"), verified]);
    }
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    for name in further {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Parses a DNS name, which may start with a wildcard, or an IP address.
///
/// # Errors
/// A reason for people.
pub(super) fn parse(text: &str) -> Result<String, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let name = text.to_ascii_lowercase();
    match is_dns_subdomain(name.strip_prefix("*.").unwrap_or(&name)) {
        true => Ok(name),
        false => Err("it must be a DNS name or an IP address, without scheme and port".into()),
    }
}

/// Returns true if the certificate is valid for the name, by its subject alternative names and
/// their wildcards. The common name does not count.
pub(super) fn is_valid_for(leaf: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
    ServerName::try_from(name).is_ok_and(|name| verify_server_name(&leaf, &name).is_ok())
}

/// Subject alternative names of the certificate, for messages.
pub(super) fn subject_alternative_names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let Ok(Some(names)) = leaf.subject_alternative_name() else { return Vec::new() };
    names.value.general_names.iter().filter_map(text).collect()
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
                .ok()
                .map(|address| address.to_string())
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
    fn a_wildcard_matches_one_label() {
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
            assert_eq!(is_valid_for(&leaf(names), &name), is_served, "{names:?}");
        }
    }

    #[test]
    fn required_names_include_four_of_the_service() {
        let names = required_names(Some(&ServiceReference::new("registry", "images")), []);
        let leaf = leaf(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(subject_alternative_names(&leaf), names);
        assert_eq!(names.len(), 7);
        assert!(names.iter().all(|name| is_valid_for(&leaf, name)), "{names:?}");
        let further = ["a.example", "127.0.0.1"].map(str::to_owned);
        assert_eq!(required_names(None, further), ["localhost", "127.0.0.1", "::1", "a.example"]);
    }

    #[test]
    fn further_names_are_host_names_or_addresses() {
        for (text, parsed) in
            [("A.example", "a.example"), ("*.example", "*.example"), ("::0:1", "::1"), ("h", "h")]
        {
            assert_eq!(parse(text).unwrap(), parsed);
        }
        for text in ["", "https://a", "a:8443", "a_b", "*", "[::1]", "a..b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
