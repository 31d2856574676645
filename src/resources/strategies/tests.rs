//! Tests of the strategies: stored forms.

use bytes::Bytes;

use super::*;
use crate::api::{NamedTagEventList, TagEvent};
use crate::registry::list::stored_parts::StoredParts;
use crate::resources::catalog::{Catalog, StorageLimits};
use crate::store::{self, Entry, Key, Revision};

#[test]
fn stored_streams_decode_to_themselves() {
    let strategy = StreamStrategy {
        stored_form: StoredForm::Own,
        registries: Registries::default(),
        tag_history: MaxTagHistory::default(),
        ranges: LimitRanges::default(),
    };
    let mut stream = ImageStream::default();
    for (tag, items) in
        [("empty", vec![]), ("full", vec![TagEvent { image: "i".into(), ..TagEvent::default() }])]
    {
        stream.status.tags.push(NamedTagEventList {
            tag: tag.into(),
            items: items.into(),
            conditions: vec![],
        });
    }
    assert_eq!(strategy.decode(&strategy.encode(&stream)).unwrap(), stream);
    stream.unproved = [("i".to_owned(), "uid".to_owned())].into();
    assert_eq!(strategy.decode(&strategy.encode(&stream)).unwrap(), stream);
}

/// The decoded form of a large value may come from the object that was encoded.
#[test]
fn stored_stream_with_all_fields_decodes_as_encoded() {
    let strategy = StreamStrategy {
        stored_form: StoredForm::Own,
        registries: Registries::default(),
        tag_history: MaxTagHistory::default(),
        ranges: LimitRanges::default(),
    };
    let mut stream: ImageStream = serde_json::from_str(EVERYTHING).unwrap();
    for unproved in [vec![], vec![("i", "uid"), ("child", unproved::WITHHELD)]] {
        let unproved = unproved.into_iter().map(|(name, uid)| (name.into(), uid.into()));
        stream.unproved = unproved.collect();
        assert!(strategy.decodes_as_encoded(&stream));
        let encoded = strategy.encode(&stream);
        strategy.prepare_clones(&stream);
        assert_eq!(strategy.encode(&stream.clone()), encoded, "with the JSON that is kept");
        assert_eq!(strategy.decode(&encoded).unwrap(), stream);
    }
    stream.unproved.insert("not in the history".into(), "uid".into());
    assert!(!strategy.decodes_as_encoded(&stream), "it is not stored");
}

const EVERYTHING: &str = r#"{
        "metadata": {
            "name": "s", "generateName": "g", "namespace": "n", "selfLink": "l", "uid": "u",
            "resourceVersion": "7", "generation": 3, "creationTimestamp": "2026-01-02T03:04:05Z",
            "deletionTimestamp": "2026-01-02T03:04:05Z", "deletionGracePeriodSeconds": 0,
            "labels": {}, "annotations": {"a<b>&": "\u2028\u0000\""}, "finalizers": ["f"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "o", "uid": "u", "controller": false}],
            "managedFields": [{"manager": "m", "operation": "Apply", "apiVersion": "v1",
                "time": "2026-01-02T03:04:05Z", "fieldsType": "FieldsV1", "subresource": "status",
                "fieldsV1": {"f:spec": {"f:tags": {"k:{\"name\":\"<\"}": {".": {}, "f:name": {}}}}}}]
        },
        "spec": {
            "lookupPolicy": {"local": true}, "dockerImageRepository": "r",
            "tags": [
                {"name": "", "annotations": null, "generation": null},
                {"name": "t", "annotations": {}, "generation": 0, "reference": true,
                    "from": {"kind": "DockerImage", "name": "<x>&", "namespace": "n", "uid": "u"},
                    "importPolicy": {"insecure": true, "scheduled": true, "importMode": "Legacy"},
                    "referencePolicy": {"type": "Local"}}
            ]
        },
        "status": {
            "dockerImageRepository": "r", "publicDockerImageRepository": "p",
            "tags": [
                {"tag": "none", "items": null},
                {"tag": "t",
                    "items": [
                        {"created": "2026-01-02T03:04:05.678+01:00", "dockerImageReference": "<a>&", "image": "i", "generation": 2},
                        {"created": null, "dockerImageReference": "", "image": "", "generation": 0}
                    ],
                    "conditions": [{"type": "ImportSuccess", "status": "False", "generation": 1, "reason": "r",
                        "message": "<m>", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}
            ]
        }
}"#;

#[test]
fn internal_fields_are_not_part_of_the_api() {
    let mut image = Image { evidence: Evidence::unproved(), ..Image::default() };
    image.docker_image_metadata_version = "1.0".into();
    let stored = ImageStrategy::default().encode(&image);
    assert_eq!(ImageStrategy::default().decode(&stored).unwrap(), image);
    let sent: Image = serde_json::from_slice(&stored).unwrap();
    assert_eq!(sent.evidence, Evidence::default(), "clients cannot set it");
    let unproved = [("i".to_owned(), "uid".to_owned())].into();
    let stream = ImageStream { unproved, ..ImageStream::default() };
    for json in [json::encode(&image), json::encode(&stream)] {
        let text = String::from_utf8(json).unwrap();
        assert!(
            !text.contains("proof") && !text.contains("evidence") && !text.contains("unproved"),
            "{text}"
        );
    }
}

#[test]
fn image_without_evidence_reads_as_unproved() {
    let image = ImageStrategy::default()
        .decode(br#"{"metadata":{"name":"i"},"dockerImageLayers":[{"name":"l"}]}"#)
        .unwrap();
    assert_eq!(image.evidence, Evidence::default());
    assert!(image.evidence.blobs.is_none(), "its layers count");
}

/// Entry that a write stores for a stream.
fn stored(catalog: &Catalog, stream: &ImageStream) -> Entry {
    let key = catalog.streams.key("ns", "s");
    let change = catalog.streams.change(&key, ("ns", "s"), None, Some(stream)).unwrap();
    let Some(Change::Put(_, value)) = change.rows.last() else { panic!("{:?}", change.rows) };
    Entry { value: Bytes::copy_from_slice(value), key, revision: Revision(7) }
}

/// A stream with this number of tags, each with a history of about 2 kB.
fn stream_of(tags: usize) -> ImageStream {
    let event = |number: usize| TagEvent {
        docker_image_reference: format!("registry.example.com/ns/s@{number:0100}"),
        image: format!("{number:070}"),
        ..TagEvent::default()
    };
    let history = |tag: usize| NamedTagEventList {
        tag: format!("{tag:03}"),
        items: (0..8).map(|number| event(8 * tag + number)).collect(),
        conditions: vec![],
    };
    let mut stream = ImageStream::default();
    stream.status.tags = (0..tags).map(history).collect();
    stream
}

/// A write of a large stream neither decodes nor copies the histories that it leaves as they are.
#[test]
fn versions_of_a_large_stream_share_their_histories() {
    let store = store::in_memory().unwrap().store;
    let catalog = Catalog::new(&store, Registries::default(), &StorageLimits::NONE);
    let shared = |a: &ImageStream, b: &ImageStream| {
        let tags = a.status.tags.iter().zip(&b.status.tags);
        tags.filter(|(a, b)| a.items.is_shared_with(&b.items)).count()
    };
    let first = stream_of(200);
    let read = catalog.streams.decode(&stored(&catalog, &first)).unwrap();
    assert_eq!(shared(&first, &read), 200);
    let mut second = read.clone();
    second.status.tags[7].items.remove(0);
    let entry = stored(&catalog, &second);
    let read = catalog.streams.decode(&entry).unwrap();
    assert_eq!((shared(&first, &read), shared(&second, &read)), (199, 200));
    let decoded = catalog.streams.strategy().decode(&entry.value).unwrap();
    assert_eq!(ImageStream { metadata: decoded.metadata.clone(), ..read }, decoded);
    let small = stream_of(5);
    let entry = stored(&catalog, &small);
    let read = catalog.streams.decode(&entry).unwrap();
    assert_eq!(shared(&small, &read), 5, "it was just written");
    let other = Catalog::new(&store, Registries::default(), &StorageLimits::NONE);
    let reads = [(); 2].map(|()| other.streams.decode(&entry).unwrap());
    assert_eq!(shared(&reads[0], &reads[1]), 0, "small streams are decoded");
}

const IMAGE: &str = r#"{
        "metadata": {
            "name": "i", "uid": "u", "resourceVersion": "5", "labels": {"b": "<1>", "a": "2"},
            "annotations": {"a<b>&": "\u2028\u0000\""},
            "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {"k:{\"name\":\"<\"}": {}}}}]
        },
        "dockerImageReference": "r/<i>",
        "dockerImageMetadata": {"Id": "x", "Created": "2026-01-02T03:04:05Z", "Unknown": [1],
            "Config": {"Env": ["A=<b>", null], "Labels": {"z": "1", "y": "2"}, "ExposedPorts": {"8080/tcp": {}}}},
        "dockerImageManifest": "{\"schemaVersion\": 2}",
        "dockerImageLayers": [{"name": "l", "size": 7, "mediaType": "t"}],
        "signatures": [{"metadata": {"name": "i@s"}, "type": "t", "content": "AA=="}],
        "dockerImageConfig": "{\"architecture\": \"\u00e9\"}"
    }"#;

/// Images in all stored forms of this layout.
fn stored_images() -> Vec<Image> {
    let value = serde_json::from_str(IMAGE).unwrap();
    let image: Image = crate::machinery::value::from_value(value).unwrap();
    let evidence = [Evidence::default(), Evidence::authority()];
    evidence.map(|evidence| Image { evidence, ..image.clone() }).into()
}

#[test]
fn split_image_has_the_json_of_the_decoded_one() {
    let strategy = ImageStrategy::default();
    for image in stored_images() {
        let value = Bytes::from(strategy.encode(&image));
        let (mut metadata, others) = strategy.split(&value).expect("the form is known");
        let mut decoded = strategy.decode(&value).unwrap();
        for metadata in [&mut metadata, &mut decoded.metadata] {
            metadata.resource_version = "12".into();
        }
        let key = Key::new("/image.openshift.io/images/i");
        let mut json = Vec::new();
        StoredParts { key, metadata, others }.encode_into(&mut json);
        assert_eq!(String::from_utf8(json), String::from_utf8(json::encode(&decoded)));
    }
}

#[test]
fn image_whose_json_lacks_a_field_of_responses_is_not_split() {
    let strategy = ImageStrategy::default();
    for text in [
        r#"{"metadata":{"name":"i"},"dockerImageReference":"r"}"#,
        r#"{"dockerImageReference":"r","metadata":{},"dockerImageMetadataVersion":"1.0"}"#,
        r#"{"metadata":{"name":"i","dockerImageMetadataVersion":"1.0"}"#,
        r#"{"evidence":{"proof":"full"}"#,
        r#"{"metadata":{"#,
        "",
    ] {
        assert_eq!(strategy.split(&Bytes::from(text)), None, "{text}");
    }
}

#[test]
fn columns_of_an_image_have_the_fields_of_the_table() {
    let strategy = ImageStrategy::default();
    for image in stored_images() {
        let value = strategy.encode(&image);
        let whole = strategy.decode(&value).unwrap();
        let columns = strategy.decode_columns(&value).unwrap();
        assert_eq!(
            (columns.metadata, columns.docker_image_reference),
            (whole.metadata, whole.docker_image_reference)
        );
    }
}
