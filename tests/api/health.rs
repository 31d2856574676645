//! `/livez`, `/readyz`, `/healthz` and `/metrics`.

use crate::harness::Api;
use crate::support::client::Request;

async fn text(api: &Api, path: &str) -> (u16, String) {
    let answer = api.ask(Request::new("GET", path)).await;
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain") || answer.status == 404, "{path}: {kind}");
    (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

#[tokio::test]
async fn a_healthy_server_says_ok() {
    let api = Api::start().await;
    for path in [
        "/livez",
        "/readyz",
        "/healthz",
        "/livez/ping",
        "/readyz/ping",
        "/readyz/storage",
        "/healthz/ping",
    ] {
        assert_eq!(text(&api, path).await, (200, "ok".into()), "{path}");
    }
}

#[tokio::test]
async fn only_readiness_depends_on_storage() {
    let api = Api::start().await;
    for path in ["/livez/storage", "/healthz/storage", "/readyz/nothing"] {
        assert_eq!(text(&api, path).await.0, 404, "{path}");
    }
    let told = text(&api, "/readyz?verbose").await.1;
    assert_eq!(
        told,
        "[+]ping ok\n[+]storage ok\n[+]authentication ok\n[+]shutdown ok\nreadyz check passed\n"
    );
    assert_eq!(text(&api, "/livez?verbose=true").await.1, "[+]ping ok\nlivez check passed\n");
}

#[tokio::test]
async fn checks_can_be_left_out() {
    let api = Api::start().await;
    let told = text(&api, "/readyz?verbose&exclude=storage&exclude=nothing").await.1;
    let wanted = "[+]ping ok\n[+]storage excluded: ok\n[+]authentication ok\n[+]shutdown ok\nwarn: some health checks cannot be excluded: no \
                  matches for \"nothing\"\nreadyz check passed\n";
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn metrics_have_the_names_that_dashboards_know() {
    let api = Api::start().await;
    api.get("images").await;
    let answer = api.ask(Request::new("GET", "/metrics")).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let wanted = [
        "apiserver_request_total{",
        "apiserver_request_duration_seconds_bucket{",
        "apiserver_current_inflight_requests{",
        "resource=\"images\"",
        "verb=\"LIST\"",
    ];
    for name in wanted {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
    assert!(!text.contains("token-of-"), "metrics contain no tokens");
}
