//! LimitRanges of a cluster for images and image streams.

use serde_json::{Value, json};

use super::backend::{Certificate, Prepared, path};
use super::objects::{self, DIGEST, NEWER};
use super::site::{own, shared};
use super::wait::until;
use crate::registry::{Content, Image, RegistryServer};
use crate::support::client::Request;
use crate::support::expect::Expect;

const NAMESPACE: &str = "limits";

fn limit_range(name: &str, limit_type: &str, max: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": name},
        "spec": {"limits": [{"type": limit_type, "max": max}]},
    })
}

/// A push of an image of 5000 bytes.
fn push(digest: &str) -> Value {
    let image = json!({
        "kind": "Image", "apiVersion": "image.openshift.io/v1", "metadata": {"name": digest},
        "dockerImageReference": format!("registry.example.com/limits/lim@{digest}"),
        "dockerImageMetadata": {"kind": "DockerImage", "apiVersion": "1.0", "Size": 5000},
    });
    json!({
        "kind": "ImageStreamMapping", "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "lim"}, "image": image, "tag": "latest",
    })
}

fn stream(sources: &[&str]) -> Value {
    let tag = |(at, name): (usize, &&str)| {
        let from = json!({"kind": "DockerImage", "name": name});
        json!({"name": format!("t{at}"), "from": from, "reference": true})
    };
    let tags: Vec<Value> = sources.iter().enumerate().map(tag).collect();
    let mut stream = objects::stream("lim");
    stream["spec"] = json!({"tags": tags});
    stream
}

#[tokio::test]
async fn limits_refuse_pushes_tags_and_images() {
    let site = shared().await;
    site.plane.create_namespace(NAMESPACE).await;
    let ranges = format!("/api/v1/namespaces/{NAMESPACE}/limitranges");
    let mappings = path(NAMESPACE, "imagestreammappings");
    let streams = path(NAMESPACE, "imagestreams");
    let ask = async |request: Request| site.plane.ask(request).await;
    let post = |at: &str, object: &Value| Request::new("POST", at).json(object);
    ask(post(&streams, &stream(&["quay.io/a"]))).await.is(201);

    let range = limit_range("image", "openshift.io/Image", &json!({"storage": "1Ki"}));
    site.plane.create(&ranges, &range).await;
    let dry = format!("{mappings}?dryRun=All");
    until("the limit of images is in force", || async {
        let code = ask(post(&dry, &push(DIGEST))).await.status;
        if code == 403 { Ok(()) } else { Err(code.to_string()) }
    })
    .await;
    let text = "imagestreammappings.image.openshift.io \"lim\" is forbidden: requested usage of storage exceeds the \
                maximum limit per openshift.io/Image (5000 > 1Ki)";
    ask(post(&mappings, &push(DIGEST))).await.fails(403, "Forbidden", text);
    site.plane.delete(&format!("{ranges}/image")).await;

    let max = json!({"openshift.io/images": "1", "openshift.io/image-tags": "1"});
    let range = limit_range("stream", "openshift.io/ImageStream", &max);
    site.plane.create(&ranges, &range).await;
    let edit = |sources: &[&str], query: &str| {
        let mut request = Request::new("PATCH", &format!("{streams}/lim{query}"))
            .header("content-type", "application/merge-patch+json");
        request.body = Some(json!({"spec": stream(sources)["spec"]}).to_string().into_bytes());
        request
    };
    until("the limits of streams are in force", || async {
        let code = ask(edit(&["quay.io/a", "quay.io/b"], "?dryRun=All")).await.status;
        if code == 422 { Ok(()) } else { Err(code.to_string()) }
    })
    .await;
    let of = |resource: &str| {
        format!(
            "ImageStream.image.openshift.io \"lim\" is forbidden: requested usage of openshift.io/{resource} exceeds \
             the maximum limit per openshift.io/ImageStream (2 > 1)"
        )
    };
    let invalid = "ImageStream.image.openshift.io \"lim\" is invalid:";
    let tags = format!("{invalid} []: Internal error: {}", of("image-tags"));
    let refused = ask(edit(&["quay.io/a", "quay.io/b"], "")).await;
    let refused = refused.fails(422, "Invalid", &tags);
    assert_eq!(refused["details"]["causes"][0]["reason"], "InternalError");
    let another_tag = json!({
        "kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1", "metadata": {"name": "lim:b"},
        "tag": {"name": "", "from": {"kind": "DockerImage", "name": "quay.io/b"}, "reference": true},
    });
    let at = path(NAMESPACE, "imagestreamtags");
    ask(post(&at, &another_tag)).await.fails(422, "Invalid", &tags);
    // The same source under another name, and another source instead of the first.
    ask(edit(&["quay.io/a", "quay.io/a:latest"], "")).await.is(200);
    ask(edit(&["quay.io/b"], "")).await.is(200);

    ask(post(&mappings, &push(DIGEST))).await.is(201);
    let images = format!("{invalid} imageStream: Forbidden: {}", of("images"));
    ask(post(&mappings, &push(NEWER))).await.fails(422, "Invalid", &images);
    let mut status = ask(Request::new("GET", &format!("{streams}/lim/status"))).await.is(200);
    let mut more = status["status"]["tags"].as_array().cloned().unwrap_or_default();
    let event = json!({
        "created": null, "dockerImageReference": "quay.io/c", "image": NEWER, "generation": 1,
    });
    more.push(json!({"tag": "more", "items": [event]}));
    status["status"]["tags"] = more.into();
    let write = Request::new("PUT", &format!("{streams}/lim/status")).json(&status);
    ask(write).await.fails(422, "Invalid", &images);
    site.plane.delete(&format!("{V1_IMAGES}/{DIGEST}")).await;
}

const V1_IMAGES: &str = "/apis/image.openshift.io/v1/images";

#[tokio::test]
async fn import_over_a_limit_stores_nothing() {
    const SPACE: &str = "limits-of-imports";
    let plane = own().await;
    let backend = Prepared::new(&plane, Certificate::Issued).await.importing().start().await;
    plane.register(&backend).await;
    plane.create_namespace(SPACE).await;
    let content =
        Content::default().with("a", "x", Image::named("a")).with("b", "x", Image::named("b"));
    let registry = RegistryServer::start(move |request| content.answer(request)).await;
    let max = json!({"openshift.io/images": "1", "openshift.io/image-tags": "1"});
    let range = limit_range("stream", "openshift.io/ImageStream", &max);
    plane.create(&format!("/api/v1/namespaces/{SPACE}/limitranges"), &range).await;
    until("the limit is in force", || async {
        let dry = format!("{}?dryRun=All", path(SPACE, "imagestreams"));
        let probe = Request::new("POST", &dry).json(&stream(&["quay.io/a", "quay.io/b"]));
        let code = plane.ask(probe).await.status;
        if code == 422 { Ok(()) } else { Err(code.to_string()) }
    })
    .await;
    let import = |name: &str| {
        let from = json!({"kind": "DockerImage", "name": format!("{}/{name}:x", registry.host())});
        let image = json!({"from": from, "to": {"name": name}, "importPolicy": {"insecure": true}});
        json!({
            "kind": "ImageStreamImport", "apiVersion": "image.openshift.io/v1",
            "metadata": {"name": "lim"}, "spec": {"import": true, "images": [image]},
        })
    };
    let imports = path(SPACE, "imagestreamimports");
    let post = |name: &str| Request::new("POST", &imports).json(&import(name));
    plane.ask(post("a")).await.is(201);
    let of = |resource: &str| {
        format!(
            "requested usage of openshift.io/{resource} exceeds the maximum limit per openshift.io/ImageStream (2 > 1)"
        )
    };
    let text = format!(
        "ImageStream.image.openshift.io \"lim\" is invalid: []: Internal error: ImageStream.image.openshift.io \
         \"lim\" is forbidden: [{}, {}]",
        of("images"),
        of("image-tags")
    );
    plane.ask(post("b")).await.fails(422, "Invalid", &text);
    let stream = plane.get(&path(SPACE, "imagestreams/lim")).await.unwrap_or_default();
    assert_eq!(stream["status"]["tags"].as_array().map(Vec::len), Some(1), "{stream}");
    assert_eq!(stream["spec"]["tags"].as_array().map(Vec::len), Some(1), "{stream}");
    // The same image again adds nothing.
    plane.ask(post("a")).await.is(201);
}
