//! Isolation of tenants: images cannot be forged, and are visible only to tenants that prove their
//! content or may read them.

mod transfer;

use serde_json::{Value, json};

use crate::fixtures::{OCI_INDEX, digest, image, index, with_manifest};
use crate::harness::{Expect, TestServer};
use crate::store::run;
use crate::tenants::{ADMIN, MALLORY, MIKE, Tenants, VICTOR};

const SCHEMA2: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = r#"{"architecture":"amd64","config":{"Env":["SECRET=victor"]}}"#;

/// Returns the SHA-256 digest of a text.
fn digest_of(text: &str) -> String {
    imagestream_apiserver::domain::digest::Digest::sha256_of(text).to_string()
}

/// Victor's image, with manifest and configuration.
fn victors() -> Value {
    let layer = json!({"digest": digest("1a"), "size": 5, "mediaType": "l"});
    let config = json!({"digest": digest_of(CONFIG), "size": CONFIG.len()});
    let manifest =
        json!({"schemaVersion": 2, "mediaType": SCHEMA2, "config": config, "layers": [layer]});
    let mut image = with_manifest(&digest_of(&manifest.to_string()), &manifest, CONFIG);
    image["dockerImageReference"] = "victor.example/app".into();
    image
}

fn name_of(image: &Value) -> String {
    image["metadata"]["name"].as_str().expect("an image has a name").to_owned()
}

/// A forged image under the name of another one, without its content.
fn forged(name: &str) -> Value {
    let mut forged = image(name);
    forged["metadata"]["finalizers"] = json!(["evil.example/never"]);
    forged["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u"}]);
    forged["metadata"]["labels"] = json!({"evil": "1"});
    forged["dockerImageReference"] = "evil.example/backdoor:latest".into();
    forged["dockerImageMetadata"] =
        json!({"Id": digest("ee"), "Size": 7, "Config": {"Env": ["TRUSTED=yes"]}});
    forged["dockerImageLayers"] = json!([{"name": digest("ef"), "size": 1, "mediaType": "l"}]);
    forged
}

fn shows_victors(view: &Value) -> bool {
    let image = &view["image"];
    image["dockerImageMetadata"]["Config"]["Env"] == json!(["SECRET=victor"])
        && image["dockerImageReference"] == "victor.example/app"
        && image["dockerImageLayers"].as_array().is_some_and(|layers| layers.len() == 1)
        && image["dockerImageLayers"][0]["name"] == digest("1a")
}

/// Returns the blobs that a registry serves to users with pull access to victor's stream.
async fn victors_blobs(tenants: &Tenants) -> Vec<String> {
    let layers = tenants.get(VICTOR, &VICTOR.path("imagestreams/s/layers")).await.is(200);
    layers["blobs"].as_object().into_iter().flatten().map(|(digest, _)| digest.clone()).collect()
}

fn true_blobs() -> Vec<String> {
    let mut blobs = vec![digest("1a"), digest_of(CONFIG), name_of(&victors())];
    blobs.sort();
    blobs
}

#[tokio::test]
async fn what_is_planted_under_a_digest_gives_way_to_the_image_itself() {
    // A genuine image replaces a forged one of the same name.
    let tenants = Tenants::start().await;
    let victors = victors();
    let name = name_of(&victors);
    tenants.push(MALLORY, "mine", "t", &forged(&name)).await.is(201);
    let planted = tenants.get(ADMIN, &format!("images/{name}")).await.is(200);
    assert_eq!(
        (&planted["metadata"]["finalizers"], &planted["metadata"]["ownerReferences"]),
        (&Value::Null, &Value::Null)
    );
    tenants.push(VICTOR, "s", "t", &victors).await.is(201);
    let view = tenants.shown(VICTOR, "s", &name).await.is(200);
    assert!(shows_victors(&view), "{view}");
    let meta = &view["image"]["metadata"];
    assert_eq!((&meta["uid"], &meta["labels"]), (&planted["metadata"]["uid"], &Value::Null));
    assert_eq!(victors_blobs(&tenants).await, true_blobs());
    let gone = tenants.ask(ADMIN, "DELETE", &format!("images/{name}"), None).await;
    gone.is(200);
    tenants.get(ADMIN, &format!("images/{name}")).await.is(404);
}

#[tokio::test]
async fn a_true_manifest_without_its_configuration_gives_way_to_both() {
    // A manifest with its configuration replaces a manifest without it.
    let tenants = Tenants::start().await;
    let victors = victors();
    let name = name_of(&victors);
    let mut half = victors.clone();
    half["dockerImageConfig"] = "".into();
    half["dockerImageReference"] = "evil.example/backdoor".into();
    tenants.push(MALLORY, "mine", "t", &half).await.is(201);
    tenants.push(VICTOR, "s", "t", &victors).await.is(201);
    let view = tenants.shown(VICTOR, "s", &name).await.is(200);
    assert!(shows_victors(&view), "{view}");
    let tag = tenants.get(VICTOR, &VICTOR.path("imagestreamtags/s:t")).await.is(200);
    assert_eq!(tag["image"]["dockerImageMetadata"]["Architecture"], "amd64");
    assert_eq!(victors_blobs(&tenants).await, true_blobs());
}

/// A genuine image with metadata and layers that differ from its manifest.
fn embellished() -> Value {
    let (mut image, lies) = (victors(), forged("x"));
    for field in ["dockerImageReference", "dockerImageMetadata", "dockerImageLayers"] {
        image[field] = lies[field].clone();
    }
    image
}

#[tokio::test]
async fn forged_metadata_of_a_true_image_gives_way_to_the_true_one() {
    let tenants = Tenants::start().await;
    let name = name_of(&victors());
    tenants.push(MALLORY, "mine", "t", &embellished()).await.is(201);
    let recorded = tenants.shown(MALLORY, "mine", &name).await.is(200);
    assert_eq!(recorded["image"]["dockerImageMetadata"]["Config"]["Env"], json!(["TRUSTED=yes"]));
    let layers = tenants.get(MALLORY, &MALLORY.path("imagestreams/mine/layers")).await.is(200);
    assert_eq!(
        layers["images"][&name]["layers"],
        json!([digest("1a")]),
        "only the layers of the manifest count"
    );
    assert_eq!(layers["images"][&name]["config"], json!(digest_of(CONFIG)));
    assert!(layers["blobs"].get(digest("ef")).is_none());
    tenants.push(VICTOR, "s", "t", &victors()).await.is(201);
    let view = tenants.shown(VICTOR, "s", &name).await.is(200);
    assert!(shows_victors(&view), "{view}");
    assert_eq!(victors_blobs(&tenants).await, true_blobs());
}

#[tokio::test]
async fn forged_metadata_does_not_replace_the_true_one() {
    let tenants = Tenants::start().await;
    let name = name_of(&victors());
    tenants.push(VICTOR, "s", "t", &victors()).await.is(201);
    tenants.push(MALLORY, "mine", "t", &embellished()).await.is(201);
    for forged in [forged(&name), image(&name)] {
        tenants.push(ADMIN, "s", "u", &forged).await.is(201);
    }
    let view = tenants.shown(VICTOR, "s", &name).await.is(200);
    assert!(shows_victors(&view), "{view}");
    assert_eq!(victors_blobs(&tenants).await, true_blobs());
}

/// Checks that mallory's streams `names` expose nothing of victor's image.
async fn sees_nothing(tenants: &Tenants, names: &[&str]) {
    let image = name_of(&victors());
    for stream in names {
        for path in [
            format!("imagestreamimages/{stream}@{image}"),
            format!("imagestreamtags/{stream}:t"),
            format!("imagetags/{stream}:t"),
            format!("imagestreams/{stream}/layers"),
        ] {
            let answer = tenants.get(MALLORY, &MALLORY.path(&path)).await;
            let text = String::from_utf8_lossy(&answer.body);
            for secret in ["SECRET", "victor", &digest("1a"), &digest_of(CONFIG)] {
                assert!(!text.contains(secret), "{path}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn the_digest_of_an_image_is_not_enough_to_join_it() {
    let tenants = Tenants::start().await;
    let name = name_of(&victors());
    tenants.push(VICTOR, "s", "t", &victors()).await.is(201);
    let refused = tenants.push(MALLORY, "mine", "t", &forged(&name)).await.is(403);
    let message = refused["message"].as_str().unwrap_or_default();
    for told in
        [&name, "image.dockerImageManifest", "get images", "imagestreams/layers", "\"mallory\""]
    {
        assert!(message.contains(told), "{told}: {message}");
    }
    let stream = tenants.get(MALLORY, &MALLORY.path("imagestreams/mine")).await.is(200);
    assert!(stream["status"].get("tags").is_none(), "{stream}");
    sees_nothing(&tenants, &["mine"]).await;
    // The manifest proves knowledge of the image.
    let mut known = victors();
    known["dockerImageConfig"] = "".into();
    tenants.push(MALLORY, "mine", "t", &known).await.is(201);
    assert!(shows_victors(&tenants.shown(MALLORY, "mine", &name).await.is(200)));
}

#[tokio::test]
async fn unproved_push_shows_its_own_content_until_proved() {
    let tenants = Tenants::start().await;
    let name = name_of(&victors());
    tenants.push(MALLORY, "mine", "t", &forged(&name)).await.is(201);
    // A copy of an unproved tag is unproved too.
    for (tag, from) in [("more:t", "mine:t"), ("more:u", "mine@")] {
        let (kind, from) = match from.strip_suffix('@') {
            Some(stream) => ("ImageStreamImage", format!("{stream}@{name}")),
            None => ("ImageStreamTag", from.to_owned()),
        };
        let tag = json!({"kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1", "metadata": {"name": tag},
            "tag": {"name": "", "from": {"kind": kind, "name": from}}});
        tenants.post(MALLORY, &MALLORY.path("imagestreamtags"), &tag).await.is(201);
    }
    let before = tenants.shown(MALLORY, "mine", &name).await.is(200);
    tenants.push(VICTOR, "s", "t", &victors()).await.is(201);
    sees_nothing(&tenants, &["mine", "more"]).await;
    for stream in ["mine", "more"] {
        let mut after = tenants.shown(MALLORY, stream, &name).await.is(200);
        assert_eq!(after["image"]["dockerImageReference"], "evil.example/backdoor:latest");
        for (field, value) in
            [("metadata", &before["metadata"]["name"]), ("image", &before["image"]["metadata"])]
        {
            match field {
                "metadata" => after["metadata"]["name"] = value.clone(),
                _ => {
                    after["image"]["metadata"]["resourceVersion"] = value["resourceVersion"].clone()
                }
            }
        }
        assert_eq!(after["image"], before["image"], "{stream}");
        let layers = tenants
            .get(MALLORY, &MALLORY.path(&format!("imagestreams/{stream}/layers")))
            .await
            .is(200);
        assert_eq!(
            (&layers["blobs"], &layers["images"][&name]["imageMissing"]),
            (&json!({}), &json!(true))
        );
    }
    // Pushing the image again without proof changes nothing.
    tenants.push(MALLORY, "mine", "u", &image(&name)).await.is(201);
    tenants.push(MALLORY, "more", "u", &image(&name)).await.is(201);
    sees_nothing(&tenants, &["mine", "more"]).await;
    tenants.push(MALLORY, "mine", "t", &victors()).await.is(201);
    assert!(shows_victors(&tenants.shown(MALLORY, "mine", &name).await.is(200)));
    sees_nothing(&tenants, &["more"]).await;
}

#[tokio::test]
async fn the_parts_of_an_unproved_list_are_not_those_of_its_stream() {
    let tenants = Tenants::start().await;
    let name = name_of(&victors());
    tenants.push(MALLORY, "mine", "t", &index(&digest("5"), &[&name])).await.is(201);
    tenants.push(VICTOR, "s", "t", &victors()).await.is(201);
    tenants.shown(MALLORY, "mine", &name).await.is(404);
    let layers = tenants.get(MALLORY, &MALLORY.path("imagestreams/mine/layers")).await.is(200);
    assert_eq!(layers["images"].as_object().map(serde_json::Map::len), Some(1), "{layers}");
    // A part that the genuine manifest does not name gives no access either.
    let mut own = with_manifest(&digest_of("{}"), &json!({}), "");
    own["dockerImageManifestMediaType"] = "application/x".into();
    own["dockerImageManifests"] = index("x", &[&name])["dockerImageManifests"].clone();
    tenants.push(MALLORY, "more", "t", &own).await.is(201);
    tenants.shown(MALLORY, "more", &name).await.is(404);
}

/// A manifest list with a genuine manifest, whose digest is its name.
fn list_of(parts: &[&str]) -> Value {
    let part = |digest: &&str| json!({"digest": digest, "mediaType": SCHEMA2, "size": 7, "platform": {"architecture": "amd64", "os": "linux"}});
    let parts: Vec<Value> = parts.iter().map(part).collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": parts});
    with_manifest(&digest_of(&manifest.to_string()), &manifest, "")
}

#[tokio::test]
async fn manifest_list_gives_no_access_to_foreign_images() {
    let tenants = Tenants::start().await;
    let name = name_of(&victors());
    let inner = list_of(&[&name]);
    // A list pushed before victor's image, a list of a list, and a list pushed after the image.
    tenants.push(MALLORY, "mine", "t", &list_of(&[&name, &digest("9")])).await.is(201);
    tenants.push(MALLORY, "mine", "u", &list_of(&[&name_of(&inner)])).await.is(201);
    tenants.push(VICTOR, "s", "t", &victors()).await.is(201);
    tenants.push(VICTOR, "s", "l", &inner).await.is(201);
    tenants.push(MALLORY, "more", "t", &list_of(&[&name])).await.is(201);
    // A copy of the tag, and an unproved push that is deleted again, give no access either.
    let tag = json!({"kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1", "metadata": {"name": "copy:t"},
        "tag": {"name": "", "from": {"kind": "ImageStreamTag", "name": "mine:t"}}});
    tenants.post(MALLORY, &MALLORY.path("imagestreamtags"), &tag).await.is(201);
    tenants.push(MALLORY, "mine", "v", &image(&digest("9"))).await.is(201);
    tenants.ask(MALLORY, "DELETE", &MALLORY.path("imagestreamtags/mine:v"), None).await.is(200);
    // A list that is first pushed without its media type gives no access either.
    let hidden = list_of(&[&digest("8"), &name]);
    let mut disguised = hidden.clone();
    disguised["dockerImageManifestMediaType"] = "".into();
    tenants.push(MALLORY, "mine", "w", &disguised).await.is(201);
    tenants.push(MALLORY, "more", "w", &hidden).await.is(201);
    for stream in ["mine", "more", "copy"] {
        tenants.shown(MALLORY, stream, &name).await.is(404);
    }
    tenants.shown(MALLORY, "mine", &name_of(&inner)).await.is(404);
    sees_nothing(&tenants, &["mine", "more", "copy"]).await;
    assert!(shows_victors(&tenants.shown(VICTOR, "s", &name).await.is(200)));
    // Pushing the part itself gives access.
    tenants.push(MALLORY, "more", "part", &victors()).await.is(201);
    assert!(shows_victors(&tenants.shown(MALLORY, "more", &name).await.is(200)));
}

#[tokio::test]
async fn permitted_parts_come_with_their_manifest_list() {
    let tenants = Tenants::start().await;
    let (name, list) = (name_of(&victors()), list_of(&[&name_of(&victors())]));
    // A registry creates the images of the parts with its own permissions, before or after the
    // list.
    tenants.push(MALLORY, "mine", "t", &list).await.is(201);
    tenants.shown(MALLORY, "mine", &name).await.is(404);
    tenants.post(ADMIN, "images", &victors()).await.is(201);
    tenants.push(MALLORY, "more", "t", &list).await.is(201);
    for stream in ["mine", "more"] {
        assert!(shows_victors(&tenants.shown(MALLORY, stream, &name).await.is(200)), "{stream}");
        let layers = tenants
            .get(MALLORY, &MALLORY.path(&format!("imagestreams/{stream}/layers")))
            .await
            .is(200);
        assert_eq!(layers["images"][&name]["layers"], json!([digest("1a")]), "{stream}");
    }
    // The first part is in another stream of the namespace, and the administrator may read any
    // image.
    let mut other = victors();
    other["dockerImageManifest"] =
        format!("{}\n", other["dockerImageManifest"].as_str().unwrap_or_default()).into();
    let other_name = digest_of(other["dockerImageManifest"].as_str().unwrap_or_default());
    other["metadata"]["name"] = other_name.clone().into();
    tenants.push(MALLORY, "mine", "part", &other).await.is(201);
    let list = list_of(&[&other_name]);
    tenants.push(MIKE, "more", "u", &list).await.is(201);
    tenants.shown(MALLORY, "more", &other_name).await.is(404);
    tenants.push(MALLORY, "more", "v", &list).await.is(201);
    tenants.shown(MALLORY, "more", &other_name).await.is(200);
    tenants.push(ADMIN, "s", "t", &list).await.is(201);
    tenants.shown(VICTOR, "s", &other_name).await.is(200);
}

#[tokio::test]
async fn who_may_pull_an_image_in_the_namespace_may_join_it() {
    let tenants = Tenants::start().await;
    let name = name_of(&victors());
    tenants.push(MALLORY, "mine", "t", &victors()).await.is(201);
    tenants.push(MIKE, "more", "t", &image(&name)).await.is(403);
    tenants.push(MALLORY, "more", "t", &image(&name)).await.is(201);
    assert!(shows_victors(&tenants.shown(MALLORY, "more", &name).await.is(200)));
    // A user who may read any image proves nothing by a push, and loses nothing.
    tenants.push(ADMIN, "s", "t", &image(&name)).await.is(201);
    assert!(shows_victors(&tenants.shown(VICTOR, "s", &name).await.is(200)));
}

#[tokio::test]
async fn names_that_are_no_digest_are_joined_by_right_only() {
    // A name that is not a digest cannot be proved, so pushing it needs read access.
    let tenants = Tenants::start().await;
    let mut app = victors();
    app["metadata"]["name"] = "app".into();
    tenants.push(VICTOR, "s", "t", &app).await.is(201);
    let refused = tenants.push(MALLORY, "mine", "t", &app).await.is(403);
    assert!(
        refused["message"]
            .as_str()
            .unwrap_or_default()
            .contains("under the digest of its manifest"),
        "{refused}"
    );
    tenants.push(VICTOR, "s", "u", &app).await.is(201);
    tenants.push(ADMIN, "s", "v", &app).await.is(201);
    tenants.push(MALLORY, "mine", "t", &image("own")).await.is(201);
    let shown = tenants.shown(MALLORY, "mine", "own").await.is(200);
    assert_eq!(shown["image"]["dockerImageReference"], image("own")["dockerImageReference"]);
}

#[tokio::test]
async fn one_push_needs_ten_reviews_at_most_and_a_proved_one_none() {
    // An unproved push reviews access to the image and to at most nine of its streams.
    let tenants = Tenants::start().await;
    let name = name_of(&victors());
    tenants.push(MALLORY, "mine", "t", &victors()).await.is(201);
    assert_eq!(tenants.reviews_of(MALLORY), [Value::Null; 0]);
    for number in 0..12 {
        let copy = crate::fixtures::stream(&format!("copy{number:02}"));
        tenants.post(MALLORY, &MALLORY.path("imagestreams"), &copy).await.is(201);
        tenants.push(MALLORY, &format!("copy{number:02}"), "t", &victors()).await.is(201);
    }
    tenants.push(MIKE, "more", "t", &image(&name)).await.is(403);
    let reviews = tenants.reviews_of(MIKE);
    assert_eq!(reviews.len(), 10);
    assert_eq!((&reviews[0]["resource"], &reviews[0]["name"]), (&json!("images"), &json!(name)));
    assert!(
        reviews[1..]
            .iter()
            .all(|about| about["namespace"] == "ten-a" && about["subresource"] == "layers")
    );
}

#[tokio::test]
async fn what_authority_gave_an_image_outlives_the_proof() {
    // Changes by an administrator survive the replacement of a forged image.
    let tenants = Tenants::start().await;
    let name = name_of(&victors());
    tenants.push(MALLORY, "mine", "t", &forged(&name)).await.is(201);
    let path = format!("images/{name}");
    let mut planted = tenants.get(ADMIN, &path).await.is(200);
    planted["metadata"]["labels"]["kept"] = "1".into();
    planted["metadata"]["finalizers"] = json!(["admin.example/keep"]);
    tenants.ask(ADMIN, "PUT", &path, Some(&planted)).await.is(200);
    let content =
        json!({"type": "t", "content": "YQ==", "metadata": {"name": format!("{name}@a")}});
    tenants.post(ADMIN, "imagesignatures", &content).await.is(201);
    tenants.push(VICTOR, "s", "t", &victors()).await.is(201);
    let image = tenants.get(ADMIN, &path).await.is(200);
    let meta = &image["metadata"];
    assert_eq!(
        (&meta["uid"], &meta["labels"]),
        (&planted["metadata"]["uid"], &json!({"kept": "1"}))
    );
    assert_eq!(
        (&meta["finalizers"], &image["signatures"][0]["type"]),
        (&json!(["admin.example/keep"]), &json!("t"))
    );
    assert_eq!(image["dockerImageReference"], "victor.example/app");
    for (_, value) in image.as_object().into_iter().flatten() {
        assert!(value.get("proof").is_none(), "{image}");
    }
    assert!(image.get("evidence").is_none(), "the evidence field is internal");
}

#[tokio::test]
async fn tags_bring_a_limited_number_of_withheld_images() {
    let tenants = Tenants::start().await;
    let tag = |name: &str, of: &str| json!({"name": name, "from": {"kind": "ImageStreamTag", "name": of}});
    let with = |name: &str, tags: &[Value]| {
        json!({"kind": "ImageStream", "apiVersion": "image.openshift.io/v1", "metadata": {"name": name},
            "spec": {"tags": tags}})
    };
    let streams = MALLORY.path("imagestreams");
    for (stream, first) in [("a", 0), ("b", 600)] {
        let parts: Vec<String> =
            (first..first + 600).map(|at| digest_of(&at.to_string())).collect();
        let list = list_of(&parts.iter().map(String::as_str).collect::<Vec<_>>());
        tenants.post(MALLORY, &streams, &with(stream, &[])).await.is(201);
        tenants.push(MALLORY, stream, "t", &list).await.is(201);
    }
    tenants
        .post(MALLORY, &streams, &with("one", &[tag("a", "a:t"), tag("b", "a:t")]))
        .await
        .is(201);
    let both = [tag("a", "a:t"), tag("b", "b:t")];
    let refused = tenants.post(MALLORY, &streams, &with("both", &both)).await.is(422);
    assert_eq!(refused["details"]["causes"][0]["field"], "spec.tags", "{refused}");
    assert!(
        refused["message"].as_str().is_some_and(|text| text.contains("at most 1000")),
        "{refused}"
    );
    let view = json!({"kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1", "metadata": {"name": "one:c"},
        "tag": tag("", "b:t")});
    tenants.post(MALLORY, &MALLORY.path("imagestreamtags"), &view).await.is(422);
    // A stream without images withholds nothing.
    for name in ["a", "b"] {
        tenants
            .ask(MALLORY, "DELETE", &MALLORY.path(&format!("imagestreamtags/one:{name}")), None)
            .await
            .is(200);
    }
    tenants.post(MALLORY, &MALLORY.path("imagestreamtags"), &view).await.is(201);
}
