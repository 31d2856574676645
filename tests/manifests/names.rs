//! Installations in another namespace or with other names, by kustomize and by Helm.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::NAME;
use super::kustomize::{build, folder};
use super::rendered::{KUBECTL, Manifests, texts};

const NAMESPACE: &str = "images";
/// The namespaces of Prometheus and of CoreDNS, which do not belong to the installation.
const OTHERS: [&str; 2] = ["monitoring", "kube-system"];

/// Asserts that all objects are in [`NAMESPACE`], and that they refer to each other.
fn is_consistent(manifests: &Manifests) {
    let place = &manifests.place;
    for object in &manifests.objects {
        let mut namespaces = BTreeSet::new();
        collect(object, "namespace", &mut namespaces);
        namespaces.retain(|each| !OTHERS.contains(&each.as_str()));
        let expected: BTreeSet<String> = [NAMESPACE.to_owned()].into();
        assert!(namespaces.is_subset(&expected), "{place}: {namespaces:?} in {object}");
    }
    let named = |kind: &str| -> BTreeSet<&str> {
        manifests.of_kind(kind).filter_map(|each| each["metadata"]["name"].as_str()).collect()
    };
    let service = manifests.the("Service")["metadata"]["name"].as_str().expect("it has a name");
    assert_eq!(manifests.flag("service-name"), service, "{place}");
    assert_eq!(manifests.flag("service-namespace"), NAMESPACE, "{place}");
    let registered = manifests.registration();
    assert_eq!(
        registered["spec"]["service"],
        json!({"name": service, "namespace": NAMESPACE, "port": 443}),
        "{place}"
    );
    let account = manifests.pod()["serviceAccountName"].as_str().expect("the pod has an account");
    assert!(named("ServiceAccount").contains(account), "{place}: {account}");
    for kind in ["RoleBinding", "ClusterRoleBinding"] {
        for binding in manifests.of_kind(kind) {
            let role = &binding["roleRef"];
            let known = named(role["kind"].as_str().expect("it refers to a kind"));
            let name = role["name"].as_str().expect("it refers to a role");
            assert!(known.contains(name) || name.starts_with("system:"), "{place}: {binding}");
            for subject in binding["subjects"].as_array().expect("it has subjects") {
                let is_ours = subject["namespace"] == NAMESPACE;
                let name = subject["name"].as_str().expect("a subject has a name");
                assert!(!is_ours || named("ServiceAccount").contains(name), "{place}: {binding}");
            }
        }
    }
    for volume in manifests.pod()["volumes"].as_array().expect("the pod has volumes") {
        if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
            assert!(named("PersistentVolumeClaim").contains(claim), "{place}: {claim}");
        }
    }
}

/// Collects the texts of all fields with a name.
fn collect(value: &Value, name: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| match value {
            Value::String(text) if key == name => drop(found.insert(text.clone())),
            _ => collect(value, name, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| collect(item, name, found)),
        _ => {}
    }
}

/// Asserts that the server may read and update the Secret that its flag names.
fn secret_is_granted(manifests: &Manifests) {
    let secret = manifests.the("Secret")["metadata"]["name"].as_str().expect("it has a name");
    assert_eq!(manifests.flag("cert-secret"), secret, "{}", manifests.place);
    let mut roles = manifests.of_kind("Role").flat_map(|role| role["rules"].as_array());
    let is_granted = roles.any(|rules| texts(&rules[0]["resourceNames"]) == [secret]);
    assert!(is_granted, "{}: a Role for {secret}", manifests.place);
}

#[test]
fn kustomize_moves_all_objects_to_another_namespace() {
    let components = ["components/cert-secret", "components/scheduled-backups", "monitoring"];
    for prefix in ["", "team-"] {
        let fields = json!({"namespace": NAMESPACE, "namePrefix": prefix});
        let manifests = Manifests::on_top_of("registered/embedded", &components, &fields);
        is_consistent(&manifests);
        secret_is_granted(&manifests);
        let service = &manifests.the("Service")["metadata"]["name"];
        assert_eq!(*service, format!("{prefix}{NAME}"));
        let own = manifests.the("Namespace")["metadata"]["name"].as_str();
        assert_eq!(own, Some(NAMESPACE));
    }
}

/// The namespace is part of the certificate, so it must be set in the overlay itself.
#[test]
fn cert_manager_overlay_takes_another_namespace() {
    let own = tempfile::tempdir().expect("a temporary folder can be created");
    copy(&folder(), own.path());
    for inner in ["overlays", "registered"] {
        let path = own.path().join(inner).join("cert-manager/kustomization.yaml");
        let text = fs::read_to_string(&path).expect("the file can be read");
        fs::write(&path, format!("{text}namespace: {NAMESPACE}\n")).expect("it can be written");
    }
    let place = "cert-manager in another namespace".to_owned();
    let objects = build(&KUBECTL, &own.path().join("registered/cert-manager"));
    let manifests = Manifests { place, objects };
    is_consistent(&manifests);
    certificate_fits(&manifests, NAME);
}

/// Asserts that cert-manager issues a certificate for the Service, and injects its CA.
fn certificate_fits(manifests: &Manifests, name: &str) {
    let certificate = manifests
        .of_kind("Certificate")
        .find(|each| !texts(&each["spec"]["dnsNames"]).is_empty())
        .expect("a Certificate has names");
    assert_eq!(texts(&certificate["spec"]["dnsNames"]), [name, &format!("{name}.{NAMESPACE}.svc")]);
    let source = &manifests.registration()["metadata"]["annotations"];
    let own = certificate["metadata"]["name"].as_str().expect("it has a name");
    assert_eq!(source["cert-manager.io/inject-ca-from"], format!("{NAMESPACE}/{own}"));
    let issuer = &certificate["spec"]["issuerRef"]["name"];
    assert!(manifests.of_kind("Issuer").any(|each| each["metadata"]["name"] == *issuer));
    let volumes = manifests.pod()["volumes"].as_array().expect("the pod has volumes");
    let secret = &certificate["spec"]["secretName"];
    assert!(volumes.iter().any(|volume| volume["secret"]["secretName"] == *secret));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be created");
    for entry in fs::read_dir(from).expect("the folder can be listed") {
        let entry = entry.expect("the folder can be listed");
        let to = to.join(entry.file_name());
        // The links of the chart lead to the other folders.
        if entry.file_type().expect("the type is known").is_dir() {
            copy(&entry.path(), &to);
        } else if entry.path().is_file() {
            fs::copy(entry.path(), to).expect("a file can be copied");
        }
    }
}

#[test]
fn chart_takes_another_release_name_and_namespace() {
    let all = [
        "backups.enabled=true",
        "monitoring.serviceMonitor=true",
        "monitoring.rules=true",
        "monitoring.dashboard=true",
        "roles.secretsReader=true",
        "networkPolicy.egress.enabled=true",
        "networkPolicy.egress.apiServer={192.0.2.10/32}",
    ];
    let with = |more: &str| Manifests::of_chart("team", NAMESPACE, &[&all[..], &[more]].concat());
    let own = with("certificates.inSecret=true");
    is_consistent(&own);
    secret_is_granted(&own);
    let issued = with("certificates.source=cert-manager");
    is_consistent(&issued);
    certificate_fits(&issued, &format!("team-{NAME}"));
    // A name without the usual one in it.
    let other = Manifests::of_chart(
        "x",
        "elsewhere",
        &["fullnameOverride=store", "namespaceOverride=images"],
    );
    is_consistent(&other);
    assert_eq!(other.the("Service")["metadata"]["name"], "store");
    assert_eq!(
        other
            .of_kind("ClusterRole")
            .filter(|each| each["metadata"]["name"].as_str().expect("it has a name").contains(NAME))
            .count(),
        0
    );
}
