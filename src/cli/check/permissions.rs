//! Check of the server's own permissions in the cluster, by SelfSubjectAccessReview.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::finding::Finding;
use crate::auth::{TRUST_CONFIG_MAP, TRUST_NAMESPACE};
use crate::cluster::{Clients, error_message};
use crate::server::Options;

const SUBJECT: &str = "permissions of this server";

/// Permission that the server needs.
struct RequiredPermission<'a> {
    client: &'a Client,
    verbs: &'static [&'static str],
    group: &'static str,
    resource: &'static str,
    namespace: &'a str,
    name: &'a str,
    purpose: &'static str,
    remedy: &'static str,
}

/// Checks all permissions that the flags need.
pub(super) async fn check(options: &Options, clients: &Clients) -> Vec<Finding> {
    let mut findings = Vec::new();
    for permission in required_permissions(options, clients) {
        findings.push(permission.check().await);
    }
    findings
}

const DELEGATOR: &str = "bind the ClusterRole system:auth-delegator to this server's user (manifests/base/rbac-server.yaml)";
const READER: &str = "bind the Role extension-apiserver-authentication-reader in kube-system to \
                      this server's user (manifests/base/rbac-server.yaml)";

fn required_permissions<'a>(
    options: &'a Options,
    clients: &'a Clients,
) -> Vec<RequiredPermission<'a>> {
    let mut required_permissions = vec![
        RequiredPermission {
            client: &clients.authentication,
            verbs: &["create"],
            group: "authentication.k8s.io",
            resource: "tokenreviews",
            namespace: "",
            name: "",
            purpose: "to authenticate bearer tokens",
            remedy: DELEGATOR,
        },
        RequiredPermission {
            client: &clients.authorization,
            verbs: &["create"],
            group: "authorization.k8s.io",
            resource: "subjectaccessreviews",
            namespace: "",
            name: "",
            purpose: "to authorize requests",
            remedy: DELEGATOR,
        },
        RequiredPermission {
            client: &clients.general,
            verbs: &["get", "list", "watch"],
            group: "",
            resource: "namespaces",
            namespace: "",
            name: "",
            purpose: "to validate namespaces",
            remedy: "grant it with a ClusterRole (manifests/base/rbac-server.yaml)",
        },
    ];
    if options.access.reads_cluster_trust() {
        required_permissions.push(RequiredPermission {
            client: &clients.authentication,
            verbs: &["get", "list", "watch"],
            group: "",
            resource: "configmaps",
            namespace: TRUST_NAMESPACE,
            name: TRUST_CONFIG_MAP,
            purpose: "to verify client certificates",
            remedy: READER,
        });
    }
    if options.tls.inject_ca_bundle {
        required_permissions.push(RequiredPermission {
            client: &clients.general,
            verbs: &["get", "list", "watch", "patch"],
            group: "apiregistration.k8s.io",
            resource: "apiservices",
            namespace: "",
            name: "v1.image.openshift.io",
            purpose: "to write its CA",
            remedy: "grant it for this name with a ClusterRole (manifests/components/own-ca/rbac.yaml)",
        });
    }
    if let (Some(name), Some(namespace)) =
        (&options.tls.cert_secret, &options.tls.service_namespace)
    {
        required_permissions.push(RequiredPermission {
            client: &clients.general,
            verbs: &["get", "update"],
            group: "",
            resource: "secrets",
            namespace,
            name,
            purpose: "to store its certificates",
            remedy: "grant it for this name with a Role (manifests/components/cert-secret/secret.yaml)",
        });
    }
    required_permissions
}

impl RequiredPermission<'_> {
    async fn check(&self) -> Finding {
        let Self { verbs, resource, purpose, .. } = self;
        for verb in *verbs {
            match self.may(verb).await {
                Ok(true) => {}
                Ok(false) => {
                    let text = format!("no permission to {verb} {resource}, needed {purpose}");
                    return Finding::problem(SUBJECT, text).remedy(self.remedy);
                }
                Err(error) => {
                    let text = format!(
                        "cannot review the permission to {verb} {resource}: {}",
                        error_message(&error)
                    );
                    return Finding::problem(SUBJECT, text).remedy(
                        "check the credentials of the kubeconfig or of the pod's service account",
                    );
                }
            }
        }
        Finding::ok(SUBJECT, format!("{} {resource}, {purpose}", verbs.join(", ")))
    }

    async fn may(&self, verb: &str) -> kube::Result<bool> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let resource_attributes = Some(ResourceAttributes {
            verb: some(verb),
            group: some(self.group),
            resource: some(self.resource),
            namespace: some(self.namespace),
            name: some(self.name),
            ..ResourceAttributes::default()
        });
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes,
            ..SelfSubjectAccessReviewSpec::default()
        };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let answer = Api::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(
            |status: k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus| status.allowed,
        ))
    }
}
