//! Writes of tags with kubectl: ImageStreamMapping, ImageStreamTag and ImageTag, on both servers.

use serde_json::{Value, json};

use super::objects::{self, DIGEST as OLD, NEWER as NEW};
use super::places::{Place, places};

/// Creates a mapping, as a registry does after a push to the tag `latest`.
fn push(place: &Place, stream: &str, digest: &str) {
    let mapping = objects::mapping(stream, digest);
    place.give(&["create", objects::WITHOUT_VALIDATION], &mapping).done();
}

/// A stream with an image under the tag `latest`.
fn pushed(place: &Place, stream: &str) {
    place.give(&["create"], &objects::stream(stream)).done();
    push(place, stream, OLD);
}

/// An object of a tag kind that refers to the tag `latest` of its stream. `key` is the field of the
/// tag.
fn tag(kind: &str, key: &str, stream: &str, step: &str) -> Value {
    let mut tag = json!({"kind": kind, "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": format!("{stream}:prod")}});
    tag[key] = json!({"name": "prod", "from": {"kind": "ImageStreamTag", "name": "latest"},
        "annotations": {"step": step}});
    tag
}

/// An ImageStreamTag. Its two sets of annotations must be equal.
fn stream_tag(stream: &str, step: &str) -> Value {
    let mut tag = tag("ImageStreamTag", "tag", stream, step);
    tag["metadata"]["annotations"] = json!({"step": step});
    tag
}

/// The image that a tag currently points to.
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
async fn a_tag_of_a_stream_is_created_changed_and_deleted() {
    for place in places().await {
        pushed(&place, "tagged");
        let what = "imagestreamtag/tagged:prod";
        let step = |wanted: &str| assert_eq!(place.get(what)["tag"]["annotations"]["step"], wanted);
        place.give(&["create"], &stream_tag("tagged", "zero")).done();
        assert!(
            place
                .give(&["create"], &stream_tag("tagged", "zero"))
                .failed()
                .contains("(AlreadyExists)")
        );
        assert_eq!(image(&place, "tagged:prod"), OLD);
        step("zero");
        place.run(&["annotate", what, "step=one", "--overwrite"]).done();
        step("one");
        let patch =
            |kind: &str, patch: &str| place.run(&["patch", what, kind, "--patch", patch]).done();
        for (kind, to) in [("--type=merge", "two"), ("--type=strategic", "three")] {
            patch(kind, &json!({"metadata": {"annotations": {"step": to}}}).to_string());
            step(to);
        }
        patch(
            "--type=json",
            r#"[{"op":"replace","path":"/metadata/annotations/step","value":"four"}]"#,
        );
        step("four");
        place.edit(what, "four", "five").done();
        step("five");
        place.give(&["replace"], &stream_tag("tagged", "six")).done();
        step("six");

        // The labels come from the stream.
        assert!(
            place
                .run(&["label", what, "a=b"])
                .failed()
                .contains("may not update fields other than")
        );
        place.run(&["delete", what]).done();
        assert!(place.run(&["get", what]).failed().contains("(NotFound)"));
        assert_eq!(image(&place, "tagged:latest"), OLD);
    }
}

#[tokio::test]
async fn a_tag_of_a_stream_is_applied_on_the_side_of_the_client_only() {
    for place in places().await {
        pushed(&place, "applied-tag");
        let what = "imagestreamtag/applied-tag:prod";
        let apply = |step: &str| place.give(&["apply"], &stream_tag("applied-tag", step)).done();
        place.give(&["create"], &stream_tag("applied-tag", "zero")).done();
        apply("one");
        let version = place.version(what);
        apply("one");
        assert_eq!(place.version(what), version);
        assert_eq!(place.get(what)["tag"]["annotations"]["step"], "one");
        // openshift-apiserver returns the same error: a tag has no managedFields of its own.
        let refused =
            place.give(&["apply", "--server-side"], &stream_tag("applied-tag", "two")).failed();
        assert!(
            refused.contains("metadata: Invalid value: \"\": may not update fields other than"),
            "{refused}"
        );
        assert_eq!(place.version(what), version);
    }
}

#[tokio::test]
async fn an_image_tag_is_created_changed_and_deleted() {
    for place in places().await {
        pushed(&place, "spec-of-tag");
        let what = "imagetag/spec-of-tag:prod";
        place.give(&["create"], &tag("ImageTag", "spec", "spec-of-tag", "zero")).done();
        assert_eq!(image(&place, "spec-of-tag:prod"), OLD);
        let step =
            |wanted: &str| assert_eq!(place.get(what)["spec"]["annotations"]["step"], wanted);
        step("zero");
        place
            .run(&[
                "patch",
                what,
                "--type=merge",
                r#"--patch={"spec":{"annotations":{"step":"one"}}}"#,
            ])
            .done();
        step("one");
        let json = r#"--patch=[{"op":"replace","path":"/spec/annotations/step","value":"two"}]"#;
        place.run(&["patch", what, "--type=json", json]).done();
        step("two");
        place.edit(what, "importMode: Legacy", "importMode: PreserveOriginal").done();
        assert_eq!(place.get(what)["spec"]["importPolicy"]["importMode"], "PreserveOriginal");
        // The metadata comes from the stream.
        assert!(
            place
                .run(&["annotate", what, "a=b"])
                .failed()
                .contains("may not update fields other than spec")
        );
        place.run(&["delete", what]).done();
        assert!(place.run(&["get", what]).failed().contains("(NotFound)"));
        assert_eq!(image(&place, "spec-of-tag:latest"), OLD);
    }
}
