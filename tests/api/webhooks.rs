//! A server behind a control plane with admission webhooks.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::fixtures::stream;
use crate::harness::{Api, Expect, request};
use crate::registry::{Answer, Authority, ReceivedRequest, RegistryServer, ServerCertificate};

pub(crate) const STREAMS: &str = "namespaces/lab/imagestreams";
const TAGS: &str = "namespaces/lab/imagestreamtags";
const DENIED: &str =
    "admission webhook \"v.example.com\" denied the request: the label team is missing";

/// A server, and the webhooks of its cluster.
pub(crate) struct WebhookLab {
    pub(crate) api: Api,
    pub(crate) webhooks: Arc<RegistryServer>,
    _folder: TempDir,
}

/// The webhook configurations of a cluster.
#[derive(Clone)]
pub(crate) enum Configurations {
    /// The server may list these mutating and validating webhooks.
    Listed { mutating: Vec<Value>, validating: Vec<Value> },
    /// The server lacks the permission.
    Forbidden,
}

impl WebhookLab {
    /// Starts the webhooks, the control plane and the server. `configure` gets the client
    /// configuration of a path of the webhooks.
    pub(crate) async fn start(
        flags: &[&str],
        configure: impl FnOnce(&dyn Fn(&str) -> Value) -> Configurations,
    ) -> Self {
        Self::start_with(flags, |certificate| certificate, configure).await
    }

    /// As `start`, with webhooks whose TLS `change` sets.
    pub(crate) async fn start_with(
        flags: &[&str],
        change: impl FnOnce(ServerCertificate) -> ServerCertificate,
        configure: impl FnOnce(&dyn Fn(&str) -> Value) -> Configurations,
    ) -> Self {
        let authority = Authority::new("webhooks");
        let certificate = change(authority.server(2099));
        let webhooks = RegistryServer::start_tls(&certificate, respond).await;
        let bundle = STANDARD.encode(authority.pem());
        let configurations =
            configure(&|path| json!({"url": webhooks.url(path), "caBundle": bundle}));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let app = control_plane(configurations);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let folder = tempfile::tempdir().expect("a folder can be created");
        let kubeconfig = folder.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "c", "user": {"token": "token-of-server"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).expect("the file can be written");
        let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
        let own = ["--authentication-skip-lookup", kubeconfig.as_str()];
        let flags: Vec<&str> = flags.iter().copied().chain(own).collect();
        let api = Api::with(&flags).await;
        Self { api, webhooks: Arc::new(webhooks), _folder: folder }
    }

    /// The requests that a path of the webhooks got.
    pub(crate) fn reviews(&self, path: &str) -> Vec<Value> {
        let log = self.webhooks.log();
        let of_path = log.iter().filter(|request| request.path() == path);
        of_path
            .map(|request| {
                let review: Value = serde_json::from_str(&request.body).expect("it is JSON");
                review["request"].clone()
            })
            .collect()
    }
}

/// A webhook for all writes of the group.
pub(crate) fn webhook(name: &str, client: Value, more: Value) -> Value {
    let rule = json!({
        "operations": ["*"], "apiGroups": ["image.openshift.io"], "apiVersions": ["*"], "resources": ["*/*"],
    });
    let mut webhook = json!({
        "name": name, "clientConfig": client, "rules": [rule], "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    });
    let fields = webhook.as_object_mut().expect("it is an object");
    fields.extend(more.as_object().expect("it is an object").clone());
    webhook
}

pub(crate) fn validating(webhooks: Vec<Value>) -> Configurations {
    Configurations::Listed { mutating: Vec::new(), validating: webhooks }
}

fn labelled(name: &str) -> Value {
    let mut stream = stream(name);
    stream["metadata"]["labels"] = json!({"team": "a"});
    stream
}

fn tag(name: &str) -> Value {
    let metadata = json!({"name": name, "labels": {}});
    json!({
        "kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1", "metadata": metadata,
        "tag": {"name": "", "from": {"kind": "DockerImage", "name": "example.com/a/b:c"}, "reference": true},
    })
}

/// The webhooks: each path behaves in its own way.
fn respond(request: &ReceivedRequest) -> Answer {
    let review: Value = serde_json::from_str(&request.body).unwrap_or_default();
    let uid = &review["request"]["uid"];
    let patch = |operations: Value| {
        let patch = STANDARD.encode(operations.to_string());
        json!({"uid": uid, "allowed": true, "patch": patch, "patchType": "JSONPatch"})
    };
    let response = match request.path() {
        "/allow" => json!({"uid": uid, "allowed": true}),
        "/notes" => json!({
            "uid": uid, "allowed": true, "warnings": ["think twice"], "auditAnnotations": {"seen": "yes"},
        }),
        "/label" => {
            let object = &review["request"]["object"];
            let is_labelled = object["metadata"]["labels"]["team"].is_string();
            let status =
                json!({"message": "the label team is missing", "reason": "Forbidden", "code": 403});
            json!({"uid": uid, "allowed": is_labelled, "status": status})
        }
        "/deny" => json!({"uid": uid, "allowed": false}),
        "/annotate" => patch(
            json!([{"op": "add", "path": "/metadata/annotations", "value": {"by": "webhook"}}]),
        ),
        "/count" => {
            // Each call appends to the annotation.
            let annotations = &review["request"]["object"]["metadata"]["annotations"];
            let calls = annotations["calls"].as_str().unwrap_or_default();
            let mut annotations = annotations.as_object().cloned().unwrap_or_default();
            annotations.insert("calls".into(), format!("{calls}x").into());
            patch(json!([{"op": "add", "path": "/metadata/annotations", "value": annotations}]))
        }
        "/rename" => patch(json!([{"op": "replace", "path": "/metadata/uid", "value": "other"}])),
        "/bad-patch" => patch(json!([{"op": "remove", "path": "/metadata/missing"}])),
        "/lie" => json!({"uid": "other", "allowed": true}),
        "/huge" => json!({"uid": uid, "allowed": true, "warnings": ["x".repeat(4 << 20)]}),
        "/error" => {
            let response = Response::builder().status(500).body(Body::from("broken"));
            return Some(response.expect("the response is valid"));
        }
        "/hang-up" => return None,
        "/slow" => {
            std::thread::sleep(Duration::from_secs(3));
            json!({"uid": uid, "allowed": true})
        }
        other => panic!("no webhook has the path {other}"),
    };
    let review = json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response,
    });
    Some(json_response(200, &review))
}

fn control_plane(configurations: Configurations) -> Router {
    let list = async move |Path(resource): Path<String>, RawQuery(query): RawQuery| {
        if query.unwrap_or_default().contains("watch=true") {
            std::future::pending::<()>().await;
        }
        let webhooks = match (&configurations, resource.as_str()) {
            (Configurations::Forbidden, _) => {
                let status =
                    json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"});
                return json_response(403, &status);
            }
            (Configurations::Listed { mutating, .. }, "mutatingwebhookconfigurations") => mutating,
            (Configurations::Listed { validating, .. }, _) => validating,
        };
        let item = json!({"metadata": {"name": "c"}, "webhooks": webhooks});
        json_response(200, &json!({"metadata": {"resourceVersion": "1"}, "items": [item]}))
    };
    let namespace = |name: &str| json!({"kind": "Namespace", "metadata": {"name": name, "labels": {"name": name}}});
    let one = async move |Path(name): Path<String>| json_response(200, &namespace(&name));
    let items = ["lab", "free"].map(namespace);
    let all = json!({"metadata": {"resourceVersion": "1"}, "items": items});
    let all = async move |RawQuery(query): RawQuery| {
        if query.unwrap_or_default().contains("watch=true") {
            std::future::pending::<()>().await;
        }
        json_response(200, &all)
    };
    let resources = json!({"groupVersion": "admissionregistration.k8s.io/v1", "resources": []});
    Router::new()
        .route(
            "/apis/admissionregistration.k8s.io/v1",
            get(async move || json_response(200, &resources)),
        )
        .route("/apis/admissionregistration.k8s.io/v1/{resource}", get(list))
        .route("/api/v1/namespaces", get(all))
        .route("/api/v1/namespaces/{name}", get(one))
}

fn json_response(code: u16, body: &Value) -> Response {
    let mut response = ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    *response.status_mut() = axum::http::StatusCode::from_u16(code).expect("the code is valid");
    response
}

#[tokio::test]
async fn webhook_denies_streams_and_tags_with_its_words() {
    let lab = WebhookLab::start(&[], |client| {
        validating(vec![webhook("v.example.com", client("/label"), json!({}))])
    })
    .await;
    let denied = lab.api.post(STREAMS, &stream("s")).await.fails(403, "Forbidden", DENIED);
    assert!(denied.get("details").is_none(), "{denied}");
    lab.api.post(TAGS, &tag("s:v1")).await.fails(403, "Forbidden", DENIED);
    lab.api.get("namespaces/lab/imagestreams/s").await.is(404);
    lab.api.post(&format!("{STREAMS}?fieldManager=m"), &labelled("s")).await.is(201);
    // The write of the stream follows from that of the tag, and is no request.
    let mut labelled_tag = tag("s:v1");
    labelled_tag["metadata"]["labels"] = json!({"team": "a"});
    lab.api.post(TAGS, &labelled_tag).await.is(201);
    let reviews = lab.reviews("/label");
    let seen = |review: &Value| {
        let texts = [&review["resource"]["resource"], &review["operation"], &review["name"]];
        texts.map(|text| text.as_str().unwrap_or_default().to_owned()).join(" ")
    };
    let seen: Vec<String> = reviews.iter().map(seen).collect();
    let expected = [
        "imagestreams CREATE s",
        "imagestreamtags CREATE s:v1",
        "imagestreams CREATE s",
        "imagestreamtags CREATE s:v1",
    ];
    assert_eq!(seen, expected);
    let created = &reviews[2];
    let kind = json!({"group": "image.openshift.io", "version": "v1", "kind": "ImageStream"});
    assert_eq!([&created["kind"], &created["requestKind"]], [&kind, &kind]);
    assert_eq!(created["namespace"], "lab");
    assert_eq!(created["oldObject"], Value::Null);
    assert_eq!(created["dryRun"], false);
    assert_eq!(created["userInfo"]["username"], "admin");
    let options =
        json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "m"});
    assert_eq!(created["options"], options);
    let object = &created["object"];
    assert_eq!(
        (&object["kind"], &object["apiVersion"]),
        (&json!("ImageStream"), &json!("image.openshift.io/v1"))
    );
    assert!(object["metadata"]["uid"].is_string(), "{object}");
    assert_eq!(object["metadata"]["managedFields"][0]["manager"], "m");
}

#[tokio::test]
async fn updates_and_deletions_show_the_old_object() {
    let lab = WebhookLab::start(&[], |client| {
        validating(vec![webhook("v.example.com", client("/allow"), json!({}))])
    })
    .await;
    lab.api.post(STREAMS, &stream("s")).await.is(201);
    let patch = json!({"metadata": {"labels": {"team": "b"}}});
    let patched = request("PATCH", &format!("{STREAMS}/s")).json(&patch);
    let patched = patched.header("content-type", "application/merge-patch+json");
    let patched = crate::support::client::Request {
        headers: patched
            .headers
            .into_iter()
            .filter(|(_, value)| value != "application/json")
            .collect(),
        ..patched
    };
    lab.api.ask(patched).await.is(200);
    let put = request("PUT", &format!("{TAGS}/s:v1")).json(&tag("s:v1"));
    lab.api.ask(put).await.is(201);
    lab.api.delete(&format!("{TAGS}/s:v1")).await.is(200);
    lab.api.delete(STREAMS).await.is(200);
    let reviews = lab.reviews("/allow");
    let labels = |object: &Value| object["metadata"]["labels"]["team"].clone();
    let seen: Vec<String> = reviews
        .iter()
        .map(|review| {
            let (resource, operation) = (&review["resource"]["resource"], &review["operation"]);
            let (old, new) = (labels(&review["oldObject"]), labels(&review["object"]));
            let (name, kind) = (&review["name"], &review["options"]["kind"]);
            format!("{resource} {operation} {name} {old} {new} {kind}").replace('"', "")
        })
        .collect();
    let expected = [
        "imagestreams CREATE s null null CreateOptions",
        "imagestreams UPDATE s null b UpdateOptions",
        "imagestreamtags UPDATE s:v1 b b UpdateOptions",
        "imagestreamtags DELETE s:v1 b null DeleteOptions",
        // The request names no stream.
        "imagestreams DELETE null b null DeleteOptions",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn mutations_are_validated_and_stored() {
    let lab = WebhookLab::start(&[], |client| Configurations::Listed {
        mutating: vec![
            webhook(
                "count.example.com",
                client("/count"),
                json!({"reinvocationPolicy": "IfNeeded"}),
            ),
            webhook("annotate.example.com", client("/annotate"), json!({})),
        ],
        validating: vec![webhook("v.example.com", client("/allow"), json!({}))],
    })
    .await;
    let created = lab.api.post(STREAMS, &stream("s")).await.is(201);
    // The second webhook replaced the annotations, so the first one was called again.
    let annotations = json!({"by": "webhook", "calls": "x"});
    assert_eq!(created["metadata"]["annotations"], annotations);
    let stored = lab.api.get(&format!("{STREAMS}/s")).await.is(200);
    assert_eq!(stored["metadata"]["annotations"], annotations);
    assert_eq!(lab.reviews("/count").len(), 2);
    let mutated = lab.reviews("/count")[0]["object"].clone();
    assert!(mutated["metadata"].get("uid").is_none(), "{mutated}");
    assert_eq!(lab.reviews("/allow")[0]["object"]["metadata"]["annotations"], annotations);
    let mut replaced = stored;
    replaced["metadata"]["annotations"] = json!({"own": "1"});
    let updated = lab.api.put(&format!("{STREAMS}/s"), &replaced).await.is(200);
    assert_eq!(updated["metadata"]["annotations"], annotations);
    let tagged = lab.api.put(&format!("{TAGS}/s:v1"), &tag("s:v1")).await.is(201);
    assert_eq!(tagged["tag"]["annotations"]["by"], "webhook");
}

#[tokio::test]
async fn impossible_mutations_fail() {
    let lab = WebhookLab::start(&[], |client| Configurations::Listed {
        mutating: vec![
            webhook("rename.example.com", client("/rename"), json!({
                "objectSelector": {"matchLabels": {"case": "rename"}}})),
            webhook("bad.example.com", client("/bad-patch"), json!({
                "objectSelector": {"matchLabels": {"case": "bad"}}, "failurePolicy": "Ignore"})),
            webhook("delete.example.com", client("/annotate"), json!({
                "rules": [{"operations": ["DELETE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]})),
        ],
        validating: Vec::new(),
    })
    .await;
    let mut bad = stream("bad");
    bad["metadata"]["labels"] = json!({"case": "bad"});
    let text =
        "Internal error occurred: the JSON patch of the webhook cannot be applied to the object";
    lab.api.post(STREAMS, &bad).await.fails(500, "InternalError", text);
    let stored = lab.api.post(STREAMS, &stream("s")).await.is(201);
    let mut renamed = stored;
    renamed["metadata"]["labels"] = json!({"case": "rename"});
    let refused = lab.api.put(&format!("{STREAMS}/s"), &renamed).await.is(422);
    assert!(
        refused["message"].as_str().is_some_and(|text| text.contains("metadata.uid")),
        "{refused}"
    );
    let text = "Internal error occurred: admission webhook \"delete.example.com\" attempted to modify the object, \
                which is not supported for this operation";
    lab.api.delete(&format!("{STREAMS}/s")).await.fails(500, "InternalError", text);
}

#[tokio::test]
async fn failed_calls_follow_the_failure_policy() {
    for (path, seconds, reason) in [
        ("/lie", 10, "received invalid webhook response: expected response.uid="),
        ("/huge", 10, "failed to call webhook: the response is larger than 3145728 bytes"),
        ("/error", 10, "failed to call webhook: an error on the server (\"broken\") has prevented"),
        ("/hang-up", 10, "failed to call webhook: Post \"https://127.0.0.1:"),
        ("/slow", 1, "context deadline exceeded"),
    ] {
        let lab = WebhookLab::start(&[], |client| {
            let fail = json!({
                "namespaceSelector": {"matchLabels": {"name": "lab"}}, "timeoutSeconds": seconds,
            });
            let ignore = json!({"failurePolicy": "Ignore", "timeoutSeconds": seconds});
            validating(vec![
                webhook("fail.example.com", client(path), fail),
                webhook("ignore.example.com", client(path), ignore),
            ])
        })
        .await;
        let failed = lab.api.post(STREAMS, &stream("s")).await.is(500);
        let message = failed["message"].as_str().unwrap_or_default();
        let start = "Internal error occurred: failed calling webhook \"fail.example.com\": ";
        assert!(message.starts_with(start) && message.contains(reason), "{path}: {message}");
        assert_eq!(failed["reason"], "InternalError");
        let ignored = lab.api.post("namespaces/free/imagestreams", &stream("s")).await;
        ignored.is(201);
    }
}

#[tokio::test]
async fn dry_runs_need_webhooks_without_side_effects() {
    let lab = WebhookLab::start(&[], |client| {
        let selector = |case: &str| json!({"matchLabels": {"case": case}});
        validating(vec![
            webhook("some.example.com", client("/allow"), json!({
                "sideEffects": "Some", "failurePolicy": "Ignore", "objectSelector": selector("some")})),
            webhook("none.example.com", client("/allow"), json!({"objectSelector": selector("none")})),
        ])
    })
    .await;
    let dry = |case: &str| {
        let mut stream = stream("s");
        stream["metadata"]["labels"] = json!({"case": case});
        stream
    };
    let path = format!("{STREAMS}?dryRun=All");
    let text = "admission webhook \"some.example.com\" does not support dry run";
    lab.api.post(&path, &dry("some")).await.fails(400, "BadRequest", text);
    lab.api.post(&path, &dry("none")).await.is(201);
    let reviews = lab.reviews("/allow");
    assert_eq!((reviews.len(), &reviews[0]["dryRun"]), (1, &json!(true)));
    assert_eq!(reviews[0]["options"]["dryRun"], json!(["All"]));
}

#[tokio::test]
async fn unknown_webhooks_refuse_writes_or_warn() {
    let lab = WebhookLab::start(&[], |_| Configurations::Forbidden).await;
    let refused = lab.api.post(STREAMS, &stream("s")).await.is(403);
    let message = refused["message"].as_str().unwrap_or_default();
    let start =
        "imagestreams.image.openshift.io \"s\" is forbidden: not yet ready to handle request: ";
    assert!(message.starts_with(start), "{message}");
    for part in ["webhookconfigurations", "manifests/base/rbac-server.yaml"] {
        assert!(message.contains(part), "{message}");
    }
    lab.api.get(STREAMS).await.is(200);
    let lab =
        WebhookLab::start(&["--unknown-admission-rules=warn"], |_| Configurations::Forbidden).await;
    let answer = lab.api.post(STREAMS, &stream("s")).await;
    let warning = answer.header("warning").unwrap_or_default().to_owned();
    answer.is(201);
    assert!(warning.contains("webhooks of the cluster are not known"), "{warning}");
}

#[tokio::test]
async fn warnings_and_audit_annotations_arrive() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let log = folder.path().join("audit.log");
    let flag = format!("--audit-log-path={}", log.display());
    let lab = WebhookLab::start(&[&flag], |client| {
        validating(vec![webhook("v.example.com", client("/notes"), json!({}))])
    })
    .await;
    let answer = lab.api.post(STREAMS, &stream("s")).await;
    assert_eq!(answer.header("warning"), Some("299 - \"think twice\""));
    answer.is(201);
    crate::harness::eventually("the audit event", async || {
        let events = std::fs::read_to_string(&log).unwrap_or_default();
        events.contains("\"v.example.com/seen\":\"yes\"")
    })
    .await;
}

#[tokio::test]
async fn match_conditions_count_as_failures() {
    let lab = WebhookLab::start(&[], |client| {
        let conditions = json!([{"name": "c", "expression": "true"}]);
        validating(vec![
            webhook("open.example.com", client("/deny"), json!({
                "matchConditions": conditions, "failurePolicy": "Ignore"})),
            webhook("closed.example.com", client("/deny"), json!({
                "matchConditions": conditions, "namespaceSelector": {"matchLabels": {"name": "lab"}}})),
        ])
    })
    .await;
    let refused = lab.api.post(STREAMS, &stream("s")).await.is(403);
    let message = refused["message"].as_str().unwrap_or_default();
    let text =
        "the matchConditions of the admission webhook \"closed.example.com\" cannot be evaluated";
    assert!(message.contains(text), "{message}");
    lab.api.post("namespaces/free/imagestreams", &stream("s")).await.is(201);
}
