//! The log lines of requests, and their limit.

use serde_json::Value;

use crate::fixtures;
use crate::harness::{Expect, ProcessApi, STREAMS, TestServer, V1, eventually, request};
use crate::support::client::{Identity, Request};
use crate::support::process::{Launch, ServerProcess};

/// The lines of the log with this message.
fn lines(api: &ProcessApi, message: &str) -> Vec<Value> {
    let lines = api.server.log();
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == message).collect()
}

/// Waits for the line of the request whose URI contains a text.
async fn line_of(api: &ProcessApi, uri: &str) -> Value {
    let find = || {
        let lines = lines(api, "request served");
        lines.into_iter().find(|line| line["uri"].as_str().is_some_and(|text| text.contains(uri)))
    };
    eventually("the request is logged", || async { find().is_some() }).await;
    find().expect("the line exists")
}

#[tokio::test]
async fn each_request_has_a_line_with_user_and_bytes() {
    let api = ProcessApi::with(&["-v=2", "--max-objects-per-namespace=1"]).await;
    let path = format!("{STREAMS}?limit=7");
    let answer = api.ask(request("GET", &path).header("user-agent", "tester/1")).await.is(200);
    assert_eq!(answer["kind"], "ImageStreamList");
    let line = line_of(&api, "limit=7").await;
    assert_eq!((&line["user"], &line["agent"]), (&"admin".into(), &"tester/1".into()), "{line}");
    assert!(line["sources"].as_str().is_some_and(|text| text.contains("127.0.0.1")), "{line}");
    assert!(line["bytes"].as_u64().is_some_and(|bytes| bytes > 50), "{line}");
    assert!(line["steps"].is_null() && line["reason"].is_null(), "{line}");
    let took = line["took_ms"].as_f64().expect("the duration is a number").to_string();
    let digits = took.split_once('.').map_or("", |(_, digits)| digits);
    assert!(digits.len() <= 3, "{took}");

    let impersonated = request("GET", &format!("{STREAMS}?limit=8"));
    api.ask(impersonated.header("impersonate-user", "jo")).await.is(200);
    let line = line_of(&api, "limit=8").await;
    assert_eq!((&line["user"], &line["acting_as"]), (&"admin".into(), &"jo".into()), "{line}");

    let watch = request("GET", &format!("{STREAMS}?watch=1&timeoutSeconds=1"));
    assert_eq!(api.ask(watch).await.status, 200);
    let line = line_of(&api, "watch=1").await;
    assert!(line["took_ms"].as_f64().is_some_and(|took| took > 500.0), "at its end: {line}");
}

#[tokio::test]
async fn refused_requests_are_logged_with_the_reason() {
    let api = ProcessApi::with(&["-v=2", "--max-objects-per-namespace=1"]).await;
    api.post(STREAMS, &fixtures::stream("a")).await.is(201);
    api.post(&format!("{STREAMS}?pretty=0"), &fixtures::stream("b")).await.is(403);
    let line = line_of(&api, "pretty=0").await;
    let reason = line["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("forbidden"), "{line}");

    for (identity, query, reason) in [
        (Identity::token("nobody"), "limit=1", "the bearer token is not known"),
        (Identity::default(), "limit=2", "no credentials"),
    ] {
        let client = api.server.client(identity);
        let target = format!("{V1}/{STREAMS}?{query}");
        let answer = client.send(Request::new("GET", &target)).await.expect("there is a response");
        assert_eq!(answer.status, 401);
        let line = line_of(&api, query).await;
        assert_eq!((&line["reason"], &line["user"]), (&reason.into(), &Value::Null), "{line}");
    }
    let log = api.server.log().join("\n");
    assert!(!log.contains("nobody") && !log.contains("token-of-"), "tokens are not logged");
}

#[tokio::test]
async fn steps_are_logged_at_verbosity_4_only() {
    let api = ProcessApi::with(&["-v=4"]).await;
    api.get(&format!("{STREAMS}?limit=1")).await.is(200);
    let line = line_of(&api, "limit=1").await;
    let steps = line["steps"].as_str().unwrap_or_else(|| panic!("no steps: {line}"));
    for step in ["authentication ", ", authorization ", ", queue ", ", handler "] {
        assert!(steps.contains(step) && !steps.contains("body"), "{steps}");
    }
    api.post(&format!("{STREAMS}?pretty=0"), &fixtures::stream("a")).await.is(201);
    let line = line_of(&api, "pretty=0").await;
    assert!(line["steps"].as_str().is_some_and(|steps| steps.contains(", body ")), "{line}");
}

#[tokio::test]
async fn requests_are_not_logged_without_verbosity() {
    let api = ProcessApi::start().await;
    api.get(&format!("{STREAMS}?limit=1")).await.is(200);
    assert!(lines(&api, "request served").is_empty());
}

/// The YAML library panics at a comma behind a tag, which is a syntax error of the client.
#[tokio::test]
async fn caught_panic_of_the_yaml_library_leaves_no_line() {
    let variables = &[("RUST_BACKTRACE", "1")];
    let server = ServerProcess::launch(Launch { variables, ..Launch::default() }).await;
    let api = ProcessApi { client: server.admin(), server };
    let before = api.server.log().len();
    for _ in 0..3 {
        let request = request("POST", STREAMS).header("content-type", "application/yaml");
        let body = Some(b"a: [!tag, b]\n".to_vec());
        api.ask(Request { body, ..request }).await.is(400);
    }
    api.ask(request("POST", STREAMS)).await.is(400);
    let log = api.server.log();
    let traces = ["panick", "libyaml", "backtrace"];
    let is_trace = |line: &&String| traces.iter().any(|trace| line.contains(trace));
    assert_eq!(log[before..].iter().find(is_trace), None);
}
