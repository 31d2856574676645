//! Authentication: anonymous requests reach only the probes, requests with invalid credentials
//! fail.

use std::os::unix::fs::PermissionsExt;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;

use crate::harness::{EMBEDDED, Expect, TestServer, request};
use crate::in_process::Server;
use crate::support::client::{Client, Identity, Request};
use crate::support::process::ServerProcess;

const PROBES: [&str; 3] = ["/livez", "/readyz", "/healthz"];
const CLOSED: [&str; 9] = [
    "/readyz/ping",
    "/livez/ping",
    "/readyz/",
    "/readyzz",
    "/version",
    "/metrics",
    "/apis",
    "/nowhere",
    "/apis/image.openshift.io/v1/images",
];

async fn code(client: &Client, path: &str) -> u16 {
    client.send(Request::new("GET", path)).await.expect("a response").status
}

#[tokio::test]
async fn exactly_the_probes_answer_without_credentials() {
    let server = Server::start(&[]).await;
    let nobody = server.client(Identity::default());
    for path in PROBES {
        assert_eq!(code(&nobody, path).await, 200, "{path}");
    }
    for path in CLOSED {
        let answer = nobody.send(Request::new("GET", path)).await.expect("a response");
        answer.fails(401, "Unauthorized", "Unauthorized");
        assert_eq!(answer.header("www-authenticate"), None, "{path}");
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_everywhere() {
    let server = Server::start(&[]).await;
    let stranger = server.client(Identity::token("token-of-nobody"));
    for path in PROBES.iter().chain(&CLOSED) {
        assert_eq!(code(&stranger, path).await, 401, "{path}");
    }
}

#[tokio::test]
async fn what_is_no_bearer_token_counts_as_nothing() {
    let server = Server::start(&[]).await;
    let nobody = server.client(Identity::default());
    for value in ["Basic YWRtaW46YWRtaW4=", "Bearer", "Bearer ", "token-of-admin"] {
        let with =
            |path: &str| nobody.send(Request::new("GET", path).header("authorization", value));
        assert_eq!(with("/readyz").await.expect("a response").status, 200, "{value}");
        assert_eq!(with("/apis").await.expect("a response").status, 401, "{value}");
    }
    let lower = Request::new("GET", "/apis").header("authorization", "bearer token-of-admin");
    assert_eq!(nobody.send(lower).await.expect("a response").status, 200);
}

#[tokio::test]
async fn headers_of_a_front_proxy_prove_nothing() {
    let server = Server::start(&[]).await;
    let forged = request("GET", "images")
        .header("x-remote-user", "admin")
        .header("x-remote-group", "system:masters");
    let answer = server.client(Identity::default()).send(forged).await.expect("a response");
    answer.fails(401, "Unauthorized", "Unauthorized");
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::new([]).expect("an empty list of names is valid");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// The certificate of the user carol, valid until the end of a year.
fn user_params(usage: ExtendedKeyUsagePurpose, year: i32) -> CertificateParams {
    let mut params = CertificateParams::new([]).expect("an empty list of names is valid");
    params.distinguished_name.push(DnType::CommonName, "carol");
    params.extended_key_usages.push(usage);
    params.not_after = date_time_ymd(year, 12, 31);
    params
}

impl Authority {
    fn new() -> Self {
        let (params, key) =
            (authority_params(), KeyPair::generate().expect("a key can be created"));
        let pem = params.self_signed(&key).expect("a certificate can be created").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// An intermediate authority, signed by this one. Its PEM is the signed certificate.
    fn intermediate(&self) -> Self {
        let (mut params, key) =
            (authority_params(), KeyPair::generate().expect("a key can be created"));
        params.distinguished_name.push(DnType::CommonName, "intermediate");
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate can be created").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn identity(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key can be created");
        let certificate =
            params.signed_by(&key, &self.issuer).expect("a certificate can be created");
        let pair = (certificate.pem().into_bytes(), key.serialize_pem().into_bytes());
        Identity { certificate: Some(pair), ..Identity::default() }
    }
}

async fn trusting(authority: &Authority) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let path = folder.path().join("ca.crt");
    std::fs::write(&path, &authority.pem).expect("the file can be written");
    (Server::start(&[&format!("--client-ca-file={}", path.display())]).await, folder)
}

#[tokio::test]
async fn a_certificate_of_the_authority_is_a_user() {
    let authority = Authority::new();
    let (server, _folder) = trusting(&authority).await;
    let carol =
        server.client(authority.identity(&user_params(ExtendedKeyUsagePurpose::ClientAuth, 2099)));
    for path in ["/apis", "/readyz", "/apis/image.openshift.io/v1/images"] {
        assert_eq!(code(&carol, path).await, 200, "{path}");
    }
    assert_eq!(code(&server.admin(), "/apis").await, 200, "tokens stay valid");
    assert_eq!(code(&server.client(Identity::default()), "/apis").await, 401);
}

#[tokio::test]
async fn an_authority_may_vouch_for_another_one() {
    let authority = Authority::new();
    let (server, _folder) = trusting(&authority).await;
    let intermediate = authority.intermediate();
    let mut identity =
        intermediate.identity(&user_params(ExtendedKeyUsagePurpose::ClientAuth, 2099));
    assert_eq!(
        code(&server.client(identity.clone()), "/apis").await,
        401,
        "the intermediate certificate is missing"
    );
    let (chain, _) = identity.certificate.as_mut().expect("the identity has a certificate");
    chain.extend(intermediate.pem.as_bytes());
    assert_eq!(code(&server.client(identity), "/apis").await, 200);
}

#[tokio::test]
async fn foreign_unsuitable_or_expired_certificate_is_refused() {
    let authority = Authority::new();
    let (server, _folder) = trusting(&authority).await;
    let stranger =
        Authority::new().identity(&user_params(ExtendedKeyUsagePurpose::ClientAuth, 2099));
    let misused = authority.identity(&user_params(ExtendedKeyUsagePurpose::ServerAuth, 2099));
    let expired = authority.identity(&user_params(ExtendedKeyUsagePurpose::ClientAuth, 2020));
    for identity in [stranger, misused, expired] {
        let both = Identity { token: Some("token-of-admin".into()), ..identity.clone() };
        let client = server.client(identity);
        for path in ["/apis", "/readyz"] {
            assert_eq!(code(&client, path).await, 401, "{path}");
        }
        assert_eq!(
            code(&server.client(both), "/apis").await,
            200,
            "a valid token beside it is accepted"
        );
    }
}

#[tokio::test]
async fn a_certificate_is_refused_where_no_authority_is_known() {
    let server = Server::start(&[]).await;
    let client = server
        .client(Authority::new().identity(&user_params(ExtendedKeyUsagePurpose::ClientAuth, 2099)));
    assert_eq!(code(&client, "/apis").await, 401);
}

#[tokio::test]
async fn no_token_is_ever_logged() {
    let mut server = ServerProcess::start(&["-v", "10"]).await;
    let strange = server.client(Identity::token("token-of-nobody"));
    for client in [server.admin(), strange] {
        code(&client, "/apis/image.openshift.io/v1/images?token=token-of-query").await;
    }
    server.stop().await;
    let log = server.log().join("\n");
    assert!(
        log.contains("/apis/image.openshift.io/v1/images"),
        "requests are logged at this verbosity"
    );
    assert!(!log.contains("token-of-"), "{log}");
}

#[tokio::test]
async fn keys_and_data_are_for_their_owner_only() {
    let server = Server::start(&[EMBEDDED]).await;
    let mode = |name: &str| {
        let metadata =
            std::fs::metadata(server.folder().join(name)).expect("the metadata can be read");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode("data"), mode("certs/apiserver.key")), (0o700, 0o600));
    assert_eq!((mode("data/store.redb"), mode("data/store.lock")), (0o600, 0o600));
}

#[tokio::test]
async fn paths_can_be_open_to_everybody_and_resources_never() {
    let server =
        Server::start(&["--authorization-always-allow-paths=/livez,/readyz,/metrics,/apis/*"])
            .await;
    let nobody = server.client(Identity::default());
    for (path, status) in [
        ("/metrics", 200),
        ("/livez", 200),
        ("/apis/image.openshift.io/v1", 200),
        ("/apis/image.openshift.io/v1/images", 401),
        ("/apis/image.openshift.io/v1/namespaces/lab/imagestreams/x", 401),
        ("/healthz", 401),
    ] {
        assert_eq!(code(&nobody, path).await, status, "{path}");
    }
}
