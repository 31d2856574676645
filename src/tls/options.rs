//! TLS flags and their validation.

use std::path::PathBuf;

use super::cipher::CipherSuite;
use super::names::{self, ServiceReference};
use crate::meta::is_dns_label;

pub(super) const CERT_FLAG: &str = "--tls-cert-file";
pub(super) const KEY_FLAG: &str = "--tls-private-key-file";
const SERVICE_FLAG: &str = "--service-name";
const NAMESPACE_FLAG: &str = "--service-namespace";
const SAN_FLAG: &str = "--tls-san";
pub(super) const INJECT_FLAG: &str = "--inject-ca-bundle";
pub(super) const SECRET_FLAG: &str = "--cert-secret";
/// Maximum length of the name of a Secret.
const MAX_NAME_LENGTH: usize = 253;

/// Flags of TLS.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Listening and TLS")]
pub struct Options {
    /// Serving certificate with its intermediates (PEM), read again every minute.
    ///
    /// If not set, the server creates and renews a certificate of its own: see --cert-dir.
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of --tls-cert-file (PEM), read again every minute.
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Folder for the CA and the certificate that the server creates itself.
    ///
    /// The files are ca.crt, ca.key, apiserver.crt and apiserver.key. Not used with
    /// --tls-cert-file.
    #[arg(long, value_name = "FOLDER", default_value = "apiserver.local.config/certificates")]
    pub cert_dir: PathBuf,
    /// Further DNS name or IP address of the certificate that the server creates itself; can be
    /// repeated.
    ///
    /// The certificate is valid for localhost, --bind-address and the Service, too.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = names::parse)]
    pub tls_san: Vec<String>,
    /// Secret in --service-namespace that holds CA and certificate instead of --cert-dir.
    ///
    /// Replicas share it. It must exist and may be empty.
    #[arg(long, value_name = "NAME")]
    pub cert_secret: Option<String>,
    /// Name of the Service in front of this server.
    ///
    /// The serving certificate must be valid for NAME.NAMESPACE.svc.
    #[arg(long, value_name = "NAME")]
    pub service_name: Option<String>,
    /// Namespace of the Service in front of this server.
    #[arg(long, value_name = "NAMESPACE")]
    pub service_namespace: Option<String>,
    /// Write the server's own CA into spec.caBundle of its APIService.
    ///
    /// The server writes it again if it is reset, and never creates the APIService.
    #[arg(long, value_name = "BOOL", default_value_t = false, default_missing_value = "true", num_args = 0..=1,
        require_equals = true, action = clap::ArgAction::Set)]
    pub inject_ca_bundle: bool,
    /// Minimum TLS version.
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = MinVersion::Tls12)]
    pub tls_min_version: MinVersion,
    /// Cipher suites of TLS 1.2, separated by commas; all of them if not set.
    ///
    /// Cipher suites of TLS 1.3 are always enabled.
    #[arg(long, value_name = "SUITES", value_enum, value_delimiter = ',')]
    pub tls_cipher_suites: Vec<CipherSuite>,
}

/// Minimum TLS version, by kube-apiserver's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[value(name = "VersionTLS12")]
    Tls12,
    /// TLS 1.3 only.
    #[value(name = "VersionTLS13")]
    Tls13,
}

/// Inconsistent TLS flags.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// A flag requires another.
    #[error("{given} needs {missing}: {why}")]
    Incomplete {
        /// The given flag.
        given: &'static str,
        /// The missing flag.
        missing: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// Two flags exclude each other.
    #[error("{one} cannot go with {other}: {why}")]
    Contradiction {
        /// A flag.
        one: &'static str,
        /// The other flag.
        other: &'static str,
        /// The reason and the remedy.
        why: &'static str,
    },
    /// A flag requires a control plane.
    #[error(
        "{flag} needs a control plane: set --kubeconfig, or run in a pod with a service account"
    )]
    NoControlPlane {
        /// The flag.
        flag: &'static str,
    },
    /// The value is not a valid name.
    #[error("{flag}={value}: {rule}")]
    Name {
        /// The flag.
        flag: &'static str,
        /// The value.
        value: String,
        /// The rule for names.
        rule: &'static str,
    },
}

/// Origin of the serving pair.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PairSource {
    /// PEM files that another program maintains.
    Files { certificate: PathBuf, key: PathBuf },
    /// Self-managed in a folder.
    Folder(PathBuf),
    /// Self-managed in a Secret.
    Secret { namespace: String, name: String },
}

/// Validated configuration of the serving certificate.
#[derive(Debug)]
pub(super) struct CertificateConfig {
    pub(super) source: PairSource,
    pub(super) service: Option<ServiceReference>,
    /// Service of the APIService whose caBundle the server maintains.
    pub(super) inject: Option<ServiceReference>,
}

impl Options {
    /// Validates the flags and combines them.
    ///
    /// # Errors
    /// Inconsistent flags.
    pub(super) fn complete(&self) -> Result<CertificateConfig, FlagError> {
        let service = self.service()?;
        let source = self.source(service.as_ref())?;
        let is_files = matches!(source, PairSource::Files { .. });
        let inject = match (self.inject_ca_bundle, &service) {
            (false, _) => None,
            (true, _) if is_files => return Err(contradiction(INJECT_FLAG, CERT_FLAG, FOREIGN_CA)),
            (true, None) => return Err(incomplete(INJECT_FLAG, SERVICE_FLAG, OWN_SERVICE_ONLY)),
            (true, Some(service)) => Some(service.clone()),
        };
        if is_files && !self.tls_san.is_empty() {
            return Err(contradiction(SAN_FLAG, CERT_FLAG, FOREIGN_NAMES));
        }
        Ok(CertificateConfig { source, service, inject })
    }

    fn service(&self) -> Result<Option<ServiceReference>, FlagError> {
        match (&self.service_name, &self.service_namespace) {
            (None, None) => Ok(None),
            (Some(_), None) => Err(incomplete(SERVICE_FLAG, NAMESPACE_FLAG, BOTH)),
            (None, Some(_)) => Err(incomplete(NAMESPACE_FLAG, SERVICE_FLAG, BOTH)),
            (Some(name), Some(namespace)) => {
                let rule =
                    "it must be a DNS label: at most 63 lower case letters, digits and dashes";
                for (flag, value) in [(SERVICE_FLAG, name), (NAMESPACE_FLAG, namespace)] {
                    if !is_dns_label(value) {
                        return Err(FlagError::Name { flag, value: value.clone(), rule });
                    }
                }
                Ok(Some(ServiceReference { namespace: namespace.clone(), name: name.clone() }))
            }
        }
    }

    fn source(&self, service: Option<&ServiceReference>) -> Result<PairSource, FlagError> {
        let Self { tls_cert_file, tls_private_key_file, cert_dir, cert_secret, .. } = self;
        let source = match (tls_cert_file.clone(), tls_private_key_file.clone()) {
            (Some(certificate), Some(key)) => PairSource::Files { certificate, key },
            (None, None) => PairSource::Folder(cert_dir.clone()),
            (Some(_), None) => return Err(incomplete(CERT_FLAG, KEY_FLAG, A_PAIR)),
            (None, Some(_)) => return Err(incomplete(KEY_FLAG, CERT_FLAG, A_PAIR)),
        };
        match (cert_secret, source, service) {
            (None, source, _) => Ok(source),
            (Some(_), PairSource::Files { .. }, _) => {
                Err(contradiction(SECRET_FLAG, CERT_FLAG, TWO_PAIRS))
            }
            (Some(_), _, None) => {
                Err(incomplete(SECRET_FLAG, NAMESPACE_FLAG, "it is the namespace of the Secret"))
            }
            (Some(name), _, Some(_)) if !is_name(name) => {
                let rule =
                    "it must be the name of a Secret: lower case letters, digits, dashes and dots";
                Err(FlagError::Name { flag: SECRET_FLAG, value: name.clone(), rule })
            }
            (Some(name), _, Some(service)) => {
                Ok(PairSource::Secret { namespace: service.namespace.clone(), name: name.clone() })
            }
        }
    }
}

const A_PAIR: &str = "a certificate and its key must be given together";
const BOTH: &str = "a Service has a name and a namespace";
const TWO_PAIRS: &str = "there is one serving pair, either in files or in the Secret";
const OWN_SERVICE_ONLY: &str =
    "only the APIService that points at this server's own Service is changed";
const FOREIGN_NAMES: &str = "the names of the files are those that their issuer chose";
const FOREIGN_CA: &str = "this server does not know the CA of the files; let their issuer set \
                          spec.caBundle, as cert-manager does with the annotation \
                          cert-manager.io/inject-ca-from";

fn incomplete(given: &'static str, missing: &'static str, why: &'static str) -> FlagError {
    FlagError::Incomplete { given, missing, why }
}

fn contradiction(one: &'static str, other: &'static str, why: &'static str) -> FlagError {
    FlagError::Contradiction { one, other, why }
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_LENGTH && text.split('.').all(is_dns_label)
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn parsed(flags: &[&str]) -> Result<Options, clap::Error> {
        let command = Options::augment_args(clap::Command::new("serve"));
        let matches = command.try_get_matches_from([&["serve"], flags].concat())?;
        Options::from_arg_matches(&matches)
    }

    fn completed(flags: &[&str]) -> Result<CertificateConfig, String> {
        parsed(flags).unwrap().complete().map_err(|error| error.to_string())
    }

    const SERVICE: [&str; 2] = ["--service-name=images", "--service-namespace=registry"];

    #[test]
    fn inconsistent_flags_are_named() {
        let files = ["--tls-cert-file=a", "--tls-private-key-file=b"];
        let cases: [(Vec<&str>, &str); 10] = [
            (vec!["--tls-cert-file=a"], "--tls-cert-file needs --tls-private-key-file"),
            (vec!["--tls-private-key-file=b"], "--tls-private-key-file needs --tls-cert-file"),
            (vec!["--service-name=a"], "--service-name needs --service-namespace"),
            (vec!["--service-namespace=a"], "--service-namespace needs --service-name"),
            (
                vec!["--service-name=a.b", "--service-namespace=c"],
                "--service-name=a.b: it must be a DNS label",
            ),
            (vec!["--cert-secret=a"], "--cert-secret needs --service-namespace"),
            (vec!["--inject-ca-bundle"], "--inject-ca-bundle needs --service-name"),
            (
                [&SERVICE[..], &["--cert-secret=A"]].concat(),
                "--cert-secret=A: it must be the name of a Secret",
            ),
            (
                [&SERVICE[..], &files, &["--cert-secret=a"]].concat(),
                "--cert-secret cannot go with --tls-cert-file",
            ),
            (
                [&SERVICE[..], &files, &["--inject-ca-bundle"]].concat(),
                "--inject-ca-bundle cannot go with",
            ),
        ];
        for (flags, expected) in cases {
            let error = completed(&flags).unwrap_err();
            assert!(error.starts_with(expected), "{flags:?}: {error}");
        }
    }

    #[test]
    fn flags_select_the_source_of_the_pair() {
        assert_eq!(completed(&["--cert-dir=c"]).unwrap().source, PairSource::Folder("c".into()));
        let config =
            completed(&[&SERVICE[..], &["--cert-secret=a.b", "--inject-ca-bundle=true"]].concat())
                .unwrap();
        assert_eq!(
            config.source,
            PairSource::Secret { namespace: "registry".into(), name: "a.b".into() }
        );
        assert_eq!(
            (config.inject.clone(), config.inject),
            (config.service, Some(ServiceReference::new("registry", "images")))
        );
        assert!(
            completed(&[&SERVICE[..], &["--inject-ca-bundle=false"]].concat())
                .unwrap()
                .inject
                .is_none()
        );
    }

    #[test]
    fn cipher_suites_use_go_names_and_unknown_ones_list_them() {
        let known =
            "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_AES_128_GCM_SHA256";
        assert_eq!(parsed(&[known]).unwrap().tls_cipher_suites.len(), 2);
        for unknown in
            ["TLS_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "x", ""]
        {
            let error =
                parsed(&[&format!("--tls-cipher-suites={unknown}")]).unwrap_err().to_string();
            assert!(error.contains("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"), "{error}");
        }
    }
}
