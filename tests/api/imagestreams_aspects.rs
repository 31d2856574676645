//! `imagestreams/layers` and `imagestreams/secrets`: the blobs of a stream, and the pull secrets
//! for its images.

use serde_json::json;

use crate::fixtures::{digest, image, index};
use crate::harness::{Api, Expect, STREAMS};

#[tokio::test]
async fn layers_list_every_image_even_if_missing() {
    let api = Api::with_stream().await;
    api.push("one", &image(&digest("1"))).await;
    api.push("list", &index(&digest("2"), &[&digest("1"), &digest("3")])).await;
    let layers = api.get(&format!("{STREAMS}/s/layers")).await.is(200);
    let images = layers["images"].as_object().unwrap();
    let missing: Vec<_> =
        images.iter().map(|(name, image)| (name.as_str(), &image["imageMissing"])).collect();
    let (one, two, three) = (digest("1"), digest("2"), digest("3"));
    assert_eq!(
        missing,
        [(one.as_str(), &json!(false)), (&two, &json!(false)), (&three, &json!(true))]
    );
    assert_eq!(layers["metadata"]["name"], "s");
    let message = "imagestreams.image.openshift.io \"nosuch\" not found";
    api.get(&format!("{STREAMS}/nosuch/layers")).await.fails(404, "NotFound", message);
}

#[tokio::test]
async fn layers_can_be_shown_as_metadata_but_not_as_a_table() {
    let api = Api::with_stream().await;
    let path = format!("{STREAMS}/s/layers");
    let metadata = api
        .get_as(&path, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
        .await
        .is(200);
    assert_eq!(metadata["kind"], "PartialObjectMetadata");
    api.get_as(&path, "application/json;as=Table;g=meta.k8s.io;v=v1").await.is(406);
}

#[tokio::test]
async fn without_a_cluster_there_are_no_secrets_whatever_the_stream() {
    // Without a cluster the list is empty, even for a missing stream.
    let api = Api::start().await;
    let secrets = api.get(&format!("{STREAMS}/nosuch/secrets")).await.is(200);
    assert_eq!((&secrets["kind"], &secrets["items"]), (&json!("SecretList"), &json!([])));
}
