//! Image metadata in the format of the Docker API (`docker10` and `dockerpre012` in openshift/api).
//! The types are closed: unknown fields are dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::meta::Time;

/// Metadata of an image in one of two formats.
#[derive(Clone, Debug, PartialEq)]
pub enum DockerImageMetadata {
    /// Version `1.0`: keys in PascalCase.
    Current(DockerImage),
    /// Version `pre012`: lowercase keys, as written before Docker 0.12.
    Pre012(DockerImage),
}

const KIND: &str = "DockerImage";
const GROUP: &str = "image.openshift.io/";
/// The current version, with the group.
const CURRENT: &str = "image.openshift.io/1.0";

/// Error for a kind and version without a registered type, with the text of `notRegisteredErr` in
/// k8s.io/apimachinery/pkg/runtime/error.go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kind {kind:?} is registered for version {version:?} in scheme \"image.openshift.io\"")]
pub(super) struct UnknownMetadataType {
    kind: String,
    version: String,
}

/// Error of reading metadata.
#[derive(Debug, thiserror::Error)]
pub(super) enum MetadataError {
    /// The kind or version is not registered.
    #[error(transparent)]
    UnknownType(#[from] UnknownMetadataType),
    /// The value of a field has the wrong type.
    #[error("{0}")]
    Field(#[from] serde_json::Error),
}

/// DockerImage is the metadata of an image, taken from its configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
#[schemars(rename = "com.github.openshift.api.image.docker10.DockerImage")]
pub struct DockerImage {
    /// ID is the digest of the image configuration. For a manifest list it is the name of the
    /// image.
    pub id: String,
    /// Parent is the ID of the image that this image was built from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// Comment is a free text by the author.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Created is the time at which the image was built.
    pub created: Option<Time>,
    /// Container is the ID of the container that was committed to create the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// ContainerConfig is the configuration of the container that was committed to create the
    /// image.
    #[serde(deserialize_with = "object")]
    pub container_config: DockerConfig,
    /// DockerVersion is the version of Docker that built the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    /// Author is the name of the person or organization that built the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Config is the default configuration of containers that run the image.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    pub config: Option<DockerConfig>,
    /// Architecture is the processor architecture that the image is built for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// Size is the size of the configuration and all distinct layers in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub size: i64,
}

/// DockerConfig is the configuration with which containers of an image run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
#[schemars(rename = "com.github.openshift.api.image.docker10.DockerConfig")]
pub struct DockerConfig {
    /// Hostname is the host name of the container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Domainname is the domain name of the container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// User is the name or UID of the user that runs the command, optionally with a group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Memory is the memory limit in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory: i64,
    /// MemorySwap is the limit of memory plus swap in bytes; -1 disables swap.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory_swap: i64,
    /// CPUShares is the CPU weight relative to other containers.
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_shares: i64,
    /// Cpuset is the set of CPUs on which the container may run, such as `0-2`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cpuset: String,
    /// AttachStdin is true if standard input is attached.
    #[serde(skip_serializing_if = "is_false")]
    pub attach_stdin: bool,
    /// AttachStdout is true if standard output is attached.
    #[serde(skip_serializing_if = "is_false")]
    pub attach_stdout: bool,
    /// AttachStderr is true if standard error is attached.
    #[serde(skip_serializing_if = "is_false")]
    pub attach_stderr: bool,
    /// PortSpecs is the list of exposed ports in the format of early Docker versions. Superseded by
    /// ExposedPorts.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub port_specs: Vec<String>,
    /// ExposedPorts is the set of ports that the container listens on, such as `8080/tcp`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, EmptyObject>,
    /// Tty is true if the command runs in a terminal.
    #[serde(skip_serializing_if = "is_false")]
    pub tty: bool,
    /// OpenStdin is true if standard input stays open without an attached client.
    #[serde(skip_serializing_if = "is_false")]
    pub open_stdin: bool,
    /// StdinOnce is true if standard input closes when the first attached client disconnects.
    #[serde(skip_serializing_if = "is_false")]
    pub stdin_once: bool,
    /// Env is a list of environment variables in the form `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub env: Vec<String>,
    /// Cmd is the default command, or the default arguments of the entry point.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub cmd: Vec<String>,
    /// DNS is a list of DNS servers.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts", rename = "Dns")]
    pub dns: Vec<String>,
    /// Image is the name of the image from which the container was created.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Volumes is the set of paths at which volumes are mounted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, EmptyObject>,
    /// VolumesFrom is the name of the container whose volumes are mounted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub volumes_from: String,
    /// WorkingDir is the working directory of the command.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Entrypoint is the program to run, followed by its leading arguments.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub entrypoint: Vec<String>,
    /// NetworkDisabled is true if the container has no network access.
    #[serde(skip_serializing_if = "is_false")]
    pub network_disabled: bool,
    /// SecurityOpts is a list of options for security modules such as SELinux.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub security_opts: Vec<String>,
    /// OnBuild is a list of instructions that run when the image is used as the base of a build.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "texts")]
    pub on_build: Vec<String>,
    /// Labels is a map of labels of the image.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// An object without fields: the value type of a set in Docker's JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EmptyObject {}

impl<'de> Deserialize<'de> for EmptyObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor::<IgnoredAny>(PhantomData))?;
        Ok(Self {})
    }
}

/// Visitor of objects. The structs that serde derives accept lists as well.
struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DockerConfig, D::Error> {
    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

fn optional_object<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DockerConfig>, D::Error> {
    object(deserializer).map(Some)
}

/// A list of texts. `null` is an empty text, as Go decodes it.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<Option<String>>::deserialize(deserializer)?;
    Ok(texts.into_iter().map(Option::unwrap_or_default).collect())
}

/// [`DockerImage`] with the keys of version `pre012`. Only the top-level keys differ.
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
    #[serde(deserialize_with = "object")]
    container_config: DockerConfig,
    #[serde(skip_serializing_if = "String::is_empty")]
    docker_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    config: Option<DockerConfig>,
    #[serde(skip_serializing_if = "String::is_empty")]
    architecture: String,
    #[serde(skip_serializing_if = "is_zero")]
    size: i64,
}

impl DockerImageMetadata {
    /// Version of metadata that does not name one.
    pub const DEFAULT_VERSION: &'static str = "1.0";

    /// Reads metadata from JSON and converts it to `version`. The input is in `version` too, unless
    /// it has its own `kind` and `apiVersion`. `None` reads as empty metadata.
    ///
    /// # Errors
    /// The kind or version is not registered, or a value has the wrong type.
    pub(super) fn read(
        metadata: Option<UnversionedMetadata>,
        version: &str,
    ) -> Result<Self, MetadataError> {
        let own = format!("{GROUP}{version}");
        let target = MetadataVersion::of(KIND, &own)?;
        let value = match metadata {
            None => return Ok(target.wrap(DockerImage::default())),
            Some(UnversionedMetadata::Current(image)) => return Ok(target.wrap(*image)),
            Some(UnversionedMetadata::Other(value)) => value,
        };
        let text =
            |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let written =
            MetadataVersion::of(text("kind").unwrap_or(KIND), text("apiVersion").unwrap_or(&own))?;
        Ok(target.wrap(written.read(value)?))
    }

    /// Returns the metadata in either version.
    pub fn image(&self) -> &DockerImage {
        match self {
            Self::Current(image) | Self::Pre012(image) => image,
        }
    }

    /// Returns the metadata in either version, for changes.
    pub fn image_mut(&mut self) -> &mut DockerImage {
        match self {
            Self::Current(image) | Self::Pre012(image) => image,
        }
    }
}

/// Versions of metadata.
#[derive(Clone, Copy)]
enum MetadataVersion {
    Current,
    Pre012,
}

impl MetadataVersion {
    /// Returns the version for a kind and an API version, with or without the group.
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

/// Metadata before their version is known, which a field beside them may name.
pub(super) enum UnversionedMetadata {
    /// Metadata that name version `1.0`, as the server writes them.
    Current(Box<DockerImage>),
    /// Any other value.
    Other(Value),
}

impl<'de> Deserialize<'de> for UnversionedMetadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MetadataVisitor)
    }
}

struct MetadataVisitor;

impl<'de> Visitor<'de> for MetadataVisitor {
    type Value = UnversionedMetadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<UnversionedMetadata, A::Error> {
        let mut read = serde_json::Map::new();
        for (key, expected) in [("kind", KIND), ("apiVersion", CURRENT)] {
            let Some((name, value)) = fields.next_entry::<String, Value>()? else {
                return Ok(UnversionedMetadata::Other(Value::Object(read)));
            };
            let is_expected = name == key && value == expected;
            read.insert(name, value);
            if !is_expected {
                while let Some((name, value)) = fields.next_entry()? {
                    read.insert(name, value);
                }
                return Ok(UnversionedMetadata::Other(Value::Object(read)));
            }
        }
        let image = DockerImage::deserialize(MapAccessDeserializer::new(fields))?;
        Ok(UnversionedMetadata::Current(Box::new(image)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<UnversionedMetadata, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(items)).map(UnversionedMetadata::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<UnversionedMetadata, E> {
        Ok(UnversionedMetadata::Other(text.into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<UnversionedMetadata, E> {
        Ok(UnversionedMetadata::Other(value.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<UnversionedMetadata, E> {
        Ok(UnversionedMetadata::Other(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<UnversionedMetadata, E> {
        Ok(UnversionedMetadata::Other(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<UnversionedMetadata, E> {
        Ok(UnversionedMetadata::Other(number.into()))
    }

    fn visit_unit<E>(self) -> Result<UnversionedMetadata, E> {
        Ok(UnversionedMetadata::Other(Value::Null))
    }
}

impl Default for DockerImageMetadata {
    fn default() -> Self {
        Self::Current(DockerImage::default())
    }
}

impl Serialize for DockerImageMetadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Type meta followed by the fields of the object.
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
                TypedMetadata { kind, api_version: CURRENT, image }.serialize(serializer)
            }
            Self::Pre012(image) => TypedMetadata {
                kind,
                api_version: "image.openshift.io/pre012",
                image: Pre012Image(image),
            }
            .serialize(serializer),
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
            "description": "RawExtension holds an object of a type that is named in the object or in a neighboring field.",
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
        let metadata = serde_json::from_value(value).map_err(|error| error.to_string())?;
        let read = DockerImageMetadata::read(Some(metadata), version)
            .map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(read).unwrap())
    }

    #[test]
    fn metadata_has_the_version_that_is_named_beside_it() {
        let new = read(json!({"Id": "q"}), "1.0");
        let old = read(json!({"id": "q"}), "pre012");
        assert_eq!(new.as_ref().unwrap()["Id"], "q");
        assert_eq!(old.as_ref().unwrap()["id"], "q");
        for version in ["pre012", "image.openshift.io/pre012"] {
            assert_eq!(
                read(json!({"apiVersion": version, "kind": "DockerImage", "id": "q"}), "1.0"),
                new
            );
        }
        assert_eq!(read(json!({"apiVersion": "1.0", "kind": "", "Id": "q"}), "pre012"), old);
    }

    #[test]
    fn unknown_kind_or_version_is_rejected() {
        let refused = |value: Value, version: &str| read(value, version).unwrap_err();
        let message = |kind: &str, version: &str| {
            format!(
                "no kind \"{kind}\" is registered for version \"{version}\" in scheme \"image.openshift.io\""
            )
        };
        assert_eq!(
            refused(json!({"apiVersion": "1.0"}), "2.0"),
            message("DockerImage", "image.openshift.io/2.0")
        );
        assert_eq!(refused(json!({"apiVersion": "2.0"}), "1.0"), message("DockerImage", "2.0"));
        assert_eq!(
            refused(json!({"kind": "Pod"}), "1.0"),
            message("Pod", "image.openshift.io/1.0")
        );
    }
}
