//! `imagestreammappings`: the request that a registry sends after a push.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::fixtures::{
    OCI_INDEX, OCI_MANIFEST, digest, image, mapping, names, stream, with_manifest,
};
use crate::harness::{Api, Expect, MAPPINGS, STREAM_IMAGES, STREAMS};

async fn tags(api: &Api) -> Vec<Value> {
    let stream = api.get(&format!("{STREAMS}/s")).await.is(200);
    stream["status"]["tags"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_push_makes_the_image_and_the_event() {
    let api = Api::with_stream().await;
    let answer = api.post(MAPPINGS, &mapping("s", "t", &image(&digest("1")))).await.is(201);
    let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    assert_eq!(answer, success);
    let tags = tags(&api).await;
    assert_eq!(
        (&tags[0]["tag"], &tags[0]["items"][0]["image"]),
        (&json!("t"), &json!(digest("1")))
    );
    api.get(&format!("images/{}", digest("1"))).await.is(200);
}

#[tokio::test]
async fn a_push_to_a_missing_stream_leaves_no_image_behind() {
    let api = Api::start().await;
    let message = "imagestreammappings.image.openshift.io \"s\" not found";
    let refused = api
        .post(MAPPINGS, &mapping("s", "t", &image(&digest("1"))))
        .await
        .fails(404, "NotFound", message);
    assert_eq!(refused["details"]["kind"], "imagestreammappings");
    assert!(names(&api.get("images").await.is(200)).is_empty());
}

#[tokio::test]
async fn pushes_of_many_tags_at_once_all_succeed_and_are_all_there() {
    let api = Api::with_stream().await;
    let hex: Vec<String> = (0..32).map(|number| format!("{number:02x}")).collect();
    let pushes = hex.iter().map(|hex| {
        let mapping = mapping("s", &format!("t{hex}"), &image(&digest(hex)));
        let api = &api;
        async move { api.post(MAPPINGS, &mapping).await.is(201) }
    });
    join_all(pushes).await;
    let pushed: Vec<_> = tags(&api)
        .await
        .iter()
        .map(|tag| (tag["tag"].clone(), tag["items"][0]["image"].clone()))
        .collect();
    let wanted: Vec<_> =
        hex.iter().map(|hex| (json!(format!("t{hex}")), json!(digest(hex)))).collect();
    assert_eq!(pushed, wanted);
    assert_eq!(names(&api.get("images").await.is(200)).len(), 32);
}

#[tokio::test]
async fn nobody_sees_an_event_without_its_image() {
    // The image of every visible tag event can be read.
    let api = Api::with_stream().await;
    let pushes = async {
        for number in 0..32 {
            api.push(&format!("t{number}"), &image(&digest(&format!("{number:02x}")))).await;
        }
    };
    let look = async {
        let mut seen = 0;
        while seen < 32 {
            let tags = tags(&api).await;
            for tag in &tags[seen..] {
                let name = tag["items"][0]["image"].as_str().unwrap_or_default();
                api.get(&format!("{STREAM_IMAGES}/s@{name}")).await.is(200);
            }
            seen = tags.len();
        }
    };
    tokio::join!(pushes, look);
}

#[tokio::test]
async fn a_tag_remembers_what_it_was() {
    let api = Api::with_stream().await;
    for hex in ["1", "2", "2", "1"] {
        api.push("t", &image(&digest(hex))).await;
    }
    let items = &tags(&api).await[0]["items"];
    let images: Vec<&Value> =
        items.as_array().into_iter().flatten().map(|event| &event["image"]).collect();
    assert_eq!(images, [&json!(digest("1")), &json!(digest("2")), &json!(digest("1"))]);
}

#[tokio::test]
async fn an_image_that_is_there_is_left_unchanged() {
    let api = Api::with_stream().await;
    let mut first = image(&digest("1"));
    first["metadata"]["annotations"] = json!({"a": "first"});
    let stored = api.post("images", &first).await.is(201);
    let mut second = image(&digest("1"));
    second["metadata"]["annotations"] = json!({"a": "second"});
    api.push("t", &second).await;
    assert_eq!(api.get(&format!("images/{}", digest("1"))).await.is(200), stored);
    assert_eq!(tags(&api).await.len(), 1);
}

#[tokio::test]
async fn an_image_without_a_reference_is_in_the_internal_registry() {
    let api = Api::with_stream().await;
    let mut bare = image(&digest("1"));
    bare["dockerImageReference"] = "".into();
    api.push("t", &bare).await;
    let wanted = format!("image-registry.openshift-image-registry.svc:5000/ns/s@{}", digest("1"));
    let image = api.get(&format!("images/{}", digest("1"))).await.is(200);
    assert_eq!(image["dockerImageReference"], wanted);
    assert_eq!(tags(&api).await[0]["items"][0]["dockerImageReference"], wanted);
}

#[tokio::test]
async fn a_push_needs_a_tag_and_an_image() {
    let api = Api::with_stream().await;
    let refused = api.post(MAPPINGS, &mapping("s", "", &json!({}))).await.is(422);
    let fields: Vec<_> = refused["details"]["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|each| &each["field"])
        .collect();
    assert!(
        fields.contains(&&json!("tag")) && fields.contains(&&json!("image.metadata.name")),
        "{refused}"
    );
    assert!(tags(&api).await.is_empty());
}

#[tokio::test]
async fn a_missing_stream_is_told_before_what_is_wrong_with_the_image() {
    // A missing stream is reported before the errors of the image.
    let api = Api::with_stream().await;
    let part = json!({"digest": digest("1"), "mediaType": OCI_MANIFEST, "size": 7, "platform": {"os": "linux"}});
    let list = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [part]});
    let image = with_manifest("app", &list, "");
    let message = "imagestreammappings.image.openshift.io \"nosuch\" not found";
    api.post(MAPPINGS, &mapping("nosuch", "t", &image)).await.fails(404, "NotFound", message);
    let message = "Image.image.openshift.io \"app\" is invalid: dockerImageManifests[0].architecture: Required value";
    api.post(MAPPINGS, &mapping("s", "t", &image)).await.fails(422, "Invalid", message);
}

#[tokio::test]
async fn a_push_gives_its_image_to_the_tags_that_follow() {
    // A spec tag that refers to the pushed tag gets its image too.
    let api = Api::start().await;
    let mut following = stream("s");
    following["spec"] =
        json!({"tags": [{"name": "follower", "from": {"kind": "ImageStreamTag", "name": "t"}}]});
    api.post(STREAMS, &following).await.is(201);
    api.push("t", &image(&digest("1"))).await;
    let images: Vec<_> =
        tags(&api).await.iter().map(|tag| tag["items"][0]["image"].clone()).collect();
    assert_eq!(images, [digest("1"), digest("1")]);
}

#[tokio::test]
async fn a_manifest_under_the_name_of_another_one_is_refused() {
    let api = Api::with_stream().await;
    let mut planted = image(&digest("1"));
    planted["dockerImageManifest"] = r#"{"schemaVersion":2}"#.into();
    let refused = api.post(MAPPINGS, &mapping("s", "t", &planted)).await.is(422);
    assert_eq!(refused["details"]["causes"][0]["field"], "image.metadata.name");
    assert!(tags(&api).await.is_empty());
    api.get(&format!("images/{}", digest("1"))).await.is(404);
}
