//! Images as a build pipeline produces them, generated from their numbers. Pure: the same number
//! gives the same image.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Images of a stream, each under its own tag.
pub(crate) const IMAGES_PER_STREAM: usize = 20;
/// Maximum number of images in the history of a tag.
pub(crate) const EVENTS_PER_TAG: usize = 20;
/// Layers of an image.
pub(crate) const LAYERS: usize = 10;
/// Namespace of all streams.
pub(crate) const NAMESPACE: &str = "load";

/// Layers of the base image, shared by many images.
const BASE_LAYERS: usize = 5;
/// Number of different base images.
const BASES: usize = 7;
const SCHEMA2: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Image in the form in which it is pushed.
pub(crate) struct Image {
    /// Digest of the manifest.
    pub(crate) digest: String,
    /// Body of the request that creates the image, in JSON.
    pub(crate) mapping: Vec<u8>,
}

/// Name of the stream of an image.
pub(crate) fn stream_of(image: usize) -> String {
    stream_name(image / IMAGES_PER_STREAM)
}

/// Name of a stream.
pub(crate) fn stream_name(stream: usize) -> String {
    format!("service-{stream:05}")
}

/// Body of the request that creates a stream, in JSON.
pub(crate) fn stream_body(stream: usize) -> Vec<u8> {
    let annotations = json!({"openshift.io/display-name": format!("Service {stream}")});
    let metadata =
        json!({"name": stream_name(stream), "namespace": NAMESPACE, "annotations": annotations});
    json!({"kind": "ImageStream", "apiVersion": "image.openshift.io/v1", "metadata": metadata})
        .to_string()
        .into_bytes()
}

/// Image with a number.
pub(crate) fn image(number: usize) -> Image {
    let config = config(number).to_string();
    let manifest = manifest(number, &config).to_string();
    let digest = digest(&manifest);
    let stream = stream_of(number);
    let registry = "image-registry.openshift-image-registry.svc:5000";
    let image = json!({
        "metadata": {"name": digest, "annotations": {"openshift.io/image.managed": "true"}},
        "dockerImageReference": format!("{registry}/{NAMESPACE}/{stream}@{digest}"),
        "dockerImageManifestMediaType": SCHEMA2,
        "dockerImageManifest": manifest,
        "dockerImageConfig": config,
    });
    let mapping = json!({
        "kind": "ImageStreamMapping",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": stream, "namespace": NAMESPACE},
        "image": image,
        "tag": format!("v1.{}", number % IMAGES_PER_STREAM),
    });
    Image { digest, mapping: mapping.to_string().into_bytes() }
}

/// Digest of content, as in a registry.
pub(crate) fn digest(content: &str) -> String {
    format!("sha256:{}", hex(content))
}

fn hex(content: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = Sha256::digest(content);
    hash.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// Seed of a layer's content: the same for all images on one base, or specific to this image.
fn layer_seed(number: usize, layer: usize) -> String {
    match layer < BASE_LAYERS {
        true => format!("layer {layer} of base {}", number % BASES),
        false => format!("layer {layer} of image {number}"),
    }
}

fn manifest(number: usize, config: &str) -> Value {
    let layers = (0..LAYERS).map(|layer| {
        let size = 40_000_000 / (layer + 1) + number % 977;
        json!({"mediaType": LAYER, "size": size, "digest": digest(&layer_seed(number, layer))})
    });
    json!({
        "schemaVersion": 2,
        "mediaType": SCHEMA2,
        "config": {"mediaType": CONFIG, "size": config.len(), "digest": digest(config)},
        "layers": layers.collect::<Vec<_>>(),
    })
}

/// A configuration of about 6 kB.
fn config(number: usize) -> Value {
    let created = format!(
        "2026-0{}-{:02}T09:{:02}:{:02}.123456789Z",
        1 + number % 9,
        1 + number % 28,
        number % 60,
        number % 59
    );
    let container = json!({
        "Hostname": &hex(&format!("host {number}"))[..12],
        "User": "1001",
        "ExposedPorts": {"8080/tcp": {}, "8443/tcp": {}},
        "Env": environment(number),
        "Entrypoint": ["/usr/local/bin/container-entrypoint"],
        "Cmd": ["/usr/local/bin/run-service", "--listen=0.0.0.0:8080"],
        "WorkingDir": "/opt/app-root/src",
        "Labels": labels(number),
    });
    let diff_ids: Vec<String> = (0..LAYERS)
        .map(|layer| digest(&format!("unpacked {}", layer_seed(number, layer))))
        .collect();
    json!({
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "author": "Pipeline <pipeline@example.com>",
        "config": container,
        "history": history(number, &created),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
}

fn environment(number: usize) -> Vec<String> {
    let mut lines = vec![
        "PATH=/opt/app-root/src/bin:/opt/app-root/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            .into(),
        "HOME=/opt/app-root/src".into(),
        "LANG=C.UTF-8".into(),
        "JAVA_HOME=/usr/lib/jvm/java-21-openjdk".into(),
        "JAVA_OPTS=-XX:MaxRAMPercentage=75 -XX:+ExitOnOutOfMemoryError -Djava.security.egd=file:/dev/urandom".into(),
        format!("BUILD_NUMBER={number}"),
        format!("SERVICE_VERSION=1.{}.{}", number % IMAGES_PER_STREAM, number / IMAGES_PER_STREAM),
    ];
    lines.extend((0..15).map(|each| {
        format!("SERVICE_SETTING_{each}=https://settings.example.com/{each}/{number}")
    }));
    lines
}

fn labels(number: usize) -> Value {
    let commit = &hex(&format!("commit {number}"))[..40];
    json!({
        "architecture": "x86_64",
        "build-date": "2026-03-01T09:30:15",
        "com.example.component": format!("service-{}-container", number / IMAGES_PER_STREAM),
        "com.example.team": format!("team-{}", number % 23),
        "description": "A service of the shop, on the runtime that all services of the shop have in common.",
        "distribution-scope": "public",
        "io.k8s.description": "Platform for building and running services on Java 21.",
        "io.k8s.display-name": format!("Service {}", number / IMAGES_PER_STREAM),
        "io.openshift.build.commit.id": commit,
        "io.openshift.build.commit.message": format!("Merge branch 'change-{number}' into 'main'"),
        "io.openshift.build.commit.ref": "main",
        "io.openshift.build.source-location": "https://git.example.com/shop/service.git",
        "io.openshift.expose-services": "8080:http,8443:https",
        "io.openshift.tags": "builder,java,shop",
        "maintainer": "pipeline@example.com",
        "name": "shop/service",
        "org.opencontainers.image.revision": commit,
        "release": number.to_string(),
        "vendor": "Example",
        "version": format!("1.{}", number % IMAGES_PER_STREAM),
    })
}

/// Twice as many steps as layers: every second step creates no layer.
fn history(number: usize, created: &str) -> Vec<Value> {
    let step = |each: usize| match each.is_multiple_of(2) {
        true => {
            let seed = &hex(&layer_seed(number, each / 2))[..32];
            let command = format!(
                "/bin/sh -c #(nop) COPY --chown=1001:0 dir:{seed} in /opt/app-root/src/part-{each}/ # buildkit"
            );
            json!({"created": created, "created_by": command})
        }
        false => {
            let command = format!("/bin/sh -c #(nop)  LABEL io.openshift.step={each}");
            json!({"created": created, "created_by": command, "empty_layer": true})
        }
    };
    (0..2 * LAYERS).map(step).collect()
}
