//! Image names that could forge lines in printed output: rejected for new images, accepted for
//! stored ones.

use std::fs;
use std::process::Command;

use imagestream_apiserver::store::embedded::{Embedded, Options};
use imagestream_apiserver::store::{Change, Key, Lookup, Store, Txn};
use serde_json::json;

use crate::fixtures::{image, mapping, names};
use crate::harness::{Api, Expect, MAPPINGS, TestServer};

const NAME: &str = "older\nERROR forged";
/// The name as a path segment.
const SEGMENT: &str = "older%0AERROR%20forged";

#[tokio::test]
async fn a_new_image_has_no_control_characters_in_its_name() {
    let api = Api::with_stream().await;
    let rule = "Invalid value: \"older\\nERROR forged\": may not contain control characters";
    let bad = json!({"kind": "Image", "apiVersion": "image.openshift.io/v1", "metadata": {"name": NAME},
        "dockerImageReference": "registry.example.com/ns/s"});
    let message = format!(
        "Image.image.openshift.io \"older\\nERROR forged\" is invalid: metadata.name: {rule}"
    );
    api.post("images", &bad).await.fails(422, "Invalid", &message);
    let message = format!(
        "ImageStreamMapping.image.openshift.io \"s\" is invalid: image.metadata.name: {rule}"
    );
    api.post(MAPPINGS, &mapping("s", "t", &bad)).await.fails(422, "Invalid", &message);
    assert!(names(&api.get("images").await.is(200)).is_empty());
}

#[tokio::test]
async fn an_import_refuses_control_characters_in_names_of_images() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let line = json!({"kind": "Image", "apiVersion": "image.openshift.io/v1", "metadata": {"name": NAME},
        "dockerImageReference": "registry.example.com/ns/s"});
    let file = folder.path().join("objects.jsonl");
    fs::write(&file, format!("{line}\n")).expect("the file can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"));
    let command = command
        .args(["store", "import"])
        .arg(&file)
        .arg("--data-dir")
        .arg(folder.path().join("data"));
    let output = command.output().expect("the binary can be run");
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        !output.status.success() && told.contains("may not contain control characters"),
        "{told}"
    );
}

#[tokio::test]
async fn an_older_image_with_such_a_name_is_read_changed_and_deleted() {
    let mut api = Api::embedded().await;
    api.post("images", &image("older")).await.is(201);
    api.server.stop().await;
    let store = Embedded::open(Options::new(api.server.folder().join("data")))
        .expect("the server has closed the store");
    let key = |name: &str| Key::new(format!("/image.openshift.io/images/{name}"));
    let Lookup::Found(entry) = store.get(&key("older"), None).await.expect("the store can be read")
    else {
        panic!("the image is stored")
    };
    let value = String::from_utf8(entry.value.to_vec()).expect("the value is UTF-8");
    let renamed = value.replace("\"name\":\"older\"", &format!("\"name\":{}", json!(NAME)));
    assert_ne!(renamed, value);
    let changes = vec![Change::Put(key(NAME), renamed.into())];
    store
        .commit(Txn { guards: vec![], changes, ..Txn::default() })
        .await
        .expect("the row can be written");
    drop(store);
    let mut command = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"));
    let command =
        command.args(["store", "check", "--data-dir"]).arg(api.server.folder().join("data"));
    let told = String::from_utf8(command.output().expect("the binary can be run").stdout)
        .expect("the output is UTF-8");
    assert!(told.contains("views/older\\nERROR forged is missing"), "{told}");
    api.restart().await;

    let path = format!("images/{SEGMENT}");
    let mut older = api.get(&path).await.is(200);
    assert_eq!(older["metadata"]["name"], NAME);
    older["metadata"]["annotations"] = json!({"a": "b"});
    api.put(&path, &older).await.is(200);
    api.delete(&path).await.is(200);
}
