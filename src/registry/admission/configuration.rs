//! `--admission-control-config-file`: the configuration of admission plugins, in the format of
//! kube-apiserver.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cluster::{WebhookCredentials, WebhookCredentialsError};
use crate::machinery::value;
use crate::meta::file_error;

/// The configuration of the plugins.
#[derive(Clone, Debug, Default)]
pub struct AdmissionConfiguration {
    /// The credentials for mutating webhooks.
    pub mutating: WebhookCredentials,
    /// The credentials for validating webhooks.
    pub validating: WebhookCredentials,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--admission-control-config-file: {}: {why}", path.display())]
pub struct ConfigurationError {
    path: PathBuf,
    why: FileFault,
}

#[derive(Debug, thiserror::Error)]
enum FileFault {
    #[error("{}", file_error::reading(.0))]
    Unreadable(io::Error),
    #[error("{0}")]
    Malformed(String),
    #[error(transparent)]
    Credentials(WebhookCredentialsError),
}

const VERSION: &str = "apiserver.config.k8s.io/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConfigurationFields {
    api_version: String,
    kind: String,
    #[serde(default)]
    plugins: Vec<PluginFields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginFields {
    name: String,
    #[serde(default)]
    path: String,
    configuration: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WebhookFields {
    api_version: String,
    kind: String,
    #[serde(default)]
    kube_config_file: String,
}

impl AdmissionConfiguration {
    /// Reads a file, and the files that it names.
    ///
    /// # Errors
    /// A file that cannot be read, or that configures what this server does not have.
    pub fn read(path: &Path) -> Result<Self, ConfigurationError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let fields: ConfigurationFields = document(path, None)?;
        let malformed = |why: String| fault(path, FileFault::Malformed(why));
        if (fields.api_version.as_str(), fields.kind.as_str())
            != (VERSION, "AdmissionConfiguration")
        {
            let (kind, version) = (fields.kind, fields.api_version);
            let why = format!(
                "it must be an AdmissionConfiguration of {VERSION}, not a {kind} of {version}"
            );
            return Err(malformed(why));
        }
        let mut configuration = Self::default();
        for PluginFields { name, path: file, configuration: embedded } in fields.plugins {
            let file = folder.join(file);
            let source = if embedded.is_some() { path } else { &file };
            match name.as_str() {
                "MutatingAdmissionWebhook" => configuration.mutating = webhooks(source, embedded)?,
                "ValidatingAdmissionWebhook" => {
                    configuration.validating = webhooks(source, embedded)?;
                }
                other => {
                    let why = format!(
                        "this server has no configuration for the plugin {other:?}: remove it from the file"
                    );
                    return Err(malformed(why));
                }
            }
        }
        Ok(configuration)
    }
}

/// The credentials that the configuration of a webhook plugin names.
fn webhooks(
    path: &Path,
    embedded: Option<Value>,
) -> Result<WebhookCredentials, ConfigurationError> {
    let fields: WebhookFields = document(path, embedded)?;
    let malformed = |why: String| Err(fault(path, FileFault::Malformed(why)));
    if (fields.api_version.as_str(), fields.kind.as_str())
        != (VERSION, "WebhookAdmissionConfiguration")
    {
        return malformed(format!("it must be a WebhookAdmissionConfiguration of {VERSION}"));
    }
    let kubeconfig = Path::new(&fields.kube_config_file);
    if fields.kube_config_file.is_empty() {
        return Ok(WebhookCredentials::default());
    }
    if !kubeconfig.is_absolute() {
        return malformed(format!(
            "kubeConfigFile must be an absolute path, not {:?}",
            fields.kube_config_file
        ));
    }
    let folder = kubeconfig.parent().unwrap_or(Path::new("/"));
    let credentials = WebhookCredentials::of_kubeconfig(document(kubeconfig, None)?, folder);
    credentials.map_err(|why| fault(kubeconfig, FileFault::Credentials(why)))
}

/// An embedded document, or else that of a file, in YAML or JSON.
fn document<T: DeserializeOwned>(
    path: &Path,
    embedded: Option<Value>,
) -> Result<T, ConfigurationError> {
    let malformed = |why: String| fault(path, FileFault::Malformed(why));
    let value = match embedded {
        Some(value) => value,
        None => {
            let bytes =
                std::fs::read(path).map_err(|error| fault(path, FileFault::Unreadable(error)))?;
            value::parse_yaml(&bytes).map_err(|why| malformed(why.to_string()))?
        }
    };
    serde_json::from_value(value).map_err(|why| malformed(why.to_string()))
}

fn fault(path: &Path, why: FileFault) -> ConfigurationError {
    ConfigurationError { path: path.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes these files into a folder and reads the first one. `FOLDER` stands for the folder.
    fn read(files: &[(&str, &str)]) -> Result<AdmissionConfiguration, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let text = text.replace("FOLDER", folder.path().to_str().unwrap());
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let read = AdmissionConfiguration::read(&folder.path().join(files[0].0));
        read.map_err(|error| error.to_string())
    }

    const KUBECONFIG: (&str, &str) =
        ("kubeconfig", "users: [{name: '*', user: {token: secret}}]\n");

    #[test]
    fn embedded_and_separate_configurations_are_read() {
        let configuration = "\
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ValidatingAdmissionWebhook
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: WebhookAdmissionConfiguration
    kubeConfigFile: FOLDER/kubeconfig
- name: MutatingAdmissionWebhook
  path: webhooks.json
";
        let webhooks = r#"{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration",
            "kubeConfigFile": "FOLDER/kubeconfig"}"#;
        let read =
            read(&[("c.yaml", configuration), ("webhooks.json", webhooks), KUBECONFIG]).unwrap();
        for credentials in [read.mutating, read.validating] {
            assert!(format!("{credentials:?}").contains("\"*\""), "{credentials:?}");
        }
    }

    #[test]
    fn unusable_files_are_named_with_the_reason() {
        let with = |plugins: &str| {
            format!("apiVersion: {VERSION}\nkind: AdmissionConfiguration\nplugins: [{plugins}]\n")
        };
        let webhook = |fields: &str| {
            let kind = "kind: WebhookAdmissionConfiguration";
            with(&format!(
                "{{name: MutatingAdmissionWebhook, configuration: {{apiVersion: {VERSION}, {kind}, {fields}}}}}"
            ))
        };
        for (text, expected) in [
            ("kind: [".to_owned(), "c.yaml: "),
            ("apiVersion: v1\nkind: Pod\n".to_owned(), "not a Pod of v1"),
            (with("{name: ResourceQuota}"), "no configuration for the plugin \"ResourceQuota\""),
            (with("{name: MutatingAdmissionWebhook, path: none}"), "none: No such file"),
            (webhook("kubeConfigFile: relative"), "absolute path"),
            (webhook("other: x"), "unknown field `other`"),
            (webhook("kubeConfigFile: FOLDER/none"), "correct the path"),
        ] {
            let why = read(&[("c.yaml", &text)]).unwrap_err();
            assert!(why.starts_with("--admission-control-config-file: /"), "{why}");
            assert!(why.contains(expected), "{why}");
        }
        let exec = ("kubeconfig", "users: [{name: a, user: {exec: {command: x}}}]\n");
        let why = read(&[("c.yaml", &webhook("kubeConfigFile: FOLDER/kubeconfig")), exec]);
        assert!(why.unwrap_err().contains("kubeconfig: the user \"a\" cannot be used"));
    }
}
