//! Every field of an image in the API: stored, then read through the image and through its stream.

use std::collections::BTreeSet;

use imagestream_apiserver::api::{DockerImage, Image};
use schemars::schema_for;
use serde_json::{Value, json};

use crate::fixtures::{OCI_INDEX, OCI_MANIFEST, digest, history, stream};
use crate::harness::{Api, Expect, STREAM_IMAGES, STREAMS};

fn config() -> Value {
    json!({
        "Hostname": "host", "Domainname": "example.com", "User": "1001", "Memory": 1, "MemorySwap": 2, "CpuShares": 3,
        "Cpuset": "0-2", "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "PortSpecs": ["80"],
        "ExposedPorts": {"8080/tcp": {}}, "Tty": true, "OpenStdin": true, "StdinOnce": true, "Env": ["A=<b>&c"],
        "Cmd": ["run"], "Dns": ["10.0.0.1"], "Image": "base", "Volumes": {"/data": {}}, "VolumesFrom": "other",
        "WorkingDir": "/work", "Entrypoint": ["/bin/sh", "-c"], "NetworkDisabled": true, "SecurityOpts": ["label"],
        "OnBuild": ["RUN true"], "Labels": {"key": "value"}
    })
}

fn metadata() -> Value {
    json!({
        "kind": "DockerImage", "apiVersion": "image.openshift.io/1.0", "Id": digest("c0"), "Parent": "parent",
        "Comment": "comment", "Created": "2020-01-02T03:04:05Z", "Container": "container", "ContainerConfig": config(),
        "DockerVersion": "27.0", "Author": "author", "Config": config(), "Architecture": "arm64", "Size": 4096
    })
}

fn old_metadata() -> Value {
    json!({
        "kind": "DockerImage", "apiVersion": "image.openshift.io/pre012", "id": digest("c0"), "parent": "parent",
        "comment": "comment", "created": "2020-01-02T03:04:05Z", "container": "container",
        "container_config": config(), "docker_version": "0.11", "author": "author", "config": config(),
        "architecture": "arm64", "size": 4096
    })
}

fn signature(image: &str) -> Value {
    let condition = |r#type: &str| {
        json!({"type": r#type, "status": "True", "lastProbeTime": "2021-01-01T00:00:00Z",
            "lastTransitionTime": "2021-01-02T00:00:00Z", "reason": "Verified", "message": "by hand"})
    };
    json!({
        "metadata": {"name": format!("{image}@signature")}, "type": "AtomicImageV1", "content": "c2lnbmVk",
        "conditions": [condition("Trusted"), condition("ForImage")], "imageIdentity": "registry.example.com/ns/s:1",
        "signedClaims": {"claim": "value"}, "created": "2020-12-31T00:00:00Z",
        "issuedBy": {"organization": "issuers", "commonName": "issuer"},
        "issuedTo": {"organization": "subjects", "commonName": "subject", "publicKeyID": "0123"}
    })
}

/// An image with all fields that an image with layers can have.
pub(crate) fn layered(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"a": "b"}, "annotations": {
            "image.openshift.io/dockerLayersOrder": "ascending", "note": "\"quoted\" <text>"}},
        "dockerImageReference": format!("registry.example.com/ns/s@{name}"),
        "dockerImageMetadata": metadata(),
        "dockerImageMetadataVersion": "1.0",
        "dockerImageManifest": "{\"schemaVersion\":2}",
        "dockerImageLayers": [
            {"name": digest("a1"), "size": 1024, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"},
            {"name": digest("a2"), "size": 3072, "mediaType": "application/vnd.oci.image.layer.v1.tar"}],
        "signatures": [signature(name)],
        "dockerImageSignatures": ["b25l", "dHdv"],
        "dockerImageManifestMediaType": OCI_MANIFEST,
        "dockerImageConfig": "{\"architecture\":\"arm64\"}"
    })
}

/// An image with all fields that a manifest list can have.
pub(crate) fn listing(name: &str) -> Value {
    let mut image = layered(name);
    let fields = image.as_object_mut().expect("an image is an object");
    fields.remove("dockerImageLayers");
    // Without a manifest the server computes no metadata.
    fields.remove("dockerImageManifest");
    fields.insert("dockerImageManifestMediaType".into(), OCI_INDEX.into());
    fields.insert(
        "dockerImageManifests".into(),
        json!([{"digest": digest("e1"), "mediaType": OCI_MANIFEST, "manifestSize": 512, "architecture": "arm",
            "os": "linux", "variant": "v7"}]),
    );
    image
}

pub(crate) fn old(name: &str) -> Value {
    let mut image = layered(name);
    image["dockerImageMetadata"] = old_metadata();
    image["dockerImageMetadataVersion"] = "pre012".into();
    image
}

/// Returns the paths of all fields of a type that no value sets, except those of object metadata.
fn unset(schema: &Value, values: &[&Value]) -> BTreeSet<String> {
    fn walk(
        root: &Value,
        schema: &Value,
        values: &[&Value],
        path: &str,
        out: &mut BTreeSet<String>,
    ) {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = root.pointer(&reference[1..]).expect("the target of the reference exists");
            return walk(root, target, values, path, out);
        }
        for choice in schema["anyOf"].as_array().into_iter().flatten() {
            walk(root, choice, values, path, out);
        }
        let elements: Vec<&Value> =
            values.iter().filter_map(|value| value.as_array()).flatten().collect();
        if schema.get("items").is_some() {
            walk(root, &schema["items"], &elements, path, out);
        }
        for (name, inner) in schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != "metadata")
        {
            let path = format!("{path}.{name}");
            let inside: Vec<&Value> = values.iter().filter_map(|value| value.get(name)).collect();
            if inside.is_empty() {
                out.insert(path);
            } else {
                walk(root, inner, &inside, &path, out);
            }
        }
    }
    let mut out = BTreeSet::new();
    walk(schema, schema, values, "", &mut out);
    out
}

#[test]
fn the_images_of_this_test_leave_no_field_out() {
    let (layered, listing, metadata) = (layered("a"), listing("a"), metadata());
    assert_eq!(unset(schema_for!(Image).as_value(), &[&layered, &listing]), BTreeSet::new());
    assert_eq!(unset(schema_for!(DockerImage).as_value(), &[&metadata]), BTreeSet::new());
}

/// Removes the fields that the server sets.
fn without_server_fields(mut image: Value) -> Value {
    let fields = image.as_object_mut().expect("an image is an object");
    fields.remove("kind");
    fields.remove("apiVersion");
    let meta = fields["metadata"].as_object_mut().expect("metadata is an object");
    for name in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        assert!(meta.remove(name).is_some(), "the server sets {name}");
    }
    image
}

fn without_texts(mut image: Value) -> Value {
    let fields = image.as_object_mut().expect("an image is an object");
    fields.remove("dockerImageManifest");
    fields.remove("dockerImageConfig");
    image
}

#[tokio::test]
async fn every_field_round_trips_through_image_and_stream() {
    let api = Api::start().await;
    let sent = [layered(&digest("1")), listing(&digest("2")), old(&digest("3"))];
    for image in &sent {
        api.post("images", image).await.is(201);
    }
    let mut stream = api.post(STREAMS, &stream("s")).await.is(201);
    stream["status"]["tags"] = json!([history("t", &[&digest("3"), &digest("2"), &digest("1")])]);
    api.put(&format!("{STREAMS}/s/status"), &stream).await.is(200);
    for image in &sent {
        let name = image["metadata"]["name"].as_str().expect("the image has a name");
        let stored = api.get(&format!("images/{name}")).await.is(200);
        let shown = api.get(&format!("{STREAM_IMAGES}/s@{name}")).await.is(200);
        assert_eq!(shown["image"]["metadata"], stored["metadata"]);
        assert_eq!(without_server_fields(stored), *image);
        assert_eq!(without_server_fields(shown["image"].clone()), without_texts(image.clone()));
    }
}

#[tokio::test]
async fn a_signature_without_a_known_state_may_not_claim_anything() {
    // Claims of a signature require conditions.
    let api = Api::start().await;
    let mut image = layered(&digest("1"));
    image["signatures"][0]["conditions"] = json!([]);
    let refused = api.post("images", &image).await.is(422);
    let fields: Vec<_> =
        refused["details"]["causes"].as_array().expect("the status has causes").iter().collect();
    let wanted = ["imageIdentity", "signedClaims", "issuedBy", "issuedTo"]
        .map(|name| format!("signatures[0].{name}"));
    assert_eq!(
        fields.iter().map(|cause| cause["field"].as_str().unwrap_or_default()).collect::<Vec<_>>(),
        wanted
    );
}
