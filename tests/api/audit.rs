//! The audit log of the server process: every request is logged, however it ends.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use serde_json::{Value, json};

use crate::child::{Output, Running};
use crate::fixtures::image;
use crate::harness::{
    Api, Expect, ProcessApi, TestServer, V1, eventually, large_image, request, shows_memory_in_use,
};
use crate::support::client::{Client, Identity, Request};

/// Returns the events in a file.
fn events(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("the audit log can be read");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is an event")).collect()
}

fn event(path: &Path, id: &str) -> Value {
    let found: Vec<Value> =
        events(path).into_iter().filter(|event| event["auditID"] == id).collect();
    assert_eq!(found.len(), 1, "{id}: {found:?}");
    found[0].clone()
}

#[tokio::test]
async fn every_request_leaves_a_line_without_its_credentials() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let path = folder.path().join("audit.log");
    let mut api = Api::with(&["--audit-log-path", path.to_str().expect("the file is text")]).await;
    api.ask(
        request("GET", "images/missing?x=%3c1&y=2")
            .header("audit-id", "absent")
            .header("x-forwarded-for", "9.9.9.9"),
    )
    .await;
    api.ask(request("POST", "images").json(&image("a")).header("audit-id", "made")).await.is(201);
    api.ask(
        request("POST", "images")
            .json(&json!({"kind": "secret-kind"}))
            .header("audit-id", "broken"),
    )
    .await
    .is(400);
    api.ask(
        request("GET", "images").header("impersonate-user", "zoe").header("audit-id", "as-zoe"),
    )
    .await
    .is(200);
    let stranger = api.server.client(Identity::token("secret-token"));
    stranger
        .send(request("GET", "images").header("audit-id", "stranger"))
        .await
        .expect("a response")
        .is(401);
    let text = String::from_utf8(api.ask(Request::new("GET", "/metrics")).await.body)
        .expect("the file is text");
    assert!(text.contains("apiserver_audit_error_total{plugin=\"log\"} 0"), "{text}");
    api.server.stop().await;

    let absent = event(&path, "absent");
    assert_eq!(absent["requestURI"], format!("{V1}/images/missing?x=%3c1&y=2"));
    assert_eq!(
        absent["responseStatus"]["message"],
        "images.image.openshift.io \"missing\" not found"
    );
    assert_eq!((&absent["sourceIPs"], &absent["verb"]), (&json!(["127.0.0.1"]), &json!("get")));
    assert_eq!(absent["user"]["username"], "admin");
    assert_eq!(absent["annotations"]["authorization.k8s.io/decision"], "allow");
    assert_eq!(event(&path, "made")["responseStatus"], json!({"metadata": {}, "code": 201}));
    assert_eq!(event(&path, "broken")["responseStatus"]["reason"], "BadRequest");
    assert_eq!(event(&path, "as-zoe")["impersonatedUser"]["username"], "zoe");
    let stranger = event(&path, "stranger");
    assert_eq!((&stranger["user"], &stranger["annotations"]), (&json!({}), &Value::Null));
    let text = fs::read_to_string(&path).expect("the audit log can be read");
    for secret in ["token-of-admin", "secret-token", "secret-kind"] {
        assert!(!text.contains(secret), "{secret} is in the audit log");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_line() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let path = folder.path().join("audit.log");
    let api = Api::with(&["--audit-log-path", path.to_str().expect("the file is text")]).await;
    let begun = api
        .client
        .begin(request("POST", "images").json(&large_image("a")).header("audit-id", "gone"))
        .await;
    let metrics = || async {
        String::from_utf8_lossy(&api.ask(Request::new("GET", "/metrics")).await.body).into_owned()
    };
    eventually("the body is expected", || async { shows_memory_in_use(&metrics().await) }).await;
    drop(begun);
    let is_told = || async { events(&path).iter().any(|event| event["auditID"] == "gone") };
    eventually("the request is logged", is_told).await;
}

#[tokio::test]
async fn a_disk_that_is_full_does_not_stop_the_server() {
    let mut api = ProcessApi::with(&["--audit-log-path=/dev/full"]).await;
    for _ in 0..3 {
        api.get("images").await.is(200);
    }
    api.server.stop().await;
    let log = api.server.log().join("\n");
    assert_eq!(log.matches("cannot write the audit log, retrying").count(), 1, "{log}");
}

#[tokio::test]
async fn a_dash_is_stdout() {
    // `--audit-log-path=-` logs to stdout.
    let folder = tempfile::tempdir().expect("a folder can be created");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("tokens.csv"), "secret-token,admin,1\n").expect("the file can be written");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address: SocketAddr = free.local_addr().expect("the listener has an address");
    drop(free);
    let flags = [
        "serve".to_owned(),
        "--authorization-mode=AlwaysAllow".into(),
        "--bind-address=127.0.0.1".into(),
        "--audit-log-path=-".into(),
        format!("--secure-port={}", address.port()),
        format!("--token-auth-file={}", at("tokens.csv").display()),
        format!("--data-dir={}", at("data").display()),
        format!("--cert-dir={}", at("certs").display()),
    ];
    let mut running = Running::start(flags, Output::Printed);
    let ask = || async {
        let ca = fs::read(at("certs").join("apiserver.crt")).ok()?;
        let client = Client::new(address, &ca, Identity::token("secret-token"));
        client.send(Request::new("GET", "/version").header("audit-id", "seen")).await.ok()
    };
    eventually("the server responds", || async { ask().await.is_some() }).await;
    running
        .wait_for_line(|line| {
            line.starts_with("{\"kind\":\"Event\",") && line.contains("\"auditID\":\"seen\"")
        })
        .await;
}
