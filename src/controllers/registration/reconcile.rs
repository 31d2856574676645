//! The difference between an APIService and the one that this server needs. Pure.

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::tls::ServiceReference;

/// How much of our list of CAs must be in the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// All of it. What is there beside it is left alone: another replica may know a newer list already, and two that
    /// insist on their own would never end.
    AtLeast,
    /// All of it and nothing else: our list has changed, and what left it is no longer to be trusted.
    Exactly,
}

/// The state of an APIService, and with it the change that it needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RegistrationState {
    /// The object does not exist.
    Absent,
    /// The object holds our list.
    Fits,
    /// Our list is not known, so that none can be written.
    NoBundle,
    /// The API refuses a CA beside `insecureSkipTLSVerify`.
    Insecure,
    /// The object belongs to another server, and must not be changed.
    Elsewhere {
        /// The Service that it points at, as `NAMESPACE/NAME`.
        points_at: String,
    },
    /// The list must be written.
    Change {
        /// The present content, in words.
        found: &'static str,
        /// The object that the change is for.
        precondition: Precondition,
    },
}

/// The object that was compared. A change is for this one only: a later one may point elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Precondition {
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
}

/// Compares the object with `service` and with `bundle`, our list in PEM.
pub(super) fn compare(
    object: Option<&APIService>,
    service: &ServiceReference,
    bundle: &[u8],
    fit: Fit,
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
        return RegistrationState::Elsewhere { points_at };
    }
    if spec.and_then(|spec| spec.insecure_skip_tls_verify) == Some(true) {
        return RegistrationState::Insecure;
    }
    let Some(wanted) = certificates(bundle).filter(|wanted| !wanted.is_empty()) else {
        return RegistrationState::NoBundle;
    };
    let present = spec.and_then(|spec| spec.ca_bundle.as_ref()).map_or(&[][..], |bundle| &bundle.0);
    match difference(present, &wanted, fit) {
        None => RegistrationState::Fits,
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

/// What is there instead of the wanted list.
fn difference(present: &[u8], wanted: &[CertificateDer<'_>], fit: Fit) -> Option<&'static str> {
    if present.is_empty() {
        return Some("nothing");
    }
    let Some(present) = certificates(present).filter(|present| !present.is_empty()) else {
        return Some("what is no certificate");
    };
    let lacks = wanted.iter().any(|each| !present.contains(each));
    let exceeds = present.iter().any(|each| !wanted.contains(each));
    match (lacks, exceeds, fit) {
        (true, ..) => Some("other certificates"),
        (false, true, Fit::Exactly) => Some("more certificates"),
        (false, ..) => None,
    }
}

/// The certificates of a PEM text; none if one cannot be read.
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

    fn found(ca_bundle: &str, bundle: &str, fit: Fit) -> Option<&'static str> {
        match compare(Some(&object(ca_bundle)), &ours(), bundle.as_bytes(), fit) {
            RegistrationState::Fits => None,
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
            ("garbage".into(), Some("what is no certificate"), Some("what is no certificate")),
            (both.clone(), None, None),
            (format!("a comment\n{b}\n{a}"), None, None),
            (a.clone(), Some("other certificates"), Some("other certificates")),
            (c.clone(), Some("other certificates"), Some("other certificates")),
            (format!("{both}{c}"), None, Some("more certificates")),
            (
                format!("{both}-----BEGIN CERTIFICATE-----\n"),
                Some("what is no certificate"),
                Some("what is no certificate"),
            ),
        ];
        for (present, at_least, exactly) in cases {
            assert_eq!(found(&present, &both, Fit::AtLeast), at_least, "{present}");
            assert_eq!(found(&present, &both, Fit::Exactly), exactly, "{present}");
        }
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let bundle = ca("a");
        let compared =
            |object: &APIService| compare(Some(object), &ours(), bundle.as_bytes(), Fit::AtLeast);
        let with = |change: &dyn Fn(&mut APIServiceSpec)| {
            let mut object = object("");
            change(object.spec.as_mut().unwrap());
            object
        };
        assert_eq!(
            compare(None, &ours(), bundle.as_bytes(), Fit::AtLeast),
            RegistrationState::Absent
        );
        let elsewhere = with(&|spec| spec.service.as_mut().unwrap().name = Some("other".into()));
        assert_eq!(
            compared(&elsewhere),
            RegistrationState::Elsewhere { points_at: "registry/other".into() }
        );
        let local = with(&|spec| spec.service = None);
        assert_eq!(
            compared(&local),
            RegistrationState::Elsewhere { points_at: "kube-apiserver itself".into() }
        );
        let insecure = with(&|spec| spec.insecure_skip_tls_verify = Some(true));
        assert_eq!(compared(&insecure), RegistrationState::Insecure);
        assert_eq!(
            compare(Some(&object("")), &ours(), b"", Fit::AtLeast),
            RegistrationState::NoBundle
        );
    }
}
