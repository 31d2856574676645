//! Lists of tags in pages.

use imagestream_apiserver::oci::Security;
use serde_json::json;

use crate::registry_server::{RegistryServer, answer};
use crate::site::{assert_text, repository, session, session_with};

const INSECURE: Security = Security::Insecure;

/// A registry whose pages have a tag and a link that depends on the query.
async fn with_links(link: impl Fn(&str) -> String + Send + Sync + 'static) -> RegistryServer {
    RegistryServer::start(move |request| {
        if request.path() == "/v2/" {
            return answer(200, &[], "");
        }
        let page = request.target.split_once('?').map_or("", |(_, query)| query);
        let body = json!({"name": "a", "tags": [format!("t{page}")]}).to_string();
        match link(page) {
            link if link.is_empty() => answer(200, &[], body),
            link => answer(200, &[("link", &link)], body),
        }
    })
    .await
}

#[tokio::test]
async fn pages_are_followed() {
    let server = with_links(|page| match page {
        "" => "</v2/a/tags/list?2>; rel=\"next\"".into(),
        // Registries behind a proxy often have the wrong scheme or port.
        "2" => "<https://127.0.0.1:1/v2/a/tags/list?3>; rel=\"next\"".into(),
        _ => String::new(),
    })
    .await;
    let tags = session().tags(&repository(&server, "a"), INSECURE).await.unwrap();
    assert_eq!(tags, ["t", "t2", "t3"]);
}

#[tokio::test]
async fn link_loop_ends_at_the_limit() {
    let server = with_links(|_| "</v2/a/tags/list?2>; rel=\"next\"".into()).await;
    let result = session().tags(&repository(&server, "a"), INSECURE).await;
    assert_text(result, &server, "the tag list is larger than the limit of 2000 pages");
}

#[tokio::test]
async fn link_to_another_host_is_refused() {
    let other = RegistryServer::start(|_| answer(200, &[], r#"{"tags":["stolen"]}"#)).await;
    let link = format!("<http://localhost:{}/v2/a/tags/list>; rel=\"next\"", other.port());
    let server = with_links(move |_| link.clone()).await;
    let session = session_with("s", &server.host(), "u", "p");
    let result = session.tags(&repository(&server, "a"), INSECURE).await;
    assert_text(result, &server, "the link to the next tags leads to another host");
    assert_eq!(other.log().len(), 0);
}

#[tokio::test]
async fn odd_names_are_passed_on() {
    let server = RegistryServer::start(|request| match request.path() {
        "/v2/" => answer(200, &[], ""),
        _ => answer(200, &[], r#"{"tags":["a","a","","b c","../x"]}"#),
    })
    .await;
    let tags = session().tags(&repository(&server, "a"), INSECURE).await.unwrap();
    assert_eq!(tags, ["a", "a", "", "b c", "../x"]);
}
