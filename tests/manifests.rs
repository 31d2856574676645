//! Properties of the manifests that hold on every cluster. `tests/cluster` applies the manifests to
//! a real API server.

#[path = "cluster/manifests/kustomize.rs"]
mod kustomize;
#[path = "manifests/monitoring.rs"]
mod monitoring;
#[path = "manifests/network.rs"]
mod network;
#[expect(dead_code, reason = "the cluster tests use the rest")]
#[path = "cluster/tools.rs"]
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use clap::{Args, FromArgMatches};
use imagestream_apiserver::auth::AlwaysAllowPaths;
use imagestream_apiserver::server::Options;
use imagestream_apiserver::telemetry::log;
use jiff::SignedDuration;
use kustomize::{build, folder, overlays};
use serde_json::{Value, json};
use tools::Tools;

const NAME: &str = "imagestream-apiserver";
/// The UID of the image's user.
const USER: u32 = 65532;

static KUBECTL: LazyLock<PathBuf> =
    LazyLock::new(|| Tools::find().expect("kubectl is built").path("kubectl"));

/// The objects of a kustomization, with its name for messages.
struct Manifests {
    place: String,
    objects: Vec<Value>,
}

impl Manifests {
    fn of(folder: &Path) -> Self {
        let place = folder.display().to_string();
        Self { place, objects: build(&KUBECTL, folder) }
    }

    /// The embedded overlay with a component by name.
    fn with_component(component: &str) -> Self {
        Self::with(&format!("components/{component}"))
    }

    /// The embedded overlay with the component in a folder.
    fn with(component: &str) -> Self {
        let own = tempfile::tempdir().expect("a temporary folder can be created");
        let real = own.path().canonicalize().expect("the folder exists");
        let manifests = folder().canonicalize().expect("the manifests exist");
        // Kustomize accepts only relative paths.
        let up = "../".repeat(real.components().count() - 1);
        let at = |inner: &str| {
            format!("{up}{}", manifests.join(inner).display().to_string().trim_start_matches('/'))
        };
        let text = json!({
            "resources": [at("overlays/embedded")],
            "components": [at(component)],
        });
        fs::write(real.join("kustomization.yaml"), text.to_string())
            .expect("the file can be written");
        Self { place: format!("embedded with {component}"), objects: build(&KUBECTL, &real) }
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The only object of the kind.
    fn the(&self, kind: &str) -> &Value {
        let found: Vec<&Value> = self.of_kind(kind).collect();
        assert_eq!(found.len(), 1, "{}: exactly one {kind}", self.place);
        found[0]
    }

    fn pod(&self) -> &Value {
        &self.the("Deployment")["spec"]["template"]["spec"]
    }

    fn container(&self) -> &Value {
        let containers = self.pod()["containers"].as_array().expect("the pod has containers");
        assert_eq!(containers.len(), 1, "{}: exactly one container", self.place);
        &containers[0]
    }

    fn arguments(&self) -> Vec<&str> {
        texts(&self.container()["args"])
    }

    /// The value of a flag. Panics unless the flag is given exactly once.
    fn flag(&self, name: &str) -> &str {
        let start = format!("--{name}=");
        let values: Vec<&str> =
            self.arguments().iter().filter_map(|each| each.strip_prefix(&*start)).collect();
        assert_eq!(values.len(), 1, "{}: --{name} is given once", self.place);
        values[0]
    }

    fn duration(&self, name: &str) -> SignedDuration {
        self.flag(name).parse().expect("the flag is a duration")
    }

    /// The rules of all roles in these manifests that are bound to the server's service account.
    fn rules_of_the_server(&self) -> Vec<&Value> {
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

fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|each| each.as_str().expect("the value is a list of strings")).collect()
}

fn texts_of<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|each| each[key].as_str().expect("each item has the field as a string"))
        .collect()
}

/// Reports whether the rule covers the resource, with wildcards.
fn is_about(rule: &Value, group: &str, resource: &str) -> bool {
    let any =
        |key: &str, wanted: &str| texts(&rule[key]).iter().any(|each| [wanted, "*"].contains(each));
    any("apiGroups", group) && any("resources", resource)
}

fn all() -> Vec<Manifests> {
    overlays().iter().map(|overlay| Manifests::of(overlay)).collect()
}

fn overlay(name: &str) -> Manifests {
    Manifests::of(&folder().join("overlays").join(name))
}

/// Runs `serve` with the arguments followed by `--help`: clap parses the arguments and nothing is
/// started.
fn parse(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"));
    command.args(arguments).arg("--help").output().expect("the binary can be run")
}

#[test]
fn nothing_turns_the_verification_of_certificates_off() {
    fn walk(folder: &Path, check: &impl Fn(&Path)) {
        for entry in fs::read_dir(folder).expect("the folder can be listed") {
            let path = entry.expect("the folder can be listed").path();
            let is_document = path.extension().is_some_and(|extension| extension == "md");
            if path.is_dir() {
                walk(&path, check);
            } else if !is_document {
                check(&path);
            }
        }
    }
    walk(&folder(), &|path| {
        let text = fs::read_to_string(path).expect("a manifest is text");
        assert!(!text.contains("insecureSkipTLSVerify"), "{}", path.display());
    });
}

#[test]
fn the_api_service_leads_to_the_container() {
    for manifests in all() {
        let api_service = &manifests.the("APIService");
        assert_eq!(api_service["metadata"]["name"], "v1.image.openshift.io");
        let spec = json!({
            "group": "image.openshift.io", "version": "v1", "groupPriorityMinimum": 9900, "versionPriority": 15,
            "service": { "name": NAME, "namespace": NAME, "port": 443 },
        });
        // In particular no caBundle: applying the manifests again must not remove an injected
        // bundle.
        assert_eq!(api_service["spec"], spec, "{}", manifests.place);

        let service = manifests.the("Service");
        assert_eq!(service["metadata"]["name"], NAME);
        assert_eq!(service["metadata"]["namespace"], NAME);
        assert_eq!(
            service["spec"]["ports"],
            json!([{ "name": "https", "port": 443, "targetPort": "https" }])
        );
        assert_eq!(
            service["spec"]["selector"],
            manifests.the("Deployment")["spec"]["selector"]["matchLabels"]
        );
        assert_eq!(
            manifests.container()["ports"],
            json!([{ "name": "https", "containerPort": 8443 }])
        );
        assert_eq!(manifests.flag("secure-port"), "8443");
        assert_eq!(manifests.flag("service-name"), NAME);
        assert_eq!(manifests.flag("service-namespace"), NAME);
    }
}

#[test]
fn the_binary_understands_its_arguments() {
    assert!(
        !parse(&["serve", "--no-such-flag"]).status.success(),
        "arguments before --help are parsed"
    );
    assert!(!parse(&["serve", "--request-timeout=soon"]).status.success(), "values are parsed too");
    let components =
        ["secrets-reader", "cert-secret", "scheduled-backups"].map(Manifests::with_component);
    for manifests in all().into_iter().chain(components) {
        let output = parse(&manifests.arguments());
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {complaints}", manifests.place);
    }
}

#[test]
fn the_cluster_decides_who_may_do_what() {
    for manifests in all() {
        assert_eq!(manifests.flag("authorization-mode"), "Webhook", "{}", manifests.place);
    }
}

/// The kubelet probes without credentials. With anonymous requests disabled, only paths that are
/// always allowed answer it.
#[test]
fn nobody_is_anonymous_and_probes_need_no_user() {
    for manifests in all() {
        assert_eq!(manifests.flag("anonymous-auth"), "false", "{}", manifests.place);
        let command = clap::Command::new("serve").no_binary_name(true);
        let command = log::Options::augment_args(Options::augment_args(command));
        let arguments = manifests.arguments().into_iter().filter(|argument| *argument != "serve");
        let parsed =
            command.try_get_matches_from(arguments).expect("the server accepts its arguments");
        let access =
            Options::from_arg_matches(&parsed).expect("the server accepts its arguments").access;
        assert!(!access.allows_anonymous(), "{}", manifests.place);
        let open = AlwaysAllowPaths::new(&access.authorization_always_allow_paths);
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let path = manifests.container()[probe]["httpGet"]["path"]
                .as_str()
                .expect("the probe has a path");
            assert!(open.contain(path), "{}: {probe} requests {path}", manifests.place);
        }
    }
}

#[test]
fn requests_in_flight_may_finish_before_the_pod_is_killed() {
    for manifests in all() {
        let wanted =
            manifests.duration("shutdown-delay-duration") + manifests.duration("request-timeout");
        let granted = manifests.pod()["terminationGracePeriodSeconds"]
            .as_i64()
            .expect("the grace period is set");
        // Closing the store takes time too.
        assert!(granted >= wanted.as_secs() + 10, "{}: {granted}s for {wanted}", manifests.place);
    }
}

#[test]
fn start_may_take_as_long_as_waiting_for_the_store() {
    for manifests in all() {
        let probe = &manifests.container()["startupProbe"];
        let number = |key: &str| probe[key].as_u64().expect("the probe has the number");
        assert!(
            number("periodSeconds") * number("failureThreshold") >= 120,
            "{}: {probe}",
            manifests.place
        );
    }
}

#[test]
fn the_pod_is_locked_down() {
    let dockerfile = Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile");
    let dockerfile = fs::read_to_string(dockerfile).expect("the Dockerfile exists");
    assert!(
        dockerfile.contains(&format!("\nUSER {USER}:{USER}\n")),
        "the image's user is the pod's"
    );
    for manifests in all() {
        let pod = &manifests.pod()["securityContext"];
        assert_eq!(pod["runAsNonRoot"], true, "{}", manifests.place);
        assert_eq!(
            [&pod["runAsUser"], &pod["runAsGroup"], &pod["fsGroup"]],
            [USER; 3],
            "{}",
            manifests.place
        );
        assert_eq!(
            pod["seccompProfile"],
            json!({ "type": "RuntimeDefault" }),
            "{}",
            manifests.place
        );
        let container = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        });
        assert_eq!(manifests.container()["securityContext"], container, "{}", manifests.place);
        let labels = &manifests.the("Namespace")["metadata"]["labels"];
        assert_eq!(
            labels["pod-security.kubernetes.io/enforce"], "restricted",
            "{}",
            manifests.place
        );
    }
}

/// Only one process can open the store. Every written path lies in the one writable volume.
#[test]
fn the_embedded_store_has_one_process_and_a_volume() {
    for manifests in all() {
        let deployment = &manifests.the("Deployment")["spec"];
        assert_eq!(deployment["replicas"], 1, "{}", manifests.place);
        assert_eq!(deployment["strategy"], json!({ "type": "Recreate" }), "{}", manifests.place);
        assert!(manifests.flag("data-dir").starts_with("/data/"), "{}", manifests.place);
        let mounts = manifests.container()["volumeMounts"]
            .as_array()
            .expect("the container has volume mounts");
        let written: Vec<&Value> =
            mounts.iter().filter(|mount| mount["readOnly"] != true).collect();
        assert_eq!(
            written,
            [&json!({ "mountPath": "/data", "name": "data" })],
            "{}",
            manifests.place
        );
        let claim = &manifests.the("PersistentVolumeClaim")["metadata"]["name"];
        let volumes = manifests.pod()["volumes"].as_array().expect("the pod has volumes");
        assert!(
            volumes.iter().any(|volume| &volume["persistentVolumeClaim"]["claimName"] == claim)
        );
    }
}

/// With `minAvailable`, or if an unready pod counted, the node of a single replica could never be
/// drained.
#[test]
fn a_node_can_always_be_drained() {
    for manifests in all() {
        let spec = &manifests.the("PodDisruptionBudget")["spec"];
        assert_eq!(spec["maxUnavailable"], 1, "{}", manifests.place);
        assert_eq!(spec["minAvailable"], Value::Null, "{}", manifests.place);
        assert_eq!(spec["unhealthyPodEvictionPolicy"], "AlwaysAllow", "{}", manifests.place);
    }
}

#[test]
fn whoever_may_view_reads_no_secrets_and_changes_nothing() {
    for manifests in all() {
        let label = "rbac.authorization.k8s.io/aggregate-to-view";
        let mut roles = manifests
            .of_kind("ClusterRole")
            .filter(|role| role["metadata"]["labels"][label] == "true");
        let role = roles.next().expect("a role for view exists");
        assert!(roles.next().is_none(), "{}: one role for view", manifests.place);
        for rule in role["rules"].as_array().expect("a role has rules") {
            assert_eq!(texts(&rule["apiGroups"]), ["image.openshift.io"], "{}", manifests.place);
            let resources = texts(&rule["resources"]);
            assert!(
                resources.iter().all(|each| !each.contains("secrets") && !each.contains('*')),
                "{resources:?}"
            );
            let verbs = texts(&rule["verbs"]);
            assert!(verbs.iter().all(|verb| ["get", "list", "watch"].contains(verb)), "{verbs:?}");
        }
    }
}

#[test]
fn the_server_reads_secrets_only_with_the_component() {
    let is_any_secret =
        |rule: &&Value| is_about(rule, "", "secrets") && texts(&rule["resourceNames"]).is_empty();
    for manifests in all() {
        let rules = manifests.rules_of_the_server();
        assert!(!rules.is_empty(), "{}: the server has rights", manifests.place);
        assert!(
            !rules.iter().any(|rule| is_about(rule, "", "secrets")),
            "{}: {rules:?}",
            manifests.place
        );
    }
    let manifests = Manifests::with_component("secrets-reader");
    let rules = manifests.rules_of_the_server();
    let rules: Vec<&Value> = rules.into_iter().filter(is_any_secret).collect();
    assert_eq!(rules.len(), 1, "the component grants it");
    assert_eq!(texts(&rules[0]["verbs"]), ["get", "list", "watch"]);

    let manifests = Manifests::with_component("cert-secret");
    assert!(
        !manifests.rules_of_the_server().iter().any(is_any_secret),
        "one Secret by name, no other"
    );
    let secret = manifests.the("Secret")["metadata"]["name"].as_str().expect("a Secret has a name");
    assert_eq!(manifests.flag("cert-secret"), secret);
    let rules = manifests.rules_of_the_server();
    let rule = rules
        .iter()
        .find(|rule| is_about(rule, "", "secrets"))
        .expect("the server may change the Secret");
    assert_eq!(texts(&rule["resourceNames"]), [secret]);
}

/// A right to create APIServices would undo an uninstall. A right to change other APIServices would
/// be a right to any API.
#[test]
fn the_server_changes_its_own_api_service_and_no_other() {
    let verbs = |manifests: &Manifests| -> Vec<String> {
        let rules = manifests.rules_of_the_server();
        let rules = rules
            .into_iter()
            .filter(|rule| is_about(rule, "apiregistration.k8s.io", "apiservices"));
        let rules = rules
            .inspect(|rule| assert_eq!(texts(&rule["resourceNames"]), ["v1.image.openshift.io"]));
        let mut verbs: Vec<String> =
            rules.flat_map(|rule| texts(&rule["verbs"])).map(str::to_owned).collect();
        verbs.sort();
        verbs.dedup();
        verbs
    };
    for name in ["embedded", "kind"] {
        let manifests = overlay(name);
        assert_eq!(verbs(&manifests), ["get", "list", "patch", "watch"], "{name}");
        assert!(manifests.arguments().contains(&"--inject-ca-bundle"), "{name}");
    }
    let manifests = overlay("cert-manager");
    assert_eq!(verbs(&manifests), ["get"]);
    assert!(!manifests.arguments().contains(&"--inject-ca-bundle"));
}

#[test]
fn cert_manager_issues_what_pod_and_api_service_use() {
    let manifests = overlay("cert-manager");
    let annotations = &manifests.the("APIService")["metadata"]["annotations"];
    let source =
        annotations["cert-manager.io/inject-ca-from"].as_str().expect("the CA is injected");
    let certificate = manifests
        .of_kind("Certificate")
        .find(|each| {
            source
                == format!(
                    "{NAME}/{}",
                    each["metadata"]["name"].as_str().expect("the resource has a name")
                )
        })
        .expect("the CA comes from a Certificate of the manifests");
    assert_eq!(texts(&certificate["spec"]["dnsNames"]), [format!("{NAME}.{NAME}.svc")]);
    let volumes = manifests.pod()["volumes"].as_array().expect("the pod has volumes");
    let volume = volumes
        .iter()
        .find(|volume| volume["secret"]["secretName"] == certificate["spec"]["secretName"]);
    let name = &volume.expect("the pod mounts the pair")["name"];
    let mounts =
        manifests.container()["volumeMounts"].as_array().expect("the container has volume mounts");
    let mount =
        mounts.iter().find(|mount| &mount["name"] == name).expect("the container mounts the pair");
    let path = mount["mountPath"].as_str().expect("a mount has a path");
    assert_eq!(manifests.flag("tls-cert-file"), format!("{path}/tls.crt"));
    assert_eq!(manifests.flag("tls-private-key-file"), format!("{path}/tls.key"));
}

#[test]
fn kind_takes_the_image_from_the_machine() {
    let manifests = overlay("kind");
    assert_eq!(manifests.container()["image"], "imagestream-apiserver:dev");
    assert_eq!(manifests.container()["imagePullPolicy"], "Never");
}
