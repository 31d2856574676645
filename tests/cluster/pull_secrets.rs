//! `imagestreams/secrets`: the server shows the secrets of a namespace only if it has the right to
//! read them there.

use std::path::Path;

use serde_json::{Value, json};

use super::backend::path;
use super::objects::{self, SERVER, in_base64};
use super::site::{Shared, shared};
use super::wait::until;
use crate::replay::case::Case;
use crate::suite::Suite;
use crate::support::client::Request;
use crate::support::expect::Expect;

/// Creates a namespace with a secret of each type, as used for the recorded responses.
fn furnish(site: &Shared, namespace: &str) {
    let secret = |name: &str, r#type: &str, key: &str, value: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": name},
            "type": r#type, "data": {key: in_base64(value)}})
    };
    let (auths, config) =
        (r#"{"auths":{"example.com":{"auth":"dTpw"}}}"#, r#"{"example.com":{"auth":"dTpw"}}"#);
    let mut excluded = secret("pull-excluded", "kubernetes.io/dockercfg", ".dockercfg", config);
    excluded["metadata"]["annotations"] = json!({"openshift.io/image.excludeSecret": "true"});
    let all = [
        objects::namespace(namespace),
        secret("pull-a", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", auths),
        secret("pull-b", "kubernetes.io/dockercfg", ".dockercfg", config),
        excluded,
        secret("opaque", "Opaque", "x", "x"),
    ];
    // The recorded responses contain the annotation of client-side apply.
    let list = json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string();
    let admin = site.plane.user("admin", Some("system:masters")).identity();
    site.plane
        .kubectl_with_input(&admin, &["apply", "--validate=false", "--filename=-"], list.as_bytes())
        .done();
}

/// Requests `imagestreams/secrets` in a namespace.
async fn list(site: &Shared, namespace: &str) -> Value {
    let list = site
        .plane
        .ask(Request::new("GET", &path(namespace, "imagestreams/any/secrets")))
        .await
        .is(200);
    assert_eq!(list["kind"], "SecretList");
    list
}

/// The names of the secrets that the response for a namespace contains.
async fn shown(site: &Shared, namespace: &str) -> Vec<String> {
    let list = list(site, namespace).await;
    let items = list["items"].as_array().expect("the value is a list");
    items.iter().filter_map(|item| item["metadata"]["name"].as_str()).map(str::to_owned).collect()
}

/// Grants the server the right to read the secrets of a namespace, with the role of
/// `components/secrets-reader`, and waits until it is in effect.
async fn let_read(site: &Shared, namespace: &str) {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/components/secrets-reader/rbac.yaml");
    let text = std::fs::read_to_string(file).expect("the component can be read");
    let mut roles: Vec<Value> = serde_saphyr::from_multiple(&text).expect("the component is YAML");
    roles.retain(|object| object["kind"] == "ClusterRole");
    let name = roles[0]["metadata"]["name"].as_str().expect("the role has a name").to_owned();
    let server = super::grants::service_account(SERVER, SERVER);
    roles.push(objects::binding(
        "RoleBinding",
        namespace,
        "secrets-reader",
        ("ClusterRole", &name),
        &[server],
    ));
    site.plane.apply(&roles);
    until("the server reads the secrets", || async {
        let list = list(site, namespace).await;
        // The response has no resource version if the server could not list the secrets.
        if list["metadata"]["resourceVersion"].is_string() { Ok(()) } else { Err(list.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn secrets_are_shown_only_where_server_may_read_them() {
    let site = shared().await;
    for namespace in ["secrets-shown", "secrets-hidden"] {
        furnish(&site, namespace);
        assert!(
            shown(&site, namespace).await.is_empty(),
            "the server reads secrets of {namespace}"
        );
    }
    let_read(&site, "secrets-shown").await;
    assert_eq!(shown(&site, "secrets-shown").await, ["pull-a", "pull-b"]);
    assert!(shown(&site, "secrets-hidden").await.is_empty());
}

#[tokio::test]
async fn secrets_are_answered_as_recorded() {
    let suite = Suite::as_recorded(|case: &Case| case.name == "imagestreams/secrets");
    let site = shared().await;
    furnish(&site, "conf-secrets");
    site.plane.apply(&[objects::namespace("conf-imagestreams")]);
    for namespace in ["conf-secrets", "conf-imagestreams"] {
        let_read(&site, namespace).await;
    }
    let admin = site.backend.client(&site.plane.user("admin", Some("system:masters")).identity());
    suite.replay([("admin".to_owned(), admin)].into()).await;
}
