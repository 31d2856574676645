//! Parsing of image manifests: schema 1 (plain or signed), schema 2, OCI, and manifest lists.
//!
//! Checks syntax and types only.

use crate::machinery::go_json::{self as json, Decode, Decoder, GoJsonError, JsonReader, Struct};

/// Docker schema 1.
pub const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// Docker schema 1 with embedded signatures.
pub const SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// Docker schema 2.
pub const SCHEMA2: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Returns true for the media types of manifest lists.
pub fn is_list(media_type: &str) -> bool {
    matches!(media_type, DOCKER_LIST | OCI_INDEX)
}

/// Returns true for the media types of manifests that refer to a configuration.
pub fn has_config(media_type: &str) -> bool {
    matches!(media_type, SCHEMA2 | OCI_MANIFEST)
}

/// A manifest of any schema version. Missing fields are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    schema_version: GoInt,
    /// Media type in the manifest itself.
    pub media_type: String,
    /// Schema 1: layers, newest first.
    pub fs_layers: Vec<FsLayer>,
    /// Schema 1: history of each layer, newest first.
    pub history: Vec<History>,
    /// Schema 2: layers, oldest first.
    pub layers: Vec<Descriptor>,
    /// Schema 2: configuration.
    pub config: Descriptor,
    unused: Unused,
}

/// Reference to a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Media type.
    pub media_type: String,
    /// Size in bytes.
    pub size: i64,
    /// Digest. Not validated.
    pub digest: String,
}

/// Layer in a schema 1 manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsLayer {
    /// Digest. Not validated.
    pub blob_sum: String,
}

/// History of a layer in a schema 1 manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Image at this layer, as JSON text.
    pub v1_compatibility: String,
}

/// A manifest list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestList {
    /// Manifests in order, usually one per platform.
    pub manifests: Vec<ManifestDescriptor>,
}

/// Reference to a manifest in a manifest list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestDescriptor {
    /// Media type.
    pub media_type: String,
    /// Size in bytes.
    pub size: i64,
    /// Digest.
    pub digest: String,
    /// Platform of the image.
    pub platform: Platform,
}

/// Platform of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// Processor architecture.
    pub architecture: String,
    /// Operating system.
    pub os: String,
    /// Variant of the architecture.
    pub variant: String,
}

/// Fields without a use whose types are checked, as openshift-apiserver does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Unused {
    name: String,
    tag: String,
    architecture: String,
}

/// An `int` in Go, for the type name in errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct GoInt(i64);

impl Manifest {
    /// Parses a manifest of any schema version.
    ///
    /// # Errors
    /// The text is not valid JSON, or a value has the wrong type.
    pub fn read(text: &str) -> Result<Self, GoJsonError> {
        json::read(text.as_bytes())
    }

    /// Returns the schema version, which determines the fields in use.
    pub fn schema_version(&self) -> i64 {
        self.schema_version.0
    }
}

impl ManifestList {
    /// Parses a Docker manifest list or an OCI image index.
    ///
    /// # Errors
    /// The text is not valid JSON, or a value has the wrong type.
    pub fn read(text: &str) -> Result<Self, GoJsonError> {
        json::read(text.as_bytes())
    }
}

impl Decode for GoInt {
    fn decode(&mut self, reader: &mut JsonReader<'_>, decoder: &mut Decoder) {
        decoder.number(reader, &mut self.0, "int");
    }

    fn go_type(&self) -> String {
        "int".into()
    }
}

impl Struct for Manifest {
    const NAME: &'static str = "dockerv1client.DockerImageManifest";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        vec![
            ("schemaVersion", &mut self.schema_version),
            ("mediaType", &mut self.media_type),
            ("name", &mut self.unused.name),
            ("tag", &mut self.unused.tag),
            ("architecture", &mut self.unused.architecture),
            ("fsLayers", &mut self.fs_layers),
            ("history", &mut self.history),
            ("layers", &mut self.layers),
            ("config", &mut self.config),
        ]
    }
}

impl Struct for Descriptor {
    const NAME: &'static str = "dockerv1client.Descriptor";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        vec![
            ("mediaType", &mut self.media_type),
            ("size", &mut self.size),
            ("digest", &mut self.digest),
        ]
    }
}

impl Struct for FsLayer {
    const NAME: &'static str = "dockerv1client.DockerFSLayer";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        vec![("blobSum", &mut self.blob_sum)]
    }
}

impl Struct for History {
    const NAME: &'static str = "dockerv1client.DockerHistory";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        vec![("v1Compatibility", &mut self.v1_compatibility)]
    }
}

impl Struct for ManifestList {
    const NAME: &'static str = "manifestlist.ManifestList";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        vec![("manifests", &mut self.manifests)]
    }
}

impl Struct for ManifestDescriptor {
    const NAME: &'static str = "manifestlist.ManifestDescriptor";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        vec![
            ("mediaType", &mut self.media_type),
            ("size", &mut self.size),
            ("digest", &mut self.digest),
            ("platform", &mut self.platform),
        ]
    }
}

impl Struct for Platform {
    const NAME: &'static str = "manifestlist.PlatformSpec";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        vec![
            ("architecture", &mut self.architecture),
            ("os", &mut self.os),
            ("variant", &mut self.variant),
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn schema2_has_configuration_and_layers() {
        let text = r#"{"schemaVersion":2,"MEDIATYPE":"m","config":{"digest":"c","size":3},
            "layers":[{"mediaType":"t","size":1,"digest":"a","urls":["x"]},{"Digest":"b"}]}"#;
        let manifest = Manifest::read(text).unwrap();
        assert_eq!((manifest.schema_version(), manifest.media_type.as_str()), (2, "m"));
        assert_eq!((manifest.config.digest.as_str(), manifest.config.size), ("c", 3));
        let layers: Vec<_> =
            manifest.layers.iter().map(|layer| (layer.digest.as_str(), layer.size)).collect();
        assert_eq!(layers, [("a", 1), ("b", 0)]);
    }

    #[test]
    fn signed_schema1_is_parsed_like_plain_schema1() {
        let text = r#"{"schemaVersion":1,"name":"n","fsLayers":[{"blobSum":"b"}],"history":[{"v1Compatibility":"{}"}],
            "signatures":[{"header":{"alg":"ES256"},"signature":"s","protected":"p"}]}"#;
        let manifest = Manifest::read(text).unwrap();
        assert_eq!(manifest.schema_version(), 1);
        assert_eq!(manifest.fs_layers[0].blob_sum, "b");
        assert_eq!(manifest.history[0].v1_compatibility, "{}");
    }

    #[test]
    fn list_entry_may_lack_a_platform() {
        let text = r#"{"manifests":[{"digest":"d","platform":{"architecture":"arm","os":"linux","variant":"v7"}},
            {"digest":"e","platform":null}]}"#;
        let list = ManifestList::read(text).unwrap();
        assert_eq!(list.manifests[0].platform.variant, "v7");
        assert_eq!(list.manifests[1].platform, Platform::default());
    }

    #[test]
    fn type_errors_name_the_field() {
        let error = |text: &str| Manifest::read(text).unwrap_err().to_string();
        assert_eq!(
            error(r#"{"layers":[{"size":"1"}]}"#),
            "json: cannot unmarshal string into Go struct field DockerImageManifest.layers.size of type int64"
        );
        assert_eq!(
            error(r#"{"schemaVersion":"2"}"#),
            "json: cannot unmarshal string into Go struct field DockerImageManifest.schemaVersion of type int"
        );
    }

    proptest! {
        #[test]
        fn any_text_gives_a_manifest_or_an_error(
            text in "\\PC*|[{\\[]*\"(layers|config|manifests)\":[\\[{]?(null|1|\"x\"|\\{\"size\":[0-9]{1,30}\\})[\\]}]{0,4}"
        ) {
            let _ = (Manifest::read(&text), ManifestList::read(&text));
        }
    }
}
