//! Objects that tests store. Images have no manifest unless a test is about manifests.

use serde_json::{Value, json};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Returns a digest that starts with these hexadecimal digits.
pub(crate) fn digest(hex: &str) -> String {
    format!("sha256:{hex:0<64}")
}

/// An image without layers and manifest.
pub(crate) fn image(name: &str) -> Value {
    let reference = match name.contains(':') {
        true => format!("registry.example.com/ns/s@{name}"),
        false => format!("registry.example.com/ns/s:{name}"),
    };
    json!({"kind": "Image", "apiVersion": "image.openshift.io/v1", "metadata": {"name": name},
        "dockerImageReference": reference})
}

/// A manifest list: an image that refers to other images.
pub(crate) fn index(name: &str, parts: &[&str]) -> Value {
    let part = |digest: &&str| json!({"digest": digest, "mediaType": OCI_MANIFEST, "manifestSize": 7, "architecture": "amd64", "os": "linux"});
    let mut image = image(name);
    image["dockerImageManifestMediaType"] = OCI_INDEX.into();
    image["dockerImageManifests"] = parts.iter().map(part).collect();
    image
}

/// An image with a manifest and a configuration, which may be empty.
pub(crate) fn with_manifest(name: &str, manifest: &Value, config: &str) -> Value {
    let mut image = image(name);
    image["dockerImageManifest"] = manifest.to_string().into();
    image["dockerImageManifestMediaType"] = manifest["mediaType"].clone();
    image["dockerImageConfig"] = config.into();
    image
}

pub(crate) fn stream(name: &str) -> Value {
    json!({"kind": "ImageStream", "apiVersion": "image.openshift.io/v1", "metadata": {"name": name}})
}

/// The body that a registry sends after a push.
pub(crate) fn mapping(stream: &str, tag: &str, image: &Value) -> Value {
    json!({"kind": "ImageStreamMapping", "apiVersion": "image.openshift.io/v1", "metadata": {"name": stream},
        "image": image, "tag": tag})
}

/// An entry of `status.tags` with the images of a tag, newest first.
pub(crate) fn history(tag: &str, images: &[&str]) -> Value {
    let event = |name: &&str| {
        json!({"created": "2024-01-02T03:04:05Z", "image": name, "generation": 0,
            "dockerImageReference": format!("registry.example.com/ns/s@{name}")})
    };
    json!({"tag": tag, "items": images.iter().map(event).collect::<Vec<_>>()})
}

/// The names of the objects of a list.
pub(crate) fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("a list has items");
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().expect("an object has a name"))
        .collect()
}
