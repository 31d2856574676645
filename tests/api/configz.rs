//! `/configz`, and `check` of a running server.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{Output, Running};
use crate::harness::{EMBEDDED, Expect, ProcessApi, TestServer};
use crate::support::client::{Identity, Request};

/// Writes a kubeconfig for a server. Returns its folder and the flag of `check`.
fn kubeconfig(api: &ProcessApi, token: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let certificate = api.server.folder().join("certs/ca.crt");
    let cluster = json!({"server": format!("https://{}", api.server.address()), "certificate-authority": certificate});
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    });
    let path = folder.path().join("kubeconfig");
    fs::write(&path, config.to_string()).expect("the kubeconfig can be written");
    (folder, format!("--server-kubeconfig={}", path.display()))
}

async fn check(arguments: &[&str]) -> (bool, String) {
    let arguments = ["check"].iter().chain(arguments);
    let (status, text) = Running::start(arguments, Output::Printed).end().await;
    (status.success(), text)
}

#[tokio::test]
async fn flags_of_the_server_need_authorization() {
    let api = ProcessApi::with(&["--request-timeout=42s", "--tls-san=a.b,c.d"]).await;
    let flags = api.ask(Request::new("GET", "/configz")).await.is(200);
    let flags = &flags["imagestream-apiserver"];
    assert_eq!(flags["request-timeout"], "42s", "{flags}");
    assert_eq!(flags["tls-san"], json!(["a.b", "c.d"]));
    assert_eq!(flags["max-watches"], 10_000, "defaults are included");
    let stranger = api.server.client(Identity::default());
    let answer = stranger.send(Request::new("GET", "/configz")).await.expect("a response");
    assert_eq!(answer.status, 401);
    assert_eq!(api.ask(Request::new("POST", "/configz")).await.status, 405);
}

#[tokio::test]
async fn check_takes_flags_and_health_from_the_server() {
    let api = ProcessApi::with(&[EMBEDDED, "--max-watches=77"]).await;
    let (_folder, flag) = kubeconfig(&api, "token-of-admin");
    let (is_ok, text) = check(&[&flag]).await;
    assert!(is_ok, "{text}");
    for line in [
        "ok    running server: https://127.0.0.1:",
        "ok    flags: they are those of the running server",
        "is in use: a server is running on it",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    let (is_ok, text) = check(&[&flag, "--max-watches=78"]).await;
    assert!(is_ok, "{text}");
    let note = "note  flags: those of the running server, except --max-watches";
    assert!(text.contains(note), "{text}");
}

#[tokio::test]
async fn check_reports_a_server_that_it_cannot_use() {
    let mut api = ProcessApi::start().await;
    let (_folder, flag) = kubeconfig(&api, "wrong");
    let (is_ok, text) = check(&[&flag]).await;
    let line =
        "/configz: 401: the server does not accept the credentials\n      -> renew the token";
    assert!(!is_ok && text.contains(line), "{text}");
    api.server.stop().await;
    let (_, text) = check(&[&flag]).await;
    let line =
        format!("WRONG running server: https://{}: Connection refused", api.server.address());
    assert!(text.contains(&line) && text.contains("-> start the server"), "{text}");
    assert_eq!(text.matches(&line).count(), 1, "{text}");
}

#[tokio::test]
async fn report_is_json_of_a_documented_shape() {
    let api = ProcessApi::start().await;
    let (_folder, flag) = kubeconfig(&api, "wrong");
    let (is_ok, text) = check(&[&flag, "-o", "json"]).await;
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
    assert!(!is_ok && report["passed"] == false, "{text}");
    let version = (&report["apiVersion"], &report["kind"]);
    assert_eq!(version, (&json!("imagestream-apiserver/v1"), &json!("CheckReport")));
    let findings = report["findings"].as_array().expect("findings are a list");
    let problem = findings.iter().find(|finding| finding["result"] == "problem");
    let problem = problem.unwrap_or_else(|| panic!("no problem: {text}"));
    assert!(problem["remedy"].is_string() && problem["text"].is_string(), "{problem}");

    let (_folder, flag) = kubeconfig(&api, "token-of-admin");
    let (is_ok, text) = check(&[&flag, "--output=json"]).await;
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
    assert!(is_ok && report["passed"] == true, "{text}");
    let finding = &report["findings"][0];
    assert_eq!((&finding["result"], finding.get("remedy")), (&json!("ok"), None), "{text}");
}
