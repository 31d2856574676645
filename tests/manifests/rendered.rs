//! The objects that kustomize and Helm make of the manifests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::NAME;
use super::kustomize::{build, folder};
use super::pod::arguments;
use super::tools::{Tools, peers};

pub(crate) static KUBECTL: LazyLock<PathBuf> =
    LazyLock::new(|| Tools::find().expect("kubectl is built").path("kubectl"));
static HELM: LazyLock<PathBuf> =
    LazyLock::new(|| peers().expect("the third-party clients are built").join("helm"));

/// The objects of a kustomization or of the chart, with its name for messages.
pub(crate) struct Manifests {
    pub(crate) place: String,
    pub(crate) objects: Vec<Value>,
}

impl Manifests {
    pub(crate) fn of(folder: &Path) -> Self {
        let place = folder.display().to_string();
        Self { place, objects: build(&KUBECTL, folder) }
    }

    /// The embedded overlay with a component by name.
    pub(crate) fn with_component(component: &str) -> Self {
        Self::with(&format!("components/{component}"))
    }

    /// The embedded overlay with the component in a folder.
    pub(crate) fn with(component: &str) -> Self {
        Self::on_top_of("registered/embedded", &[component], &json!({}))
    }

    /// An overlay on top of a kustomization in this repository, with components and further fields.
    pub(crate) fn on_top_of(base: &str, components: &[&str], fields: &Value) -> Self {
        let own = tempfile::tempdir().expect("a temporary folder can be created");
        let real = own.path().canonicalize().expect("the folder exists");
        let manifests = folder().canonicalize().expect("the manifests exist");
        // Kustomize accepts only relative paths.
        let up = "../".repeat(real.components().count() - 1);
        let at = |inner: &str| {
            format!("{up}{}", manifests.join(inner).display().to_string().trim_start_matches('/'))
        };
        let mut text = fields.clone();
        text["resources"] = json!([at(base)]);
        text["components"] = components.iter().map(|each| at(each)).collect();
        fs::write(real.join("kustomization.yaml"), text.to_string())
            .expect("the file can be written");
        let place = format!("{base} with {components:?} and {fields}");
        Self { place, objects: build(&KUBECTL, &real) }
    }

    /// The chart as Helm renders it, with a release of this name and namespace. Panics if Helm fails.
    pub(crate) fn of_chart(release: &str, namespace: &str, values: &[&str]) -> Self {
        let set = values.iter().flat_map(|value| ["--set", *value]);
        let chart = chart();
        let arguments = [
            &["template", release, &chart, "--namespace", namespace][..],
            &set.collect::<Vec<_>>(),
        ]
        .concat();
        let output = helm(&arguments);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "helm {arguments:?}: {complaints}");
        let text = std::str::from_utf8(&output.stdout).expect("Helm writes text");
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).expect("Helm writes YAML");
        let objects = objects.into_iter().filter(|object| !object.is_null()).collect();
        Self { place: format!("chart with {values:?}"), objects }
    }

    pub(crate) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The only object of the kind.
    pub(crate) fn the(&self, kind: &str) -> &Value {
        let found: Vec<&Value> = self.of_kind(kind).collect();
        assert_eq!(found.len(), 1, "{}: exactly one {kind}", self.place);
        found[0]
    }

    /// The APIService, without the hook that deletes it.
    pub(crate) fn registration(&self) -> &Value {
        let mut found =
            self.of_kind("APIService").filter(|each| !each["spec"]["service"].is_null());
        found.next().unwrap_or_else(|| panic!("{}: an APIService", self.place))
    }

    pub(crate) fn pod(&self) -> &Value {
        &self.the("Deployment")["spec"]["template"]["spec"]
    }

    pub(crate) fn container(&self) -> &Value {
        let containers = self.pod()["containers"].as_array().expect("the pod has containers");
        assert_eq!(containers.len(), 1, "{}: exactly one container", self.place);
        &containers[0]
    }

    /// The arguments of the container and the flags of its environment, as in a pod.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let namespace = self.the("Deployment")["metadata"]["namespace"].as_str();
        arguments(self.pod(), namespace.expect("the Deployment has a namespace"))
    }

    /// The value of a flag. Panics unless the flag is given exactly once.
    pub(crate) fn flag(&self, name: &str) -> String {
        let start = format!("--{name}=");
        let all = self.arguments();
        let values: Vec<&str> = all.iter().filter_map(|each| each.strip_prefix(&*start)).collect();
        assert_eq!(values.len(), 1, "{}: --{name} is given once", self.place);
        values[0].to_owned()
    }

    /// Reports whether the server gets the argument.
    pub(crate) fn has_argument(&self, argument: &str) -> bool {
        self.arguments().iter().any(|each| each == argument)
    }

    pub(crate) fn duration(&self, name: &str) -> SignedDuration {
        self.flag(name).parse().expect("the flag is a duration")
    }

    /// The rules of all roles in these manifests that are bound to the server's service account.
    pub(crate) fn rules_of_the_server(&self) -> Vec<&Value> {
        let bindings = self.of_kind("ClusterRoleBinding").chain(self.of_kind("RoleBinding"));
        let roles: Vec<&Value> = bindings
            .inspect(|binding| {
                assert_eq!(texts_of(&binding["subjects"], "name"), [NAME], "{}", self.place)
            })
            .map(|binding| &binding["roleRef"])
            .collect();
        let is_bound = |role: &&Value| {
            roles.iter().any(|bound| {
                bound["kind"] == role["kind"] && bound["name"] == role["metadata"]["name"]
            })
        };
        let found = self.of_kind("ClusterRole").chain(self.of_kind("Role")).filter(is_bound);
        found.flat_map(|role| role["rules"].as_array().expect("a role has rules")).collect()
    }
}

/// The folder of the chart.
pub(crate) fn chart() -> String {
    folder().join("chart").display().to_string()
}

/// Runs Helm with a temporary folder for its files, and without a cluster.
pub(crate) fn helm(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a temporary folder can be created");
    let folders = ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HOME"];
    let mut command = Command::new(&*HELM);
    command.env("KUBECONFIG", "/dev/null").envs(folders.map(|name| (name, home.path())));
    command.args(arguments).output().expect("Helm can be run")
}

pub(crate) fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|each| each.as_str().expect("the value is a list of strings")).collect()
}

pub(crate) fn texts_of<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|each| each[key].as_str().expect("each item has the field as a string"))
        .collect()
}
