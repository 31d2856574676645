//! Parsing of image configurations and of the history of schema 1 manifests into image metadata.

use crate::machinery::go_json::{self as json, Decode, Decoder, GoJsonError, JsonReader, Struct};
use crate::{
    api::{DockerConfig, DockerImage, EmptyObject},
    meta::Time,
};

/// Parses the configuration of a schema 2 or OCI image.
///
/// The result has no ID, and the size from the text, if any.
///
/// # Errors
/// The text is not valid JSON, or a value has the wrong type.
pub fn read(text: &str) -> Result<DockerImage, GoJsonError> {
    json::read::<Configuration>(text.as_bytes()).map(|configuration| configuration.image)
}

/// Parses the `v1Compatibility` of a history entry in a schema 1 manifest.
///
/// # Errors
/// The text is not valid JSON, or a value has the wrong type.
pub fn read_v1(text: &str) -> Result<DockerImage, GoJsonError> {
    json::read::<V1Compatibility>(text.as_bytes()).map(|compatibility| compatibility.0)
}

/// Returns the layer size in the `v1Compatibility` of a history entry, or 0 if it cannot be parsed.
pub fn v1_layer_size(text: &str) -> i64 {
    json::read::<V1Size>(text.as_bytes()).unwrap_or_default().0
}

/// An image configuration. Fields without a counterpart in the metadata are parsed for type errors
/// only.
#[derive(Default)]
struct Configuration {
    image: DockerImage,
    root_fs: Option<RootFs>,
    history: Vec<ConfigHistoryEntry>,
    os: String,
    os_version: String,
    os_features: Vec<String>,
}

#[derive(Default)]
struct RootFs {
    r#type: String,
    diff_ids: Vec<String>,
}

#[derive(Default)]
struct ConfigHistoryEntry {
    created: Option<Time>,
    author: String,
    created_by: String,
    comment: String,
    empty_layer: bool,
}

#[derive(Default)]
struct V1Compatibility(DockerImage);

#[derive(Default)]
struct V1Size(i64);

impl Struct for Configuration {
    const NAME: &'static str = "dockerv1client.DockerImageConfig";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        let mut fields = image_fields(&mut self.image);
        fields.push(("rootfs", &mut self.root_fs));
        fields.push(("history", &mut self.history));
        fields.push(("os", &mut self.os));
        fields.push(("os.version", &mut self.os_version));
        fields.push(("os.features", &mut self.os_features));
        fields
    }
}

impl Struct for RootFs {
    const NAME: &'static str = "dockerv1client.DockerConfigRootFS";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        vec![("type", &mut self.r#type), ("diff_ids", &mut self.diff_ids)]
    }
}

impl Struct for ConfigHistoryEntry {
    const NAME: &'static str = "dockerv1client.DockerConfigHistory";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        vec![
            ("created", &mut self.created),
            ("author", &mut self.author),
            ("created_by", &mut self.created_by),
            ("comment", &mut self.comment),
            ("empty_layer", &mut self.empty_layer),
        ]
    }
}

impl Struct for V1Compatibility {
    const NAME: &'static str = "dockerv1client.DockerV1CompatibilityImage";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        image_fields(&mut self.0)
    }
}

impl Struct for V1Size {
    const NAME: &'static str = "dockerv1client.DockerV1CompatibilityImageSize";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        vec![("size", &mut self.0)]
    }
}

/// Returns the fields that configurations and schema 1 history have in common.
fn image_fields(image: &mut DockerImage) -> Vec<(&'static str, &mut dyn Decode)> {
    vec![
        ("id", &mut image.id),
        ("parent", &mut image.parent),
        ("comment", &mut image.comment),
        ("created", &mut image.created),
        ("container", &mut image.container),
        ("container_config", &mut image.container_config),
        ("docker_version", &mut image.docker_version),
        ("author", &mut image.author),
        ("config", &mut image.config),
        ("architecture", &mut image.architecture),
        ("size", &mut image.size),
    ]
}

impl Struct for DockerConfig {
    const NAME: &'static str = "docker10.DockerConfig";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
        vec![
            ("Hostname", &mut self.hostname),
            ("Domainname", &mut self.domainname),
            ("User", &mut self.user),
            ("Memory", &mut self.memory),
            ("MemorySwap", &mut self.memory_swap),
            ("CpuShares", &mut self.cpu_shares),
            ("Cpuset", &mut self.cpuset),
            ("AttachStdin", &mut self.attach_stdin),
            ("AttachStdout", &mut self.attach_stdout),
            ("AttachStderr", &mut self.attach_stderr),
            ("PortSpecs", &mut self.port_specs),
            ("ExposedPorts", &mut self.exposed_ports),
            ("Tty", &mut self.tty),
            ("OpenStdin", &mut self.open_stdin),
            ("StdinOnce", &mut self.stdin_once),
            ("Env", &mut self.env),
            ("Cmd", &mut self.cmd),
            ("Dns", &mut self.dns),
            ("Image", &mut self.image),
            ("Volumes", &mut self.volumes),
            ("VolumesFrom", &mut self.volumes_from),
            ("WorkingDir", &mut self.working_dir),
            ("Entrypoint", &mut self.entrypoint),
            ("NetworkDisabled", &mut self.network_disabled),
            ("SecurityOpts", &mut self.security_opts),
            ("OnBuild", &mut self.on_build),
            ("Labels", &mut self.labels),
        ]
    }
}

impl Decode for EmptyObject {
    fn decode(&mut self, reader: &mut JsonReader<'_>, decoder: &mut Decoder) {
        ().decode(reader, decoder);
    }

    fn go_type(&self) -> String {
        ().go_type()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_matched_without_regard_to_case() {
        let image =
            read(r#"{"ARCHITECTURE":"amd64","Config":{"env":["A=b"],"Cmd":["x"]},"os":"linux"}"#)
                .unwrap();
        let config = image.config.unwrap();
        assert_eq!(
            (image.architecture.as_str(), &config.env[..], &config.cmd[..]),
            ("amd64", &["A=b".into()][..], &["x".into()][..])
        );
    }

    #[test]
    fn null_fields_give_empty_metadata() {
        let text = r#"{"config":null,"created":null,"architecture":"","container_config":null,"history":null,"rootfs":null}"#;
        assert_eq!(read(text).unwrap(), DockerImage::default());
    }

    #[test]
    fn empty_config_differs_from_missing_config() {
        assert_eq!(read(r#"{"config":{}}"#).unwrap().config, Some(DockerConfig::default()));
    }

    #[test]
    fn first_type_error_is_returned() {
        let error = read(r#"{"config":{"Env":"not a list"},"created":"yesterday"}"#).unwrap_err();
        let expected = "json: cannot unmarshal string into Go struct field DockerImageConfig.config.Env of type []string";
        assert_eq!(error.to_string(), expected);
        assert!(read(r#"{"history":{}}"#).is_err());
    }

    #[test]
    fn invalid_layer_size_is_zero() {
        assert_eq!(v1_layer_size(r#"{"Size":100}"#), 100);
        assert_eq!(v1_layer_size(r#"{"Size":"100"}"#), 0);
        assert_eq!(v1_layer_size("{"), 0);
    }

    proptest! {
        #[test]
        fn any_text_gives_metadata_or_an_error(text in "\\PC*|\\{\"(config|created|rootfs|Size)\":[^}]{0,20}\\}{0,3}") {
            let _ = (read(&text), read_v1(&text), v1_layer_size(&text));
        }
    }
}
