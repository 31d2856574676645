//! Token servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use imagestream_apiserver::oci::{
    Keyring, ManifestReference, PullSession, RegistryClient, RegistryErrorKind, Security,
};
use serde_json::json;

use crate::registry_server::{
    Answer, Authority, Content, Image, RegistryServer, answer, json_error,
};
use crate::site::{
    SHORT, assert_text, client, keyring, options, repository, session, session_with, tag,
};

const INSECURE: Security = Security::Insecure;

/// A registry that accepts a token and names a token server.
async fn registry(
    realm: String,
    token: impl Fn() -> String + Send + Sync + 'static,
) -> RegistryServer {
    let content = Content::default().with("ns/app", "x", Image::named("one"));
    let content = content.with("ns/app", "y", Image::named("two"));
    RegistryServer::start(move |request| {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"the service\"");
        match request.authorization() == format!("Bearer {}", token()) {
            true => content.answer(request),
            false => answer(401, &[("www-authenticate", &challenge)], ""),
        }
    })
    .await
}

fn token_answer(token: &str) -> Answer {
    answer(200, &[], json!({"token": token, "expires_in": 300}).to_string())
}

/// The result of a request to a registry whose token server responds in one way.
async fn with_token_server(
    respond: impl Fn() -> Answer + Send + Sync + 'static,
) -> (RegistryServer, Result<(), imagestream_apiserver::oci::RegistryError>) {
    let tokens = RegistryServer::start(move |_| respond()).await;
    let server = registry(tokens.url("/token"), || "t".into()).await;
    let session = RegistryClient::new(&options(), SHORT, Default::default())
        .unwrap()
        .session(Keyring::default());
    let result = session.manifest(&repository(&server, "ns/app"), &tag("x"), INSECURE).await;
    (server, result.map(drop))
}

#[tokio::test]
async fn token_is_requested_once_for_a_repository() {
    let tokens = RegistryServer::start(|_| token_answer("t")).await;
    let server = registry(tokens.url("/token?fixed=1"), || "t".into()).await;
    let session = session_with("s", &server.host(), "u", "p");
    let repository = repository(&server, "ns/app");
    let (x, y) = (tag("x"), tag("y"));
    let (first, second) = tokio::join!(
        session.manifest(&repository, &x, INSECURE),
        session.manifest(&repository, &y, INSECURE),
    );
    let manifest = first.and(second).unwrap();
    session.blob(&manifest.source, &Image::named("two").config_digest).await.unwrap();
    let log = tokens.log();
    let expected =
        "/token?fixed=1&account=u&scope=repository%3Ans%2Fapp%3Apull&service=the+service";
    assert_eq!(tokens.targets(), [expected]);
    assert_eq!(log[0].authorization(), "Basic dTpw");
    assert!(server.log().iter().all(|request| !request.authorization().starts_with("Basic")));
}

#[tokio::test]
async fn anonymous_token_has_no_account() {
    let tokens = RegistryServer::start(|_| token_answer("t")).await;
    let server = registry(tokens.url("/token"), || "t".into()).await;
    session().manifest(&repository(&server, "ns/app"), &tag("x"), INSECURE).await.unwrap();
    let log = tokens.log();
    assert_eq!(log[0].authorization(), "");
    assert_eq!(log[0].target, "/token?scope=repository%3Ans%2Fapp%3Apull&service=the+service");
}

#[tokio::test]
async fn refused_token_is_renewed_once() {
    let issued = Arc::new(AtomicUsize::new(0));
    let counter = issued.clone();
    let tokens = RegistryServer::start(move |_| {
        token_answer(&format!("t{}", counter.fetch_add(1, Ordering::SeqCst)))
    })
    .await;
    // The first token is refused.
    let server = registry(tokens.url("/token"), || "t1".into()).await;
    session().manifest(&repository(&server, "ns/app"), &tag("x"), INSECURE).await.unwrap();
    assert_eq!(issued.load(Ordering::SeqCst), 2);
    // All tokens are refused.
    let server = registry(tokens.url("/token"), || "never".into()).await;
    let result = session().manifest(&repository(&server, "ns/app"), &tag("x"), INSECURE).await;
    assert_eq!(result.unwrap_err().kind(), RegistryErrorKind::Unauthorized);
    assert_eq!((issued.load(Ordering::SeqCst), server.log().len()), (4, 3));
}

#[tokio::test]
async fn scope_comes_from_the_challenge() {
    let tokens = RegistryServer::start(|request| {
        token_answer(if request.target.contains("special") { "t" } else { "less" })
    })
    .await;
    let realm = tokens.url("/token");
    let content = Content::default().with("a", "x", Image::named("one"));
    let server = RegistryServer::start(move |request| {
        let challenge = format!("Bearer realm=\"{realm}\",scope=\"repository:special:pull\"");
        match request.authorization() == "Bearer t" {
            true => content.answer(request),
            false => answer(401, &[("www-authenticate", &challenge)], ""),
        }
    })
    .await;
    session().manifest(&repository(&server, "a"), &tag("x"), INSECURE).await.unwrap();
    let scopes = ["/token?scope=repository%3Aa%3Apull", "/token?scope=repository%3Aspecial%3Apull"];
    assert_eq!(tokens.targets(), scopes);
}

#[tokio::test]
async fn broken_token_servers_have_their_texts() {
    let url = "Get \"http://HOST/v2/ns/app/manifests/x\"";
    let (server, result) = with_token_server(|| answer(200, &[], "<html>secret</html>")).await;
    let expected = format!("{url}: unable to decode token response: it is not a JSON object");
    assert_text(result, &server, &expected);
    let (server, result) = with_token_server(|| answer(200, &[], "{}")).await;
    let expected = format!("{url}: authorization server did not include a token in the response");
    assert_text(result, &server, &expected);
    let standard = || json_error(401, "UNAUTHORIZED", "authentication required");
    let (server, result) = with_token_server(standard).await;
    assert_eq!(result.as_ref().unwrap_err().kind(), RegistryErrorKind::Other);
    assert_text(result, &server, &format!("{url}: unauthorized"));
    let wrong = || answer(401, &[], r#"{"details":"incorrect username or password"}"#);
    let (server, result) = with_token_server(wrong).await;
    assert_eq!(result.as_ref().unwrap_err().kind(), RegistryErrorKind::WrongPassword);
    assert_text(result, &server, &format!("{url}: unauthorized: incorrect username or password"));
}

#[tokio::test]
async fn slow_token_server_is_asked_once() {
    let tokens = RegistryServer::start(|_| {
        let never = futures_util::stream::pending::<Result<&str, std::io::Error>>();
        answer(200, &[], Body::from_stream(never))
    })
    .await;
    let server = registry(tokens.url("/token"), || "t".into()).await;
    let session = RegistryClient::new(&options(), SHORT, Default::default())
        .unwrap()
        .session(Keyring::default());
    let repository = repository(&server, "ns/app");
    for name in ["x", "y"] {
        let error = session.manifest(&repository, &tag(name), INSECURE).await.unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Temporary, "{error}");
    }
    assert_eq!(tokens.log().len(), 1);
}

#[tokio::test]
async fn realm_must_be_as_secure_as_the_registry() {
    let tokens = RegistryServer::start(|_| token_answer("t")).await;
    for (realm, reason) in [
        (tokens.url("/token"), "the realm of the challenge must be an https URL"),
        ("file:///etc/passwd".into(), "the realm of the challenge must be an https URL"),
        ("token".into(), "the realm of the challenge is not a URL"),
        ("https://u:p@127.0.0.1/".into(), "the realm of the challenge has user information"),
    ] {
        let certificate = Authority::new("registry").server(2099);
        let server = RegistryServer::start_tls(&certificate, move |_| {
            answer(401, &[("www-authenticate", &format!("Bearer realm=\"{realm}\""))], "")
        })
        .await;
        let session = session_with("s", &server.host(), "u", "p");
        let result = session.manifest(&repository(&server, "a"), &tag("x"), INSECURE).await;
        assert_text(result, &server, &format!("Get \"https://HOST/v2/a/manifests/x\": {reason}"));
    }
    assert_eq!(tokens.log().len(), 0);
}

#[tokio::test]
async fn realm_passes_the_address_guard() {
    let server = registry("http://169.254.169.254/token".into(), || "t".into()).await;
    let session = session_with("s", &server.host(), "u", "p");
    let error =
        session.manifest(&repository(&server, "ns/app"), &tag("x"), INSECURE).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("Get \"http://169.254.169.254/token\": dial tcp: imports may not"),
        "{text}"
    );
}

/// A session with an entry that is not a password.
fn session_of(server: &RegistryServer, auth: &serde_json::Value) -> PullSession {
    client(&options()).session(keyring("s", &server.host(), auth))
}

#[tokio::test]
async fn identity_token_is_exchanged_by_post() {
    let tokens =
        RegistryServer::start(|request| match request.body.contains("refresh_token=r%2Bt") {
            true => answer(200, &[], r#"{"access_token":"t"}"#),
            false => answer(401, &[], ""),
        })
        .await;
    let server = registry(tokens.url("/token"), || "t".into()).await;
    let session = session_of(&server, &json!({"identitytoken": "r+t"}));
    session.manifest(&repository(&server, "ns/app"), &tag("x"), INSECURE).await.unwrap();
    let request = &tokens.log()[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/token"));
    let expected = "client_id=imagestream-apiserver&grant_type=refresh_token&refresh_token=r%2Bt\
                    &scope=repository%3Ans%2Fapp%3Apull&service=the+service";
    assert_eq!(request.body, expected);
}

#[tokio::test]
async fn registry_token_is_sent_to_the_registry() {
    let tokens = RegistryServer::start(|_| token_answer("other")).await;
    let server = registry(tokens.url("/token"), || "t".into()).await;
    let session = session_of(&server, &json!({"registrytoken": "t"}));
    let by_digest = ManifestReference::Digest(Image::named("one").digest);
    session.manifest(&repository(&server, "ns/app"), &by_digest, INSECURE).await.unwrap();
    assert_eq!(tokens.log().len(), 0);
}
