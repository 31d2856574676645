//! Redirects.

use imagestream_apiserver::oci::{Options, Security};

use crate::registry_server::{Authority, Content, Image, RegistryServer, answer};
use crate::site::{assert_text, client, options, repository, session, session_with, tag};

const INSECURE: Security = Security::Insecure;

/// A registry with basic authentication that redirects requests for manifests.
async fn redirecting(location: String) -> RegistryServer {
    RegistryServer::start(move |request| match request.path() {
        "/v2/" => answer(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
        _ => answer(307, &[("location", &location)], ""),
    })
    .await
}

#[tokio::test]
async fn credentials_stay_at_the_registry() {
    let image = Image::named("one");
    let content = Content::default().with("a", "x", image.clone());
    let target = RegistryServer::start(move |request| content.answer(request)).await;
    // Another port is another origin.
    let server = redirecting(target.url("/v2/a/manifests/x?signature=1")).await;
    let session = session_with("s", &server.host(), "u", "p");
    let manifest = session.manifest(&repository(&server, "a"), &tag("x"), INSECURE).await.unwrap();
    assert_eq!(manifest.digest, image.digest);
    assert_eq!(server.log().last().unwrap().authorization(), "Basic dTpw");
    let log = target.log();
    assert_eq!((log.len(), log[0].authorization()), (1, ""));
    assert!(log[0].headers.contains_key("accept"));
}

#[tokio::test]
async fn redirect_loop_ends() {
    let server = redirecting("/v2/a/manifests/x".into()).await;
    let result = session().manifest(&repository(&server, "a"), &tag("x"), INSECURE).await;
    let expected = "Get \"http://HOST/v2/a/manifests/x\": stopped after 10 redirects";
    assert_text(result, &server, expected);
    assert_eq!(server.log().len(), 12);
}

#[tokio::test]
async fn redirect_to_a_metadata_service_is_refused() {
    for address in
        ["169.254.169.254", "[::ffff:169.254.169.254]", "2852039166", "[64:ff9b::a9fe:a9fe]"]
    {
        let server = redirecting(format!("http://{address}/latest/meta-data?secret=1")).await;
        let result = session().manifest(&repository(&server, "a"), &tag("x"), INSECURE).await;
        let text = result.unwrap_err().to_string();
        let reason = "imports may not connect to a link-local address";
        assert!(text.contains(reason) && !text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn redirect_from_https_to_http_is_refused() {
    let target = RegistryServer::start(|_| answer(200, &[], "")).await;
    let location = target.url("/v2/a/manifests/x");
    let authority = Authority::new("registry");
    let server =
        RegistryServer::start_tls(&authority.server(2099), move |request| match request.path() {
            "/v2/" => answer(200, &[], ""),
            _ => answer(302, &[("location", &location)], ""),
        })
        .await;
    let result = session().manifest(&repository(&server, "a"), &tag("x"), INSECURE).await;
    let expected = "Get \"https://HOST/v2/a/manifests/x\": redirect from https to http";
    assert_text(result, &server, expected);
    assert_eq!(target.log().len(), 0);
}

#[tokio::test]
async fn redirect_to_other_schemes_is_refused() {
    for location in ["file:///etc/passwd", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/"] {
        let server = redirecting(location.into()).await;
        let result = session().manifest(&repository(&server, "a"), &tag("x"), INSECURE).await;
        let expected = "Get \"http://HOST/v2/a/manifests/x\": redirect to an unsupported URL";
        assert_text(result, &server, expected);
    }
}

#[tokio::test]
async fn redirect_to_a_closed_network_is_refused() {
    let target = RegistryServer::start(|_| answer(200, &[], "")).await;
    let location = target.url("/").replace("127.0.0.1", "127.0.0.2");
    let server = redirecting(location).await;
    let deny = vec!["127.0.0.2/32".parse().unwrap()];
    let client = client(&Options { import_deny_cidrs: deny, ..options() });
    let session = client.session(Default::default());
    let result = session.manifest(&repository(&server, "a"), &tag("x"), INSECURE).await;
    let text = result.unwrap_err().to_string();
    assert!(
        text.ends_with("imports may not connect to an address in --import-deny-cidrs"),
        "{text}"
    );
    assert_eq!(target.log().len(), 0);
}
