//! Certificates of registries.

use std::fs;
use std::path::Path;

use http::Version;
use imagestream_apiserver::oci::{Options, PullSession, Security};

use crate::registry_server::{Authority, Content, Image, RegistryServer, ServerCertificate};
use crate::site::{assert_text, client, options, repository, session, tag};

async fn registry(certificate: &ServerCertificate) -> RegistryServer {
    let content = Content::default().with("a", "x", Image::named("one"));
    RegistryServer::start_tls(certificate, move |request| content.answer(request)).await
}

/// A session that trusts an authority for a server. It may have a client certificate.
fn trusting(
    server: &RegistryServer,
    authority: &Authority,
    identity: Option<(String, String)>,
) -> PullSession {
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().join(server.host());
    fs::create_dir(&host).unwrap();
    fs::write(host.join("ca.crt"), authority.pem()).unwrap();
    if let Some((certificate, key)) = identity {
        fs::write(host.join("client.cert"), certificate).unwrap();
        fs::write(host.join("client.key"), key).unwrap();
    }
    session_of(folder.path())
}

fn session_of(folder: &Path) -> PullSession {
    let options = Options { registry_ca_dir: Some(folder.into()), ..options() };
    client(&options).session(Default::default())
}

#[tokio::test]
async fn private_authority_is_trusted_for_its_registry() {
    let authority = Authority::new("private");
    let server = registry(&authority.server(2099)).await;
    let repository = repository(&server, "a");
    let trusted = trusting(&server, &authority, None);
    trusted.manifest(&repository, &tag("x"), Security::Verified).await.unwrap();
    assert_eq!(server.log().last().unwrap().version, Version::HTTP_2);
    let other = registry(&authority.server(2099)).await;
    let elsewhere = crate::site::repository(&other, "a");
    let result = trusted.manifest(&elsewhere, &tag("x"), Security::Verified).await;
    let text = result.unwrap_err().to_string();
    assert!(
        text.contains(
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        ),
        "{text}"
    );
    assert_eq!(other.log().len(), 0);
}

#[tokio::test]
async fn unknown_authority_is_accepted_only_if_insecure() {
    let server = registry(&Authority::new("unknown").server(2099)).await;
    let repository = repository(&server, "a");
    assert!(session().manifest(&repository, &tag("x"), Security::Verified).await.is_err());
    session().manifest(&repository, &tag("x"), Security::Insecure).await.unwrap();
    assert_eq!(server.log().len(), 2);
}

#[tokio::test]
async fn expired_certificate_is_refused() {
    let authority = Authority::new("private");
    let server = registry(&authority.server(2021)).await;
    let session = trusting(&server, &authority, None);
    let result = session.manifest(&repository(&server, "a"), &tag("x"), Security::Verified).await;
    let expected = "Get \"https://HOST/v2/\": tls: failed to verify certificate: x509: \
                    certificate has expired or is not yet valid";
    assert_text(result, &server, expected);
}

#[tokio::test]
async fn client_certificate_is_sent_to_its_registry() {
    let (authority, clients) = (Authority::new("private"), Authority::new("clients"));
    let server = registry(&authority.server(2099).demanding(&clients)).await;
    let repository = repository(&server, "a");
    let session = trusting(&server, &authority, Some(clients.client()));
    session.manifest(&repository, &tag("x"), Security::Verified).await.unwrap();
    let without = trusting(&server, &authority, None);
    assert!(without.manifest(&repository, &tag("x"), Security::Verified).await.is_err());
}
