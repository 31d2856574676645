//! Root certificates and proxies of the environment, in processes of their own.

use std::env;
use std::process::{Command, Output};

use imagestream_apiserver::oci::{
    BlockedAddress, Options, RegistryError, Repository, RequestFailure, Security,
};

use crate::registry_server::{Authority, Content, Image, RegistryServer, answer};
use crate::site::{client, options, repository, session, tag};

/// Variable with the name of the registry, for a child.
const TARGET: &str = "TEST_REGISTRY";

/// Runs an ignored test of this program with other variables.
async fn run(test: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    let proxies = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];
    for name in proxies {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.envs(variables.iter().copied());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_root_certificates_are_reported() {
    let server = RegistryServer::start_tls(&Authority::new("a").server(2099), |_| None).await;
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().display().to_string();
    let file = folder.path().join("none.pem").display().to_string();
    let variables = [
        ("SSL_CERT_DIR", empty.as_str()),
        ("SSL_CERT_FILE", file.as_str()),
        (TARGET, &format!("{}/a", server.host())),
    ];
    assert_passed(&run("environment::child_without_root_certificates", &variables).await);
}

#[tokio::test]
#[ignore = "a test above runs it with other variables"]
async fn child_without_root_certificates() {
    let repository = Repository::parse(&env::var(TARGET).unwrap()).unwrap();
    let error = session().manifest(&repository, &tag("x"), Security::Verified).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the server has no root certificates; set SSL_CERT_FILE"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_of_the_environment_is_used() {
    let content = Content::default().with("a", "x", Image::named("one"));
    // A proxy gets the whole URL as the target of the request.
    let proxy = RegistryServer::start(move |request| match request.headers.get("host") {
        Some(host) if host == "registry.invalid" => content.answer(request),
        _ => answer(502, &[], ""),
    })
    .await;
    let url = format!("http://u:p@{}", proxy.host());
    let variables = [("http_proxy", url.as_str()), ("NO_PROXY", "127.0.0.2")];
    assert_passed(&run("environment::child_behind_a_proxy", &variables).await);
    assert!(proxy.log().iter().any(|request| request.path() == "/v2/a/manifests/x"));
    let header = proxy.log()[0].headers.get("proxy-authorization").cloned();
    assert_eq!(header.unwrap(), "Basic dTpw");
    assert_eq!(proxy.log().len(), 2, "refused addresses do not reach the proxy");
}

#[tokio::test]
#[ignore = "a test above runs it with other variables"]
async fn child_behind_a_proxy() {
    // The guard is at its defaults, and the proxy is on the loopback network.
    let session = client(&Options::default()).session(Default::default());
    let repository = Repository::parse("registry.invalid/a").unwrap();
    session.manifest(&repository, &tag("x"), Security::Insecure).await.unwrap();
    // Addresses are refused with and without the proxy, and names without.
    for name in ["127.0.0.1:1/a", "127.0.0.2:1/a", "169.254.169.254/a"] {
        let refused = Repository::parse(name).unwrap();
        let error = session.manifest(&refused, &tag("x"), Security::Insecure).await.unwrap_err();
        let is_blocked = matches!(
            error,
            RegistryError::Request {
                cause: RequestFailure::Blocked(
                    BlockedAddress::Loopback | BlockedAddress::LinkLocal
                ),
                ..
            }
        );
        assert!(is_blocked, "{name}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_keeps_connections_direct() {
    let proxy = RegistryServer::start(|_| answer(502, &[], "")).await;
    let content = Content::default().with("a", "x", Image::named("one"));
    let server = RegistryServer::start(move |request| content.answer(request)).await;
    let url = format!("http://{}", proxy.host());
    let variables = [
        ("http_proxy", url.as_str()),
        ("https_proxy", url.as_str()),
        ("NO_PROXY", "127.0.0.0/8"),
        (TARGET, &repository(&server, "a").to_string()),
    ];
    assert_passed(&run("environment::child_with_an_exempt_registry", &variables).await);
    assert_eq!((proxy.log().len(), server.log().len()), (0, 2));
}

#[tokio::test]
#[ignore = "a test above runs it with other variables"]
async fn child_with_an_exempt_registry() {
    let repository = Repository::parse(&env::var(TARGET).unwrap()).unwrap();
    let session = client(&options()).session(Default::default());
    session.manifest(&repository, &tag("x"), Security::Insecure).await.unwrap();
}
