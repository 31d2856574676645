//! Audit events of requests.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::arrival::{MAX_HEADER_BYTES, MAX_HOPS};
use super::*;
use crate::auth::{Decision, PeerCertificates, User};
use crate::endpoints::negotiation::Media;
use crate::endpoints::request_info::RequestPath;
use crate::machinery::query::Query;
use crate::meta::Status;
use crate::server::audit::Options;
use crate::server::listen::Peer;
use crate::server::respond;
use crate::telemetry::metrics::Metrics;

const ID: HeaderValue = HeaderValue::from_static("4a9b");
const WATCH: &str = "/apis/image.openshift.io/v1/imagestreams?watch=1";

/// The events that requests leave which `work` leads through.
async fn events(work: impl FnOnce(&Arc<AuditLog>)) -> Vec<Value> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("audit.log");
    let options = Options {
        audit_log_path: Some(path.clone()),
        audit_log_maxsize: 1,
        audit_log_maxbackup: 1,
    };
    let log = Arc::new(AuditLog::open(&options, &Metrics::new()).unwrap().unwrap());
    work(&log);
    log.close().await;
    let text = fs::read_to_string(&path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request {
    let peer = Peer {
        address: "10.0.0.1:4000".parse().unwrap(),
        certificates: Arc::new(PeerCertificates::default()),
    };
    let mut request = Request::builder().method(method).uri(uri).extension(peer);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

/// Passes the entry of a request to `work`.
fn with_entry(log: &Arc<AuditLog>, request: &Request, work: impl FnOnce(AuditEntry<'_>)) {
    let (path, query) =
        (RequestPath::new(request.uri().path()), Query::parse(request.uri().query()));
    let info = RequestInfo::new(request.method(), &path, &query);
    work(AuditEntry::begin(Some(log), &ID, request, &info));
}

fn answer(code: u16) -> Response {
    respond::text(code, String::new(), "text/plain")
}

#[tokio::test]
async fn a_request_leaves_what_became_known_of_it() {
    let user = |name: &str| Some(Arc::new(User { name: name.into(), ..User::default() }));
    let uri = "/apis/image.openshift.io/v1/namespaces/lab/imagestreams?dryRun=All";
    let events = events(|log| {
        let headers = [("user-agent", "kubectl/v1"), ("authorization", "Bearer secret")];
        with_entry(log, &request("POST", uri, &headers), |mut entry| {
            entry.context.user = user("alice");
            entry.context.acting_as = user("zoe");
            entry.context.decision = Some(Decision::Denied { reason: "no".into() });
            entry.end(&respond::status(&Status::unauthorized(), Media::Json { pretty: false }));
        });
    });
    let event = &events.await[0];
    assert_eq!((&event["auditID"], &event["requestURI"]), (&json!("4a9b"), &json!(uri)));
    let users = (&event["user"]["username"], &event["impersonatedUser"]["username"]);
    assert_eq!(users, (&json!("alice"), &json!("zoe")));
    assert_eq!((&event["verb"], &event["userAgent"]), (&json!("create"), &json!("kubectl/v1")));
    let object = json!({"resource": "imagestreams", "namespace": "lab", "apiGroup": "image.openshift.io", "apiVersion": "v1"});
    assert_eq!(event["objectRef"], object);
    assert_eq!(event["sourceIPs"], json!(["10.0.0.1"]));
    let annotations =
        json!({"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": "no"});
    assert_eq!(event["annotations"], annotations);
    assert_eq!(event["responseStatus"]["reason"], "Unauthorized");
    assert!(event["requestReceivedTimestamp"].as_str() <= event["stageTimestamp"].as_str());
    assert!(!event.to_string().contains("secret"));
}

#[tokio::test]
async fn a_request_whose_client_goes_away_leaves_an_event() {
    let events =
        events(|log| with_entry(log, &request("POST", "/version", &[]), |entry| drop(entry))).await;
    assert_eq!((&events[0]["verb"], &events[0]["objectRef"]), (&json!("post"), &Value::Null));
    assert_eq!(
        events[0]["responseStatus"],
        json!({"metadata": {}, "message": "Connection closed early"})
    );
}

#[tokio::test]
async fn an_answer_that_goes_on_leaves_an_event_at_each_end() {
    let events = events(|log| {
        with_entry(log, &request("GET", WATCH, &[]), |entry| drop(entry.start(&answer(200))))
    });
    let events = events.await;
    let stages: Vec<_> = events.iter().map(|event| event["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["ResponseStarted", "ResponseComplete"]);
    assert!(events.iter().all(|event| event["responseStatus"]["code"] == 200));
    assert!(
        events
            .iter()
            .all(|event| event["verb"] == "watch"
                && event["objectRef"]["resource"] == "imagestreams")
    );
}

#[tokio::test]
async fn a_panic_leaves_an_event() {
    let events = events(|log| {
        let panics = || {
            with_entry(log, &request("GET", "/version", &[]), |_entry| panic!("secret"));
        };
        std::panic::catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
    });
    let event = &events.await[0];
    assert_eq!((&event["stage"], &event["responseStatus"]["code"]), (&json!("Panic"), &json!(500)));
}

#[tokio::test]
async fn forwarding_headers_are_trusted_from_a_front_proxy_only() {
    let many = "9.9.9.9,".repeat(1000);
    let forged =
        [("x-forwarded-for", "9.9.9.9, nonsense, ::ffff:8.8.8.8"), ("x-real-ip", "7.7.7.7")];
    let events = events(|log| {
        with_entry(log, &request("GET", "/", &forged), |entry| entry.end(&answer(200)));
        let cases = [
            &forged[..],
            &[("x-forwarded-for", &many)],
            &[("x-forwarded-for", "9.9.9.9,10.0.0.1")],
        ];
        for headers in cases {
            with_entry(log, &request("GET", "/", headers), |mut entry| {
                entry.context.is_passed_on = true;
                entry.end(&answer(200));
            });
        }
    });
    let events = events.await;
    assert_eq!(events[0]["sourceIPs"], json!(["10.0.0.1"]));
    assert_eq!(events[1]["sourceIPs"], json!(["9.9.9.9", "8.8.8.8", "10.0.0.1"]));
    assert_eq!(events[2]["sourceIPs"].as_array().unwrap().len(), MAX_HOPS + 1);
    assert_eq!(events[3]["sourceIPs"], json!(["9.9.9.9", "10.0.0.1"]));
}

#[tokio::test]
async fn long_headers_are_cut_and_tokens_in_a_query_are_hidden() {
    let agent = "x".repeat(5000);
    let events = events(|log| {
        let request = request(
            "GET",
            "/a?b=1&access_token=secret&c=2&token=secret",
            &[("user-agent", &agent)],
        );
        with_entry(log, &request, |entry| entry.end(&answer(404)));
    });
    let event = &events.await[0];
    assert_eq!(event["requestURI"], "/a?b=1&access_token=REDACTED&c=2&token=REDACTED");
    assert_eq!(event["responseStatus"], json!({"metadata": {}, "code": 404}));
    let agent = event["userAgent"].as_str().unwrap();
    assert!(
        agent.len() == MAX_HEADER_BYTES + "...TRUNCATED".len() && agent.ends_with("...TRUNCATED")
    );
}
