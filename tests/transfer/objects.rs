//! Objects that tests transfer, as lines of an export.

use imagestream_apiserver::domain::digest::Digest;
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Events in the history of a tag.
const EVENTS: usize = 3;

/// Lines with this many images and streams, and one object of each further form.
pub(crate) fn lines(images: usize, streams: usize) -> String {
    let named: Vec<Value> = (0..images).map(image).collect();
    let names: Vec<&str> =
        named.iter().map(|image| image["metadata"]["name"].as_str().expect("it has")).collect();
    let streams = (0..streams).map(|number| stream(number, &names));
    let all = named.iter().cloned().chain(streams).chain(further(&names));
    all.map(|object| format!("{object}\n")).collect()
}

/// An image with a manifest and a configuration.
pub(crate) fn image(number: usize) -> Value {
    let config = json!({"architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z",
        "config": {"Labels": {"number": number.to_string()}, "Env": ["PATH=/usr/bin"], "Cmd": ["run"]}});
    let config = config.to_string();
    let layer = |at: usize| {
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": Digest::sha256_of(format!("{number}/{at}")).as_str(), "size": 1000 + at})
    };
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::sha256_of(&config).as_str(), "size": config.len()},
        "layers": (0..5).map(layer).collect::<Vec<_>>()});
    let manifest = manifest.to_string();
    let mut image = bare(Digest::sha256_of(&manifest).as_str(), &uid(1, number));
    image["evidence"] = json!({"proof": "full", "namespace": namespace(number)});
    image["dockerImageManifest"] = manifest.into();
    image["dockerImageManifestMediaType"] = MANIFEST.into();
    image["dockerImageConfig"] = config.into();
    image
}

/// A stream whose tag had several images.
pub(crate) fn stream(number: usize, images: &[&str]) -> Value {
    let (namespace, name) = (namespace(number), format!("stream-{number:05}"));
    let event = |at: usize| {
        let image = images[(number * EVENTS + at) % images.len()];
        json!({"created": format!("2024-01-02T03:04:{at:02}Z"), "image": image, "generation": 1,
            "dockerImageReference": format!("registry.example.com/{namespace}/{name}@{image}")})
    };
    json!({"kind": "ImageStream", "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": name, "namespace": namespace, "uid": uid(2, number), "generation": 1,
            "creationTimestamp": "2024-01-02T03:04:05Z", "labels": {"app": "a"},
            "annotations": {"note": "\"quoted\" <text>"}},
        "spec": {"lookupPolicy": {"local": true}, "tags": [{"name": "followed", "generation": 1,
            "from": {"kind": "DockerImage", "name": "registry.example.com/a/b:c"}, "reference": true}]},
        "status": {"dockerImageRepository": "", "tags": [
            {"tag": "latest", "items": (0..EVENTS).map(event).collect::<Vec<_>>()}]}})
}

/// An image without content, with an identity.
pub(crate) fn bare(name: &str, uid: &str) -> Value {
    json!({"evidence": {"proof": "authority"}, "kind": "Image", "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": name, "uid": uid, "creationTimestamp": "2024-01-02T03:04:05Z"},
        "dockerImageReference": format!("registry.example.com/ns/s@{name}")})
}

/// A digest that starts with these hexadecimal digits.
pub(crate) fn digest(hex: &str) -> String {
    format!("sha256:{hex:0<64}")
}

/// One object of each form that the others do not have.
fn further(images: &[&str]) -> Vec<Value> {
    let mut signed = bare(&digest("51"), &uid(3, 1));
    signed["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap",
        "name": "owner", "uid": uid(4, 1)}]);
    signed["metadata"]["finalizers"] = json!(["example.com/keep"]);
    signed["signatures"] = json!([{"metadata": {"name": format!("{}@signature", digest("51"))},
        "type": "AtomicImageV1", "content": "c2lnbmVk"}]);
    let mut list = bare(&digest("52"), &uid(3, 2));
    let part = |name: &&str| {
        json!({"digest": name, "mediaType": MANIFEST, "manifestSize": 7,
        "architecture": "amd64", "os": "linux"})
    };
    list["dockerImageManifestMediaType"] = INDEX.into();
    list["dockerImageManifests"] = images.iter().take(2).map(part).collect();
    let mut unproved = bare(&digest("53"), &uid(3, 3));
    unproved["evidence"] = json!({"proof": "nothing", "namespace": "team-0"});
    let mut proved = bare(&digest("54"), &uid(3, 4));
    proved["evidence"]["hasUnprovedForm"] = true.into();
    let mut superseded = bare(&digest("54"), &uid(3, 4));
    superseded["kind"] = "SupersededImage".into();
    superseded["evidence"] = json!({"proof": "nothing", "namespace": "team-0"});
    superseded["dockerImageReference"] = "registry.example.com/other:1".into();
    let mut stream = stream(99_999, &[&digest("53")]);
    stream["unproved"] = json!({digest("53"): uid(3, 3)});
    vec![signed, list, unproved, proved, superseded, stream]
}

fn namespace(number: usize) -> String {
    format!("team-{}", number % 10)
}

fn uid(kind: usize, number: usize) -> String {
    format!("00000000-0000-4000-8{kind:03}-{number:012}")
}
