//! `imagestreamimages`: resolves an image name in a stream and returns the image.

use serde_json::{Value, json};

use crate::fixtures::{OCI_INDEX, OCI_MANIFEST, digest, image, index, stream, with_manifest};
use crate::harness::{Api, Expect, STREAM_IMAGES, STREAMS, TestServer, request};
use crate::support::client::Answer;

const SINGULAR: &str = "imagestreamimage.image.openshift.io";
const PLURAL: &str = "imagestreamimages.image.openshift.io";

/// Creates an image whose name is not the digest of its manifest, which a push cannot create, and
/// tags it.
async fn plant(api: &Api, tag: &str, planted: &Value) {
    api.post("images", planted).await.is(201);
    api.push(tag, &image(planted["metadata"]["name"].as_str().unwrap())).await;
}

/// Reads an image ID through the stream `s`.
async fn shown(api: &Api, id: &str) -> Answer {
    api.get(&format!("{STREAM_IMAGES}/s@{id}")).await
}

/// Returns the name of the image that an ID resolves to in the stream `s`.
async fn found(api: &Api, id: &str) -> Value {
    shown(api, id).await.is(200)["image"]["metadata"]["name"].clone()
}

#[tokio::test]
async fn an_image_is_found_by_its_digest_and_by_every_beginning_of_it() {
    let api = Api::with_stream().await;
    let name = digest("1a");
    api.push("t", &image(&name)).await;
    for id in [&name, "sha256:1a", "sha256", "s", "1a", "1", &name[7..]] {
        let answer = shown(&api, id).await.is(200);
        assert_eq!(answer["image"]["metadata"]["name"], name);
        assert_eq!(answer["metadata"]["name"], format!("s@{id}"), "the name is the requested one");
    }
    for id in ["SHA256:1a", "1A", "a", &format!("{name}0")] {
        shown(&api, id).await.fails(404, "NotFound", &format!("{SINGULAR} \"s@{id}\" not found"));
    }
    let encoded = api.get(&format!("{STREAM_IMAGES}/s%40sha256%3A1a")).await.is(200);
    assert_eq!(encoded["metadata"]["name"], "s@sha256:1a");
}

#[tokio::test]
async fn an_answer_takes_its_metadata_from_stream_and_image() {
    let api = Api::start().await;
    let mut annotated = stream("s");
    annotated["metadata"]["annotations"] = json!({"note": "<of the stream>"});
    annotated["metadata"]["labels"] = json!({"label": "of-the-stream"});
    api.post(STREAMS, &annotated).await.is(201);
    api.push("t", &image(&digest("1"))).await;
    let stored = api.get(&format!("images/{}", digest("1"))).await.is(200);
    let answer = shown(&api, "1").await.is(200);
    let metadata = json!({"name": "s@1", "namespace": "ns", "annotations": {"note": "<of the stream>"},
        "creationTimestamp": stored["metadata"]["creationTimestamp"]});
    assert_eq!(answer["metadata"], metadata);
    assert_eq!(answer["image"]["metadata"], stored["metadata"]);
    assert_eq!(
        (&answer["kind"], &answer["apiVersion"]),
        (&json!("ImageStreamImage"), &json!("image.openshift.io/v1"))
    );
}

#[tokio::test]
async fn the_whole_history_of_every_tag_counts() {
    let api = Api::with_stream().await;
    for (tag, hex) in [("a", "1"), ("a", "2"), ("b", "3")] {
        api.push(tag, &image(&digest(hex))).await;
    }
    api.post("images", &image(&digest("4"))).await.is(201);
    for hex in ["1", "2", "3"] {
        assert_eq!(found(&api, hex).await, digest(hex));
    }
    shown(&api, "4").await.fails(404, "NotFound", &format!("{SINGULAR} \"s@4\" not found"));
}

#[tokio::test]
async fn a_list_shows_its_parts_while_it_exists() {
    // The images of a manifest list resolve in the stream as long as the list exists.
    let api = Api::with_stream().await;
    let (list, part) = (digest("1"), digest("2"));
    api.push("t", &index(&list, &[&part])).await;
    assert_eq!(found(&api, "1").await, list);
    let missing = format!("{PLURAL} \"{part}\" not found");
    shown(&api, "2").await.fails(404, "NotFound", &missing);
    api.post("images", &image(&part)).await.is(201);
    assert_eq!(found(&api, "2").await, part);
    assert_eq!(found(&api, &part).await, part);
    api.delete(&format!("images/{list}")).await.is(200);
    shown(&api, &part).await.fails(404, "NotFound", &format!("{SINGULAR} \"s@{part}\" not found"));
    api.post("images", &index(&list, &[&part])).await.is(201);
    assert_eq!(found(&api, "2").await, part);
}

#[tokio::test]
async fn the_parts_of_a_part_are_found() {
    let api = Api::with_stream().await;
    api.push("t", &index(&digest("1"), &[&digest("2")])).await;
    api.post("images", &index(&digest("2"), &[&digest("3"), &digest("1")])).await.is(201);
    api.post("images", &image(&digest("3"))).await.is(201);
    assert_eq!(found(&api, "3").await, digest("3"));
}

#[tokio::test]
async fn ambiguous_prefix_lists_its_candidates() {
    let api = Api::with_stream().await;
    let names: Vec<String> = (0..12).rev().map(|number| digest(&format!("ab{number:x}"))).collect();
    for name in &names[..2] {
        api.push("t", &image(name)).await;
    }
    let text = "several images of the stream match \"ab\", give more of the digest: ";
    let both = format!("{text}{}, {}", names[1], names[0]);
    shown(&api, "ab").await.fails(400, "BadRequest", &both);
    for name in &names[2..] {
        api.push("t", &image(name)).await;
    }
    let mut sorted = names.clone();
    sorted.sort();
    let most = format!("{text}{} and 2 more", sorted[..10].join(", "));
    shown(&api, "ab").await.fails(400, "BadRequest", &most);
    assert_eq!(found(&api, "ab7").await, digest("ab7"));
}

#[tokio::test]
async fn an_exact_name_wins_over_longer_ones() {
    let api = Api::with_stream().await;
    for name in ["id2", "id", "id3"] {
        api.push("t", &image(name)).await;
    }
    assert_eq!(found(&api, "id").await, "id");
    shown(&api, "i").await.is(400);
}

#[tokio::test]
async fn a_broken_image_does_not_hide_its_neighbours() {
    let api = Api::with_stream().await;
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"digest": digest("c")}, "layers": []});
    plant(&api, "a", &with_manifest(&digest("1"), &manifest, "")).await;
    plant(&api, "b", &with_manifest(&digest("2"), &json!({"schemaVersion": 3}), "{}")).await;
    api.push("c", &image(&digest("3"))).await;
    let message = format!(
        ".image.openshift.io \"\" is invalid: images[{}].config: Invalid value: \"\": config cannot be an empty string",
        digest("1")
    );
    shown(&api, "1").await.fails(422, "Invalid", &message);
    let reference = format!("registry.example.com/ns/s@{}", digest("2"));
    let message = format!(
        "unrecognized container image manifest schema 3 for \"{}\" ({reference})",
        digest("2")
    );
    let unreadable = shown(&api, "2").await.is(500);
    assert_eq!((&unreadable["message"], unreadable.get("reason")), (&json!(message), None));
    assert_eq!(found(&api, "3").await, digest("3"));
}

#[tokio::test]
async fn layers_warn_of_a_broken_image_and_log_it_once() {
    let api = Api::with_stream().await;
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"digest": digest("c")}, "layers": []});
    let broken = digest("1");
    plant(&api, "a", &with_manifest(&broken, &manifest, "")).await;
    api.push("b", &image(&digest("2"))).await;
    for _ in 0..3 {
        let answer = api.get(&format!("{STREAMS}/s/layers")).await;
        let warning = answer.header("warning").unwrap_or_default();
        assert!(warning.contains(&format!("image {broken} is left out")), "{warning}");
        let images = answer.is(200)["images"].clone();
        assert!(images.get(&broken).is_none() && images.get(digest("2")).is_some(), "{images}");
    }
    let log = api.server.log();
    let is_about = |line: &&String| line.contains("left a broken image") && line.contains(&broken);
    assert_eq!(log.iter().filter(is_about).count(), 1, "{log:?}");
}

#[tokio::test]
async fn a_list_says_at_every_request_that_it_was_created_when_it_was() {
    // A manifest list without a creation date gets that of its image object.
    let api = Api::with_stream().await;
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
    plant(&api, "t", &with_manifest(&digest("1"), &manifest, "")).await;
    let mut dated = with_manifest(&digest("2"), &manifest, "");
    dated["dockerImageMetadata"] = json!({"Created": "2020-01-02T03:04:05Z"});
    plant(&api, "t", &dated).await;
    let (first, second) = (shown(&api, "1").await, shown(&api, "1").await);
    assert_eq!(first.body, second.body);
    let image = &first.is(200)["image"];
    assert_eq!(image["dockerImageMetadata"]["Created"], image["metadata"]["creationTimestamp"]);
    assert_eq!(
        shown(&api, "2").await.is(200)["image"]["dockerImageMetadata"]["Created"],
        "2020-01-02T03:04:05Z"
    );
}

#[tokio::test]
async fn what_is_missing_is_told_in_three_ways() {
    // A missing stream, an unknown ID and a deleted image have different errors.
    let api = Api::with_stream().await;
    let name = digest("1");
    api.push("t", &image(&name)).await;
    api.delete(&format!("images/{name}")).await.is(200);
    let details =
        |name: &str, kind: &str| json!({"name": name, "group": "image.openshift.io", "kind": kind});
    let stream = api.get(&format!("{STREAM_IMAGES}/other@1")).await;
    let stream = stream.fails(404, "NotFound", &format!("{PLURAL} \"other\" not found"));
    assert_eq!(stream["details"], details("other", "imagestreamimages"));
    let unknown =
        shown(&api, "f").await.fails(404, "NotFound", &format!("{SINGULAR} \"s@f\" not found"));
    assert_eq!(unknown["details"], details("s@f", "imagestreamimage"));
    let gone =
        shown(&api, "1").await.fails(404, "NotFound", &format!("{PLURAL} \"{name}\" not found"));
    assert_eq!(gone["details"], details(&name, "imagestreamimages"));
}

#[tokio::test]
async fn a_name_that_is_none_is_refused() {
    let api = Api::with_stream().await;
    for name in ["s", "s@", "@1", "s@1@2"] {
        let answer = api.get(&format!("{STREAM_IMAGES}/{name}")).await;
        answer.fails(400, "BadRequest", "ImageStreamImages must be retrieved with <name>@<id>");
    }
}

#[tokio::test]
async fn an_answer_follows_every_change_at_once() {
    let api = Api::with_stream().await;
    api.push("t", &image(&digest("1a"))).await;
    assert_eq!(found(&api, "1").await, digest("1a"));
    api.push("t", &image(&digest("1b"))).await;
    shown(&api, "1").await.is(400);
    api.delete(&format!("images/{}", digest("1a"))).await.is(200);
    shown(&api, "1a").await.is(404);
    api.post("images", &image(&digest("1a"))).await.is(201);
    assert_eq!(found(&api, "1a").await, digest("1a"));
    api.delete(&format!("{STREAMS}/s")).await.is(200);
    shown(&api, "1a").await.fails(404, "NotFound", &format!("{PLURAL} \"s\" not found"));
    let mut again = stream("s");
    again["metadata"]["annotations"] = json!({"new": "yes"});
    api.post(STREAMS, &again).await.is(201);
    shown(&api, "1a").await.fails(404, "NotFound", &format!("{SINGULAR} \"s@1a\" not found"));
    api.push("t", &image(&digest("1a"))).await;
    assert_eq!(shown(&api, "1a").await.is(200)["metadata"]["annotations"], json!({"new": "yes"}));
}

#[tokio::test]
async fn the_same_answer_comes_as_yaml_indented_and_as_a_table() {
    let api = Api::with_stream().await;
    let name = digest("1");
    api.push("t", &image(&name)).await;
    let path = format!("{STREAM_IMAGES}/s@1");
    let compact = api.get(&path).await;
    let json = compact.is(200);
    assert!(
        compact.body.ends_with(b"}\n")
            && compact.body.iter().filter(|byte| **byte == b'\n').count() == 1
    );

    let yaml = api.get_as(&path, "application/yaml").await;
    assert_eq!(yaml.header("content-type"), Some("application/yaml"));
    let text = std::str::from_utf8(&yaml.body).expect("YAML is text");
    assert_eq!(serde_saphyr::from_str::<Value>(text).expect("the response is YAML"), json);

    let pretty = api.get(&format!("{path}?pretty=true")).await;
    assert_eq!(pretty.is(200), json);
    assert!(pretty.body.starts_with(b"{\n  \"kind\": \"ImageStreamImage\",\n"));

    let table = api.get_as(&path, "application/json;as=Table;v=v1;g=meta.k8s.io").await.is(200);
    let columns: Vec<_> = table["columnDefinitions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|each| &each["name"])
        .collect();
    assert_eq!(columns, ["Name", "Updated", "Image Reference", "Image Name"]);
    let cells = &table["rows"][0]["cells"];
    assert_eq!((&cells[0], &cells[3]), (&json!("s@1"), &json!(name)));
    assert_eq!(table["rows"][0]["object"]["metadata"], json["metadata"]);
    let partial = api
        .get_as(&path, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
        .await
        .is(200);
    assert_eq!(partial["metadata"], json["metadata"]);
}

#[tokio::test]
async fn stream_images_can_only_be_read_one_by_one() {
    let api = Api::with_stream().await;
    api.push("t", &image(&digest("1"))).await;
    let path = format!("{STREAM_IMAGES}/s@1");
    for method in ["PUT", "POST", "PATCH", "DELETE", "OPTIONS"] {
        let answer = api.ask(request(method, &path)).await;
        answer.fails(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        );
    }
    assert_eq!(api.ask(request("HEAD", &path)).await.status, 405);
    for path in
        [STREAM_IMAGES, "imagestreamimages", "imagestreamimages/s@1", &format!("{path}/layers")]
    {
        api.get(path).await.fails(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
    }
}
