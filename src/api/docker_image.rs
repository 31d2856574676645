//! Image metadata in the form of the Docker API: typed, so that what no field knows is dropped.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::meta::Time;

/// The metadata of an image in one of the two forms that the API knows.
#[derive(Clone, Debug, PartialEq)]
pub enum DockerImageMetadata {
    /// Version `1.0`: keys with capital letters.
    Current(DockerImage),
    /// Version `pre012`: keys in small letters, from before Docker 0.12.
    Pre012(DockerImage),
}

const KIND: &str = "DockerImage";
const GROUP: &str = "image.openshift.io/";

/// A kind of metadata, in a version, that no form is known for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kind {kind:?} is registered for version {version:?} in scheme \"image.openshift.io\"")]
pub struct UnknownMetadataType {
    kind: String,
    version: String,
}

/// Why metadata cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The form is unknown.
    #[error(transparent)]
    UnknownType(#[from] UnknownMetadataType),
    /// A field has a value of a wrong type.
    #[error("{0}")]
    Field(#[from] serde_json::Error),
}

/// What is known of an image from its configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
#[schemars(rename = "com.github.openshift.api.image.docker10.DockerImage")]
pub struct DockerImage {
    /// Digest of the image's configuration; for an image that lists images, the image's own name.
    pub id: String,
    /// Identifier of the image that this one was built on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// Comment of the author.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// When the image was built.
    pub created: Option<Time>,
    /// Identifier of the container that the image was made from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// Configuration of the container that the image was made from.
    pub container_config: DockerConfig,
    /// Version of Docker that built the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    /// Who made the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// How containers of this image run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<DockerConfig>,
    /// Processor architecture that the image is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// Size in bytes: the configuration and every distinct layer.
    #[serde(skip_serializing_if = "is_zero")]
    pub size: i64,
}

/// How containers run: the part of Docker's configuration that image metadata keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
#[schemars(rename = "com.github.openshift.api.image.docker10.DockerConfig")]
pub struct DockerConfig {
    /// Host name inside of the container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Domain name inside of the container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// User that the command runs as.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Memory limit in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory: i64,
    /// Limit of memory and swap in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory_swap: i64,
    /// Relative weight of the container's processor time.
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_shares: i64,
    /// Processors that the container may use, such as `0-2`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cpuset: String,
    /// Whether standard input is attached.
    #[serde(skip_serializing_if = "is_false")]
    pub attach_stdin: bool,
    /// Whether standard output is attached.
    #[serde(skip_serializing_if = "is_false")]
    pub attach_stdout: bool,
    /// Whether standard error is attached.
    #[serde(skip_serializing_if = "is_false")]
    pub attach_stderr: bool,
    /// Ports in the oldest form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub port_specs: Vec<String>,
    /// Ports that the image listens on, such as `8080/tcp`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, EmptyObject>,
    /// Whether the command gets a terminal.
    #[serde(skip_serializing_if = "is_false")]
    pub tty: bool,
    /// Whether standard input stays open without a client.
    #[serde(skip_serializing_if = "is_false")]
    pub open_stdin: bool,
    /// Whether standard input closes after the first client.
    #[serde(skip_serializing_if = "is_false")]
    pub stdin_once: bool,
    /// Environment, each entry as `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Command, or arguments of the entry point.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Name servers.
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "Dns")]
    pub dns: Vec<String>,
    /// Image that the container was made from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Paths that are mounted from outside.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, EmptyObject>,
    /// Containers whose volumes are used.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub volumes_from: String,
    /// Directory that the command starts in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Program that is run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Whether the container has no network.
    #[serde(skip_serializing_if = "is_false")]
    pub network_disabled: bool,
    /// Options for security modules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_opts: Vec<String>,
    /// Build steps for images that build on this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// Labels of the image.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// An object without fields, as sets are written in Docker's JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmptyObject {}

/// [`DockerImage`] with the keys of version `pre012`; only the outer keys differ.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename = "DockerImage", default, remote = "DockerImage")]
struct Pre012 {
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    created: Option<Time>,
    #[serde(skip_serializing_if = "String::is_empty")]
    container: String,
    container_config: DockerConfig,
    #[serde(skip_serializing_if = "String::is_empty")]
    docker_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<DockerConfig>,
    #[serde(skip_serializing_if = "String::is_empty")]
    architecture: String,
    #[serde(skip_serializing_if = "is_zero")]
    size: i64,
}

impl DockerImageMetadata {
    /// The version of metadata that says none.
    pub const DEFAULT_VERSION: &'static str = "1.0";

    /// Metadata of `version` from JSON, which is of that version too unless it says of which it is; no value is empty metadata.
    ///
    /// # Errors
    /// A kind or version that is not known, or a value of a wrong type.
    pub fn read(value: Option<Value>, version: &str) -> Result<Self, MetadataError> {
        let own = format!("{GROUP}{version}");
        let target = MetadataVersion::of(KIND, &own)?;
        let Some(value) = value else {
            return Ok(target.wrap(DockerImage::default()));
        };
        let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let written = MetadataVersion::of(text("kind").unwrap_or(KIND), text("apiVersion").unwrap_or(&own))?;
        Ok(target.wrap(written.read(value)?))
    }

    /// The metadata, whatever its form.
    pub fn image(&self) -> &DockerImage {
        match self {
            Self::Current(image) | Self::Pre012(image) => image,
        }
    }

    /// The metadata to be changed, whatever its form.
    pub fn image_mut(&mut self) -> &mut DockerImage {
        match self {
            Self::Current(image) | Self::Pre012(image) => image,
        }
    }
}

/// The forms of metadata.
#[derive(Clone, Copy)]
enum MetadataVersion {
    Current,
    Pre012,
}

impl MetadataVersion {
    /// The form of a kind in a version, which may be written without its group.
    fn of(kind: &str, version: &str) -> Result<Self, UnknownMetadataType> {
        match (kind, version.strip_prefix(GROUP).unwrap_or(version)) {
            (KIND, "1.0") => Ok(Self::Current),
            (KIND, "pre012") => Ok(Self::Pre012),
            _ => Err(UnknownMetadataType { kind: kind.into(), version: version.into() }),
        }
    }

    fn read(self, value: Value) -> serde_json::Result<DockerImage> {
        match self {
            Self::Current => DockerImage::deserialize(value),
            Self::Pre012 => Pre012::deserialize(value),
        }
    }

    fn wrap(self, image: DockerImage) -> DockerImageMetadata {
        match self {
            Self::Current => DockerImageMetadata::Current(image),
            Self::Pre012 => DockerImageMetadata::Pre012(image),
        }
    }
}

impl Default for DockerImageMetadata {
    fn default() -> Self {
        Self::Current(DockerImage::default())
    }
}

impl Serialize for DockerImageMetadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// The type's name before its fields, as every versioned object has it.
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct TypedMetadata<T> {
            kind: &'static str,
            api_version: &'static str,
            #[serde(flatten)]
            image: T,
        }
        #[derive(Serialize)]
        struct Pre012Image<'a>(#[serde(with = "Pre012")] &'a DockerImage);
        let kind = KIND;
        match self {
            Self::Current(image) => {
                TypedMetadata { kind, api_version: "image.openshift.io/1.0", image }.serialize(serializer)
            }
            Self::Pre012(image) => {
                TypedMetadata { kind, api_version: "image.openshift.io/pre012", image: Pre012Image(image) }
                    .serialize(serializer)
            }
        }
    }
}

impl JsonSchema for DockerImageMetadata {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "io.k8s.apimachinery.pkg.runtime.RawExtension".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Fields of a type that is named beside them or inside of them.",
            "x-kubernetes-map-type": "atomic",
            "x-kubernetes-preserve-unknown-fields": true,
        })
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value, version: &str) -> Result<Value, String> {
        let read = DockerImageMetadata::read(Some(value), version).map_err(|why| why.to_string())?;
        Ok(serde_json::to_value(read).unwrap())
    }

    #[test]
    fn metadata_has_the_version_that_is_named_beside_it() {
        let new = read(json!({"Id": "q"}), "1.0");
        let old = read(json!({"id": "q"}), "pre012");
        assert_eq!(new.as_ref().unwrap()["Id"], "q");
        assert_eq!(old.as_ref().unwrap()["id"], "q");
        for version in ["pre012", "image.openshift.io/pre012"] {
            assert_eq!(read(json!({"apiVersion": version, "kind": "DockerImage", "id": "q"}), "1.0"), new);
        }
        assert_eq!(read(json!({"apiVersion": "1.0", "kind": "", "Id": "q"}), "pre012"), old);
    }

    #[test]
    fn metadata_of_no_known_kind_and_version_is_refused() {
        let refused = |value: Value, version: &str| read(value, version).unwrap_err();
        let why = |kind: &str, version: &str| {
            format!("no kind \"{kind}\" is registered for version \"{version}\" in scheme \"image.openshift.io\"")
        };
        assert_eq!(refused(json!({"apiVersion": "1.0"}), "2.0"), why("DockerImage", "image.openshift.io/2.0"));
        assert_eq!(refused(json!({"apiVersion": "2.0"}), "1.0"), why("DockerImage", "2.0"));
        assert_eq!(refused(json!({"kind": "Pod"}), "1.0"), why("Pod", "image.openshift.io/1.0"));
    }
}
