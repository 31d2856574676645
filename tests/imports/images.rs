//! The images that the recorded conversations import. Every byte is fixed, because the recordings
//! contain their digests.
//!
//! | repository | tags | images |
//! |---|---|---|
//! | `conf/docker` | v1, v2 | schema 2 |
//! | `conf/oci` | v1 | OCI |
//! | `conf/list` | latest, v1 | manifest list of linux/amd64 and linux/arm64 |
//! | `conf/index` | latest | OCI index of linux/amd64 and linux/arm64 |
//! | `conf/attested` | latest | OCI index with two platforms and two attestations |
//! | `conf/armonly` | latest | manifest list without linux/amd64 |
//! | `conf/rich` | latest | configuration with many fields |
//! | `conf/nolayers` | latest | no layers |
//! | `conf/samelayers` | latest | the same layer several times |
//! | `conf/many` | 66 tags | latest, versions and others |

use std::collections::HashSet;

use hyper::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::docker_registry::DockerRegistry;

const SCHEMA2: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Media types of manifest, configuration and layer.
#[derive(Clone, Copy)]
struct Format([&'static str; 3]);

const DOCKER: Format = Format([
    SCHEMA2,
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
]);
const OCI: Format =
    Format([OCI_MANIFEST, OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip"]);

/// A manifest with the blobs and manifests that must be pushed before it.
#[derive(Clone)]
struct Manifest {
    text: String,
    media_type: &'static str,
    blobs: Vec<String>,
    parts: Vec<Self>,
}

impl Manifest {
    fn new(value: &Value, media_type: &'static str) -> Self {
        Self { text: compact(value), media_type, blobs: Vec::new(), parts: Vec::new() }
    }

    fn digest(&self) -> String {
        digest(&self.text)
    }
}

fn digest(text: &str) -> String {
    let hash = Sha256::digest(text);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Compact JSON in ASCII.
fn compact(value: &Value) -> String {
    let escape = |letter: char| match letter {
        letter if letter.is_ascii() => letter.to_string(),
        letter => format!("\\u{:04x}", u32::from(letter)),
    };
    value.to_string().chars().map(escape).collect()
}

/// An image with layers of these contents. `more` replaces and adds fields of the configuration.
fn image(name: &str, layers: &[String], format: Format, more: &Value, notes: &Value) -> Manifest {
    let Format([media_type, config_type, layer_type]) = format;
    let diffs: Vec<_> = layers.iter().map(|layer| digest(&format!("diff {layer}"))).collect();
    let history: Vec<_> = (0..layers.len())
        .map(|at| json!({"created": "2021-02-03T04:05:06Z", "created_by": format!("step {at}")}))
        .collect();
    let mut config = json!({
        "architecture": "amd64", "os": "linux", "created": "2021-02-03T04:05:06.789Z",
        "author": "conformance",
        "config": {"Env": ["PATH=/bin"], "Cmd": [format!("/bin/{name}")]},
        "docker_version": "20.10.7",
        "rootfs": {"type": "layers", "diff_ids": diffs},
        "history": history,
    });
    extend(&mut config, more);
    let config = compact(&config);
    let entries: Vec<_> = layers
        .iter()
        .map(|layer| json!({"mediaType": layer_type, "size": layer.len(), "digest": digest(layer)}))
        .collect();
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": media_type,
        "config": {"mediaType": config_type, "size": config.len(), "digest": digest(&config)},
        "layers": entries,
    });
    extend(&mut manifest, notes);
    let blobs = [config].into_iter().chain(layers.iter().cloned()).collect();
    Manifest { blobs, ..Manifest::new(&manifest, media_type) }
}

fn extend(object: &mut Value, more: &Value) {
    let fields = object.as_object_mut().expect("it is an object");
    fields.extend(more.as_object().cloned().unwrap_or_default());
}

fn layers(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|at| format!("layer {at} of {name}")).collect()
}

fn plain(name: &str, count: usize, format: Format, more: &Value) -> Manifest {
    image(name, &layers(name, count), format, more, &Value::Null)
}

fn amd64() -> Value {
    json!({"architecture": "amd64", "os": "linux"})
}

fn arm64() -> Value {
    json!({"architecture": "arm64", "os": "linux", "variant": "v8"})
}

/// Images for amd64 and arm64.
fn pair(name: &str, format: Format) -> [Manifest; 2] {
    let arm = json!({"architecture": "arm64", "variant": "v8"});
    [
        plain(&format!("{name}-amd64"), 2, format, &Value::Null),
        plain(&format!("{name}-arm64"), 2, format, &arm),
    ]
}

/// A list of images with their platforms and annotations.
fn list(parts: Vec<(Manifest, Value, Value)>, media_type: &'static str) -> Manifest {
    let entry = |(part, platform, notes): &(Manifest, Value, Value)| {
        let mut entry = json!({
            "mediaType": part.media_type, "size": part.text.len(), "digest": part.digest(),
            "platform": platform,
        });
        if !notes.is_null() {
            extend(&mut entry, &json!({"annotations": notes}));
        }
        entry
    };
    let entries: Vec<_> = parts.iter().map(entry).collect();
    let value = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
    let parts = parts.into_iter().map(|(part, ..)| part).collect();
    Manifest { parts, ..Manifest::new(&value, media_type) }
}

/// An attestation of an image, as BuildKit adds it.
fn attestation(subject: &Manifest) -> (Manifest, Value, Value) {
    let statement = compact(&json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "subject": [{"digest": subject.digest()}],
    }));
    let config = compact(&json!({
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest(&statement)]},
    }));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "size": config.len(), "digest": digest(&config)},
        "layers": [{
            "mediaType": "application/vnd.in-toto+json", "size": statement.len(),
            "digest": digest(&statement),
            "annotations": {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"},
        }],
    });
    let manifest =
        Manifest { blobs: vec![config, statement], ..Manifest::new(&manifest, OCI_MANIFEST) };
    let notes = json!({
        "vnd.docker.reference.digest": subject.digest(),
        "vnd.docker.reference.type": "attestation-manifest",
    });
    (manifest, json!({"architecture": "unknown", "os": "unknown"}), notes)
}

/// A configuration with many fields.
fn rich() -> Value {
    let config = json!({
        "User": "1001:0", "Hostname": "richhost", "Domainname": "example.com",
        "AttachStdout": true, "Tty": true,
        "ExposedPorts": {"8080/tcp": {}, "53/udp": {}},
        "Env": ["A=1", "B=two words", "C="], "Cmd": ["run", "--all"],
        "Volumes": {"/data": {}, "/cache": {}}, "WorkingDir": "/srv",
        "Entrypoint": ["/entry", "-x"], "OnBuild": ["COPY . /srv", "RUN make"],
        "StopSignal": "SIGQUIT", "Shell": ["/bin/sh", "-c"],
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000},
        "Labels": {
            "io.openshift.s2i.scripts-url": "image:///usr/libexec/s2i",
            "name": "rich <&> é", "empty": "",
        },
    });
    json!({
        "config": config, "container": "abc123", "comment": "a comment",
        "container_config": {"Image": "parent", "Labels": {"x": "y"}},
    })
}

fn tags_of_many() -> Vec<String> {
    let named = [
        "latest",
        "stable",
        "edge",
        "v1",
        "v1.0",
        "v1.0.0",
        "v1.10.0",
        "v1.2.0",
        "v2.0.0-rc.1",
        "v2.0.0",
        "2",
        "2.0",
        "2.0.1",
        "10.0.0",
        "A",
        "a",
        "_x",
        "1.0.0_build.5",
        "nightly-20240102",
        "z",
    ];
    let numbered = (0..46).map(|at| format!("3.{}.{}", at / 8, at % 8));
    named.into_iter().map(str::to_owned).chain(numbered).collect()
}

/// The tags of each repository.
fn repositories() -> Vec<(&'static str, Vec<(String, Manifest)>)> {
    let none = Value::Null;
    let [list_amd, list_arm] = pair("list", DOCKER);
    let [index_amd, index_arm] = pair("index", OCI);
    let [attested_amd, attested_arm] = pair("attested", OCI);
    let attestations = [attestation(&attested_amd), attestation(&attested_arm)];
    let listed = |amd: Manifest, arm: Manifest| {
        vec![(amd, amd64(), Value::Null), (arm, arm64(), Value::Null)]
    };
    let docker_list = list(listed(list_amd, list_arm.clone()), DOCKER_LIST);
    let mut attested = listed(attested_amd, attested_arm);
    attested.extend(attestations);
    let s390x = plain("s390x", 2, DOCKER, &json!({"architecture": "s390x"}));
    let s390x = (s390x, json!({"architecture": "s390x", "os": "linux"}), Value::Null);
    let arm_only = list(vec![(list_arm, arm64(), Value::Null), s390x], DOCKER_LIST);
    let title = json!({"annotations": {"org.opencontainers.image.title": "oci"}});
    let oci = image("oci-v1", &layers("oci-v1", 2), OCI, &none, &title);
    let same = ["first", "same", "same", "last", "same"].map(str::to_owned);
    let many: Vec<_> = (0..6).map(|at| plain(&format!("many-{at}"), 1, DOCKER, &none)).collect();
    let many = tags_of_many().into_iter().enumerate().map(|(at, tag)| (tag, many[at % 6].clone()));
    let one = |tag: &str, manifest: Manifest| (tag.to_owned(), manifest);
    vec![
        (
            "conf/docker",
            vec![
                one("v1", plain("docker-v1", 2, DOCKER, &none)),
                one("v2", plain("docker-v2", 3, DOCKER, &none)),
            ],
        ),
        ("conf/oci", vec![one("v1", oci)]),
        ("conf/list", vec![one("latest", docker_list.clone()), one("v1", docker_list)]),
        ("conf/index", vec![one("latest", list(listed(index_amd, index_arm), OCI_INDEX))]),
        ("conf/attested", vec![one("latest", list(attested, OCI_INDEX))]),
        ("conf/armonly", vec![one("latest", arm_only)]),
        ("conf/rich", vec![one("latest", plain("rich", 4, DOCKER, &rich()))]),
        ("conf/nolayers", vec![one("latest", plain("nolayers", 0, DOCKER, &none))]),
        ("conf/samelayers", vec![one("latest", image("samelayers", &same, DOCKER, &none, &none))]),
        ("conf/many", many.collect()),
    ]
}

/// Pushes all images. Panics if the registry refuses one.
pub(crate) async fn push_all(registry: &DockerRegistry) {
    for (repository, tags) in repositories() {
        let mut pushed = HashSet::new();
        for (tag, manifest) in tags {
            for part in &manifest.parts {
                push(registry, repository, part, &part.digest(), &mut pushed).await;
            }
            push(registry, repository, &manifest, &tag, &mut pushed).await;
        }
    }
}

/// Pushes a manifest under a tag or digest, with the blobs that were not pushed yet.
async fn push(
    registry: &DockerRegistry,
    repository: &str,
    manifest: &Manifest,
    reference: &str,
    pushed: &mut HashSet<String>,
) {
    for blob in &manifest.blobs {
        if !pushed.insert(digest(blob)) {
            continue;
        }
        const BYTES: &str = "application/octet-stream";
        let begin = format!("/v2/{repository}/blobs/uploads/");
        let (status, place) = registry.send(Method::POST, &begin, BYTES, Vec::new()).await;
        assert_eq!(status, 202, "upload to {repository}");
        let mark = if place.contains('?') { '&' } else { '?' };
        let end = format!("{place}{mark}digest={}", digest(blob));
        let (status, _) = registry.send(Method::PUT, &end, BYTES, blob.clone().into()).await;
        assert_eq!(status, 201, "blob of {repository}");
    }
    let path = format!("/v2/{repository}/manifests/{reference}");
    let body = manifest.text.clone().into();
    let (status, _) = registry.send(Method::PUT, &path, manifest.media_type, body).await;
    assert_eq!(status, 201, "{repository}:{reference}");
}

#[test]
fn images_have_the_recorded_digests() {
    let all = repositories();
    let digest = |repository: &str, tag: &str| {
        let (_, tags) = all.iter().find(|(name, _)| *name == repository).unwrap();
        tags.iter().find(|(name, _)| name == tag).unwrap().1.digest()
    };
    for (repository, tag, start) in [
        ("conf/docker", "v1", "sha256:b7e8ec19c23c"),
        ("conf/docker", "v2", "sha256:c58a7dbfe184"),
        ("conf/oci", "v1", "sha256:bffcfcd59238"),
        ("conf/list", "latest", "sha256:5a2188b4485d"),
        ("conf/attested", "latest", "sha256:7908a59c752c"),
    ] {
        let digest = digest(repository, tag);
        assert!(digest.starts_with(start), "{repository}:{tag} is {digest}");
    }
}
