//! NetworkPolicies of the base and of the optional components.

use serde_json::{Value, json};

use crate::all;
use crate::rendered::Manifests;

/// The policy with this name.
fn policy<'a>(manifests: &'a Manifests, name: &str) -> &'a Value {
    let mut policies = manifests
        .of_kind("NetworkPolicy")
        .filter(|each| each["metadata"]["name"] == name && is_for_the_server(manifests, each));
    let policy = policies.next().unwrap_or_else(|| panic!("{}: no {name}", manifests.place));
    assert!(policies.next().is_none(), "{}: one {name}", manifests.place);
    &policy["spec"]
}

fn is_for_the_server(manifests: &Manifests, policy: &Value) -> bool {
    let deployment = manifests.the("Deployment");
    policy["spec"]["podSelector"] == deployment["spec"]["selector"]
        && policy["metadata"]["namespace"] == deployment["metadata"]["namespace"]
}

/// kube-apiserver is usually no pod, so a policy that fits every cluster names no sources.
#[test]
fn base_admits_the_secure_port_from_everywhere() {
    for manifests in all() {
        assert_eq!(manifests.of_kind("NetworkPolicy").count(), 1, "{}", manifests.place);
        let spec = policy(&manifests, "imagestream-apiserver");
        let ports = json!([{"ports": [{"protocol": "TCP", "port": "https"}]}]);
        assert_eq!(spec["ingress"], ports, "{}", manifests.place);
        assert_eq!(spec["policyTypes"], json!(["Ingress"]), "{}", manifests.place);
    }
}

#[test]
fn network_sources_leaves_no_rule_open_to_all() {
    let manifests = Manifests::with_component("network-sources");
    let rules = policy(&manifests, "imagestream-apiserver")["ingress"].as_array().unwrap();
    assert_eq!(manifests.of_kind("NetworkPolicy").count(), 1, "a second one would add sources");
    for rule in rules {
        assert_eq!(rule["ports"], json!([{"protocol": "TCP", "port": "https"}]));
        let sources = rule["from"].as_array().unwrap();
        assert!(!sources.is_empty() && sources.iter().all(|each| each["ipBlock"].is_object()));
    }
}

#[test]
fn network_egress_reaches_api_server_dns_and_registries() {
    let manifests = Manifests::with_component("network-egress");
    let spec = policy(&manifests, "imagestream-apiserver-egress");
    assert_eq!(spec["policyTypes"], json!(["Egress"]), "ingress stays as in the base");
    let port = |protocol: &str, port: u16| json!({"protocol": protocol, "port": port});
    let ports: Vec<&Value> =
        spec["egress"].as_array().unwrap().iter().map(|r| &r["ports"]).collect();
    let expected = [
        json!([port("TCP", 6443)]),
        json!([port("UDP", 53), port("TCP", 53)]),
        json!([port("TCP", 443)]),
    ];
    assert_eq!(ports, expected.iter().collect::<Vec<_>>());
    assert!(spec["egress"][0]["to"][0]["ipBlock"].is_object());
    policy(&manifests, "imagestream-apiserver");
}
