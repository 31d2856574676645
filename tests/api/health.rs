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
    let api = Api::embedded().await;
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
    let api = Api::embedded().await;
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
    let api = Api::embedded().await;
    let told = text(&api, "/readyz?verbose&exclude=storage&exclude=nothing").await.1;
    let wanted = "[+]ping ok\n[+]storage excluded: ok\n[+]authentication ok\n[+]shutdown ok\nwarn: some health checks cannot be excluded: no \
                  matches for \"nothing\"\nreadyz check passed\n";
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn metrics_have_the_format_that_is_preferred() {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let api = Api::start().await;
    for (accept, expected) in [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("application/json", TEXT),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OPEN,
        ),
        ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain", TEXT),
        ("application/openmetrics-text;version=2.0.0,*/*;q=0.1", TEXT),
    ] {
        let request = Request::new("GET", "/metrics").header("accept", accept);
        let answer = api.ask(request).await;
        assert_eq!(answer.header("content-type"), Some(expected), "{accept}");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let name = if expected == TEXT { "apiserver_request_total" } else { "apiserver_request" };
        assert!(text.contains(&format!("# TYPE {name} counter\n")), "{text}");
        assert_eq!(text.ends_with("# EOF\n"), expected == OPEN);
    }
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
        "process_cpu_seconds_total ",
        "process_open_fds ",
        "process_max_fds ",
        "process_resident_memory_bytes ",
        "process_virtual_memory_bytes ",
        "process_start_time_seconds ",
        "imagestream_apiserver_build_info{version=",
    ];
    for name in wanted {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
    assert!(!text.contains("token-of-"), "metrics contain no tokens");
}
