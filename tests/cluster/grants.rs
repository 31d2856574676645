//! Giving somebody rights in a control plane, so that they hold from then on.

use serde_json::{Value, json};

use super::objects::{allow, binding};
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
    pub(crate) async fn grant(
        &self,
        namespace: &str,
        subject: &Value,
        verbs: &[&str],
        resources: &[&str],
    ) {
        let name = format!(
            "{}-{}",
            subject["name"].as_str().unwrap_or_default().replace(':', "-"),
            verbs.join("-")
        );
        self.apply(&allow(namespace, &name, resources, verbs, std::slice::from_ref(subject)));
        self.allowed(namespace, subject, verbs[0], resources[0]).await;
    }

    /// Gives somebody what one of the roles of every cluster (`edit`, `view`) gives, as far as our manifests add to it,
    /// and waits until a review allows a verb on a resource of ours.
    ///
    /// kube-apiserver makes those roles with nothing but the labels to gather rules by. Gathering is done by a controller
    /// of kube-controller-manager, which does not run here. So each ClusterRole that the labels choose is bound.
    pub(crate) async fn bind(
        &self,
        namespace: &str,
        subject: &Value,
        role: &str,
        (verb, resource): (&str, &str),
    ) {
        let chosen = self.gathered_by(role).await;
        assert!(!chosen.is_empty(), "the labels of {role} choose a role of ours");
        let bindings = chosen.iter().map(|chosen| {
            let name = format!(
                "{}-{}",
                subject["name"].as_str().unwrap_or_default(),
                chosen.replace(':', "-")
            );
            binding(
                "RoleBinding",
                namespace,
                &name,
                ("ClusterRole", chosen),
                std::slice::from_ref(subject),
            )
        });
        self.apply(&bindings.collect::<Vec<_>>());
        self.allowed(namespace, subject, verb, resource).await;
    }

    /// The ClusterRoles of ours that one of the roles of every cluster gathers rules from.
    async fn gathered_by(&self, role: &str) -> Vec<String> {
        let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
        let role = until("the role is there", || async {
            self.get(&format!("{roles}/{role}"))
                .await
                .ok_or_else(|| "kube-apiserver has not made it".to_owned())
        })
        .await;
        let selectors = role["aggregationRule"]["clusterRoleSelectors"]
            .as_array()
            .expect("the role gathers")
            .clone();
        let all = self.get(roles).await.expect("there are roles");
        let is_chosen = |candidate: &&Value| {
            selectors.iter().any(|selector| {
                let wanted =
                    selector["matchLabels"].as_object().expect("the labels are said one by one");
                wanted.iter().all(|(key, value)| &candidate["metadata"]["labels"][key] == value)
            })
        };
        let chosen = all["items"].as_array().expect("it is a list").iter().filter(is_chosen);
        let names = chosen.filter_map(|role| role["metadata"]["name"].as_str());
        names.filter(|name| name.starts_with("imagestream-apiserver:")).map(str::to_owned).collect()
    }

    /// Waits until a review allows somebody a verb on a resource of ours.
    async fn allowed(&self, namespace: &str, subject: &Value, verb: &str, resource: &str) {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let mut review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": who(subject)});
        review["spec"]["resourceAttributes"] = json!({"group": "image.openshift.io", "version": "v1",
            "namespace": namespace, "verb": verb, "resource": resource, "subresource": subresource});
        let request = Request::new("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews")
            .json(&review);
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
