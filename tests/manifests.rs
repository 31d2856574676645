//! Properties of the manifests that hold on every cluster. `tests/cluster` applies the manifests to
//! a real API server.

#[path = "manifests/chart.rs"]
mod chart;
#[path = "cluster/manifests/kustomize.rs"]
mod kustomize;
#[path = "manifests/monitoring.rs"]
mod monitoring;
#[path = "manifests/names.rs"]
mod names;
#[path = "manifests/network.rs"]
mod network;
#[path = "cluster/manifests/pod.rs"]
mod pod;
#[path = "manifests/rendered.rs"]
mod rendered;
#[path = "manifests/stores.rs"]
mod stores;
#[path = "cluster/tools.rs"]
mod tools;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use clap::{Args, FromArgMatches};
use imagestream_apiserver::auth::AlwaysAllowPaths;
use imagestream_apiserver::server::Options;
use imagestream_apiserver::telemetry::log;
use kustomize::{folder, registered};
use rendered::{Manifests, texts};
use serde_json::{Value, json};

const NAME: &str = "imagestream-apiserver";
/// The UID of the image's user.
const USER: u32 = 65532;

/// Reports whether the rule covers the resource, with wildcards.
fn is_about(rule: &Value, group: &str, resource: &str) -> bool {
    let any =
        |key: &str, wanted: &str| texts(&rule[key]).iter().any(|each| [wanted, "*"].contains(each));
    any("apiGroups", group) && any("resources", resource)
}

/// All overlays, registered.
fn all() -> Vec<Manifests> {
    registered().iter().map(|overlay| Manifests::of(overlay)).collect()
}

/// An overlay by name, registered.
fn overlay(name: &str) -> Manifests {
    Manifests::of(&folder().join("registered").join(name))
}

/// Runs `serve` with the arguments followed by `--help`: clap parses the arguments and nothing is
/// started.
fn parse(arguments: &[impl AsRef<OsStr>]) -> Output {
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

/// An APIService without a ready server breaks discovery, so it is applied in a second step.
#[test]
fn overlays_register_the_server_only_in_the_second_step() {
    for registered in registered() {
        let name = registered.file_name().expect("a folder has a name");
        let first = Manifests::of(&folder().join("overlays").join(name));
        assert_eq!(first.of_kind("APIService").count(), 0, "{}", first.place);
        let mut second = Manifests::of(&registered);
        second.objects.retain(|object| object["kind"] != "APIService");
        assert_eq!(first.objects, second.objects, "{}", first.place);
    }
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
            let path = path.split('?').next().unwrap_or_default();
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
        assert!(!rules.iter().any(is_any_secret), "{}: {rules:?}", manifests.place);
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
    for name in ["embedded", "etcd", "kind"] {
        let manifests = overlay(name);
        assert_eq!(verbs(&manifests), ["get", "list", "patch", "watch"], "{name}");
        assert!(manifests.has_argument("--inject-ca-bundle"), "{name}");
    }
    let manifests = overlay("cert-manager");
    assert_eq!(verbs(&manifests), ["get"]);
    assert!(!manifests.has_argument("--inject-ca-bundle"));
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
    assert_eq!(texts(&certificate["spec"]["dnsNames"]), [NAME, &format!("{NAME}.{NAME}.svc")]);
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
