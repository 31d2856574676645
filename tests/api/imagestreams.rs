//! `imagestreams`: create, read, list and delete, with repositories that follow the flags of the
//! server.

use serde_json::json;

use crate::fixtures::{digest, history, image, names, stream};
use crate::harness::{Api, Expect, STREAMS};

#[tokio::test]
async fn a_new_stream_has_no_status_but_its_repository() {
    let api = Api::start().await;
    let mut sent = stream("s");
    sent["spec"] = json!({"tags": [{"name": "t", "from": {"kind": "DockerImage", "name": "example.com/a/b:c"}}]});
    sent["status"] = json!({"tags": [history("t", &[&digest("1")])]});
    let made = api.post(STREAMS, &sent).await.is(201);
    let repository = "image-registry.openshift-image-registry.svc:5000/ns/s";
    assert_eq!(made["status"], json!({"dockerImageRepository": repository}));
    assert_eq!(
        (&made["metadata"]["generation"], &made["spec"]["tags"][0]["generation"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(api.get(&format!("{STREAMS}/s")).await.is(200), made);
}

#[tokio::test]
async fn the_repository_from_outside_is_told_where_there_is_one() {
    // `--external-registry-hostname` sets the public repository of a stream.
    let api = Api::with(&["--external-registry-hostname=registry.example.com"]).await;
    let made = api.post(STREAMS, &stream("s")).await.is(201);
    assert_eq!(made["status"]["publicDockerImageRepository"], "registry.example.com/ns/s");
}

#[tokio::test]
async fn streams_live_in_namespaces() {
    let api = Api::start().await;
    for namespace in ["a", "b", "ab"] {
        api.post(&format!("namespaces/{namespace}/imagestreams"), &stream(namespace)).await.is(201);
    }
    assert_eq!(names(&api.get("namespaces/a/imagestreams").await.is(200)), ["a"]);
    assert_eq!(names(&api.get("imagestreams").await.is(200)).len(), 3);
    let message = "imagestreams.image.openshift.io \"b\" not found";
    api.get("namespaces/a/imagestreams/b").await.fails(404, "NotFound", message);
    let mut elsewhere = stream("s");
    elsewhere["metadata"]["namespace"] = "b".into();
    let message =
        "the namespace of the provided object does not match the namespace sent on the request";
    api.post("namespaces/a/imagestreams", &elsewhere).await.fails(400, "BadRequest", message);
}

#[tokio::test]
async fn deleting_a_stream_keeps_its_images() {
    let api = Api::with_stream().await;
    api.push("t", &image(&digest("1"))).await;
    api.delete(&format!("{STREAMS}/s")).await.is(200);
    assert!(names(&api.get(STREAMS).await.is(200)).is_empty());
    api.get(&format!("images/{}", digest("1"))).await.is(200);
}

#[tokio::test]
async fn a_table_of_streams_tells_their_tags() {
    let api = Api::with_stream().await;
    for tag in ["b", "a"] {
        api.push(tag, &image(&digest("1"))).await;
    }
    let table = api.get_as(STREAMS, "application/json;as=Table;v=v1;g=meta.k8s.io").await.is(200);
    let columns: Vec<_> = table["columnDefinitions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|each| &each["name"])
        .collect();
    assert_eq!(columns, ["Name", "Image Repository", "Tags", "Updated"]);
    let cells = &table["rows"][0]["cells"];
    assert_eq!((&cells[0], cells[2].as_str().map(str::len)), (&json!("s"), Some(3)));
    assert!(
        cells[3].as_str().is_some_and(|text| text.ends_with(" ago") || text.contains("second")),
        "{cells}"
    );
}

#[tokio::test]
async fn missing_tag_sources_are_reported_first_on_create() {
    let api = Api::start().await;
    let mut bad = stream("A");
    bad["spec"]["tags"] =
        json!([{"name": "t", "from": {"kind": "ImageStreamTag", "name": "nosuch:t"}}]);
    let tags = "[]: Internal error: imagestreams \"A\" is invalid: spec.tags[t].from.name: Not found: \"nosuch:t\"";
    let name = "metadata.name: Invalid value: \"A\": must match \"[a-z0-9]+(?:[._-][a-z0-9]+)*\"";
    let message = format!("ImageStream.image.openshift.io \"A\" is invalid: [{tags}, {name}]");
    api.post(STREAMS, &bad).await.fails(422, "Invalid", &message);
}
