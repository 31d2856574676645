//! The Helm chart: the same objects as kustomize, lint, schema and values.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rendered::{Manifests, chart, helm};
use super::{NAME, overlay};

/// Labels that Helm's conventions add.
const LABELS: [&str; 4] = [
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
];

/// The objects by kind, namespace and name, without what Helm's conventions add.
fn normalized(manifests: &Manifests) -> BTreeMap<String, Value> {
    let objects = manifests.objects.iter().filter(|object| !is_only_here(object));
    let mut found = BTreeMap::new();
    for object in objects {
        let mut object = object.clone();
        let metadata = object["metadata"].as_object_mut().expect("an object has metadata");
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.retain(|name, _| !LABELS.contains(&name.as_str()));
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|name, _| !name.starts_with("helm.sh/"));
        }
        if metadata.get("annotations") == Some(&json!({})) {
            metadata.remove("annotations");
        }
        // The order of volumes has no meaning.
        for list in ["/spec/template/spec/volumes", "/spec/template/spec/containers/0/volumeMounts"]
        {
            if let Some(items) = object.pointer_mut(list).and_then(Value::as_array_mut) {
                items.sort_by_key(|item| item["name"].to_string());
            }
        }
        let metadata = &object["metadata"];
        let key = format!("{} {} {}", object["kind"], metadata["namespace"], metadata["name"]);
        assert!(found.insert(key.clone(), object).is_none(), "{}: {key} twice", manifests.place);
    }
    found
}

/// Reports whether only one of the two has the object: Helm creates namespaces itself, and kustomize
/// has no hooks.
fn is_only_here(object: &Value) -> bool {
    let name = object["metadata"]["name"].as_str().expect("an object has a name");
    let is_of_hooks =
        ["ServiceAccount", "Role", "RoleBinding", "Job"].iter().any(|kind| object["kind"] == *kind)
            && ["-rollout", ":rollout", "-upgrade-check"].iter().any(|end| name.ends_with(end));
    is_of_hooks || object["kind"] == "Namespace" || hook(object).contains("delete")
}

/// The events at which Helm applies an object of the chart; empty for an object of the release.
fn hook(object: &Value) -> &str {
    object["metadata"]["annotations"]["helm.sh/hook"].as_str().unwrap_or_default()
}

#[track_caller]
fn is_the_same(values: &[&str], kustomized: &Manifests) {
    let rendered = Manifests::of_chart(NAME, NAME, values);
    let (ours, theirs) = (normalized(&rendered), normalized(kustomized));
    let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs), "{} and {}", rendered.place, kustomized.place);
    for (name, object) in ours {
        assert_eq!(object, theirs[&name], "{} and {}", rendered.place, kustomized.place);
    }
}

#[test]
fn chart_and_kustomize_make_the_same_objects() {
    is_the_same(&[], &overlay("embedded"));
    is_the_same(&["certificates.source=cert-manager"], &overlay("cert-manager"));
    is_the_same(&["image.tag=dev", "image.pullPolicy=Never"], &overlay("kind"));
    let etcd = overlay("etcd");
    let servers = format!("etcd.servers={{{}}}", etcd.flag("etcd-servers"));
    is_the_same(&["replicas=2", &servers], &etcd);
}

#[test]
fn chart_and_components_make_the_same_objects() {
    let same = |component: &str, values: &[&str]| {
        is_the_same(values, &Manifests::with(component));
    };
    same("components/cert-secret", &["certificates.inSecret=true"]);
    same("components/scheduled-backups", &["backups.enabled=true"]);
    same("components/secrets-reader", &["roles.secretsReader=true"]);
    same("components/openshift-roles", &["roles.openshift=true"]);
    same("components/client-validation", &["roles.clientValidation=true"]);
    same(
        "components/network-egress",
        &["networkPolicy.egress.enabled=true", "networkPolicy.egress.apiServer={192.0.2.10/32}"],
    );
    same("components/network-sources", &["networkPolicy.sources={192.0.2.0/24,198.51.100.0/24}"]);
    let all =
        ["serviceMonitor", "rules", "dashboard"].map(|each| format!("monitoring.{each}=true"));
    same("monitoring", &all.each_ref().map(String::as_str));
}

#[test]
fn helm_lint_finds_nothing() {
    let output = helm(&["lint", "--strict", &chart()]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("[WARNING]"), "{text}");
}

#[test]
fn schema_refuses_values_that_the_chart_does_not_know() {
    for (value, reason) in [
        ("storage.siz=1Gi", "additional properties 'siz' not allowed"),
        ("replicas=2", "replicas above 1 need etcd.servers"),
        ("etcd.servers={http://etcd-0:2379}", "does not match pattern"),
        ("etcd.servers={https://etcd-0:2379},backups.enabled=true", "for data on a volume"),
        ("backups.enabled=yes", "want boolean"),
        ("extraArgs={v=4}", "does not match pattern"),
        ("storage.folder=certificates", "'not' failed"),
        ("certificates.source=acme", "must be one of"),
        ("image.digest=sha256:1234", "does not match pattern"),
        ("certificates.source=secret", "needs certificates.secretName and registration.caBundle"),
        ("networkPolicy.egress.enabled=true", "needs networkPolicy.egress.apiServer"),
    ] {
        let output = helm(&["template", NAME, &chart(), "--set", value]);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{value} is accepted");
        assert!(complaints.contains(reason), "{value}: {complaints}");
    }
}

#[test]
fn values_reach_the_pod_and_its_volume() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let manifests = Manifests::of_chart(
        NAME,
        NAME,
        &[
            "image.repository=registry.example.com/images",
            &format!("image.digest={digest}"),
            "imagePullSecrets[0].name=pull",
            "extraArgs={--internal-registry-hostname=registry.example.com}",
            "extraEnv[0].name=HTTPS_PROXY",
            "extraEnv[0].value=http://proxy.example.com",
            "extraVolumes[0].name=registries",
            "extraVolumes[0].secret.secretName=registries",
            "extraVolumeMounts[0].name=registries",
            "extraVolumeMounts[0].mountPath=/registries",
            "resources.limits.memory=2Gi",
            "priorityClassName=system-cluster-critical",
            "nodeSelector.disk=fast",
            "tolerations[0].operator=Exists",
            "affinity.nodeAffinity.x=y",
            "topologySpreadConstraints[0].topologyKey=zone",
            "podAnnotations.note=a",
            "podLabels.team=b",
            "serviceAccount.annotations.role=c",
            "service.annotations.scrape=d",
            "storage.size=20Gi",
            "storage.storageClassName=fast",
            "storage.folder=restored",
            "podDisruptionBudget.enabled=false",
            "networkPolicy.enabled=false",
            "registration.enabled=false",
        ],
    );
    let pod = manifests.pod();
    assert_eq!(manifests.container()["image"], format!("registry.example.com/images@{digest}"));
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    assert!(manifests.has_argument("--internal-registry-hostname=registry.example.com"));
    assert_eq!(manifests.flag("data-dir"), "/data/restored");
    let proxy = json!({"name": "HTTPS_PROXY", "value": "http://proxy.example.com"});
    let variables = manifests.container()["env"].as_array().expect("it has variables");
    assert!(variables.contains(&proxy), "{variables:?}");
    let mounts = manifests.container()["volumeMounts"].as_array().expect("it has mounts");
    assert!(mounts.contains(&json!({"name": "registries", "mountPath": "/registries"})));
    assert_eq!(manifests.container()["resources"]["limits"]["memory"], "2Gi");
    assert_eq!(pod["priorityClassName"], "system-cluster-critical");
    assert_eq!(pod["nodeSelector"], json!({"disk": "fast"}));
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(pod["affinity"], json!({"nodeAffinity": {"x": "y"}}));
    assert_eq!(pod["topologySpreadConstraints"], json!([{"topologyKey": "zone"}]));
    let template = &manifests.the("Deployment")["spec"]["template"]["metadata"];
    assert_eq!(template["annotations"], json!({"note": "a"}));
    assert_eq!(template["labels"]["team"], "b");
    let claim = manifests.the("PersistentVolumeClaim");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "20Gi");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert_eq!(manifests.the("ServiceAccount")["metadata"]["annotations"], json!({"role": "c"}));
    assert_eq!(manifests.the("Service")["metadata"]["annotations"], json!({"scrape": "d"}));
    for absent in ["PodDisruptionBudget", "NetworkPolicy", "APIService"] {
        assert_eq!(manifests.of_kind(absent).count(), 0, "{absent}");
    }
    let existing = Manifests::of_chart(NAME, NAME, &["storage.existingClaim=mine"]);
    assert_eq!(existing.of_kind("PersistentVolumeClaim").count(), 0);
    let volumes = existing.pod()["volumes"].as_array().expect("the pod has volumes");
    assert_eq!(volumes[0]["persistentVolumeClaim"]["claimName"], "mine");
}

/// An APIService without a ready server breaks discovery.
#[test]
fn chart_registers_the_server_after_its_rollout() {
    let manifests = Manifests::of_chart(NAME, NAME, &[]);
    let weight = |object: &Value| -> i64 {
        let weight = object["metadata"]["annotations"]["helm.sh/hook-weight"].as_str();
        weight.and_then(|weight| weight.parse().ok()).unwrap_or_default()
    };
    let registration = manifests.registration();
    let wait = manifests
        .of_kind("Job")
        .find(|job| hook(job) == hook(registration))
        .expect("a Job runs at the same events");
    assert_eq!(hook(registration), "post-install,post-upgrade");
    assert!(weight(wait) < weight(registration), "the Job runs first");
    let arguments = &wait["spec"]["template"]["spec"]["containers"][0]["args"];
    let name = manifests.the("Deployment")["metadata"]["name"].clone();
    assert_eq!([&arguments[0], &arguments[1]], [&json!("await-rollout"), &name]);
    // The Service and the disruption budget must not select the pods of hooks.
    for job in manifests.of_kind("Job") {
        let labels = &job["spec"]["template"]["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/name"], Value::Null, "{job}");
    } // For tools that only render the chart.
    let rendered = Manifests::of_chart(NAME, NAME, &["registration.enabled=false"]);
    assert!(rendered.objects.iter().all(|object| hook(object).is_empty()), "no hooks");
}
