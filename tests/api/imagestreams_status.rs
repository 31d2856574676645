//! `imagestreams/status`: a write changes tag histories and nothing else of a stream.

use serde_json::{Value, json};

use crate::fixtures::{digest, history, stream};
use crate::harness::{Api, Expect, STREAMS};

const STATUS: &str = "namespaces/ns/imagestreams/s/status";

/// Starts a server whose stream `s` has the spec tag `wanted`. Returns the server and the stream.
async fn with_wanted_tag() -> (Api, Value) {
    let api = Api::start().await;
    let mut sent = stream("s");
    sent["spec"] = json!({"tags": [{"name": "wanted", "from": {"kind": "DockerImage", "name": "example.com/a/b:c"}}]});
    let made = api.post(STREAMS, &sent).await.is(201);
    (api, made)
}

fn generations(stream: &Value) -> Vec<Option<i64>> {
    let tags = stream["status"]["tags"].as_array().expect("the stream has tags");
    tags.iter().map(|tag| tag["items"][0]["generation"].as_i64()).collect()
}

#[tokio::test]
async fn a_write_of_the_status_keeps_the_spec() {
    let (api, mut stream) = with_wanted_tag().await;
    let spec = stream["spec"].clone();
    stream["spec"] = json!({"dockerImageRepository": "example.com/other", "tags": []});
    stream["status"]["tags"] = json!([history("t", &[&digest("1")])]);
    let written = api.put(STATUS, &stream).await.is(200);
    assert_eq!(written["spec"]["tags"], spec["tags"]);
    assert_eq!(written["status"]["tags"][0]["items"][0]["image"], digest("1"));
    let read = api.get(&format!("{STREAMS}/s")).await.is(200);
    assert_eq!((&read["spec"], &read["status"]["tags"]), (&spec, &written["status"]["tags"]));
}

#[tokio::test]
async fn new_event_gets_generation_of_stream_or_spec_tag() {
    let (api, mut stream) = with_wanted_tag().await;
    stream["status"]["tags"] =
        json!([history("free", &[&digest("1")]), history("wanted", &[&digest("1")])]);
    let mut written = api.put(STATUS, &stream).await.is(200);
    assert_eq!(generations(&written), [Some(1), Some(1)]);
    written["status"]["tags"] =
        json!([history("free", &[&digest("2")]), history("wanted", &[&digest("2")])]);
    written["status"]["tags"][1]["items"][0]["generation"] = 7.into();
    let written = api.put(STATUS, &written).await.is(200);
    assert_eq!(generations(&written), [Some(1), Some(7)]);
    assert_eq!(written["metadata"]["generation"], 1);
}

#[tokio::test]
async fn a_write_on_an_old_version_is_a_conflict() {
    let (api, old) = with_wanted_tag().await;
    let mut new = old.clone();
    new["status"]["tags"] = json!([history("t", &[&digest("1")])]);
    let written = api.put(STATUS, &new).await.is(200);
    new["status"]["tags"] = json!([history("t", &[&digest("2")])]);
    let message = "Operation cannot be fulfilled on imagestreams.image.openshift.io \"s\": the object has been modified; \
                   please apply your changes to the latest version and try again";
    api.put(STATUS, &new).await.fails(409, "Conflict", message);
    assert_eq!(api.get(STATUS).await.is(200), written);
}

#[tokio::test]
async fn a_write_must_say_what_it_is_made_from() {
    // A status update needs a resourceVersion.
    let (api, mut stream) = with_wanted_tag().await;
    stream["metadata"]["resourceVersion"] = "".into();
    let message = "imagestreams.image.openshift.io \"s\" is invalid: metadata.resourceVersion: Invalid value: 0: must be \
                   specified for an update";
    api.put(STATUS, &stream).await.fails(422, "Invalid", message);
}

#[tokio::test]
async fn a_write_that_changes_nothing_has_no_new_version() {
    let (api, mut stream) = with_wanted_tag().await;
    stream["status"]["tags"] = json!([history("t", &[&digest("1")])]);
    let written = api.put(STATUS, &stream).await.is(200);
    assert_eq!(api.put(STATUS, &written).await.is(200), written);
}

#[tokio::test]
async fn a_new_event_needs_a_reference() {
    let (api, mut stream) = with_wanted_tag().await;
    stream["status"]["tags"] = json!([history("t", &[&digest("1")])]);
    stream["status"]["tags"][0]["items"][0]["dockerImageReference"] = "".into();
    let message = "ImageStream.image.openshift.io \"s\" is invalid: status.tags[t].items[0].dockerImageReference: Invalid \
                   value: \"\": repository name must have at least one component";
    api.put(STATUS, &stream).await.fails(422, "Invalid", message);
}

#[tokio::test]
async fn the_status_of_a_missing_stream_is_not_found() {
    let (api, mut stream) = with_wanted_tag().await;
    stream["metadata"]["name"] = "other".into();
    let message = "imagestreams.image.openshift.io \"other\" not found";
    let path = "namespaces/ns/imagestreams/other/status";
    api.get(path).await.fails(404, "NotFound", message);
    api.put(path, &stream).await.fails(404, "NotFound", message);
    let message = "the name of the object (other) does not match the name on the URL (s)";
    api.put(STATUS, &stream).await.fails(400, "BadRequest", message);
}

#[tokio::test]
async fn status_update_reports_metadata_errors_once_less() {
    // An update of the stream validates the metadata once more than an update of its status.
    let (api, mut stream) = with_wanted_tag().await;
    stream["metadata"]["labels"] = json!({"a b": ""});
    let causes = async |path: String| {
        let refused = api.put(&path, &stream).await.is(422);
        refused["details"]["causes"].as_array().unwrap().len()
    };
    let path = format!("{STREAMS}/s");
    assert_eq!((causes(format!("{path}/status")).await, causes(path).await), (3, 4));
}
