//! Parts of the APIs of Kubernetes that kubectl needs on a server without a cluster.

use serde_json::{Value, json};

use crate::harness::{Api, Expect};
use crate::support::client::{Answer, Request};

async fn ask(api: &Api, path: &str) -> Answer {
    api.ask(Request::new("GET", path)).await
}

async fn post(api: &Api, path: &str, body: &Value) -> Answer {
    api.ask(Request::new("POST", path).json(body)).await
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("a list has items");
    items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

#[tokio::test]
async fn the_core_group_is_discovered() {
    let api = Api::start().await;
    let versions = ask(&api, "/api").await.is(200);
    assert_eq!((&versions["kind"], &versions["versions"]), (&json!("APIVersions"), &json!(["v1"])));
    let resources = ask(&api, "/api/v1").await.is(200);
    assert_eq!(resources["groupVersion"], "v1");
    let namespaces = json!({"name": "namespaces", "singularName": "namespace", "namespaced": false,
        "kind": "Namespace", "verbs": ["get", "list"], "shortNames": ["ns"]});
    assert_eq!(resources["resources"], json!([namespaces]));
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let aggregated = api.ask(Request::new("GET", "/api").header("accept", accept)).await.is(200);
    assert_eq!(aggregated["items"][0]["versions"][0]["resources"][0]["resource"], "namespaces");
}

#[tokio::test]
async fn every_valid_name_is_a_namespace() {
    let api = Api::start().await;
    let namespace = ask(&api, "/api/v1/namespaces/any").await.is(200);
    assert_eq!((&namespace["kind"], &namespace["apiVersion"]), (&json!("Namespace"), &json!("v1")));
    assert_eq!(
        (&namespace["metadata"]["name"], &namespace["status"]["phase"]),
        (&json!("any"), &json!("Active"))
    );
    let status = ask(&api, "/api/v1/namespaces/No_Name").await.is(404);
    assert_eq!(status["message"], "namespaces \"No_Name\" not found");
    post(&api, "/api/v1/namespaces", &json!({"metadata": {"name": "a"}})).await.is(405);
    ask(&api, "/api/v1/namespaces/any/imagestreams/s").await.is(404);
    ask(&api, "/api/v1/pods").await.is(404);
}

#[tokio::test]
async fn a_list_has_the_namespaces_with_streams() {
    let api = Api::start().await;
    let list = ask(&api, "/api/v1/namespaces").await.is(200);
    assert_eq!((&list["kind"], names(&list)), (&json!("NamespaceList"), vec![]));
    for (namespace, stream) in [("b", "s1"), ("a", "s1"), ("a", "s2"), ("a-b", "s1"), ("a0", "s")] {
        let path = format!("/apis/image.openshift.io/v1/namespaces/{namespace}/imagestreams");
        post(&api, &path, &json!({"metadata": {"name": stream}})).await.is(201);
    }
    let list = ask(&api, "/api/v1/namespaces?limit=1").await.is(200);
    assert_eq!(names(&list), ["a-b", "a", "a0", "b"]);
    let list = ask(&api, "/api/v1/namespaces?fieldSelector=metadata.name%3Da").await.is(200);
    assert_eq!(names(&list), ["a"]);
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let request = Request::new("GET", "/api/v1/namespaces").header("accept", accept);
    let table = api.ask(request).await.is(200);
    assert_eq!(table["rows"][0]["cells"], json!(["a-b", "Active"]));
    ask(&api, "/api/v1/namespaces?watch=true").await.is(405);
}

#[tokio::test]
async fn a_review_names_the_user() {
    let api = Api::start().await;
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let review = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
    let answer = post(&api, path, &review).await.is(201);
    assert_eq!(answer["kind"], "SelfSubjectReview");
    let user = &answer["status"]["userInfo"];
    assert_eq!(user["username"], "admin");
    let groups = user["groups"].as_array().expect("the user has groups");
    assert!(groups.contains(&json!("system:authenticated")), "{groups:?}");
}

#[tokio::test]
async fn an_access_review_allows_authenticated_users() {
    let api = Api::start().await;
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = |spec: Value| json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec});
    let action = json!({"verb": "get", "group": "image.openshift.io", "resource": "imagestreams", "namespace": "a"});
    let answer = post(&api, path, &review(json!({"resourceAttributes": action}))).await.is(201);
    assert_eq!(answer["status"], json!({"allowed": true}));
    assert_eq!(answer["spec"]["resourceAttributes"], action);
    let answer = post(&api, path, &review(json!({}))).await.is(422);
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("exactly one of nonResourceAttributes or resourceAttributes"),
        "{message}"
    );
    let both = json!({"resourceAttributes": action, "nonResourceAttributes": {"path": "/a", "verb": "get"}});
    post(&api, path, &review(both)).await.is(422);
}
