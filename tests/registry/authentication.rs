//! Passwords and the choice among credentials.

use imagestream_apiserver::oci::{RegistryErrorKind, Security};
use serde_json::json;

use crate::registry_server::{
    Answer, Content, Image, ReceivedRequest, RegistryServer, answer, json_error,
};
use crate::site::{client, keyring, options, repository, session, session_with, tag};

const INSECURE: Security = Security::Insecure;

/// A registry with basic authentication. The user `u` has the password `p`, `v` has `q`; each may
/// pull the repository of that name.
fn basic(content: &Content, request: &ReceivedRequest) -> Answer {
    let challenge = ("www-authenticate", "Basic realm=\"r\"");
    let user = match request.authorization() {
        "Basic dTpw" => "u",
        "Basic djpx" => "v",
        _ => return answer(401, &[challenge], ""),
    };
    match request.path() {
        "/v2/" => content.answer(request),
        path if path.starts_with(&format!("/v2/{user}/")) => content.answer(request),
        _ => json_error(403, "DENIED", "requested access is denied"),
    }
}

async fn registry() -> RegistryServer {
    let content = Content::default().with("u", "x", Image::named("of u")).with(
        "v",
        "x",
        Image::named("of v"),
    );
    RegistryServer::start(move |request| basic(&content, request)).await
}

#[tokio::test]
async fn password_is_sent_and_wrong_ones_are_named() {
    let server = registry().await;
    let repository = repository(&server, "u");
    let session = session_with("secret \"pull\"", &server.host(), "u", "p");
    session.manifest(&repository, &tag("x"), INSECURE).await.unwrap();
    let wrong = session_with("secret \"pull\"", &server.host(), "u", "wrong");
    let error = wrong.manifest(&repository, &tag("x"), INSECURE).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Unauthorized);
    let name = format!("secret \"pull\", entry {:?}", server.host());
    assert_eq!(error.credential(), Some(name.as_str()));
    assert!(!format!("{error} {error:?}").contains("wrong"), "{error:?}");
}

#[tokio::test]
async fn anonymous_request_is_unauthorized() {
    let server = registry().await;
    let error =
        session().manifest(&repository(&server, "u"), &tag("x"), INSECURE).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Unauthorized);
    assert_eq!(error.to_string(), "unauthorized: authentication required");
    assert_eq!(error.credential(), None);
}

#[tokio::test]
async fn repositories_of_a_registry_have_their_own_credentials() {
    let server = registry().await;
    let mut keys = imagestream_apiserver::oci::CredentialSet::default();
    let config = json!({"auths": {
        format!("{}/u", server.host()): {"auth": "dTpw"},
        format!("{}/v", server.host()): {"auth": "djpx"},
    }});
    let format = imagestream_apiserver::oci::ConfigFormat::DockerConfigJson;
    keys.add("s", format, config.to_string().as_bytes()).unwrap();
    let session = client(&options()).session(imagestream_apiserver::oci::Keyring::new(keys));
    for (name, header) in [("u", "Basic dTpw"), ("v", "Basic djpx")] {
        session.manifest(&repository(&server, name), &tag("x"), INSECURE).await.unwrap();
        assert_eq!(server.log().last().unwrap().authorization(), header);
    }
}

#[tokio::test]
async fn sessions_share_no_credentials() {
    let server = registry().await;
    let client = client(&options());
    let of = |user: &str, password: &str| {
        let auth = json!({"username": user, "password": password});
        client.session(keyring("s", &server.host(), &auth))
    };
    let (first, second) = (of("u", "p"), of("v", "q"));
    let repository = repository(&server, "u");
    first.manifest(&repository, &tag("x"), INSECURE).await.unwrap();
    let by_digest =
        imagestream_apiserver::oci::ManifestReference::Digest(Image::named("of u").digest);
    let error = second.manifest(&repository, &by_digest, INSECURE).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Denied);
    assert_eq!(server.log().last().unwrap().authorization(), "Basic djpx");
}

#[tokio::test]
async fn invalid_credential_sends_no_request() {
    let server = registry().await;
    let keyring = keyring("secret \"bad\"", &server.host(), &json!({"auth": "!"}));
    let session = client(&options()).session(keyring);
    let error = session.manifest(&repository(&server, "u"), &tag("x"), INSECURE).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the credential in secret \"bad\", entry"), "{text}");
    assert_eq!(server.log().len(), 0);
}
