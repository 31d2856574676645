//! A walk of an administrator with kubectl: a quota of two image streams, and a LimitRange for
//! pushed images. `--nocapture` prints what kubectl prints.

use serde_json::{Value, json};

use super::controllers::{Controllers, registered};
use super::kubectl::{Kubectl, Said};
use super::objects;
use super::site::own;
use super::wait::until;

const NAMESPACE: &str = "quota-walk";
const COUNT: &str = "count/imagestreams.image.openshift.io";

fn run(kubectl: &Kubectl, arguments: &[&str], object: &Value) -> Said {
    let all = [arguments, &["--namespace", NAMESPACE]].concat();
    kubectl.run(&all, object.to_string().as_bytes())
}

/// Runs kubectl and prints what it prints.
fn show(kubectl: &Kubectl, arguments: &[&str], object: &Value) -> Said {
    let said = run(kubectl, arguments, object);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    println!("$ kubectl {}   # {name}\n{}{}", arguments.join(" "), said.output, said.errors);
    said
}

fn limit_range() -> Value {
    let limit = json!({"type": "openshift.io/Image", "max": {"storage": "1Ki"}});
    json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "size"},
        "spec": {"limits": [limit]},
    })
}

/// A push of an image of 5000 bytes.
fn push() -> Value {
    let mut mapping = objects::mapping("one", &format!("sha256:{}", "5".repeat(64)));
    mapping["image"]["dockerImageMetadata"] =
        json!({"kind": "DockerImage", "apiVersion": "1.0", "Size": 5000});
    mapping
}

#[tokio::test]
async fn kubectl_prints_the_words_of_quotas_and_limits() {
    let plane = own().await;
    let _backend = registered(&plane).await;
    plane.create_namespace(NAMESPACE).await;
    let _controllers = Controllers::start_these(&plane, "resourcequota-controller");
    let kubectl = plane.kubectl_of(&plane.user("admin", Some("system:masters")).identity());
    let none = Value::Null;
    let hard = format!("--hard={COUNT}=2");
    show(&kubectl, &["create", "quota", "two", &hard], &none).done();
    until("the quota is counted", || async {
        let used = ["get", "quota", "two", "--output=jsonpath={.status.used}"];
        let said = run(&kubectl, &used, &none);
        if said.output.contains(COUNT) { Ok(()) } else { Err(said.output) }
    })
    .await;
    let create = ["create", "--filename=-"];
    for name in ["one", "two"] {
        show(&kubectl, &create, &objects::stream(name)).done();
    }
    let refused = show(&kubectl, &create, &objects::stream("three")).failed();
    let text = format!(
        "imagestreams.image.openshift.io \"three\" is forbidden: exceeded quota: two, requested: {COUNT}=1, used: \
         {COUNT}=2, limited: {COUNT}=2"
    );
    assert!(refused.trim_end().ends_with(&text), "{refused}");
    show(&kubectl, &["describe", "quota", "two"], &none).done();

    show(&kubectl, &create, &limit_range()).done();
    let dry = ["create", "--dry-run=server", "--filename=-"];
    until("the limit is in force", || async {
        let said = run(&kubectl, &dry, &push());
        if said.code == Some(0) { Err(said.output) } else { Ok(()) }
    })
    .await;
    let refused = show(&kubectl, &create, &push()).failed();
    let text = "imagestreammappings.image.openshift.io \"one\" is forbidden: requested usage of storage exceeds the \
                maximum limit per openshift.io/Image (5000 > 1Ki)";
    assert!(refused.trim_end().ends_with(text), "{refused}");
}
