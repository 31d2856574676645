//! Stores of the overlays: one process on a volume, or several replicas on etcd.

use serde_json::{Value, json};

use crate::rendered::{Manifests, texts};
use crate::{NAME, USER, all, overlay};

/// Where the members of the component `etcd-members` listen.
const CLIENT_PORT: u16 = 2379;

/// Reports whether the server of these manifests keeps its data in etcd.
fn is_on_etcd(manifests: &Manifests) -> bool {
    manifests.has_argument("--storage-backend=etcd3")
}

/// Only one process can open the store. Every written path lies in the one writable volume.
#[test]
fn the_embedded_store_has_one_process_and_a_volume() {
    let (shared, embedded): (Vec<_>, Vec<_>) = all().into_iter().partition(is_on_etcd);
    assert!(!shared.is_empty() && !embedded.is_empty());
    for manifests in embedded {
        let deployment = &manifests.the("Deployment")["spec"];
        assert_eq!(deployment["replicas"], 1, "{}", manifests.place);
        assert_eq!(deployment["strategy"], json!({ "type": "Recreate" }), "{}", manifests.place);
        assert!(manifests.flag("data-dir").starts_with("/data/"), "{}", manifests.place);
        let data = json!({ "mountPath": "/data", "name": "data" });
        assert_eq!(written(&manifests), [&data], "{}", manifests.place);
        let claim = &manifests.the("PersistentVolumeClaim")["metadata"]["name"];
        let volumes = manifests.pod()["volumes"].as_array().expect("the pod has volumes");
        assert!(
            volumes.iter().any(|volume| &volume["persistentVolumeClaim"]["claimName"] == claim)
        );
    }
}

/// The volumes that the server may write to.
fn written(manifests: &Manifests) -> Vec<&Value> {
    let mounts = manifests.container()["volumeMounts"].as_array();
    let mounts = mounts.expect("the container has volume mounts");
    mounts.iter().filter(|mount| mount["readOnly"] != true).collect()
}

#[test]
fn replicas_on_etcd_are_replaced_without_a_gap() {
    let manifests = overlay("etcd");
    let deployment = &manifests.the("Deployment")["spec"];
    assert_eq!(deployment["replicas"], 2);
    let update = json!({
        "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 },
    });
    assert_eq!(deployment["strategy"], update);
    assert!(written(&manifests).is_empty(), "a replica has no data of its own");
    assert_eq!(manifests.of_kind("PersistentVolumeClaim").count(), 0);
    // A drained node takes one replica at a time.
    assert_eq!(manifests.the("PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
    // Other replicas get new connections before this one refuses them.
    assert!(manifests.duration("shutdown-delay-duration").as_secs() >= 5);
    // Discovery of the whole cluster must not depend on etcd.
    let probe = &manifests.container()["readinessProbe"]["httpGet"]["path"];
    assert_eq!(*probe, "/readyz?exclude=etcd");
    assert!(manifests.has_argument("--inject-ca-bundle"));
    assert_eq!(manifests.flag("cert-secret"), format!("{NAME}-certificates"), "one CA for all");
}

#[test]
fn replicas_on_etcd_prefer_different_nodes_and_zones() {
    let manifests = overlay("etcd");
    let labels = &manifests.the("Deployment")["spec"]["template"]["metadata"]["labels"];
    let affinity = &manifests.pod()["affinity"]["podAntiAffinity"];
    // A required rule would block an update on two nodes.
    let key = "requiredDuringSchedulingIgnoredDuringExecution";
    assert_eq!(affinity[key], Value::Null);
    let term = &affinity["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"];
    assert_eq!(term["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(term["labelSelector"]["matchLabels"], *labels);
    let spread = &manifests.pod()["topologySpreadConstraints"][0];
    assert_eq!(spread["topologyKey"], "topology.kubernetes.io/zone");
    assert_eq!(spread["whenUnsatisfiable"], "ScheduleAnyway");
    assert_eq!(spread["labelSelector"]["matchLabels"], *labels);
}

#[test]
fn etcd_is_reached_over_tls_with_a_mounted_secret() {
    let manifests = overlay("etcd");
    let servers = manifests.flag("etcd-servers");
    assert!(servers.split(',').all(|server| server.starts_with("https://")), "{servers}");
    let mount = &manifests.container()["volumeMounts"][0];
    let path = mount["mountPath"].as_str().expect("a mount has a path");
    for (flag, file) in
        [("etcd-cafile", "ca.crt"), ("etcd-certfile", "tls.crt"), ("etcd-keyfile", "tls.key")]
    {
        assert_eq!(manifests.flag(flag), format!("{path}/{file}"));
    }
    let volume = &manifests.pod()["volumes"][0];
    assert_eq!(volume["name"], mount["name"]);
    assert_eq!(volume["secret"]["secretName"], "imagestream-apiserver-etcd");
    // The files belong to root, and to the group of the pod.
    assert_eq!(volume["secret"]["defaultMode"], 0o440);
    assert_eq!(manifests.pod()["securityContext"]["fsGroup"], USER);
}

#[test]
fn members_for_trying_out_are_those_of_the_overlay() {
    let manifests =
        Manifests::on_top_of("registered/etcd", &["components/etcd-members"], &json!({}));
    let set = manifests.the("StatefulSet");
    let name = set["metadata"]["name"].as_str().expect("it has a name");
    assert_eq!(set["spec"]["serviceName"], name);
    let count = set["spec"]["replicas"].as_u64().expect("it is a number");
    assert_eq!(count, 3);
    let host = |at: u64| format!("{name}-{at}.{name}");
    let servers: Vec<String> =
        (0..count).map(|at| format!("https://{}:{CLIENT_PORT}", host(at))).collect();
    assert_eq!(manifests.flag("etcd-servers"), servers.join(","));
    let pod = &set["spec"]["template"]["spec"];
    let arguments = texts(&pod["containers"][0]["args"]);
    let peers: Vec<String> =
        (0..count).map(|at| format!("{name}-{at}=https://{}:2380", host(at))).collect();
    let cluster = format!("--initial-cluster={}", peers.join(","));
    assert!(arguments.contains(&&*cluster), "{arguments:?}");
    for required in ["--client-cert-auth", "--peer-client-cert-auth"] {
        assert!(arguments.contains(&required), "{arguments:?}");
    }
    let plain: Vec<_> = arguments.iter().filter(|each| each.contains("http://")).collect();
    assert_eq!(plain, [&"--listen-metrics-urls=http://0.0.0.0:2381"]);
    // The Service and the policies of the server must not select the members.
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    let selector = &manifests.the("Deployment")["spec"]["selector"]["matchLabels"];
    assert_ne!(labels["app.kubernetes.io/name"], selector["app.kubernetes.io/name"]);
    let service = manifests.of_kind("Service").find(|each| each["metadata"]["name"] == name);
    let service = &service.expect("the members have a Service")["spec"];
    assert_eq!((&service["clusterIP"], &service["selector"]), (&json!("None"), labels));
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let context = &pod["containers"][0]["securityContext"];
    assert_eq!(context["capabilities"], json!({ "drop": ["ALL"] }));
    assert_eq!(context["readOnlyRootFilesystem"], true);
}

#[test]
fn members_for_trying_out_admit_the_server_and_each_other() {
    let manifests =
        Manifests::on_top_of("registered/etcd", &["components/etcd-members"], &json!({}));
    let labels = &manifests.the("StatefulSet")["spec"]["template"]["metadata"]["labels"];
    let mut policies = manifests.of_kind("NetworkPolicy");
    let policy = policies.find(|each| each["spec"]["podSelector"]["matchLabels"] == *labels);
    let rules = policy.expect("the members have a policy")["spec"]["ingress"].as_array();
    let rules = rules.expect("it has rules");
    let selector = &manifests.the("Deployment")["spec"]["selector"];
    assert_eq!(rules[0]["from"], json!([{ "podSelector": selector }]));
    assert_eq!(rules[1]["from"], json!([{ "podSelector": { "matchLabels": labels } }]));
    let ports: Vec<Vec<&str>> = rules.iter().map(|rule| ports_of(&rule["ports"])).collect();
    assert_eq!(ports, [vec!["client"], vec!["client", "peer"], vec!["health"]]);
}

fn ports_of(ports: &Value) -> Vec<&str> {
    let ports = ports.as_array().expect("a rule has ports");
    ports.iter().map(|port| port["port"].as_str().expect("a port has a name")).collect()
}
