//! Tests of the serving certificate with real in-memory handshakes.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

use super::*;
use crate::runtime::Reload;
use crate::telemetry::metrics::Metrics;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn protocol(min_version: MinVersion) -> Protocol {
    Protocol::new(min_version, &[]).unwrap()
}

fn pair_for(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn put(folder: &Path, (certificate, key): &(String, String)) -> CertificateSource {
    fs::write(folder.join("tls.crt"), certificate).unwrap();
    fs::write(folder.join("tls.key"), key).unwrap();
    CertificateSource::files(folder.join("tls.crt"), folder.join("tls.key"))
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// The leaf that a client with the trust anchors `anchor` receives.
fn seen(
    server: &Arc<ServingCertificate>,
    anchor: &str,
    name: &str,
) -> Result<CertificateDer<'static>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for each in pem::certificates(anchor.as_bytes()).unwrap() {
        roots.add(each).unwrap();
    }
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = server_config(server.clone(), &protocol(MinVersion::Tls12), Vec::new()).unwrap();
    handshake(client, server, name)
        .map(|client| client.peer_certificates().unwrap()[0].clone().into_owned())
}

fn handshake(
    client: ClientConfig,
    server: ServerConfig,
    name: &str,
) -> Result<ClientConnection, rustls::Error> {
    let mut client =
        ClientConnection::new(Arc::new(client), ServerName::try_from(name.to_owned()).unwrap())
            .unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut arriving = bytes.as_slice();
        while !arriving.is_empty() {
            server.read_tls(&mut arriving).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut arriving = bytes.as_slice();
        while !arriving.is_empty() {
            client.read_tls(&mut arriving).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(client)
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn reload_error(outcome: Reload<CertificateError>) -> String {
    match outcome {
        Reload::Failed(error) => error.to_string(),
        other => panic!("not an error: {other:?}"),
    }
}

#[tokio::test]
async fn own_certificate_is_trusted_by_file_and_ca_list() {
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::new(
        ServingCertificate::open(CertificateSource::folder(folder.path().into(), vec![]), now())
            .await
            .unwrap(),
    );
    let file = fs::read_to_string(server.path()).unwrap();
    let bundle = String::from_utf8(server.bundle().borrow().to_vec()).unwrap();
    for (name, anchors) in ["localhost", "127.0.0.1", "::1"]
        .map(|name| [(name, &file), (name, &bundle)])
        .as_flattened()
    {
        assert_eq!(seen(&server, anchors, name).unwrap(), der(&file));
    }
    assert!(seen(&server, &bundle, "elsewhere").is_err());
}

#[tokio::test]
async fn new_handshakes_see_a_replaced_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (pair_for("a.test"), pair_for("a.test"));
    let server =
        Arc::new(ServingCertificate::open(put(folder.path(), &first), now()).await.unwrap());
    assert_eq!(seen(&server, &first.0, "a.test").unwrap(), der(&first.0));
    assert!(matches!(server.reload(now()).await, Reload::Unchanged));
    put(folder.path(), &second);
    assert!(matches!(server.reload(now()).await, Reload::Replaced));
    assert_eq!(seen(&server, &second.0, "a.test").unwrap(), der(&second.0));
    assert!(matches!(server.reload(now()).await, Reload::Unchanged));
}

#[tokio::test]
async fn bad_pair_keeps_the_old_one_and_is_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (pair_for("a.test"), pair_for("a.test"));
    let server =
        Arc::new(ServingCertificate::open(put(folder.path(), &first), now()).await.unwrap());
    put(folder.path(), &(second.0.clone(), first.1.clone()));
    assert!(
        reload_error(server.reload(now()).await).contains("does not belong to the certificate")
    );
    assert!(matches!(server.reload(now()).await, Reload::Unchanged));
    fs::write(folder.path().join("tls.crt"), "rubbish").unwrap();
    assert!(reload_error(server.reload(now()).await).contains("contains no certificate"));
    fs::remove_file(folder.path().join("tls.crt")).unwrap();
    assert!(reload_error(server.reload(now()).await).contains("cannot be read"));
    assert!(matches!(server.reload(now()).await, Reload::Unchanged));
    assert_eq!(seen(&server, &first.0, "a.test").unwrap(), der(&first.0));
    put(folder.path(), &first);
    assert!(matches!(server.reload(now()).await, Reload::Unchanged));
    put(folder.path(), &second);
    assert!(matches!(server.reload(now()).await, Reload::Replaced));
}

#[tokio::test]
async fn a_self_managed_pair_is_renewed_at_run_time() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        ServingCertificate::open(CertificateSource::folder(folder.path().into(), vec![]), now())
            .await
            .unwrap();
    let first = server.expires();
    assert!(matches!(server.reload(now()).await, Reload::Unchanged));
    let later = now() + jiff::SignedDuration::from_hours(24 * 340);
    assert!(matches!(server.reload(later).await, Reload::Replaced));
    assert!(server.expires() > first);
}

fn options(flags: &[String]) -> Options {
    let command =
        <Options as clap::Args>::augment_args(clap::Command::new("serve").no_binary_name(true));
    <Options as clap::FromArgMatches>::from_arg_matches(&command.get_matches_from(flags)).unwrap()
}

#[tokio::test]
async fn the_timer_reloads_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (pair_for("a.test"), pair_for("a.test"));
    put(folder.path(), &first);
    let flag = |flag, name| format!("{flag}={}", folder.path().join(name).display());
    let options =
        options(&[flag("--tls-cert-file", "tls.crt"), flag("--tls-private-key-file", "tls.key")]);
    let metrics = Arc::new(Metrics::new());
    let serving =
        Serving::open(&options, Ipv4Addr::LOCALHOST.into(), None, metrics.clone()).await.unwrap();
    let server = serving.certificate.clone();
    let gauge = format!("{{certificate=\"serving\"}} {}", server.expires().as_second());
    assert!(
        metrics.text().contains(&gauge) && !metrics.text().contains("serving-ca"),
        "{}",
        metrics.text()
    );
    let task =
        tokio::spawn(
            async move { serving.keep_current(std::time::Duration::from_millis(1)).await },
        );
    put(folder.path(), &second);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while seen(&server, &second.0, "a.test").is_err() {
        assert!(std::time::Instant::now() < deadline, "the new certificate is not served");
        tokio::task::yield_now().await;
    }
    task.abort();
}

#[tokio::test]
async fn secret_and_injection_need_a_control_plane() {
    for flag in ["--cert-secret=a", "--inject-ca-bundle"] {
        let options = options(
            &["--service-name=images", "--service-namespace=registry", flag].map(str::to_owned),
        );
        let error =
            Serving::open(&options, Ipv4Addr::LOCALHOST.into(), None, Arc::new(Metrics::new()))
                .await
                .err()
                .unwrap()
                .to_string();
        let name = flag.split('=').next().unwrap();
        assert!(
            error.starts_with(&format!("{name} needs a control plane: set --kubeconfig")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn kube_apiserver_accepts_the_pair_of_a_service() {
    let folder = tempfile::tempdir().unwrap();
    let folder = format!("--cert-dir={}", folder.path().display());
    let options =
        options(&[folder, "--service-name=images".into(), "--service-namespace=registry".into()]);
    let metrics = Arc::new(Metrics::new());
    let serving =
        Serving::open(&options, Ipv4Addr::LOCALHOST.into(), None, metrics.clone()).await.unwrap();
    let bundle = String::from_utf8(serving.ca_bundle().borrow().to_vec()).unwrap();
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 1);
    for name in ["images.registry.svc", "images", "images.registry.svc.cluster.local", "localhost"]
    {
        seen(&serving.certificate, &bundle, name).unwrap();
    }
    assert!(metrics.text().contains("{certificate=\"serving-ca\"}"), "{}", metrics.text());
}

#[test]
fn cipher_suites_apply_to_tls_1_2_only() {
    let suites = [CipherSuite::EcdsaChacha20, CipherSuite::Tls13Aes128];
    let pair = pair_for("a.test");
    let key = PrivateKeyDer::from_pem_slice(pair.1.as_bytes()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let key = rustls::sign::CertifiedKey::new(vec![der(&pair.0)], key);
    let shown = Arc::new(rustls::sign::SingleCertAndKey::from(key));
    let protocol = Protocol::new(MinVersion::Tls12, &suites).unwrap();
    let negotiated = |version| {
        let client = client_showing(&pair.0, &pair.1, &pair.0, version);
        let config = server_config(shown.clone(), &protocol, vec![]).unwrap();
        handshake(client, config, "a.test").unwrap().negotiated_cipher_suite().unwrap().suite()
    };
    use rustls::CipherSuite as Id;
    assert_eq!(
        negotiated(&rustls::version::TLS12),
        Id::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
    );
    assert_eq!(negotiated(&rustls::version::TLS13), Id::TLS13_AES_256_GCM_SHA384);
}

#[tokio::test]
async fn a_session_is_resumed_under_a_later_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair_for("a.test");
    let server =
        Arc::new(ServingCertificate::open(put(folder.path(), &pair), now()).await.unwrap());
    let protocol = protocol(MinVersion::Tls12);
    let client = client_showing(&pair.0, &pair.1, &pair.0, &rustls::version::TLS12);
    let kinds = [(); 2].map(|()| {
        let config = server_config(server.clone(), &protocol, vec![]).unwrap();
        handshake(client.clone(), config, "a.test").unwrap().handshake_kind().unwrap()
    });
    assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]);
}

/// A certificate for `a.test` from `openssl x509 -req` without extensions.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBHDCBwwIUBn5IN+C8maFFyEKdRbNrhvNkpk0wCgYIKoZIzj0EAwIwETEPMA0G
A1UEAwwGYS50ZXN0MB4XDTI2MTEzMDAxMzExOVoXDTM2MTEyNzAxMzExOVowETEP
MA0GA1UEAwwGYS50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWgtpdkJG
YKBXjnFLEnOJ5W8z2DKPxSYTW2k4PJaBIZr6eS522ihS3JsaeQE9Rrb19Hr8Nccl
4h1QiTYRK8s+/DAKBggqhkjOPQQDAgNIADBFAiBVmpsCHNtKwk8HHPoR3VCsCjwh
4EDhV7rjnJ4DdYgUiQIhAJfhXNQfXIax+bEpAgXhMFBx9mSHfiVy2bO8K3IcSuzF
-----END CERTIFICATE-----
";

#[tokio::test]
async fn errors_name_the_flag_and_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (good, other) = (pair_for("a.test"), pair_for("b.test"));
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        (("", good.1.as_str()), "tls.crt (--tls-cert-file) contains no certificate"),
        ((good.1.as_str(), good.1.as_str()), "tls.crt (--tls-cert-file) contains no certificate"),
        ((broken, good.1.as_str()), "tls.crt (--tls-cert-file) cannot be used: "),
        (
            (VERSION_1, good.1.as_str()),
            "tls.crt (--tls-cert-file) cannot be used: it has no extensions",
        ),
        ((good.0.as_str(), ""), "tls.key (--tls-private-key-file) contains no private key"),
        ((good.0.as_str(), encrypted), "tls.key (--tls-private-key-file) contains no private key"),
        ((good.0.as_str(), other.1.as_str()), "tls.crt (--tls-cert-file)"),
    ];
    for ((certificate, key), expected) in cases {
        let source = put(folder.path(), &(certificate.to_owned(), key.to_owned()));
        let error = ServingCertificate::open(source, now()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let missing =
        CertificateSource::files(folder.path().join("none.crt"), folder.path().join("tls.key"));
    let error = ServingCertificate::open(missing, now()).await.unwrap_err().to_string();
    assert!(error.contains("none.crt (--tls-cert-file) cannot be read: No such file"), "{error}");
}

#[tokio::test]
async fn hints_reach_the_client() {
    #[derive(Debug)]
    struct Hints(std::sync::Mutex<Vec<Vec<u8>>>);
    impl rustls::client::ResolvesClientCert for Hints {
        fn resolve(
            &self,
            hints: &[&[u8]],
            _schemes: &[rustls::SignatureScheme],
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            *self.0.lock().unwrap() = hints.iter().map(|hint| hint.to_vec()).collect();
            None
        }
        fn has_certs(&self) -> bool {
            true
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let pair = pair_for("a.test");
    let server =
        Arc::new(ServingCertificate::open(put(folder.path(), &pair), now()).await.unwrap());
    let mut roots = RootCertStore::empty();
    roots.add(der(&pair.0)).unwrap();
    let subjects = roots.subjects();
    let hints = Arc::new(Hints(Default::default()));
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(hints.clone());
    let config = server_config(server, &protocol(MinVersion::Tls13), subjects.clone()).unwrap();
    handshake(client, config, "a.test").unwrap();
    assert_eq!(*hints.0.lock().unwrap(), [subjects[0].as_ref().to_vec()]);
}

#[tokio::test]
async fn a_client_below_the_minimum_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair_for("a.test");
    let server =
        Arc::new(ServingCertificate::open(put(folder.path(), &pair), now()).await.unwrap());
    for (min_version, accepted) in [(MinVersion::Tls12, true), (MinVersion::Tls13, false)] {
        let mut roots = RootCertStore::empty();
        roots.add(der(&pair.0)).unwrap();
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = server_config(server.clone(), &protocol(min_version), vec![]).unwrap();
        assert_eq!(handshake(client, config, "a.test").is_ok(), accepted);
    }
}

/// A client that presents `shown` and signs with `key`.
fn client_showing(
    shown: &str,
    key: &str,
    anchor: &str,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    #[derive(Debug)]
    struct Shows(Arc<rustls::sign::CertifiedKey>);
    impl rustls::client::ResolvesClientCert for Shows {
        fn resolve(
            &self,
            _: &[&[u8]],
            _: &[rustls::SignatureScheme],
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(self.0.clone())
        }
        fn has_certs(&self) -> bool {
            true
        }
    }
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(
        &PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
    )
    .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der(anchor)).unwrap();
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Shows(Arc::new(rustls::sign::CertifiedKey::new(
            vec![der(shown)],
            signer,
        )))))
}

#[tokio::test]
async fn handshake_needs_the_key_of_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (pair, stranger, thief) = (pair_for("a.test"), pair_for("stranger"), pair_for("thief"));
    let server =
        Arc::new(ServingCertificate::open(put(folder.path(), &pair), now()).await.unwrap());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config =
            || server_config(server.clone(), &protocol(MinVersion::Tls12), vec![]).unwrap();
        let honest = client_showing(&stranger.0, &stranger.1, &pair.0, version);
        assert!(handshake(honest, config(), "a.test").is_ok());
        let dishonest = client_showing(&stranger.0, &thief.1, &pair.0, version);
        let error = handshake(dishonest, config(), "a.test").unwrap_err();
        assert_eq!(
            error,
            rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature)
        );
    }
}
