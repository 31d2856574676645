//! Admission webhooks: kube-apiserver, for a ConfigMap, and this server, for a stream, send the same
//! requests and give clients the same responses.

use std::collections::BTreeMap;

use axum::body::Body;
use http::Response;
use serde_json::{Value, json};

use super::backend::path;
use super::objects::in_base64;
use super::site::{Shared, shared};
use super::wait;
use crate::registry::{Authority, ReceivedRequest, RegistryServer};
use crate::support::client::{self, Request};
use crate::support::expect::Expect;

const NAMESPACE: &str = "webhooks";

/// A kind of webhook, with its behaviour and the comparison of responses.
struct Row {
    name: &'static str,
    kind: Kind,
    /// Fields of the webhook.
    fields: fn() -> Value,
    /// The response to a request with this UID; none to hang up.
    respond: fn(&Value) -> Option<Value>,
    texts: Texts,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Mutating,
    Validating,
}

/// The comparison of messages.
#[derive(Clone, Copy, PartialEq)]
enum Texts {
    Equal,
    /// The end of the message comes from the language's libraries: equal up to this text.
    EqualUpTo(&'static str),
}

const ROWS: &[Row] = &[
    validating("allow", || json!({}), |uid| Some(json!({"uid": uid, "allowed": true}))),
    validating("deny", || json!({}), |uid| Some(json!({"uid": uid, "allowed": false}))),
    validating(
        "deny-with-a-status",
        || json!({}),
        |uid| {
            let details =
                json!({"name": "n", "kind": "k", "causes": [{"message": "m", "field": "f"}]});
            let status = json!({"message": "the label is missing", "reason": "Forbidden", "code": 403, "details": details});
            Some(json!({"uid": uid, "allowed": false, "status": status}))
        },
    ),
    validating(
        "deny-with-a-reason",
        || json!({}),
        |uid| {
            let status = json!({"reason": "Conflict", "code": 200, "status": "Success"});
            Some(json!({"uid": uid, "allowed": false, "status": status}))
        },
    ),
    validating(
        "warn",
        || json!({}),
        |uid| {
            let warnings = ["think twice", "think \"twice\"", "think twice"];
            Some(json!({"uid": uid, "allowed": true, "warnings": warnings}))
        },
    ),
    Row {
        texts: Texts::EqualUpTo("expected response.uid="),
        ..validating("other-uid", || json!({}), |_| Some(json!({"uid": "other", "allowed": true})))
    },
    validating("no-response", || json!({}), |_| Some(Value::Null)),
    validating(
        "validating-patch",
        || json!({}),
        |uid| {
            Some(
                json!({"uid": uid, "allowed": true, "patch": in_base64("[]"), "patchType": "JSONPatch"}),
            )
        },
    ),
    validating(
        "other-uid-ignored",
        || json!({"failurePolicy": "Ignore"}),
        |_| Some(json!({"uid": "other", "allowed": true})),
    ),
    Row {
        texts: Texts::EqualUpTo("?timeout=7s\": "),
        ..validating("hang-up", || json!({"timeoutSeconds": 7}), |_| None)
    },
    validating("hang-up-ignored", || json!({"failurePolicy": "Ignore"}), |_| None),
    validating(
        "side-effects",
        || json!({"sideEffects": "NoneOnDryRun"}),
        |uid| Some(json!({"uid": uid, "allowed": true})),
    ),
    validating(
        "only-namespaced",
        || json!({"rules": [rule(&["*"], "Namespaced")]}),
        |uid| Some(json!({"uid": uid, "allowed": false})),
    ),
    validating(
        "only-cluster",
        || json!({"rules": [rule(&["*"], "Cluster")]}),
        |uid| Some(json!({"uid": uid, "allowed": false})),
    ),
    validating(
        "only-updates",
        || json!({"rules": [rule(&["UPDATE"], "*")]}),
        |uid| Some(json!({"uid": uid, "allowed": false})),
    ),
    validating(
        "only-deletions",
        || json!({"rules": [rule(&["DELETE", "CONNECT"], "*")]}),
        |uid| Some(json!({"uid": uid, "allowed": false})),
    ),
    validating(
        "namespace-selector",
        || {
            let not_here = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [NAMESPACE]});
            json!({"namespaceSelector": {"matchExpressions": [not_here]}})
        },
        |uid| Some(json!({"uid": uid, "allowed": false})),
    ),
    mutating("label", |uid| {
        patch(uid, &json!([{"op": "add", "path": "/metadata/labels/by", "value": "webhook"}]))
    }),
    mutating("no-patch", |uid| Some(json!({"uid": uid, "allowed": true}))),
    mutating("empty-patch", |uid| patch(uid, &json!([]))),
    mutating("no-patch-type", |uid| {
        Some(json!({"uid": uid, "allowed": true, "patch": in_base64("[]")}))
    }),
    mutating("no-patch-but-type", |uid| {
        Some(json!({"uid": uid, "allowed": true, "patchType": "JSONPatch"}))
    }),
    Row {
        texts: Texts::EqualUpTo("Internal error occurred: "),
        ..mutating("impossible-patch", |uid| {
            patch(uid, &json!([{"op": "remove", "path": "/metadata/x"}]))
        })
    },
    Row {
        texts: Texts::EqualUpTo("received undecodable patch in webhook response: "),
        ..mutating("undecodable-patch", |uid| {
            Some(
                json!({"uid": uid, "allowed": true, "patch": in_base64("{}"), "patchType": "JSONPatch"}),
            )
        })
    },
];

const fn validating(
    name: &'static str,
    fields: fn() -> Value,
    respond: fn(&Value) -> Option<Value>,
) -> Row {
    Row { name, kind: Kind::Validating, fields, respond, texts: Texts::Equal }
}

const fn mutating(name: &'static str, respond: fn(&Value) -> Option<Value>) -> Row {
    Row { name, kind: Kind::Mutating, fields: || json!({}), respond, texts: Texts::Equal }
}

fn patch(uid: &Value, operations: &Value) -> Option<Value> {
    let patch = in_base64(operations.to_string());
    Some(json!({"uid": uid, "allowed": true, "patch": patch, "patchType": "JSONPatch"}))
}

fn rule(operations: &[&str], scope: &str) -> Value {
    json!({
        "operations": operations, "scope": scope, "apiGroups": ["", "image.openshift.io"],
        "apiVersions": ["v1"], "resources": ["configmaps", "imagestreams"],
    })
}

/// The two kinds that are compared.
#[derive(Clone, Copy)]
struct Resource {
    plural: &'static str,
    kind: &'static str,
    api_version: &'static str,
}

const CONFIG_MAPS: Resource =
    Resource { plural: "configmaps", kind: "ConfigMap", api_version: "v1" };
const STREAMS: Resource =
    Resource { plural: "imagestreams", kind: "ImageStream", api_version: "image.openshift.io/v1" };

impl Resource {
    fn path(self, rest: &str) -> String {
        match self.plural {
            "configmaps" => format!("/api/v1/namespaces/{NAMESPACE}/configmaps{rest}"),
            _ => path(NAMESPACE, &format!("imagestreams{rest}")),
        }
    }

    fn object(self, row: &str, metadata: &Value) -> Value {
        let mut object = json!({
            "kind": self.kind, "apiVersion": self.api_version, "metadata": {"labels": {"row": row}},
        });
        let fields = object["metadata"].as_object_mut().expect("it is an object");
        fields.extend(metadata.as_object().expect("it is an object").clone());
        object
    }
}

/// The number of [`requests`] of a row.
const REQUESTS: usize = 7;

/// A request of a row. The object `old` exists, with this metadata; `new` does not.
fn requests(resource: Resource, row: &str, number: usize, existing: &Value) -> Request {
    let send = |method: &str, rest: &str, media: &str, body: &Value| {
        let request = Request::new(method, &resource.path(rest)).header("content-type", media);
        Request { body: Some(body.to_string().into_bytes()), ..request }
    };
    let (json_media, old) = ("application/json", format!("/old-{row}"));
    let new = resource.object(row, &json!({"name": format!("new-{row}")}));
    let put = {
        let mut metadata = existing.clone();
        metadata["labels"] = json!({"row": row, "more": "1"});
        resource.object(row, &metadata)
    };
    let applied = json!({"name": format!("old-{row}"), "annotations": {"applied": "yes"}});
    match number {
        0 => send("POST", "?dryRun=All", json_media, &new),
        1 => send("POST", "?fieldManager=m&fieldValidation=Strict", json_media, &new),
        2 => send("PUT", &old, json_media, &put),
        3 => {
            let patch = json!({"metadata": {"labels": {"more": "2"}}});
            send("PATCH", &old, "application/merge-patch+json", &patch)
        }
        4 => {
            let rest = format!("{old}?fieldManager=applier");
            let media = "application/apply-patch+yaml";
            send("PATCH", &rest, media, &resource.object(row, &applied))
        }
        5 => send("DELETE", &old, json_media, &json!({"dryRun": ["All"]})),
        _ => send("DELETE", &old, json_media, &json!({"propagationPolicy": "Background"})),
    }
}

/// What a client saw.
#[derive(Debug, PartialEq)]
struct Seen {
    code: u16,
    reason: Value,
    message: String,
    details: Value,
    warnings: Vec<String>,
    labels: Value,
}

/// The parts of a response that both servers have in common.
fn seen(answer: &client::Answer, resource: Resource, texts: Texts) -> Seen {
    let body = answer.json().unwrap_or_default();
    let message = body["message"].as_str().unwrap_or_default().replace(resource.plural, "RESOURCE");
    let message = message.replace("RESOURCE.image.openshift.io", "RESOURCE");
    let message = match texts {
        Texts::EqualUpTo(end) => match message.find(end) {
            Some(at) => message[..at + end.len()].to_owned(),
            None => message,
        },
        Texts::Equal => message,
    };
    let mut details = match texts {
        // The cause repeats the message.
        Texts::EqualUpTo(_) => Value::Null,
        Texts::Equal => body["details"].clone(),
    };
    if let Some(fields) = details.as_object_mut().filter(|fields| fields.contains_key("group")) {
        fields.remove("group");
    }
    if details["kind"] == resource.plural {
        details["kind"] = "RESOURCE".into();
    }
    let is_status = body["kind"] == "Status";
    let warnings = answer.headers.iter().filter(|(name, _)| name == "warning");
    Seen {
        code: answer.status,
        reason: body["reason"].clone(),
        message,
        // A successful deletion names the resource.
        details: if is_status && answer.status >= 400 { details } else { Value::Null },
        warnings: warnings.map(|(_, value)| value.clone()).collect(),
        labels: body["metadata"]["labels"].clone(),
    }
}

/// The parts of a request to a webhook that both servers have in common.
fn review(request: &ReceivedRequest) -> (String, Value) {
    let review: Value = serde_json::from_str(&request.body).expect("a review is JSON");
    let mut fields = review["request"].clone();
    let resource = fields["resource"]["resource"].as_str().unwrap_or_default().to_owned();
    assert!(fields["uid"].as_str().is_some_and(|uid| uid.len() == 36), "{fields}");
    assert_eq!(fields["requestKind"], fields["kind"]);
    assert_eq!(fields["requestResource"], fields["resource"]);
    let fields = fields.as_object_mut().expect("a request is an object");
    for name in ["uid", "kind", "resource", "requestKind", "requestResource"] {
        fields.remove(name).expect("a request has the field");
    }
    for name in ["object", "oldObject"] {
        let object = fields.get_mut(name).expect("a request has both objects");
        *object = shape(object);
    }
    let review = json!({
        "kind": review["kind"], "apiVersion": review["apiVersion"], "request": fields,
        "query": request.target.split('?').nth(1), "type": request.headers["content-type"].to_str().ok(),
        "agent": request.headers["user-agent"].to_str().ok(),
    });
    (resource, review)
}

/// The metadata of an object, without the values that differ by server.
fn shape(object: &Value) -> Value {
    let Some(metadata) = object["metadata"].as_object() else { return object.clone() };
    let differing = ["uid", "creationTimestamp", "resourceVersion", "managedFields", "generation"];
    let shown = |(key, value): (&String, &Value)| {
        let value =
            if differing.contains(&key.as_str()) { json!("present") } else { value.clone() };
        (key.clone(), value)
    };
    // Streams count generations; ConfigMaps do not.
    let fields: BTreeMap<String, Value> =
        metadata.iter().map(shown).filter(|(key, _)| key != "generation").collect();
    json!(fields)
}

/// Starts the webhooks of all rows, and registers them for objects with the label of their row.
async fn register(site: &Shared) -> RegistryServer {
    let authority = Authority::new("webhooks");
    let respond = |request: &ReceivedRequest| {
        let review: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let name = request.path().trim_start_matches('/');
        let row = ROWS.iter().find(|row| row.name == name).expect("each path has a row");
        let response = (row.respond)(&review["request"]["uid"])?;
        let mut review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"});
        if !response.is_null() {
            review["response"] = response;
        }
        let response = Response::builder().header("content-type", "application/json");
        Some(response.body(Body::from(review.to_string())).expect("the response is valid"))
    };
    let server = RegistryServer::start_tls(&authority.server(2099), respond).await;
    for (kind, plural) in [
        (Kind::Mutating, "MutatingWebhookConfiguration"),
        (Kind::Validating, "ValidatingWebhookConfiguration"),
    ] {
        let of_kind = ROWS.iter().filter(|row| row.kind == kind);
        let webhooks: Vec<Value> = of_kind
            .map(|row| {
                let client = json!({
                    "url": server.url(&format!("/{}", row.name)), "caBundle": in_base64(authority.pem()),
                });
                let mut webhook = json!({
                    "name": format!("{}.example.com", row.name), "clientConfig": client,
                    "rules": [rule(&["*"], "*")], "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "objectSelector": {"matchLabels": {"row": row.name}},
                });
                let fields = webhook.as_object_mut().expect("it is an object");
                fields.extend((row.fields)().as_object().expect("it is an object").clone());
                webhook
            })
            .collect();
        let configuration = json!({
            "kind": plural, "apiVersion": "admissionregistration.k8s.io/v1",
            "metadata": {"name": "table"}, "webhooks": webhooks,
        });
        let at = format!("/apis/admissionregistration.k8s.io/v1/{}s", plural.to_lowercase());
        site.plane.create(&at, &configuration).await;
    }
    server
}

/// Waits until both servers call the webhooks of both configurations.
async fn wait_for_rules(site: &Shared) {
    for resource in [CONFIG_MAPS, STREAMS] {
        for row in ["deny", "no-patch-type"] {
            wait::until("the webhooks are called", || async {
                let object = resource.object(row, &json!({"generateName": "probe"}));
                let mut object = object;
                if resource.plural == "imagestreams" {
                    object["metadata"]["name"] = "probe".into();
                }
                let request = Request::new("POST", &resource.path("?dryRun=All")).json(&object);
                let answer = site.plane.ask(request).await;
                if answer.status >= 400 { Ok(()) } else { Err(format!("{}", answer.status)) }
            })
            .await;
        }
    }
}

#[tokio::test]
async fn webhooks_see_and_cause_the_same_as_in_kube_apiserver() {
    let site = shared().await;
    site.plane.create_namespace(NAMESPACE).await;
    // One client, because each certificate has an ID that webhooks see.
    let admin = site.plane.admin();
    let ask = async |request: Request| admin.send(request).await.expect("a response");
    for (resource, row) in
        [CONFIG_MAPS, STREAMS].into_iter().flat_map(|each| ROWS.iter().map(move |row| (each, row)))
    {
        let object = resource.object(row.name, &json!({"name": format!("old-{}", row.name)}));
        ask(Request::new("POST", &resource.path("")).json(&object)).await.is(201);
    }
    let server = register(&site).await;
    wait_for_rules(&site).await;
    let mut differences = Vec::new();
    let mut compared = 0;
    for (row, number) in ROWS.iter().flat_map(|row| (0..REQUESTS).map(move |at| (row, at))) {
        let mut outcomes = Vec::new();
        for resource in [CONFIG_MAPS, STREAMS] {
            let old = resource.path(&format!("/old-{}", row.name));
            let existing = ask(Request::new("GET", &old)).await.is(200)["metadata"].clone();
            let before = server.log().len();
            let request = requests(resource, row.name, number, &existing);
            let what = format!("{} {} {}", row.name, request.method, request.target);
            let answer = ask(request).await;
            let reviews: Vec<Value> = server.log()[before..]
                .iter()
                .map(review)
                .inspect(|(of, _)| assert_eq!(of, resource.plural))
                .map(|(_, review)| review)
                .collect();
            outcomes.push((what, seen(&answer, resource, row.texts), reviews));
        }
        let [(_, expected, sent), (what, found, received)] =
            outcomes.try_into().expect("there are two resources");
        compared += 1;
        if expected != found {
            differences.push(format!("{what}: client\n  kube: {expected:?}\n  here: {found:?}"));
        }
        if sent != received {
            let [sent, received] = [sent, received].map(Value::from);
            differences.push(format!("{what}: webhook\n  kube: {sent}\n  here: {received}"));
        }
    }
    for configurations in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        site.plane
            .delete(&format!("/apis/admissionregistration.k8s.io/v1/{configurations}/table"))
            .await;
    }
    println!("{compared} pairs of requests, {} requests to webhooks", server.log().len());
    assert!(server.log().len() > 200, "{} requests to webhooks", server.log().len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
