//! Failures of requests to the control plane: address, kind, and the way out.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError};

/// A request that got no response.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {}", describe(.fault, .source))]
pub(super) struct Unanswered {
    address: String,
    fault: Fault,
    source: kube::Error,
}

/// Kind of a failed request to the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing listens at the address.
    Refused,
    /// No route to the address, or no response in time.
    NoResponse,
    /// The host name of the address has no IP address.
    UnknownHost,
    /// The certificate at the address has another CA than the configured one.
    UntrustedCertificate,
    /// The certificate at the address is issued for other names.
    WrongName,
    /// The certificate at the address has expired, or is not valid yet.
    ExpiredCertificate,
    /// The address does not complete a TLS handshake: a server without TLS, or a load balancer with
    /// no server behind it.
    NoTls,
    /// The control plane refuses the client certificate in the TLS handshake.
    ClientCertificate,
    /// The control plane does not accept the token or client certificate: 401.
    Unauthorized,
    /// The user of this server lacks a permission: 403.
    Forbidden,
    /// Any other.
    Other,
}

impl Unanswered {
    pub(super) fn new(address: &str, source: kube::Error) -> Self {
        Self { address: address.to_owned(), fault: Fault::of(&source), source }
    }
}

impl Fault {
    /// Kind of an error of a client.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(fault) = of_cause(cause) {
                return fault;
            }
            next = cause.source();
        }
        Self::Other
    }

    /// The way out; `None` if the message of the error has to suffice.
    pub fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::Refused => "start kube-apiserver, or correct the address in the kubeconfig",
            Self::Unauthorized | Self::ClientCertificate => {
                "renew the token or client certificate of this server (in the kubeconfig, or the \
                 ServiceAccount of the pod)"
            }
            Self::Forbidden => {
                "bind the roles of manifests/base/rbac-server.yaml to the user of this server"
            }
            Self::UntrustedCertificate => {
                "set certificate-authority in the kubeconfig to the CA of kube-apiserver (in a pod: \
                 ca.crt of the ServiceAccount), or correct the address"
            }
            other => return other.any_remedy(),
        })
    }

    /// The way out for a client of this server.
    pub fn server_remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::Refused => "start the server, or correct the address in the kubeconfig",
            Self::UntrustedCertificate => {
                "set certificate-authority in the kubeconfig to ca.crt in --cert-dir of the server, \
                 or to the CA of --tls-cert-file"
            }
            other => return other.any_remedy(),
        })
    }

    fn any_remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::NoResponse => "check routes, firewalls and network policies in between",
            Self::UnknownHost => "correct the host name in the kubeconfig, or DNS",
            Self::WrongName => {
                "use a host name of the certificate in the kubeconfig, or set tls-server-name there"
            }
            Self::ExpiredCertificate => "renew it, and check the clock of this machine",
            Self::NoTls => {
                "correct the address in the kubeconfig: another server than the expected one, without \
                 TLS, or a load balancer with no server behind it listens there"
            }
            _ => return None,
        })
    }

    /// The kind in a few words, without details of the network.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Unauthorized => "it does not accept the credentials of this server",
            Self::Forbidden => "the user of this server lacks the permission",
            Self::Other => "see the log",
            other => other.phrase().unwrap_or_default(),
        }
    }

    /// The kind as a phrase, where the error of the library needs interpretation.
    fn phrase(self) -> Option<&'static str> {
        Some(match self {
            Self::Refused => "Connection refused",
            Self::NoResponse => "no route, or no response in time",
            Self::UnknownHost => "the host name cannot be resolved",
            Self::UntrustedCertificate => {
                "its certificate is not signed by the configured certificate authority"
            }
            Self::WrongName => "its certificate is not valid for this host name",
            Self::ExpiredCertificate => "its certificate has expired or is not valid yet",
            Self::NoTls => "it completes no TLS handshake",
            Self::ClientCertificate => "it refuses the client certificate of this server",
            Self::Unauthorized | Self::Forbidden | Self::Other => return None,
        })
    }
}

fn describe(fault: &Fault, source: &kube::Error) -> String {
    fault.phrase().map_or_else(|| super::error_message(source), str::to_owned)
}

fn of_cause(cause: &(dyn Error + 'static)) -> Option<Fault> {
    if let Some(kube::Error::Api(status)) = cause.downcast_ref() {
        return Some(match status.code {
            401 => Fault::Unauthorized,
            403 => Fault::Forbidden,
            _ => Fault::Other,
        });
    }
    if let Some(unanswered) = cause.downcast_ref::<Unanswered>() {
        return Some(unanswered.fault);
    }
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return of_tls(error);
    }
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        // An error of TLS is inside of one or two of I/O, which do not call it their source.
        let inner = error.get_ref().and_then(|inner| of_cause(inner));
        if let Some(fault) = inner.or_else(|| of_kind(error.kind())) {
            return Some(fault);
        }
    }
    // Errors of the resolver and the end of a connection within a handshake have no kind of their
    // own.
    let text = cause.to_string();
    if text.starts_with("failed to lookup address information") {
        return Some(Fault::UnknownHost);
    }
    (text == "tls handshake eof").then_some(Fault::NoTls)
}

fn of_kind(kind: ErrorKind) -> Option<Fault> {
    Some(match kind {
        ErrorKind::ConnectionRefused => Fault::Refused,
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            Fault::NoResponse
        }
        _ => return None,
    })
}

fn of_tls(error: &rustls::Error) -> Option<Fault> {
    match error {
        rustls::Error::InvalidCertificate(error) => Some(match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Fault::WrongName
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Fault::ExpiredCertificate,
            _ => Fault::UntrustedCertificate,
        }),
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::UnknownCA,
        ) => Some(Fault::ClientCertificate),
        rustls::Error::InvalidMessage(_) => Some(Fault::NoTls),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rustls::InvalidMessage;
    use rustls::pki_types::UnixTime;

    use super::*;

    fn of_io(error: io::Error) -> Fault {
        Fault::of(&kube::Error::Service(Box::new(error)))
    }

    #[test]
    fn kinds_are_found_in_the_chain_of_causes() {
        let tls = |error| of_io(io::Error::new(ErrorKind::InvalidData, error));
        let certificate = |error| tls(rustls::Error::InvalidCertificate(error));
        let now = UnixTime::now();
        let api = |code| {
            let status = kube::core::Status { code, ..kube::core::Status::default() };
            Fault::of(&kube::Error::Api(Box::new(status)))
        };
        for (fault, expected) in [
            (of_io(ErrorKind::ConnectionRefused.into()), Fault::Refused),
            (of_io(ErrorKind::TimedOut.into()), Fault::NoResponse),
            (certificate(CertificateError::UnknownIssuer), Fault::UntrustedCertificate),
            (
                of_io(io::Error::other(io::Error::other(rustls::Error::InvalidCertificate(
                    CertificateError::UnknownIssuer,
                )))),
                Fault::UntrustedCertificate,
            ),
            (certificate(CertificateError::NotValidForName), Fault::WrongName),
            (
                certificate(CertificateError::ExpiredContext { time: now, not_after: now }),
                Fault::ExpiredCertificate,
            ),
            (
                tls(rustls::Error::AlertReceived(AlertDescription::UnknownCA)),
                Fault::ClientCertificate,
            ),
            (api(401), Fault::Unauthorized),
            (api(403), Fault::Forbidden),
            (api(500), Fault::Other),
            (
                of_io(io::Error::other("failed to lookup address information: x")),
                Fault::UnknownHost,
            ),
            (tls(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)), Fault::NoTls),
            (of_io(io::Error::new(ErrorKind::UnexpectedEof, "tls handshake eof")), Fault::NoTls),
        ] {
            assert_eq!(fault, expected);
        }
    }

    #[test]
    fn message_names_the_address_once() {
        let cause = kube::Error::Service(Box::new(io::Error::from(ErrorKind::ConnectionRefused)));
        let sent = kube::Error::Service(Unanswered::new("https://10.0.0.1:443", cause).into());
        let text = "https://10.0.0.1:443: Connection refused";
        assert_eq!(super::super::error_message(&sent), text);
        assert_eq!(Fault::of(&sent), Fault::Refused);
    }
}
