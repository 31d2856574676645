//! RBAC grants that are in effect when the function returns.

use serde_json::{Value, json};

use super::objects::{allow, binding};
use super::plane::ControlPlane;
use super::wait::until;
use crate::support::client::Request;
use crate::support::expect::Expect;

/// A user as the subject of a role binding.
pub(crate) fn user(name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name})
}

/// A group as the subject of a role binding.
pub(crate) fn group(name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name})
}

/// A service account as the subject of a role binding.
pub(crate) fn service_account(namespace: &str, name: &str) -> Value {
    json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
}

impl ControlPlane {
    /// Grants a subject verbs on image resources in a namespace and waits until a
    /// SubjectAccessReview allows them. Without the wait the server could cache a denial.
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

    /// Grants a subject the rules that the manifests aggregate to a default role (`edit`, `view`)
    /// and waits until a SubjectAccessReview allows a verb on an image resource.
    ///
    /// kube-apiserver creates the default roles with an aggregation rule only. The controller that
    /// fills them is part of kube-controller-manager, which does not run here. Therefore each
    /// ClusterRole that the aggregation rule selects is bound directly.
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

    /// The ClusterRoles of the manifests that the aggregation rule of a default role selects.
    async fn gathered_by(&self, role: &str) -> Vec<String> {
        let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
        let role = until("the role exists", || async {
            self.get(&format!("{roles}/{role}"))
                .await
                .ok_or_else(|| "kube-apiserver has not made it".to_owned())
        })
        .await;
        let selectors = role["aggregationRule"]["clusterRoleSelectors"]
            .as_array()
            .expect("the role has an aggregation rule")
            .clone();
        let all = self.get(roles).await.expect("ClusterRoles can be listed");
        let is_chosen = |candidate: &&Value| {
            selectors.iter().any(|selector| {
                let wanted =
                    selector["matchLabels"].as_object().expect("the selector lists labels");
                wanted.iter().all(|(key, value)| &candidate["metadata"]["labels"][key] == value)
            })
        };
        let chosen = all["items"].as_array().expect("the value is a list").iter().filter(is_chosen);
        let names = chosen.filter_map(|role| role["metadata"]["name"].as_str());
        names.filter(|name| name.starts_with("imagestream-apiserver:")).map(str::to_owned).collect()
    }

    /// Waits until a SubjectAccessReview allows a subject the verb on an image resource.
    async fn allowed(&self, namespace: &str, subject: &Value, verb: &str, resource: &str) {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let mut review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": who(subject)});
        review["spec"]["resourceAttributes"] = json!({"group": "image.openshift.io", "version": "v1",
            "namespace": namespace, "verb": verb, "resource": resource, "subresource": subresource});
        let request = Request::new("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews")
            .json(&review);
        until("the rights are in effect", || async {
            let review = self.ask(request.clone()).await.is(201);
            if review["status"]["allowed"] == true { Ok(()) } else { Err(review.to_string()) }
        })
        .await;
    }
}

/// The subject in the form of a SubjectAccessReview spec.
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
