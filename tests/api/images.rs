//! `images`: create, read, list and delete, and the behaviour of every stored kind: pages, tables,
//! dry runs, preconditions.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::fixtures::{digest, image, mapping, names};
use crate::harness::{Api, Expect, MAPPINGS, request};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

async fn with_images(names: &[&str]) -> Api {
    let api = Api::start().await;
    for name in names {
        api.post("images", &image(name)).await.is(201);
    }
    api
}

#[tokio::test]
async fn an_image_is_made_read_and_deleted() {
    let api = Api::start().await;
    let made = api.post("images", &image("a")).await.is(201);
    assert_eq!(api.get("images/a").await.is(200), made);
    let deleted = api.delete("images/a").await.is(200);
    let uid = &made["metadata"]["uid"];
    let details = json!({"name": "a", "group": "image.openshift.io", "kind": "images", "uid": uid});
    assert_eq!((&deleted["status"], &deleted["details"]), (&json!("Success"), &details));
    let message = "images.image.openshift.io \"a\" not found";
    api.get("images/a").await.fails(404, "NotFound", message);
    api.delete("images/a").await.fails(404, "NotFound", message);
}

#[tokio::test]
async fn the_creator_of_an_image_owns_its_computed_metadata() {
    let api = Api::start().await;
    let made = api.post("images", &image("a")).await.is(201);
    let fields = json!({"f:dockerImageMetadata": {}, "f:dockerImageMetadataVersion": {}, "f:dockerImageReference": {}});
    assert_eq!(made["metadata"]["managedFields"][0]["fieldsV1"], fields);
}

#[tokio::test]
async fn an_image_that_exists_is_not_made_again() {
    let api = with_images(&["a"]).await;
    let before = api.get("images/a").await.is(200);
    let message = "images.image.openshift.io \"a\" already exists";
    api.post("images", &image("a")).await.fails(409, "AlreadyExists", message);
    assert_eq!(api.get("images/a").await.is(200), before);
}

#[tokio::test]
async fn an_image_is_told_which_rules_it_breaks() {
    let api = Api::start().await;
    let mut bare = image("a");
    bare["dockerImageReference"] = "".into();
    let message = "Image.image.openshift.io \"a\" is invalid: dockerImageReference: Required value";
    let refused = api.post("images", &bare).await.fails(422, "Invalid", message);
    let cause = json!({"reason": "FieldValueRequired", "message": "Required value", "field": "dockerImageReference"});
    assert_eq!(refused["details"]["causes"], json!([cause]));
    bare["dockerImageReference"] = "A B".into();
    let message = "Image.image.openshift.io \"a\" is invalid: dockerImageReference: Invalid value: \"A B\": invalid \
                   reference format";
    api.post("images", &bare).await.fails(422, "Invalid", message);
    assert!(names(&api.get("images").await.is(200)).is_empty());
}

#[tokio::test]
async fn an_image_belongs_to_no_namespace() {
    let api = with_images(&["a"]).await;
    for path in ["namespaces/ns/images", "namespaces/ns/images/a"] {
        api.get(path).await.fails(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
    }
}

#[tokio::test]
async fn an_image_may_say_any_namespace_but_not_inside_of_a_mapping() {
    // The namespace of an image is dropped, but an image in a mapping must not have one.
    let api = Api::with_stream().await;
    let mut elsewhere = image("a");
    elsewhere["metadata"]["namespace"] = "ns".into();
    let made = api.post("images", &elsewhere).await.is(201);
    assert_eq!(made["metadata"].get("namespace"), None);
    elsewhere["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    let kept = api.put("images/a", &elsewhere).await.is(200);
    assert_eq!(kept["metadata"], made["metadata"]);
    let message = "ImageStreamMapping.image.openshift.io \"s\" is invalid: image.metadata.namespace: Forbidden: not allowed \
                   on this type";
    api.post(MAPPINGS, &mapping("s", "t", &elsewhere)).await.fails(422, "Invalid", message);
}

#[tokio::test]
async fn a_list_names_its_kind_once() {
    // Items of a list have neither kind nor apiVersion.
    let api = with_images(&["b", "a"]).await;
    let list = api.get("images").await.is(200);
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("ImageList"), &json!("image.openshift.io/v1"))
    );
    assert_eq!(names(&list), ["a", "b"]);
    assert!(list["items"][0].get("kind").is_none() && list["items"][0].get("apiVersion").is_none());
}

#[tokio::test]
async fn pages_show_one_moment_whatever_happens_meanwhile() {
    let api = with_images(&["a", "b", "c", "d", "e"]).await;
    let first = api.get("images?limit=2").await.is(200);
    assert_eq!(
        (names(&first), &first["metadata"]["remainingItemCount"]),
        (vec!["a", "b"], &json!(3))
    );
    api.delete("images/c").await.is(200);
    api.post("images", &image("cc")).await.is(201);
    let mut seen: Vec<String> = names(&first).into_iter().map(str::to_owned).collect();
    let mut page = first.clone();
    while let Some(token) = page["metadata"]["continue"].as_str() {
        page = api.get(&format!("images?limit=2&continue={token}")).await.is(200);
        assert_eq!(page["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
        seen.extend(names(&page).into_iter().map(str::to_owned));
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    assert_eq!(names(&api.get("images").await.is(200)), ["a", "b", "cc", "d", "e"]);
}

#[tokio::test]
async fn a_token_is_refused_where_it_means_nothing() {
    let api = with_images(&["a", "b"]).await;
    let first = api.get("images?limit=1").await.is(200);
    let token = first["metadata"]["continue"].as_str().expect("the list has a next page");
    let both = api.get(&format!("images?continue={token}&resourceVersion=7")).await;
    both.fails(400, "BadRequest", "specifying resource version is not allowed when using continue");
    let rubbish = api.get("images?continue=rubbish!").await.is(400);
    assert!(
        rubbish["message"].as_str().is_some_and(|text| text.contains("continue key is not valid")),
        "{rubbish}"
    );
}

#[tokio::test]
async fn tables_have_the_columns_of_images() {
    let api = with_images(&["a", "b"]).await;
    for (path, rows) in [("images", json!(["a", "b"])), ("images/a", json!(["a"]))] {
        let table = api.get_as(path, TABLE).await.is(200);
        let columns: Vec<&Value> =
            table["columnDefinitions"].as_array().expect("columns").iter().collect();
        assert_eq!(
            columns.iter().map(|column| &column["name"]).collect::<Vec<_>>(),
            ["Name", "Image Reference"]
        );
        let cells = table["rows"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| row["cells"][0].clone())
            .collect::<Value>();
        assert_eq!((&table["kind"], cells), (&json!("Table"), rows));
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(table["rows"][0]["cells"][1], "registry.example.com/ns/s:a");
    }
}

#[tokio::test]
async fn metadata_can_be_read_alone() {
    let api = with_images(&["a"]).await;
    let whole = api.get("images/a").await.is(200);
    let one = api.get_as("images/a", PARTIAL).await.is(200);
    let wanted = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": whole["metadata"]});
    assert_eq!(one, wanted);
    let list = api.get_as("images", PARTIAL_LIST).await.is(200);
    assert_eq!(
        (&list["kind"], &list["items"]),
        (&json!("PartialObjectMetadataList"), &json!([wanted]))
    );
}

#[tokio::test]
async fn a_dry_run_answers_and_writes_nothing() {
    let api = with_images(&["a"]).await;
    let version = api.get("images").await.is(200)["metadata"]["resourceVersion"].clone();
    let would = api.post("images?dryRun=All", &image("b")).await.is(201);
    assert_eq!(would["metadata"]["name"], "b");
    api.post("images?dryRun=All", &image("a")).await.is(409);
    assert_eq!(api.delete("images/a?dryRun=All").await.is(200)["status"], "Success");
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]});
    api.ask(request("DELETE", "images/a").json(&options)).await.is(200);
    api.post("images?dryRun=Some", &image("b")).await.is(422);
    api.delete("images/a?dryRun=Some").await.is(422);
    let after = api.get("images").await.is(200);
    assert_eq!((names(&after), &after["metadata"]["resourceVersion"]), (vec!["a"], &version));
}

#[tokio::test]
async fn a_deletion_happens_only_if_its_preconditions_hold() {
    let api = with_images(&["a"]).await;
    let meta = api.get("images/a").await.is(200)["metadata"].clone();
    let delete = |uid: &Value, version: &Value| {
        let options = json!({"preconditions": {"uid": uid, "resourceVersion": version}});
        api.ask(request("DELETE", "images/a").json(&options))
    };
    for (uid, version) in [(&json!("other"), &meta["resourceVersion"]), (&meta["uid"], &json!("1"))]
    {
        assert_eq!(delete(uid, version).await.is(409)["reason"], "Conflict");
    }
    delete(&meta["uid"], &meta["resourceVersion"]).await.is(200);
}

#[tokio::test]
async fn generated_names_begin_as_wanted_and_differ() {
    let api = Api::start().await;
    let mut unnamed = image("a");
    unnamed["metadata"] = json!({"generateName": "gen"});
    let mut made = BTreeSet::new();
    for _ in 0..3 {
        let name = api.post("images", &unnamed).await.is(201)["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(name.starts_with("gen") && name.len() == 8, "{name}");
        made.insert(name);
    }
    assert_eq!(made.len(), 3);
}

#[tokio::test]
async fn every_write_has_a_higher_version_than_the_one_before() {
    let api = Api::start().await;
    let mut last = 0;
    for hex in ["1", "2", "3"] {
        let made = api.post("images", &image(&digest(hex))).await.is(201);
        let version: u64 = made["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .parse()
            .expect("a number");
        assert!(version > last);
        last = version;
    }
}

#[tokio::test]
async fn the_preconditions_of_a_deletion_may_stand_in_the_query() {
    let api = with_images(&["a"]).await;
    for query in ["uid=other", "resourceVersion=1"] {
        assert_eq!(api.delete(&format!("images/a?{query}")).await.is(409)["reason"], "Conflict");
    }
    api.get("images/a").await.is(200);
}

#[tokio::test]
async fn a_body_that_is_no_delete_options_deletes_nothing() {
    let api = with_images(&["a"]).await;
    for body in [
        json!({"kind": "Pod", "apiVersion": "v1"}),
        json!({"kind": "Image", "apiVersion": "image.openshift.io/v1"}),
    ] {
        api.ask(request("DELETE", "images/a").json(&body)).await.is(400);
    }
    api.get("images/a").await.is(200);
}
