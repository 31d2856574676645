//! What kubectl writes of tags: pushes, tags of streams and image tags, alone and through kube-apiserver.

use serde_json::{Value, json};

use super::objects;
use super::places::{Place, places};

const OLD: &str = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
const NEW: &str = "sha256:2551d6f0b224448d184f98ea2060ec3ba1a30b2997d81b94430c27574c92f0cf";

/// Creates a mapping, as a registry does after a push to the tag `latest`.
fn push(place: &Place, stream: &str, digest: &str) {
    let mapping = objects::mapping(stream, digest);
    place.give(&["create", place.validation_of_what_cannot_be_patched()], &mapping).done();
}

/// A stream with an image under the tag `latest`.
fn pushed(place: &Place, stream: &str) {
    place.give(&["create"], &objects::stream(stream)).done();
    push(place, stream, OLD);
}

/// A tag of a kind that follows the tag `latest` of its stream.
fn tag(kind: &str, key: &str, stream: &str, annotations: &Value) -> Value {
    let mut tag = json!({"kind": kind, "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": format!("{stream}:prod"), "annotations": annotations}});
    tag[key] =
        json!({"name": "prod", "from": {"kind": "ImageStreamTag", "name": "latest"}, "annotations": annotations});
    tag
}

/// The image that a tag leads to now.
fn image(place: &Place, name: &str) -> String {
    let tag = place.get(&format!("imagestreamtag/{name}"));
    tag["image"]["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_mapping_that_is_created_is_a_push() {
    for place in places().await {
        pushed(&place, "pushed");
        assert_eq!(image(&place, "pushed:latest"), OLD);
        push(&place, "pushed", NEW);
        assert_eq!(image(&place, "pushed:latest"), NEW);
        let history = place.get("imagestream/pushed")["status"]["tags"][0]["items"].clone();
        assert_eq!(history.as_array().map(Vec::len), Some(2), "{history}");
    }
}

#[tokio::test]
async fn a_tag_is_created_applied_changed_and_deleted() {
    for (kind, key, resource) in [("ImageStreamTag", "tag", "imagestreamtag"), ("ImageTag", "spec", "imagetag")] {
        for place in places().await {
            let stream = format!("with-{resource}");
            pushed(&place, &stream);
            let what = format!("{resource}/{stream}:prod");
            let tag = |annotations: Value| tag(kind, key, &stream, &annotations);
            place.give(&["create"], &tag(json!({"step": "0"}))).done();
            assert!(place.give(&["create"], &tag(json!({}))).failed().contains("(AlreadyExists)"));
            assert_eq!(image(&place, &format!("{stream}:prod")), OLD);

            let step = |wanted: &str| {
                let got = place.get(&what);
                assert_eq!(got[key]["annotations"]["step"], wanted, "{got}");
            };
            step("0");
            place.run(&["annotate", &what, "step=1", "--overwrite"]).done();
            step("1");
            place.run(&["patch", &what, "--type=merge", r#"--patch={"metadata":{"annotations":{"step":"2"}}}"#]).done();
            step("2");
            let json = r#"--patch=[{"op":"replace","path":"/metadata/annotations/step","value":"3"}]"#;
            place.run(&["patch", &what, "--type=json", json]).done();
            step("3");
            place.edit(&what, "step: \\\"3\\\"", "step: four").done();
            step("four");
            place.give(&["apply"], &tag(json!({"step": "5"}))).done();
            step("5");
            let version = place.version(&what);
            place.give(&["apply"], &tag(json!({"step": "5"}))).done();
            assert_eq!(place.version(&what), version);
            place.give(&["replace"], &tag(json!({"step": "6"}))).done();
            step("6");

            // The labels are those of the stream.
            assert!(place.run(&["label", &what, "a=b"]).failed().contains("may not update fields other than"));
            place.run(&["delete", &what, "--wait=false"]).done();
            assert!(place.run(&["get", &what]).failed().contains("(NotFound)"));
            assert_eq!(image(&place, &format!("{stream}:latest")), OLD);
        }
    }
}
