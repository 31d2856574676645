//! A walk of an administrator with kubectl: webhooks that demand a label, change objects, call back
//! into the server, or are down. `--nocapture` prints what kubectl prints.

use axum::body::Body;
use http::Response;
use serde_json::{Value, json};

use super::kubectl::{Kubectl, Said};
use super::objects::{self, in_base64};
use super::site::{Shared, shared};
use super::wait;
use crate::registry::{Authority, ReceivedRequest, RegistryServer};

const NAMESPACE: &str = "webhook-walk";

/// Applies an object as kubectl prints it.
fn apply(kubectl: &Kubectl, verb: &str, object: &Value) -> Said {
    let arguments = [verb, "--namespace", NAMESPACE, "--filename=-"];
    let said = kubectl.run(&arguments, object.to_string().as_bytes());
    println!("$ kubectl {verb} -f {}\n{}{}", object["kind"], said.output, said.errors);
    said
}

fn config_map(name: &str, labels: &Value) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}})
}

fn stream(name: &str, labels: &Value) -> Value {
    let mut stream = objects::stream(name);
    stream["metadata"]["labels"] = labels.clone();
    stream
}

fn tag(name: &str, labels: &Value) -> Value {
    json!({
        "kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": name, "labels": labels},
        "tag": {"name": "", "from": {"kind": "DockerImage", "name": "example.com/a/b:c"}, "reference": true},
    })
}

/// Registers webhooks: name, kind, path or port of a closed one, and further fields.
async fn register(site: &Shared, bundle: &str, url: &dyn Fn(&str) -> String) {
    let rule = json!({
        "operations": ["CREATE"], "apiGroups": ["", "image.openshift.io"], "apiVersions": ["v1"],
        "resources": ["configmaps", "imagestreams", "imagestreamtags"], "scope": "Namespaced",
    });
    let webhook = |name: &str, url: String, more: Value| {
        let mut webhook = json!({
            "name": format!("{name}.example.com"), "clientConfig": {"url": url, "caBundle": bundle},
            "rules": [rule], "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
        });
        let fields = webhook.as_object_mut().expect("it is an object");
        fields.extend(more.as_object().expect("it is an object").clone());
        webhook
    };
    let only = |case: &str| json!({"objectSelector": {"matchLabels": {"case": case}}});
    let closed = "https://127.0.0.1:1/".to_owned();
    let mut ignored = only("down-ignored");
    ignored["failurePolicy"] = "Ignore".into();
    let validating = [
        webhook("label", url("/label"), json!({})),
        webhook("callback", url("/callback"), only("callback")),
        webhook("down", closed.clone(), only("down")),
        webhook("down-ignored", closed, ignored),
    ];
    let mutating = [webhook("mutate", url("/mutate"), only("mutate"))];
    for (kind, webhooks) in [
        ("MutatingWebhookConfiguration", mutating.as_slice()),
        // The last one, for which the test waits.
        ("ValidatingWebhookConfiguration", validating.as_slice()),
    ] {
        let configuration = json!({
            "kind": kind, "apiVersion": "admissionregistration.k8s.io/v1",
            "metadata": {"name": "walk"}, "webhooks": webhooks,
        });
        let at = format!("/apis/admissionregistration.k8s.io/v1/{}s", kind.to_lowercase());
        site.plane.create(&at, &configuration).await;
    }
}

/// The webhooks. `/callback` lists streams with kubectl while the write waits.
fn responder(kubectl: Kubectl) -> impl Fn(&ReceivedRequest) -> Option<Response<Body>> {
    move |request| {
        let review: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let (uid, object) = (&review["request"]["uid"], &review["request"]["object"]);
        let response = match request.path() {
            "/label" => {
                let status = json!({"message": "the label team is missing", "reason": "Forbidden", "code": 403});
                let is_allowed = object["metadata"]["labels"]["team"].is_string();
                json!({"uid": uid, "allowed": is_allowed, "status": status})
            }
            "/mutate" => {
                let operations = json!([{"op": "add", "path": "/metadata/annotations", "value": {"by": "webhook"}}]);
                let patch = in_base64(operations.to_string());
                json!({"uid": uid, "allowed": true, "patch": patch, "patchType": "JSONPatch"})
            }
            "/callback" => {
                let listed = kubectl.run(&["get", "imagestreams", "--namespace", NAMESPACE], b"");
                let warnings = [format!("the webhook saw: {}", listed.code.unwrap_or(-1))];
                json!({"uid": uid, "allowed": listed.code == Some(0), "warnings": warnings})
            }
            other => panic!("no webhook has the path {other}"),
        };
        let review = json!({
            "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response,
        });
        let response = Response::builder().header("content-type", "application/json");
        Some(response.body(Body::from(review.to_string())).expect("the response is valid"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kubectl_prints_the_words_of_webhooks() {
    let site = shared().await;
    site.plane.create_namespace(NAMESPACE).await;
    let admin = site.plane.user("admin", Some("system:masters")).identity();
    let kubectl = site.plane.kubectl_of(&admin);
    let authority = Authority::new("walk");
    let respond = responder(site.plane.kubectl_of(&admin));
    let server = RegistryServer::start_tls(&authority.server(2099), respond).await;
    register(&site, &in_base64(authority.pem()), &|path| server.url(path)).await;
    let run =
        |verb: &str, object: &Value| tokio::task::block_in_place(|| apply(&kubectl, verb, object));
    for object in [config_map("probe", &json!({})), stream("probe", &json!({}))] {
        wait::until("the webhook is called", async || {
            let arguments =
                ["create", "--namespace", NAMESPACE, "--filename=-", "--dry-run=server"];
            let text = object.to_string();
            let said = tokio::task::block_in_place(|| kubectl.run(&arguments, text.as_bytes()));
            if said.code == Some(0) { Err(said.output) } else { Ok(()) }
        })
        .await;
    }
    let words =
        "admission webhook \"label.example.com\" denied the request: the label team is missing";
    for object in [config_map("a", &json!({})), stream("a", &json!({})), tag("a:v1", &json!({}))] {
        let errors = run("apply", &object).failed();
        let of_webhook = errors.split_once("\"STDIN\": ").map_or("", |(_, text)| text.trim_end());
        assert_eq!(of_webhook, words, "{errors}");
        assert!(
            errors.starts_with("Error from server (Forbidden): error when creating"),
            "{errors}"
        );
    }
    let labelled = |case: &str| json!({"team": "a", "case": case});
    for object in [config_map("m", &labelled("mutate")), stream("m", &labelled("mutate"))] {
        run("create", &object).done();
        let kind = object["kind"].as_str().unwrap_or_default();
        let arguments = [
            "get",
            kind,
            "m",
            "--namespace",
            NAMESPACE,
            "--output=jsonpath={.metadata.annotations}",
        ];
        let shown = tokio::task::block_in_place(|| kubectl.run(&arguments, b"")).done();
        assert_eq!(shown, "{\"by\":\"webhook\"}");
    }
    let created = run("create", &stream("c", &labelled("callback")));
    assert!(created.errors.contains("Warning: the webhook saw: 0"), "{created:?}");
    created.done();
    for object in [config_map("d", &labelled("down")), stream("d", &labelled("down"))] {
        let errors = run("create", &object).failed();
        let start = "Error from server (InternalError): error when creating \"STDIN\": Internal error occurred: failed \
                     calling webhook \"down.example.com\": failed to call webhook: Post \"https://127.0.0.1:1/?timeout=10s\": ";
        assert!(errors.starts_with(start), "{errors}");
        assert!(errors.to_lowercase().contains("connection refused"), "{errors}");
    }
    run("create", &stream("i", &labelled("down-ignored"))).done();
    for kind in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        site.plane.delete(&format!("/apis/admissionregistration.k8s.io/v1/{kind}/walk")).await;
    }
}
