//! Discovery: the legacy documents and the aggregated one.

use serde_json::{Value, json};

use crate::child::{Output, Running};
use crate::harness::{Api, Expect, TestServer, V1};
use crate::support::client::{Answer, Identity, Request};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const PATHS: [&str; 4] = ["/apis", "/apis/image.openshift.io", V1, "/version"];

async fn ask(api: &Api, path: &str) -> Answer {
    api.ask(Request::new("GET", path)).await
}

#[tokio::test]
async fn the_list_of_groups_has_no_version_of_its_own() {
    let api = Api::start().await;
    let version = json!({"groupVersion": "image.openshift.io/v1", "version": "v1"});
    let group =
        json!({"name": "image.openshift.io", "versions": [version], "preferredVersion": version});
    let groups = ask(&api, "/apis").await;
    assert_eq!(groups.is(200), json!({"kind": "APIGroupList", "groups": [group]}));
    assert_eq!(groups.header("vary"), None);
    let mut alone = ask(&api, "/apis/image.openshift.io").await.is(200);
    let fields = alone.as_object_mut().expect("a group is an object");
    assert_eq!(
        (fields.remove("kind"), fields.remove("apiVersion")),
        (Some("APIGroup".into()), Some("v1".into()))
    );
    assert_eq!(alone, group);
}

#[tokio::test]
async fn resources_come_in_the_recorded_order() {
    let api = Api::start().await;
    let list = ask(&api, V1).await.is(200);
    assert_eq!(
        (&list["kind"], &list["groupVersion"]),
        (&json!("APIResourceList"), &json!("image.openshift.io/v1"))
    );
    let resources = list["resources"].as_array().expect("resources");
    let recorded = [
        "images",
        "imagesignatures",
        "imagestreamimages",
        "imagestreamimports",
        "imagestreammappings",
        "imagestreams",
        "imagestreams/layers",
        "imagestreams/secrets",
        "imagestreams/status",
        "imagestreamtags",
        "imagetags",
    ];
    assert_eq!(resources.iter().map(|each| &each["name"]).collect::<Vec<_>>(), recorded);
    let images = json!({"name": "images", "singularName": "image", "namespaced": false, "kind": "Image",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"], "storageVersionHash": "FX/i8Tt+3Fc="});
    let stream_images = json!({"name": "imagestreamimages", "singularName": "imagestreamimage", "namespaced": true,
        "kind": "ImageStreamImage", "verbs": ["get"], "shortNames": ["isimage"]});
    assert_eq!((&resources[0], &resources[2]), (&images, &stream_images));
    let streams = &resources[5];
    assert_eq!((&streams["shortNames"], &streams["categories"]), (&json!(["is"]), &json!(["all"])));
    assert_eq!(streams["storageVersionHash"], "mwmf9lCqOiA=");
    assert_eq!(resources[6]["singularName"], "");
}

#[tokio::test]
async fn one_document_tells_everything_and_is_sent_once() {
    let api = Api::start().await;
    let accept = format!(
        "{AGGREGATED},application/json;as=APIGroupDiscoveryList;v=v2beta1,application/json"
    );
    let asked = Request::new("GET", "/apis").header("accept", &accept);
    let answer = api.ask(asked.clone()).await;
    assert_eq!(answer.header("content-type"), Some(AGGREGATED));
    let document = answer.is(200);
    assert_eq!(document["kind"], "APIGroupDiscoveryList");
    let version = &document["items"][0]["versions"][0];
    assert_eq!((&version["version"], &version["freshness"]), (&json!("v1"), &json!("Current")));
    let names = |list: &Value, key: &str| -> Vec<Value> {
        list.as_array().into_iter().flatten().map(|each| each[key].clone()).collect()
    };
    let recorded = [
        "images",
        "imagesignatures",
        "imagestreamimages",
        "imagestreamimports",
        "imagestreammappings",
        "imagestreams",
        "imagestreamtags",
        "imagetags",
    ];
    assert_eq!(names(&version["resources"], "resource"), recorded);
    assert_eq!(
        names(&version["resources"][5]["subresources"], "subresource"),
        ["layers", "secrets", "status"]
    );
    let tag = answer.header("etag").expect("the document has a tag");
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    let known = api.ask(asked.header("if-none-match", tag)).await;
    assert_eq!((known.status, known.header("etag"), known.body.len()), (304, Some(tag), 0));
}

#[tokio::test]
async fn discovery_says_what_it_sends() {
    // The content type matches the negotiated format.
    let api = Api::start().await;
    for path in PATHS {
        assert_eq!(
            ask(&api, path).await.header("content-type"),
            Some("application/json"),
            "{path}"
        );
    }
    for path in &PATHS[..3] {
        let yaml = api.ask(Request::new("GET", path).header("accept", "application/yaml")).await;
        assert_eq!(
            (yaml.status, yaml.header("content-type")),
            (200, Some("application/yaml")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn discovery_is_for_those_who_say_who_they_are() {
    // Discovery needs authentication.
    let api = Api::start().await;
    let nobody = api.server.client(Identity::default());
    for path in PATHS {
        let answer = nobody.send(Request::new("GET", path)).await.expect("a response");
        answer.fails(401, "Unauthorized", "Unauthorized");
        let alice = api.server.alice().send(Request::new("GET", path)).await.expect("a response");
        assert_eq!(alice.status, 200, "{path}");
    }
    let aggregated = Request::new("GET", "/apis").header("accept", AGGREGATED);
    assert_eq!(nobody.send(aggregated).await.expect("a response").status, 401);
}

#[tokio::test]
async fn openapi_tells_what_is_served_and_is_sent_once() {
    let api = Api::start().await;
    let index = ask(&api, "/openapi/v3").await.is(200);
    let url = index["paths"]["apis/image.openshift.io/v1"]["serverRelativeURL"]
        .as_str()
        .expect("a URL")
        .to_owned();
    let (path, hash) = url.split_once("?hash=").expect("a hash");
    let document = ask(&api, &url).await;
    assert_eq!(document.header("cache-control"), Some("public, immutable"));
    assert_eq!(document.header("etag"), Some(format!("\"{hash}\"").as_str()));
    for (path, version) in [(path, ("openapi", "3.0.0")), ("/openapi/v2", ("swagger", "2.0"))] {
        let answer = ask(&api, path).await;
        let document = answer.is(200);
        assert_eq!(document[version.0], version.1);
        let patch = &document["paths"]
            [format!("{V1}/namespaces/{{namespace}}/imagestreams/{{name}}")]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "ImageStream");
        let parameters = patch["parameters"].as_array().expect("a patch has parameters");
        for name in ["dryRun", "fieldValidation"] {
            assert!(parameters.iter().any(|each| each["name"] == name), "{path}: {parameters:?}");
        }
        let get = &document["paths"]
            [format!("{V1}/namespaces/{{namespace}}/imagestreamimages/{{name}}")]["get"];
        assert_eq!(get["x-kubernetes-group-version-kind"]["kind"], "ImageStreamImage");
        let tag = answer.header("etag").expect("an entity tag");
        let again = api.ask(Request::new("GET", path).header("if-none-match", tag)).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
}

#[tokio::test]
async fn a_slash_at_the_end_changes_nothing() {
    let api = Api::start().await;
    for path in PATHS {
        let slashed = ask(&api, &format!("{path}/")).await;
        assert_eq!(slashed.is(200), ask(&api, path).await.is(200), "{path}");
    }
}

#[tokio::test]
async fn an_old_hash_is_no_redirection() {
    // A stale `hash` returns the current document instead of a redirect.
    let api = Api::start().await;
    let answer = ask(&api, "/openapi/v3/apis/image.openshift.io/v1?hash=OLD").await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-cache, private")));
    assert_eq!(ask(&api, "/openapi/v3/apis/apps/v1").await.status, 404);
}

#[tokio::test]
async fn version_names_the_build_of_the_binary() {
    let api = Api::start().await;
    let version = ask(&api, "/version").await.is(200);
    let field = |name: &str| version[name].as_str().expect("every field is a string").to_owned();
    let (commit, state, date) = (field("gitCommit"), field("gitTreeState"), field("buildDate"));
    assert!(![&commit, &state].contains(&&String::new()), "{version}");
    date.parse::<jiff::Timestamp>().expect("the date of the build is RFC 3339");
    // kubectl warns unless this is a Kubernetes version within one minor of its own.
    let own = concat!("+imagestream-apiserver.", env!("CARGO_PKG_VERSION"));
    let (major, minor) = (field("major"), field("minor"));
    assert_eq!(field("gitVersion"), format!("v{major}.{minor}.0{own}"));
    let tools = include_str!("../cluster/go.mod");
    let tested = format!("k8s.io/kubernetes v{major}.{minor}.");
    assert!(tools.contains(&tested), "{tested} is not the tested version");
    let (status, printed) = Running::start(["--version"], Output::Printed).end().await;
    assert!(status.success());
    for line in [format!("commit: {commit} ({state})"), format!("build date: {date}")] {
        assert!(printed.lines().any(|each| each == line), "{line} is missing in:\n{printed}");
    }
}
