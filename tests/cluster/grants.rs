//! Giving somebody rights in a control plane, so that they hold from then on.

use serde_json::{Value, json};

use super::objects::allow;
use super::plane::ControlPlane;
use super::wait::until;
use crate::support::client::Request;
use crate::support::expect::Expect;

/// A user as the subject of a binding.
pub(crate) fn user(name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name})
}

/// A group as the subject of a binding.
pub(crate) fn group(name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name})
}

/// A service account as the subject of a binding.
pub(crate) fn service_account(namespace: &str, name: &str) -> Value {
    json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
}

impl ControlPlane {
    /// Lets somebody use these verbs on resources of ours in a namespace, and waits until a review allows it: a server
    /// that asks earlier remembers for a while that it is forbidden.
    pub(crate) async fn grant(&self, namespace: &str, subject: &Value, verbs: &[&str], resources: &[&str]) {
        let name = format!("{}-{}", subject["name"].as_str().unwrap_or_default().replace(':', "-"), verbs.join("-"));
        self.apply(&allow(namespace, &name, resources, verbs, std::slice::from_ref(subject)));
        let (resource, subresource) = resources[0].split_once('/').unwrap_or((resources[0], ""));
        let mut review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": who(subject)});
        review["spec"]["resourceAttributes"] = json!({"group": "image.openshift.io", "version": "v1",
            "namespace": namespace, "verb": verbs[0], "resource": resource, "subresource": subresource});
        let request = Request::new("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews").json(&review);
        until("the rights hold", || async {
            let review = self.ask(request.clone()).await.is(201);
            if review["status"]["allowed"] == true { Ok(()) } else { Err(review.to_string()) }
        })
        .await;
    }
}

/// The subject as the user of a review.
fn who(subject: &Value) -> Value {
    let name = &subject["name"];
    match subject["kind"].as_str() {
        Some("ServiceAccount") => {
            let namespace = subject["namespace"].as_str().unwrap_or_default();
            json!({"user": format!("system:serviceaccount:{namespace}:{}", name.as_str().unwrap_or_default())})
        }
        Some("Group") => json!({"user": "a-member", "groups": [name]}),
        _ => json!({"user": name}),
    }
}
