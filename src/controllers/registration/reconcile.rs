//! Comparison of an APIService with the state that this server needs. No I/O.

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::tls::ServiceReference;

/// Required match between the CAs of this server and those of the APIService.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BundleMatch {
    /// The APIService has all CAs of this server, and may have others: another replica may have a
    /// newer list, and replicas must not overwrite each other's lists for ever.
    Superset,
    /// The APIService has the CAs of this server only. Required after a change of the CAs, because
    /// a removed one must not stay trusted.
    Exact,
}

/// State of an APIService, with the change that it needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RegistrationState {
    /// The APIService does not exist.
    Absent,
    /// The APIService has the CAs of this server.
    Current,
    /// The CAs of this server are not known, so they cannot be written.
    NoBundle,
    /// The API refuses `caBundle` together with `insecureSkipTLSVerify` (`ValidateAPIService` in
    /// k8s.io/kube-aggregator/pkg/apis/apiregistration/validation/validation.go).
    Insecure,
    /// The APIService refers to another Service, and must not be changed.
    OtherService {
        /// The Service, as `NAMESPACE/NAME`.
        points_at: String,
    },
    /// The CAs must be written.
    Change {
        /// Description of the current content, for the log.
        found: &'static str,
        /// The version of the APIService that was compared.
        precondition: Precondition,
    },
}

/// The version of an APIService to which a change applies. A later one may refer to another
/// Service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Precondition {
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
}

/// Compares the APIService with `service` and with `bundle`, the CAs of this server in PEM.
pub(super) fn compare(
    object: Option<&APIService>,
    service: &ServiceReference,
    bundle: &[u8],
    required: BundleMatch,
) -> RegistrationState {
    let Some(object) = object else { return RegistrationState::Absent };
    let spec = object.spec.as_ref();
    let found = spec.and_then(|spec| spec.service.as_ref()).map(|found| ServiceReference {
        namespace: found.namespace.clone().unwrap_or_default(),
        name: found.name.clone().unwrap_or_default(),
    });
    if found.as_ref() != Some(service) {
        let points_at =
            found.map_or_else(|| "kube-apiserver itself".to_owned(), |found| found.to_string());
        return RegistrationState::OtherService { points_at };
    }
    if spec.and_then(|spec| spec.insecure_skip_tls_verify) == Some(true) {
        return RegistrationState::Insecure;
    }
    let Some(desired) = certificates(bundle).filter(|desired| !desired.is_empty()) else {
        return RegistrationState::NoBundle;
    };
    let current = spec.and_then(|spec| spec.ca_bundle.as_ref()).map_or(&[][..], |bundle| &bundle.0);
    match difference(current, &desired, required) {
        None => RegistrationState::Current,
        Some(found) => {
            let (uid, resource_version) =
                (object.metadata.uid.clone(), object.metadata.resource_version.clone());
            RegistrationState::Change {
                found,
                precondition: Precondition { uid, resource_version },
            }
        }
    }
}

/// Description of the current content if it does not match the desired CAs as required.
fn difference(
    current: &[u8],
    desired: &[CertificateDer<'_>],
    required: BundleMatch,
) -> Option<&'static str> {
    if current.is_empty() {
        return Some("nothing");
    }
    let Some(current) = certificates(current).filter(|current| !current.is_empty()) else {
        return Some("invalid PEM");
    };
    let lacks = desired.iter().any(|each| !current.contains(each));
    let exceeds = current.iter().any(|each| !desired.contains(each));
    match (lacks, exceeds, required) {
        (true, ..) => Some("other certificates"),
        (false, true, BundleMatch::Exact) => Some("additional certificates"),
        (false, ..) => None,
    }
}

/// The certificates of a PEM file; none if one is invalid.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{
        APIServiceSpec, ServiceReference as Reference,
    };

    use super::*;

    fn ca(name: &str) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap().pem()
    }

    fn ours() -> ServiceReference {
        ServiceReference { namespace: "registry".into(), name: "images".into() }
    }

    fn object(ca_bundle: &str) -> APIService {
        let service = Reference {
            namespace: Some("registry".into()),
            name: Some("images".into()),
            port: Some(443),
        };
        let ca_bundle = (!ca_bundle.is_empty()).then(|| ByteString(ca_bundle.into()));
        let spec =
            APIServiceSpec { service: Some(service), ca_bundle, ..APIServiceSpec::default() };
        APIService { spec: Some(spec), ..APIService::default() }
    }

    fn found(ca_bundle: &str, bundle: &str, required: BundleMatch) -> Option<&'static str> {
        match compare(Some(&object(ca_bundle)), &ours(), bundle.as_bytes(), required) {
            RegistrationState::Current => None,
            RegistrationState::Change { found, .. } => Some(found),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ca_bundle_matches_in_any_order_and_keeps_additions() {
        let (a, b, c) = (ca("a"), ca("b"), ca("c"));
        let both = format!("{a}{b}");
        let cases = [
            (String::new(), Some("nothing"), Some("nothing")),
            ("garbage".into(), Some("invalid PEM"), Some("invalid PEM")),
            (both.clone(), None, None),
            (format!("a comment\n{b}\n{a}"), None, None),
            (a.clone(), Some("other certificates"), Some("other certificates")),
            (c.clone(), Some("other certificates"), Some("other certificates")),
            (format!("{both}{c}"), None, Some("additional certificates")),
            (
                format!("{both}-----BEGIN CERTIFICATE-----\n"),
                Some("invalid PEM"),
                Some("invalid PEM"),
            ),
        ];
        for (current, superset, exact) in cases {
            assert_eq!(found(&current, &both, BundleMatch::Superset), superset, "{current}");
            assert_eq!(found(&current, &both, BundleMatch::Exact), exact, "{current}");
        }
    }

    #[test]
    fn foreign_or_insecure_api_services_need_no_change() {
        let bundle = ca("a");
        let compared = |object: &APIService| {
            compare(Some(object), &ours(), bundle.as_bytes(), BundleMatch::Superset)
        };
        let with = |change: &dyn Fn(&mut APIServiceSpec)| {
            let mut object = object("");
            change(object.spec.as_mut().unwrap());
            object
        };
        assert_eq!(
            compare(None, &ours(), bundle.as_bytes(), BundleMatch::Superset),
            RegistrationState::Absent
        );
        let elsewhere = with(&|spec| spec.service.as_mut().unwrap().name = Some("other".into()));
        assert_eq!(
            compared(&elsewhere),
            RegistrationState::OtherService { points_at: "registry/other".into() }
        );
        let local = with(&|spec| spec.service = None);
        assert_eq!(
            compared(&local),
            RegistrationState::OtherService { points_at: "kube-apiserver itself".into() }
        );
        let insecure = with(&|spec| spec.insecure_skip_tls_verify = Some(true));
        assert_eq!(compared(&insecure), RegistrationState::Insecure);
        assert_eq!(
            compare(Some(&object("")), &ours(), b"", BundleMatch::Superset),
            RegistrationState::NoBundle
        );
    }
}
