//! Objects and request bodies.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const VERSION: &str = "image.openshift.io/v1";

/// Digest that begins with these hexadecimal digits.
pub(crate) fn digest(hex: &str) -> String {
    format!("sha256:{hex:0<64}")
}

/// Digest of content.
pub(crate) fn digest_of(content: &str) -> String {
    let hash = Sha256::digest(content.as_bytes());
    hash.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

pub(crate) fn stream(name: &str) -> Value {
    json!({"kind": "ImageStream", "apiVersion": VERSION, "metadata": {"name": name}})
}

/// Image without a manifest.
pub(crate) fn image(name: &str) -> Value {
    json!({"kind": "Image", "apiVersion": VERSION, "metadata": {"name": name},
        "dockerImageReference": format!("registry.example.com/ns/s@{name}")})
}

/// Mapping that a registry sends after a push.
pub(crate) fn mapping(stream: &str, tag: &str, image: &Value) -> Value {
    json!({"kind": "ImageStreamMapping", "apiVersion": VERSION, "metadata": {"name": stream}, "image": image, "tag": tag})
}

/// `before`, then `each(0)` to `each(count - 1)` separated by commas, then `after`.
pub(crate) fn repeat(
    before: &str,
    count: usize,
    each: impl Fn(usize) -> String,
    after: &str,
) -> String {
    let mut text = before.to_owned();
    for number in 0..count {
        if number > 0 {
            text.push(',');
        }
        text.push_str(&each(number));
    }
    text + after
}

/// Image with manifest and configuration.
pub(crate) struct Whole {
    pub(crate) digest: String,
    pub(crate) config: String,
    pub(crate) layers: Vec<String>,
    manifest: String,
}

impl Whole {
    /// Image whose environment and layers derive from a text.
    pub(crate) fn new(text: &str, layers: usize) -> Self {
        let layers: Vec<String> = (0..layers).map(|n| digest_of(&format!("{text} {n}"))).collect();
        let history: Vec<Value> = layers.iter().map(|layer| json!({"created_by": layer})).collect();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Env": [format!("A={text}")]},
            "rootfs": {"type": "layers", "diff_ids": layers}, "history": history})
        .to_string();
        let layer = |digest: &String| json!({"mediaType": LAYER, "digest": digest, "size": 7});
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest_of(&config), "size": config.len()},
            "layers": layers.iter().map(layer).collect::<Vec<_>>()})
        .to_string();
        Self { digest: digest_of(&manifest), config, layers, manifest }
    }

    pub(crate) fn image(&self) -> Value {
        let mut image = self.without_config();
        image["dockerImageConfig"] = self.config.clone().into();
        image
    }

    pub(crate) fn without_config(&self) -> Value {
        let mut image = image(&self.digest);
        image["dockerImageManifestMediaType"] = OCI_MANIFEST.into();
        image["dockerImageManifest"] = self.manifest.clone().into();
        image
    }
}
