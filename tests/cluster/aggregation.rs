//! The API as users of the cluster see it through kube-apiserver.

use serde_json::Value;

use super::backend::{path, token};
use super::grants::{group, service_account, user};
use super::objects::{self, API_SERVICE, V1};
use super::site::{DIGEST, SHOP, anonymous, image, shared};
use super::wait::until;
use crate::support::client::{Identity, Request};
use crate::support::expect::Expect;

/// Arguments of kubectl to print an image of a stream as a table.
fn table(name: &str) -> [&str; 5] {
    ["get", "isimage", name, "--namespace", SHOP]
}

#[tokio::test]
async fn all_checks_of_the_api_service_pass() {
    let site = shared().await;
    let api_service = site.plane.get(API_SERVICE).await.expect("the APIService exists");
    let condition = &api_service["status"]["conditions"][0];
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&"True".into(), &"Passed".into()),
        "{condition}"
    );
}

#[tokio::test]
async fn kubectl_lists_the_resources_of_the_group() {
    let site = shared().await;
    let alice = site.plane.user("alice", None).identity();
    let listed = until("the resources are listed", || async {
        let said = site
            .plane
            .kubectl(&alice, &["api-resources", "--api-group=image.openshift.io", "--no-headers"]);
        if said.output.is_empty() { Err(format!("{said:?}")) } else { Ok(said.done()) }
    })
    .await;
    let of_images: Vec<&str> =
        listed.lines().find(|line| line.starts_with("imagestreamimages ")).map_or_else(
            || panic!("imagestreamimages are not listed:\n{listed}"),
            |line| line.split_whitespace().collect(),
        );
    assert_eq!(
        of_images,
        ["imagestreamimages", "isimage", "image.openshift.io/v1", "true", "ImageStreamImage"]
    );
}

#[tokio::test]
async fn kube_apiserver_merges_aggregated_discovery() {
    let site = shared().await;
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    until("the aggregated discovery of the group is current", || async {
        let all =
            site.plane.ask(Request::new("GET", "/apis").header("accept", accept)).await.is(200);
        let groups = all["items"].as_array().cloned().unwrap_or_default();
        let group = groups.iter().find(|group| group["metadata"]["name"] == "image.openshift.io");
        let version = &group.ok_or("the group is not listed")?["versions"][0];
        let resources = version["resources"].as_array().map_or(0, Vec::len);
        if version["freshness"] == "Current" && resources > 0 {
            Ok(())
        } else {
            Err(version.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn kube_apiserver_publishes_the_openapi_document_of_the_group() {
    let site = shared().await;
    let alice = site.plane.client(site.plane.user("alice", None).identity());
    let at = until("the document is published", || async {
        let index = alice
            .send(Request::new("GET", "/openapi/v3"))
            .await
            .map_err(|why| why.to_string())?
            .is(200);
        let entry = &index["paths"]["apis/image.openshift.io/v1"];
        entry["serverRelativeURL"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| "the document is not in the index".to_owned())
    })
    .await;
    let document =
        alice.send(Request::new("GET", &at)).await.expect("kube-apiserver answers").is(200);
    assert!(
        document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")),
        "{document}"
    );
}

#[tokio::test]
async fn kubectl_explains_the_fields_of_an_image_of_a_stream() {
    let site = shared().await;
    let alice = site.plane.user("alice", None).identity();
    until("the layers are explained", || async {
        let said = site.plane.kubectl(&alice, &["explain", "isimage.image.dockerImageLayers"]);
        if said.output.contains("list of layers of the image, lowest first.") {
            Ok(())
        } else {
            Err(format!("{said:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_may_reads_an_image_of_a_stream_raw_and_as_a_table() {
    let site = shared().await;
    let viewer = site.plane.user("viewer", None).identity();
    let raw = site.plane.kubectl(&viewer, &["get", "--raw", &image()]).done();
    let raw: Value = serde_json::from_str(&raw).expect("the answer is JSON");
    assert_eq!(
        (&raw["kind"], &raw["image"]["metadata"]["name"]),
        (&"ImageStreamImage".into(), &DIGEST.into())
    );
    let name = format!("hello@{DIGEST}");
    let table = site.plane.kubectl(&viewer, &table(&name)).done();
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert_eq!((lines[0][0], lines[1][0]), ("NAME", name.as_str()), "{table}");
}

#[tokio::test]
async fn a_shortened_digest_is_found_and_a_missing_one_is_not() {
    let site = shared().await;
    let viewer = site.plane.user("viewer", None).identity();
    let table_of_short =
        site.plane.kubectl(&viewer, &table(&format!("hello@{}", &DIGEST[..14]))).done();
    // The table shortens the digest to the same length.
    assert!(table_of_short.contains(&format!("hello@{}", &DIGEST[..14])), "{table_of_short}");
    let errors = site.plane.kubectl(&viewer, &table("hello@sha256:0000")).failed();
    assert!(errors.starts_with("Error from server (NotFound): "), "{errors}");
}

#[tokio::test]
async fn a_user_without_a_role_is_forbidden() {
    let site = shared().await;
    let alice = site.plane.user("alice", None).identity();
    let errors = site.plane.kubectl(&alice, &table("hello@sha256:0000")).failed();
    let wanted = "Error from server (Forbidden): imagestreamimages.image.openshift.io \"hello@sha256:0000\" is forbidden: \
                  User \"alice\" cannot get resource \"imagestreamimages\" in API group \"image.openshift.io\" in the \
                  namespace \"shop\"";
    assert_eq!(errors.trim_end(), wanted);
}

#[tokio::test]
async fn nobody_may_only_what_everybody_may() {
    let site = shared().await;
    let namespace = "open";
    site.plane.create_namespace(namespace).await;
    site.plane
        .grant(namespace, &group("system:unauthenticated"), &["get"], &["imagestreamimages"])
        .await;
    let client = site.plane.client(anonymous());
    let ask = |path: String| client.send_unchecked(Request::new("GET", &path));
    let refused = ask(image()).await.expect("kube-apiserver answers").is(403);
    assert!(
        refused["message"].as_str().is_some_and(|text| text.contains("\"system:anonymous\"")),
        "{refused}"
    );
    let missing =
        ask(path(namespace, "imagestreamimages/nosuch@x")).await.expect("kube-apiserver answers");
    missing.fails(404, "NotFound", "imagestreamimages.image.openshift.io \"nosuch\" not found");
}

#[tokio::test]
async fn service_account_token_works_aggregated_and_direct() {
    let site = shared().await;
    site.plane.apply(&[
        objects::service_account(SHOP, "robot"),
        objects::service_account(SHOP, "stranger"),
    ]);
    site.plane.grant(SHOP, &service_account(SHOP, "robot"), &["get"], &["imagestreamimages"]).await;
    let robot = Identity::token(&token(&site.plane, SHOP, "robot").await);
    site.plane.kubectl(&robot, &["get", "--raw", &image()]).done();
    site.backend.ask(&robot, Request::new("GET", &image())).await.is(200);

    let stranger = Identity::token(&token(&site.plane, SHOP, "stranger").await);
    for answer in [
        site.plane
            .client(stranger.clone())
            .send_unchecked(Request::new("GET", &image()))
            .await
            .expect("kube-apiserver answers"),
        site.backend.ask(&stranger, Request::new("GET", &image())).await,
    ] {
        let message = answer.is(403)["message"].clone();
        let named = message
            .as_str()
            .is_some_and(|text| text.contains("\"system:serviceaccount:shop:stranger\""));
        assert!(named, "{message}");
    }
}

#[tokio::test]
async fn an_admin_may_act_as_somebody_and_others_may_not() {
    let site = shared().await;
    let raw = image();
    let get_as = |identity: &Identity, user: &str| {
        site.plane.kubectl(identity, &["get", "--raw", &raw, "--as", user])
    };
    let admin = site.plane.user("admin", Some("system:masters")).identity();
    get_as(&admin, "viewer").done();
    let errors = get_as(&admin, "alice").failed();
    assert!(
        errors.contains("User \"alice\" cannot get resource \"imagestreamimages\""),
        "{errors}"
    );
    let errors = get_as(&site.plane.user("viewer", None).identity(), "admin").failed();
    assert!(errors.contains("is forbidden: User \"viewer\" cannot impersonate"), "{errors}");
}

#[tokio::test]
async fn what_is_written_through_kube_apiserver_is_read_from_there() {
    let site = shared().await;
    site.plane.grant(SHOP, &user("editor"), &["get", "create"], &["imagestreams"]).await;
    let client = site.plane.client(site.plane.user("editor", None).identity());
    let streams = path(SHOP, "imagestreams");
    let request = Request::new("POST", &streams).json(&objects::stream("written"));
    client.send_unchecked(request).await.expect("kube-apiserver answers").is(201);
    let read = client.send_unchecked(Request::new("GET", &format!("{streams}/written"))).await;
    assert_eq!(read.expect("kube-apiserver answers").is(200)["metadata"]["name"], "written");
    let image = Request::new("GET", &format!("{V1}/images/{DIGEST}"));
    client.send_unchecked(image).await.expect("kube-apiserver answers").is(403);
}

#[tokio::test]
async fn kubectl_creates_a_stream_and_shows_and_deletes_it() {
    let site = shared().await;
    site.plane.grant(SHOP, &user("curator"), &["create", "get", "delete"], &["imagestreams"]).await;
    let curator = site.plane.user("curator", None).identity();
    let created = site.plane.kubectl_with_input(
        &curator,
        &["create", "--namespace", SHOP, "--filename=-", "--validate=strict"],
        objects::stream("made-by-kubectl").to_string().as_bytes(),
    );
    assert_eq!(created.done().trim_end(), "imagestream.image.openshift.io/made-by-kubectl created");
    let call = |verb: &str| {
        site.plane.kubectl(&curator, &[verb, "--namespace", SHOP, "imagestream/made-by-kubectl"])
    };
    assert!(call("get").done().contains("made-by-kubectl"));
    call("delete").done();
    assert!(call("get").failed().contains("(NotFound)"));
}
