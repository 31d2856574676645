//! `imagesignatures`: signatures of an image.

use serde_json::{Value, json};

use crate::fixtures::image;
use crate::harness::{Api, Expect};

fn signature(name: &str, content: &str) -> Value {
    json!({"kind": "ImageSignature", "apiVersion": "image.openshift.io/v1", "metadata": {"name": name}, "type": "t",
        "content": content, "imageIdentity": "claimed"})
}

async fn signatures(api: &Api) -> Vec<String> {
    let image = api.get("images/app").await.is(200);
    let signatures = image["signatures"].as_array().cloned().unwrap_or_default();
    signatures.iter().map(|each| each["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_signature_lives_in_its_image_and_claims_nothing() {
    // Signatures are stored in their image. Claims sent by the client are dropped.
    let api = Api::start().await;
    api.post("images", &image("app")).await.is(201);
    let made = api.post("imagesignatures", &signature("app@one", "MQ==")).await.is(201);
    assert_eq!((&made["imageIdentity"], &made["content"]), (&Value::Null, &json!("MQ==")));
    api.post("imagesignatures", &signature("app@two", "Mg==")).await.is(201);
    assert_eq!(signatures(&api).await, ["app@one", "app@two"]);
    let message = "imageSignatures.image.openshift.io \"app@three\" already exists";
    api.post("imagesignatures", &signature("app@three", "MQ==")).await.fails(
        409,
        "AlreadyExists",
        message,
    );
    let answer = api.delete("imagesignatures/app@one").await.is(200);
    assert_eq!(
        answer,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
    );
    assert_eq!(signatures(&api).await, ["app@two"]);
}

#[tokio::test]
async fn a_dry_run_signs_nothing_and_takes_no_signature() {
    // Neither a create nor a delete is stored in a dry run.
    let api = Api::start().await;
    api.post("images", &image("app")).await.is(201);
    api.post("imagesignatures?dryRun=All", &signature("app@one", "MQ==")).await.is(201);
    assert!(signatures(&api).await.is_empty());
    api.post("imagesignatures", &signature("app@one", "MQ==")).await.is(201);
    api.delete("imagesignatures/app@one?dryRun=All").await.is(200);
    assert_eq!(signatures(&api).await, ["app@one"]);
}

#[tokio::test]
async fn many_sign_one_image_at_once() {
    let api = Api::start().await;
    api.post("images", &image("app")).await.is(201);
    let letters: Vec<char> = ('A'..='P').collect();
    let signing = letters.iter().map(|letter| {
        let (api, signature) = (&api, signature(&format!("app@{letter}"), &format!("{letter}AAA")));
        async move { api.post("imagesignatures", &signature).await.is(201) }
    });
    futures_util::future::join_all(signing).await;
    assert_eq!(signatures(&api).await.len(), letters.len());
}

#[tokio::test]
async fn a_missing_image_cannot_be_signed() {
    let api = Api::start().await;
    let message = "images.image.openshift.io \"app\" not found";
    api.post("imagesignatures", &signature("app@one", "MQ=="))
        .await
        .fails(404, "NotFound", message);
    api.delete("imagesignatures/app@one").await.fails(404, "NotFound", message);
}
