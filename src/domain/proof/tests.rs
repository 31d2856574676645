//! Tests of evidence and of the replacement of images.

use serde_json::json;

use super::*;
use crate::api::{ImageManifest, ImageSignature};
use crate::meta::{OwnerReference, Time};

const CONFIG: &str = r#"{"architecture":"amd64","config":{"Env":["A=true"]}}"#;

fn layer(name: &str) -> ImageLayer {
    ImageLayer { name: name.into(), size: 5, media_type: "l".into() }
}

fn named(manifest: &serde_json::Value, media_type: &str, config: &str) -> Image {
    let mut image = Image {
        docker_image_reference: "r.io/true".into(),
        docker_image_manifest: manifest.to_string(),
        docker_image_manifest_media_type: media_type.into(),
        docker_image_config: config.into(),
        docker_image_metadata_version: DockerImageMetadata::DEFAULT_VERSION.into(),
        ..Image::default()
    };
    image.metadata.name = Digest::sha256_of(&image.docker_image_manifest).to_string();
    image.metadata.creation_timestamp = Some(Time::from_unix_seconds(7));
    image
}

/// An image with two layers, manifest and configuration.
fn whole() -> Image {
    let layer = |name: &str| json!({"digest": name, "size": 5, "mediaType": "l"});
    let config = json!({"digest": Digest::sha256_of(CONFIG).as_str()});
    let manifest = json!({"schemaVersion": 2, "mediaType": manifest::SCHEMA2, "config": config,
        "layers": [layer("a"), layer("b")]});
    named(&manifest, manifest::SCHEMA2, CONFIG)
}

fn list() -> Image {
    let part = |digest: &str| json!({"digest": digest, "platform": {"architecture": "arm", "os": "linux"}});
    let manifest = json!({"schemaVersion": 2, "mediaType": manifest::OCI_INDEX, "manifests": [part("a"), part("b")]});
    named(&manifest, manifest::OCI_INDEX, "")
}

fn with(mut image: Image, change: impl FnOnce(&mut Image)) -> Image {
    change(&mut image);
    image
}

fn proof(image: &Image) -> Proof {
    evidence_of(image).proof
}

/// Returns the image as stored by a push at second 7.
fn pushed(mut image: Image) -> Image {
    let (evidence, named) = (evidence_of(&image), named_children(&image));
    image_strategy::prepare_for_create(&mut image);
    image.evidence = evidence;
    keep_named_children(&mut image, &named);
    image
}

#[test]
fn manifest_and_configuration_prove_an_image() {
    assert_eq!(evidence_of(&whole()), Evidence { proof: Proof::Full, ..Evidence::default() });
    assert_eq!(proof(&with(whole(), |image| image.docker_image_config.clear())), Proof::Manifest);
    assert_eq!(proof(&with(whole(), |image| image.docker_image_config.push(' '))), Proof::Manifest);
    assert_eq!(
        evidence_of(&with(whole(), |image| image.docker_image_manifest.clear())),
        Evidence::unproved()
    );
    assert_eq!(
        evidence_of(&with(whole(), |image| image.metadata.name = "app".into())),
        Evidence::unproved()
    );
}

#[test]
fn manifest_without_configuration_proves_an_image() {
    let schema1 = json!({"schemaVersion": 1, "fsLayers": [{"blobSum": "a"}],
        "history": [{"v1Compatibility": "{\"id\":\"x\",\"Size\":3}"}]});
    assert_eq!(proof(&named(&schema1, manifest::SCHEMA1, "")), Proof::Full);
    assert_eq!(proof(&list()), Proof::Full);
    assert_eq!(proof(&named(&json!({"schemaVersion": 2}), manifest::SCHEMA2, "")), Proof::Full);
    assert_eq!(
        proof(&named(&schema1, manifest::SCHEMA1, "{}")),
        Proof::FullWithClaims,
        "the configuration has no digest"
    );
}

#[test]
fn layers_are_proved_by_the_manifest_in_any_order() {
    let layers = |names: &[&str]| {
        let image = with(whole(), |image| {
            image.docker_image_layers = names.iter().map(|name| layer(name)).collect()
        });
        proof(&image)
    };
    assert_eq!([layers(&["a", "b"]), layers(&["b", "a"]), layers(&[])], [Proof::Full; 3]);
    for names in [&["a"][..], &["a", "a"], &["a", "b", "c"], &["a", "evil"]] {
        assert_eq!(layers(names), Proof::FullWithClaims, "{names:?}");
    }
}

#[test]
fn metadata_is_proved_by_the_configuration() {
    let computed = pushed(whole());
    let mut filled_in = whole();
    filled_in.docker_image_metadata = computed.docker_image_metadata.clone();
    filled_in.docker_image_layers = vec![layer("b"), layer("a")];
    assert_eq!(proof(&filled_in), Proof::Full);
    filled_in.docker_image_metadata.image_mut().architecture = "evil".into();
    assert_eq!(proof(&filled_in), Proof::FullWithClaims);
    // Without a size the server computes the metadata again.
    filled_in.docker_image_metadata.image_mut().size = 0;
    assert_eq!(proof(&filled_in), Proof::Full);
    let alone = with(whole(), |image| {
        image.docker_image_config.clear();
        image.docker_image_metadata.image_mut().id = "evil".into();
    });
    assert_eq!(proof(&alone), Proof::ManifestWithClaims);
}

#[test]
fn mismatched_media_type_is_a_claim() {
    assert_eq!(
        proof(&with(list(), |image| image.docker_image_manifest_media_type.clear())),
        Proof::FullWithClaims
    );
    let untyped =
        json!({"schemaVersion": 2, "config": {"digest": Digest::sha256_of(CONFIG).as_str()}});
    for (media_type, expected) in [
        (manifest::OCI_MANIFEST, Proof::Full),
        ("", Proof::Full),
        (manifest::OCI_INDEX, Proof::FullWithClaims),
        ("application/x", Proof::FullWithClaims),
    ] {
        assert_eq!(proof(&named(&untyped, media_type, CONFIG)), expected, "{media_type}");
    }
}

#[test]
fn only_blobs_in_the_manifest_are_recorded() {
    let forged = with(whole(), |image| image.docker_image_layers = vec![layer("evil")]);
    let blobs = evidence_of(&forged).blobs.unwrap();
    assert_eq!(blobs.layers, [layer("a"), layer("b")]);
    assert_eq!(blobs.config.as_deref(), Some(Digest::sha256_of(CONFIG).as_str()));
}

#[test]
fn only_parts_in_the_manifest_are_kept() {
    let part = |digest: &str| ImageManifest { digest: digest.into(), ..ImageManifest::default() };
    let parts = |image: Image| -> Vec<String> {
        let sent =
            with(image, |image| image.docker_image_manifests = vec![part("b"), part("evil")]);
        pushed(sent).docker_image_manifests.into_iter().map(|part| part.digest).collect()
    };
    assert_eq!(named_children(&list()), ["a", "b"]);
    assert_eq!(named_children(&whole()), [""; 0]);
    assert_eq!(parts(whole()), [""; 0]);
    assert_eq!(parts(list()), ["a", "b"]);
    assert_eq!(parts(with(list(), |image| image.docker_image_manifest_media_type.clear())), ["b"]);
    assert_eq!(
        parts(with(list(), |image| image.docker_image_manifest.clear())),
        ["b", "evil"],
        "there is no proof"
    );
}

#[test]
fn only_better_proof_replaces_an_image() {
    let forms = [
        with(whole(), |image| image.docker_image_manifest.clear()),
        with(whole(), |image| {
            image.docker_image_config.clear();
            image.docker_image_layers = vec![layer("evil")];
        }),
        with(whole(), |image| image.docker_image_config.clear()),
        with(whole(), |image| image.docker_image_layers = vec![layer("evil")]),
        whole(),
    ];
    let mut forms: Vec<Image> = forms.into_iter().map(pushed).collect();
    forms.push(with(whole(), |image| image.evidence = Evidence::authority()));
    for (stored_at, stored) in forms.iter().enumerate() {
        for (pushed_at, pushed) in forms.iter().enumerate() {
            let is_replaced = superseding(stored, pushed).is_some();
            assert_eq!(is_replaced, pushed_at > stored_at, "{pushed_at} after {stored_at}");
        }
    }
}

/// Returns the image as stored by a version without evidence.
fn unmarked(image: Image) -> Image {
    with(pushed(image), |image| image.evidence = Evidence::default())
}

#[test]
fn missing_evidence_is_computed_from_content() {
    let alone = || with(whole(), |image| image.docker_image_config.clear());
    let bare = || with(whole(), |image| image.docker_image_manifest.clear());
    let kept = || {
        with(whole(), |image| {
            drop(
                image
                    .metadata
                    .annotations
                    .insert(image_strategy::BLOB_STORED.into(), "true".into()),
            )
        })
    };
    let forms = [
        bare(),
        alone(),
        with(whole(), |image| image.docker_image_layers = vec![layer("evil")]),
        whole(),
    ];
    for (stored, by) in [(bare(), 1), (alone(), 2), (kept(), 3), (whole(), 4)] {
        let stored = unmarked(stored);
        for (at, form) in forms.iter().enumerate() {
            assert_eq!(
                superseding(&stored, &pushed(form.clone())).is_some(),
                at >= by,
                "{at} over {by}"
            );
        }
    }
    let replaced = superseding(&unmarked(bare()), &pushed(alone())).unwrap();
    assert!(!replaced.evidence.has_unproved_form, "no stream has the image unproved");
}

#[test]
fn labels_of_an_image_without_evidence_are_kept() {
    let labelled = |value: &str| {
        let mut image = unmarked(with(whole(), |image| image.docker_image_manifest.clear()));
        image.metadata.labels = [("scan".to_owned(), value.to_owned())].into();
        image
    };
    let push = pushed(with(whole(), |image| {
        image.metadata.labels = [("scan".to_owned(), "evil".to_owned())].into()
    }));
    assert_eq!(superseding(&labelled("passed"), &push).unwrap().metadata.labels["scan"], "passed");
    // A write through `images` adds evidence and keeps the labels.
    let (old, mut new) = (labelled("passed"), labelled("passed"));
    new.metadata.labels.insert("more".into(), "1".into());
    record_authored(&old, &mut new);
    let image = superseding(&new, &push).unwrap();
    assert_eq!((&*image.metadata.labels["scan"], &*image.metadata.labels["more"]), ("passed", "1"));
    let whole = unmarked(whole());
    let mut changed = whole.clone();
    changed.metadata.labels.insert("more".into(), "1".into());
    record_authored(&whole, &mut changed);
    assert_eq!(changed.evidence.proof, Proof::Full);
}

#[test]
fn layer_sizes_need_the_manifest_as_proof() {
    for forge in [
        |layer: &mut ImageLayer| layer.size = 1 << 40,
        |layer: &mut ImageLayer| layer.media_type.clear(),
    ] {
        let mut image = whole();
        image.docker_image_layers = vec![layer("a"), layer("b")];
        forge(&mut image.docker_image_layers[0]);
        let evidence = evidence_of(&image);
        assert_eq!(evidence.proof, Proof::FullWithClaims);
        assert_eq!(evidence.blobs.unwrap().layers, [layer("a"), layer("b")]);
    }
}

#[test]
fn replacing_content_keeps_object_and_authorized_fields() {
    let map = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    };
    let forged = with(whole(), |image| {
        image.docker_image_manifest.clear();
        image.docker_image_reference = "evil.io/x".into();
        image.docker_image_layers = vec![layer("evil")];
        image.metadata.uid = "first".into();
        image.metadata.labels = map(&[("evil", "1"), ("both", "evil")]);
        image.metadata.annotations = map(&[("evil", "1")]);
    });
    let first = pushed(forged);
    let mut stored = first.clone();
    stored.metadata.labels.extend(map(&[("kept", "1"), ("both", "kept")]));
    stored
        .metadata
        .annotations
        .extend(map(&[("kept", "1"), (image_metadata::LAYERS_ORDER, "descending")]));
    stored.metadata.finalizers = vec!["keep.io/it".into()];
    stored.metadata.owner_references = vec![OwnerReference::default()];
    stored.signatures = vec![ImageSignature::default()];
    record_authored(&first, &mut stored);
    let second = with(whole(), |image| {
        image.metadata.uid = "second".into();
        image.metadata.creation_timestamp = Some(Time::from_unix_seconds(9));
        image.metadata.labels = map(&[("both", "true"), ("true", "1")]);
    });
    let image = superseding(&stored, &pushed(second)).unwrap();
    assert_eq!(
        (image.docker_image_reference.as_str(), image.docker_image_config.as_str()),
        ("r.io/true", CONFIG)
    );
    assert_eq!(image.docker_image_layers, [layer("a"), layer("b")]);
    assert_eq!(image.docker_image_metadata.image().architecture, "amd64");
    let meta = &image.metadata;
    assert_eq!(
        (meta.uid.as_str(), meta.creation_timestamp),
        ("first", Some(Time::from_unix_seconds(7)))
    );
    assert_eq!(meta.labels, map(&[("both", "kept"), ("kept", "1"), ("true", "1")]));
    assert_eq!(
        meta.annotations,
        map(&[("kept", "1"), (image_metadata::LAYERS_ORDER, "ascending")])
    );
    assert_eq!(
        (meta.finalizers.len(), meta.owner_references.len(), image.signatures.len()),
        (1, 1, 1)
    );
    assert_eq!(image.evidence.proof, Proof::Full);
    assert!(image.evidence.has_unproved_form);
}

#[test]
fn labels_removed_through_images_are_not_kept() {
    let first = pushed(with(whole(), |image| image.docker_image_manifest.clear()));
    let labelled = |image: &Image, value: Option<&str>| {
        let mut new = image.clone();
        new.metadata.labels =
            value.map(|value| ("k".to_owned(), value.to_owned())).into_iter().collect();
        record_authored(image, &mut new);
        new
    };
    let set = labelled(&first, Some("1"));
    assert_eq!(superseding(&set, &pushed(whole())).unwrap().metadata.labels["k"], "1");
    let unset = labelled(&set, None);
    assert!(superseding(&unset, &pushed(whole())).unwrap().metadata.labels.is_empty());
}

#[test]
fn manifest_list_is_created_with_its_object() {
    let first = pushed(with(list(), |image| image.docker_image_manifest.clear()));
    let second =
        with(list(), |image| image.metadata.creation_timestamp = Some(Time::from_unix_seconds(9)));
    let image = superseding(&first, &pushed(second)).unwrap();
    assert_eq!(image.docker_image_metadata.image().created, Some(Time::from_unix_seconds(7)));
}

#[test]
fn blobs_in_the_registry_prove_and_are_not_stored() {
    let kept = with(whole(), |image| {
        image.metadata.annotations.insert(image_strategy::BLOB_STORED.into(), "true".into());
        image.docker_image_layers = vec![layer("evil")];
    });
    let image = pushed(kept);
    assert_eq!(
        (image.evidence.proof, image.docker_image_manifest.as_str()),
        (Proof::FullWithClaims, "")
    );
    assert_eq!(image.evidence.blobs.unwrap().layers, [layer("a"), layer("b")]);
}
