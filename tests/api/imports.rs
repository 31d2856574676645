//! Imports over HTTP: time limits and allowed registries. `tests/importer.rs` tests what they
//! fetch and store, `tests/imports.rs` the responses.

use std::time::{Duration, Instant};

use axum::body::Body;
use serde_json::{Value, json};

use crate::harness::{Api, Expect, STREAMS};
use crate::registry::content::manifest_answer;
use crate::registry::{Content, Image, RegistryServer};

const IMPORTS: &str = "namespaces/ns/imagestreamimports";
const LOOPBACK: &str = "--import-allow-cidrs=127.0.0.0/8";

fn import(from: &str) -> Value {
    json!({
        "kind": "ImageStreamImport", "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": "s"},
        "spec": {
            "import": true,
            "images": [{
                "from": {"kind": "DockerImage", "name": from},
                "importPolicy": {"insecure": true},
            }],
        },
    })
}

#[tokio::test]
async fn timeout_of_the_client_ends_an_import() {
    let content = Content::default().with("a", "x", Image::named("a"));
    let server = RegistryServer::start(move |request| {
        if !request.path().contains("/manifests/") {
            return content.answer(request);
        }
        let mut response = manifest_answer("", None).expect("it is a response");
        let never = futures_util::stream::pending::<Result<String, std::convert::Infallible>>();
        *response.body_mut() = Body::from_stream(never);
        Some(response)
    })
    .await;
    let api = Api::with(&[LOOPBACK]).await;
    let sent = Instant::now();
    let from = format!("{}/a:x", server.host());
    let body = api.post(&format!("{IMPORTS}?timeout=1s"), &import(&from)).await.is(504);
    assert_eq!(body["reason"], "Timeout");
    assert!(sent.elapsed() < Duration::from_secs(20), "{:?}", sent.elapsed());
    api.get(&format!("{STREAMS}/s")).await.is(404);
}

#[tokio::test]
async fn only_allowed_registries_are_used() {
    let api =
        Api::with(&[LOOPBACK, "--allowed-registries-for-import=quay.io,*.example.com:5000"]).await;
    let stream = |from: &str| {
        let tag = json!({"name": "t", "from": {"kind": "DockerImage", "name": from}});
        json!({"metadata": {"name": "s"}, "spec": {"tags": [tag]}})
    };
    let list = "\"image-registry.openshift-image-registry.svc:5000\", \"quay.io:443\", \
                \"*.example.com:5000\"";
    let refused = api.post(STREAMS, &stream("x.io/a:1")).await.is(422);
    let text = format!(
        "ImageStream.image.openshift.io \"s\" is invalid: spec.tags[t].from.name: Forbidden: \
         registry \"x.io\" not allowed by whitelist: {list}"
    );
    assert_eq!(refused["message"], text);
    api.post(STREAMS, &stream("r.example.com:5000/a:1")).await.is(201);

    let tag = json!({"metadata": {"name": "s:u"}, "tag": {"name": "", "from": {"kind": "DockerImage", "name": "x.io/a"}}});
    let refused = api.post("namespaces/ns/imagestreamtags", &tag).await.is(422);
    let text = refused["message"].as_str().expect("a Status has a message");
    assert!(text.contains("tag.from.name: Forbidden: registry \"x.io\" not allowed"), "{text}");

    // Users who may create images may look at other registries, but streams may not refer to them.
    let mut look = import("127.0.0.1:1/a:x");
    look["spec"]["import"] = json!(false);
    api.post(IMPORTS, &look).await.is(201);
    let refused = api.post(IMPORTS, &import("127.0.0.1:1/a:x")).await.is(422);
    let text = refused["message"].as_str().expect("a Status has a message");
    assert!(text.starts_with("ImageStream.image.openshift.io \"s\" is invalid: "), "{text}");
}
