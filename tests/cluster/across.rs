//! Tags that refer to another namespace. The writer needs `get` on `imagestreams/layers` of the
//! source stream; the server checks this with a SubjectAccessReview.

use serde_json::{Value, json};

use super::backend::path;
use super::grants::user;
use super::objects;
use super::site::{DIGEST, Shared, shared};
use crate::support::client::{Answer, Identity, Request};
use crate::support::expect::Expect;

const TARGET: &str = "across";
const SOURCE: &str = "across-source";

/// Creates a stream `base` with an image in one namespace and a user with the role `edit` in
/// another.
async fn prepare(site: &Shared, name: &str) -> Identity {
    site.plane.apply(&[
        objects::namespace(TARGET),
        objects::namespace(SOURCE),
        objects::stream_in(SOURCE, "base"),
    ]);
    let mapping = Request::new("POST", &path(SOURCE, "imagestreammappings"))
        .json(&objects::mapping("base", DIGEST));
    site.plane.ask(mapping).await.is(201);
    site.plane.bind(TARGET, &user(name), "edit", ("create", "imagestreams")).await;
    site.plane.user(name, None).identity()
}

/// A tag that refers to an image stream tag of the other namespace.
fn tag(from: &str) -> Value {
    json!({"name": "t", "from": {"kind": "ImageStreamTag", "name": from, "namespace": SOURCE}})
}

fn stream(name: &str, from: &str) -> Value {
    let mut stream = objects::stream(name);
    stream["spec"] = json!({"tags": [tag(from)]});
    stream
}

/// Creates an object through kube-apiserver.
async fn create(site: &Shared, identity: &Identity, collection: &str, object: &Value) -> Answer {
    let request = Request::new("POST", &path(TARGET, collection)).json(object);
    site.plane
        .client(identity.clone())
        .send_unchecked(request)
        .await
        .expect("kube-apiserver answers")
}

/// The error for a user without the right to pull from the source stream of a tag.
fn refusal(stream: &str, source: &str) -> String {
    format!(
        "ImageStream.image.openshift.io \"{stream}\" is invalid: []: Internal error: imagestreams \"{stream}\" is \
         invalid: spec.tags[t].from: Forbidden: {SOURCE}/{source}: \"\" \"\""
    )
}

#[tokio::test]
async fn tag_from_forbidden_stream_reveals_nothing() {
    let site = shared().await;
    let stranger = prepare(&site, "stranger").await;
    // An existing tag, a missing tag and a missing stream get the same error.
    for (from, source) in
        [("base:latest", "base"), ("base:missing", "base"), ("missing:latest", "missing")]
    {
        let refused = create(&site, &stranger, "imagestreams", &stream("refused", from)).await;
        refused.fails(422, "Invalid", &refusal("refused", source));
        let istag = json!({"kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1",
            "metadata": {"name": "refused:t"}, "tag": tag(from)});
        let refused = create(&site, &stranger, "imagestreamtags", &istag).await;
        refused.fails(422, "Invalid", &refusal("refused", source));
    }
    let stream = path(TARGET, "imagestreams/refused");
    assert_eq!(site.plane.get(&stream).await, None);
}

#[tokio::test]
async fn a_role_binding_in_the_other_namespace_lets_the_tag_resolve() {
    let site = shared().await;
    let puller = prepare(&site, "guest").await;
    site.plane.grant(SOURCE, &user("guest"), &["get"], &["imagestreams/layers"]).await;
    let created =
        create(&site, &puller, "imagestreams", &stream("allowed", "base:latest")).await.is(201);
    assert_eq!(created["status"]["tags"][0]["items"][0]["image"], DIGEST, "{created}");
    // The right to pull does not include the right to read the stream.
    let looks = Request::new("GET", &path(SOURCE, "imagestreams/base"));
    site.plane.client(puller).send_unchecked(looks).await.expect("kube-apiserver answers").is(403);
}

#[tokio::test]
async fn the_right_may_be_to_one_stream_only() {
    let site = shared().await;
    let puller = prepare(&site, "picky").await;
    site.plane.apply(&[objects::stream_in(SOURCE, "other")]);
    let rules = json!([{"apiGroups": ["image.openshift.io"], "resources": ["imagestreams/layers"], "verbs": ["get"],
        "resourceNames": ["base"]}]);
    let role = objects::role("Role", SOURCE, "pull-base", rules);
    let binding =
        objects::binding("RoleBinding", SOURCE, "picky", ("Role", "pull-base"), &[user("picky")]);
    site.plane.apply(&[role, binding]);
    let refused = create(&site, &puller, "imagestreams", &stream("one-only", "other:latest")).await;
    refused.fails(422, "Invalid", &refusal("one-only", "other"));
    super::wait::until("the rights are in effect", || async {
        let answer =
            create(&site, &puller, "imagestreams", &stream("one-only", "base:latest")).await;
        if answer.status == 201 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}
