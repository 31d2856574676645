//! Tests of the computation of metadata.

use serde_json::json;

use super::*;
use crate::meta::Time;

const CONFIG: &str =
    r#"{"architecture":"amd64","created":"2021-02-03T04:05:06.789Z","config":{"Cmd":["x"]}}"#;

fn image(media_type: &str, manifest: serde_json::Value) -> Image {
    Image {
        docker_image_reference: "r.io/a".into(),
        docker_image_manifest: manifest.to_string(),
        docker_image_manifest_media_type: media_type.into(),
        ..named("n")
    }
}

fn named(name: &str) -> Image {
    let mut image = Image::default();
    image.metadata.name = name.into();
    image
}

fn schema2() -> Image {
    let layer = |name: &str| json!({"digest": name, "size": 10, "mediaType": "l"});
    let layers = [layer("a"), layer("b"), layer("a"), layer("c")];
    let manifest = json!({"schemaVersion": 2, "mediaType": manifest::SCHEMA2,
        "config": {"digest": "c"}, "layers": layers});
    Image { docker_image_config: CONFIG.into(), ..image("", manifest) }
}

fn layer_names(image: &Image) -> String {
    image.docker_image_layers.iter().map(|layer| layer.name.as_str()).collect()
}

fn given_layers(names: &str) -> Vec<ImageLayer> {
    names
        .chars()
        .map(|name| ImageLayer { name: name.into(), size: 1, media_type: "t".into() })
        .collect()
}

fn error(mut image: Image) -> String {
    fill(&mut image).unwrap_err().to_string()
}

#[test]
fn image_without_manifest_is_not_changed() {
    let mut image = Image { docker_image_layers: given_layers("ab"), ..named("n") };
    let before = image.clone();
    fill(&mut image).unwrap();
    assert_eq!(image, before);
}

#[test]
fn schema2_metadata_comes_from_the_configuration() {
    let mut image = schema2();
    fill(&mut image).unwrap();
    let metadata = image.docker_image_metadata.image();
    assert_eq!((metadata.id.as_str(), metadata.architecture.as_str()), ("c", "amd64"));
    assert_eq!(metadata.created.unwrap().to_string(), "2021-02-03T04:05:06Z");
    assert_eq!(layer_names(&image), "abac");
    assert_eq!(image.docker_image_manifest_media_type, manifest::SCHEMA2);
    assert_eq!(image.metadata.annotations[LAYERS_ORDER], "ascending");
}

#[test]
fn size_counts_distinct_layers_and_config() {
    let mut image = schema2();
    fill(&mut image).unwrap();
    assert_eq!(image.docker_image_metadata.image().size, CONFIG.len() as i64 + 20);
}

#[test]
fn filling_twice_changes_nothing() {
    let mut image = schema2();
    fill(&mut image).unwrap();
    let once = image.clone();
    fill(&mut image).unwrap();
    assert_eq!(image, once);
}

#[test]
fn annotation_or_media_type_determines_layer_order() {
    let turned = |media_type: &str, annotation: Option<&str>| {
        let mut image = Image { docker_image_layers: given_layers("ab"), ..schema2() };
        image.docker_image_manifest_media_type = media_type.into();
        image
            .metadata
            .annotations
            .extend(annotation.map(|order| (LAYERS_ORDER.into(), order.into())));
        fill(&mut image).unwrap();
        let marked =
            image.metadata.annotations.get(LAYERS_ORDER).is_some_and(|order| order == "ascending");
        (layer_names(&image), marked)
    };
    assert_eq!(turned(manifest::SCHEMA2, None), ("ba".into(), true));
    assert_eq!(turned(manifest::OCI_MANIFEST, None), ("ba".into(), true));
    assert_eq!(turned(manifest::SCHEMA2, Some("ascending")), ("ab".into(), true));
    assert_eq!(turned(manifest::SCHEMA1, None), ("ab".into(), true));
    assert_eq!(turned("", None), ("ab".into(), false));
    assert_eq!(turned("", Some("descending")), ("ba".into(), true));
    assert_eq!(turned("", Some("other")), ("ab".into(), true));
}

#[test]
fn complete_images_are_not_changed() {
    let mut image = Image { docker_image_layers: given_layers("a"), ..schema2() };
    image.docker_image_manifest_media_type = "t".into();
    image.docker_image_metadata.image_mut().size = 77;
    image.docker_image_manifest = "{oops".into();
    fill(&mut image).unwrap();
    assert_eq!(image.docker_image_metadata.image().size, 77);
}

#[test]
fn schema1_metadata_comes_from_the_newest_history() {
    let history = |id: &str, size: i64| json!({"v1Compatibility": json!({"id": id, "Size": size}).to_string()});
    let text = json!({"schemaVersion": 1, "fsLayers": [{"blobSum": "b"}, {"blobSum": "a"}],
        "history": [history("new", 2), history("old", 1)]});
    let mut image = image(manifest::SCHEMA1_SIGNED, text);
    fill(&mut image).unwrap();
    assert_eq!(layer_names(&image), "ab");
    assert_eq!(image.docker_image_manifest_media_type, manifest::SCHEMA1);
    assert_eq!(
        (image.docker_image_metadata.image().id.as_str(), image.docker_image_metadata.image().size),
        ("new", 3)
    );
}

#[test]
fn manifest_list_keeps_its_creation_time() {
    let mut image =
        image(manifest::OCI_INDEX, json!({"mediaType": manifest::OCI_INDEX, "manifests": []}));
    image.metadata.creation_timestamp = Some(Time::from_unix_seconds(5));
    fill(&mut image).unwrap();
    assert_eq!(image.docker_image_metadata.image().id, "n");
    assert_eq!(image.docker_image_metadata.image().created, Some(Time::from_unix_seconds(5)));
    image.docker_image_metadata.image_mut().created = Some(Time::from_unix_seconds(3));
    fill(&mut image).unwrap();
    assert_eq!(image.docker_image_metadata.image().created, Some(Time::from_unix_seconds(3)));
    assert!(!image.metadata.annotations.contains_key(LAYERS_ORDER));
}

#[test]
fn every_error_has_its_text() {
    let cases = [
        (
            image("", json!({"schemaVersion": 9})),
            r#"unrecognized container image manifest schema 9 for "n" (r.io/a)"#,
        ),
        (
            image("", json!({"schemaVersion": 1, "fsLayers": [{}], "history": []})),
            "the image n (r.io/a) has mismatched history and fslayer cardinality (0 != 1)",
        ),
        (
            image("", json!({"schemaVersion": 1})),
            "the image n (r.io/a) has a schema 1 manifest, but it doesn't have history",
        ),
        (
            image("m", json!({"schemaVersion": 2})),
            r#"dockerImageConfig must not be empty for manifest type "m""#,
        ),
        (
            Image { docker_image_config: "{bad".into(), ..schema2() },
            "failed to parse dockerImageConfig: invalid character 'b' looking for beginning of object key string",
        ),
        (Image { docker_image_manifest: "{".into(), ..schema2() }, "unexpected end of JSON input"),
    ];
    for (image, expected) in cases {
        assert_eq!(error(image), expected);
    }
}

#[test]
fn fields_set_before_an_error_remain() {
    let mut image = Image { docker_image_config: "{bad".into(), ..schema2() };
    fill(&mut image).unwrap_err();
    assert_eq!(layer_names(&image), "abac");
    assert!(image.metadata.annotations.contains_key(LAYERS_ORDER));
    assert_eq!(image.docker_image_manifest_media_type, manifest::SCHEMA2);
    assert_eq!(image.docker_image_metadata.image().id, "");
}

#[test]
fn index_may_lack_its_media_type_and_platforms() {
    let text = json!({"schemaVersion": 2, "manifests": [{"digest": "d", "size": 5}]});
    for media_type in [manifest::OCI_INDEX, ""] {
        let mut index = image(media_type, text.clone());
        fill(&mut index).unwrap();
        assert_eq!(index.docker_image_manifest_media_type, manifest::OCI_INDEX);
        assert_eq!(index.docker_image_metadata.image().id, "n");
        let listed = manifests_of_list(&index).unwrap();
        assert_eq!((listed[0].digest.as_str(), listed[0].os.as_str()), ("d", ""));
    }
    let empty = image("", json!({"schemaVersion": 2, "manifests": []}));
    assert!(error(empty).starts_with("dockerImageConfig must not be empty"));
}

#[test]
fn list_is_parsed_only_with_its_media_type() {
    let text = json!({"manifests": [{"digest": "d", "size": 5, "platform": {"architecture": "arm", "os": "linux"}}]});
    let listed = manifests_of_list(&image(manifest::DOCKER_LIST, text.clone())).unwrap();
    assert_eq!(
        (listed[0].digest.as_str(), listed[0].manifest_size, listed[0].os.as_str()),
        ("d", 5, "linux")
    );
    assert_eq!(manifests_of_list(&image(manifest::SCHEMA2, text)), None);
    let broken =
        Image { docker_image_manifest: "{".into(), ..image(manifest::OCI_INDEX, json!({})) };
    assert_eq!(manifests_of_list(&broken), None);
}

#[test]
fn views_have_no_manifest_and_configuration() {
    let mut image = schema2();
    fill_for_view(&mut image).unwrap();
    assert_eq!(
        (image.docker_image_manifest.as_str(), image.docker_image_config.as_str()),
        ("", "")
    );
    assert_eq!(image.docker_image_metadata.image().id, "c");
}
