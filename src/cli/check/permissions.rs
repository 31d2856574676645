//! Check of the server's own permissions in the cluster, by SelfSubjectAccessReview.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::finding::Finding;
use crate::auth::{TRUST_CONFIG_MAP, TRUST_NAMESPACE};
use crate::cluster::{Clients, DELEGATOR, Fault, error_message};
use crate::controllers::ControllerName;
use crate::registry::admission::selection::PluginName;
use crate::server::Options;

const SUBJECT: &str = "permissions of this server";

/// Permission that the server uses.
struct ServerPermission<'a> {
    need: Need,
    client: &'a Client,
    verbs: &'static [&'static str],
    group: &'static str,
    resource: &'static str,
    namespace: &'a str,
    name: &'a str,
    purpose: &'static str,
    remedy: &'static str,
}

/// Consequence of a missing permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// The server fails.
    Required,
    /// The server works without it, and does less.
    Optional,
}

/// Checks all permissions that the flags need.
pub(super) async fn check(options: &Options, clients: &Clients) -> Vec<Finding> {
    let mut findings = Vec::new();
    for permission in server_permissions(options, clients) {
        findings.push(permission.check().await);
    }
    findings
}

const READER: &str = "bind the Role extension-apiserver-authentication-reader in kube-system to \
                      this server's user, or apply manifests/base/rbac-server.yaml";

fn server_permissions<'a>(options: &'a Options, clients: &'a Clients) -> Vec<ServerPermission<'a>> {
    let mut server_permissions = vec![
        ServerPermission {
            need: Need::Required,
            client: &clients.authentication,
            verbs: &["create"],
            group: "authentication.k8s.io",
            resource: "tokenreviews",
            namespace: "",
            name: "",
            purpose: "to authenticate bearer tokens",
            remedy: DELEGATOR,
        },
        ServerPermission {
            need: Need::Required,
            client: &clients.authorization,
            verbs: &["create"],
            group: "authorization.k8s.io",
            resource: "subjectaccessreviews",
            namespace: "",
            name: "",
            purpose: "to authorize requests",
            remedy: DELEGATOR,
        },
        ServerPermission {
            need: Need::Required,
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
    server_permissions.extend(rule_permissions(options, clients));
    if options.access.reads_cluster_trust() {
        server_permissions.push(ServerPermission {
            need: Need::Required,
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
        server_permissions.push(ServerPermission {
            need: Need::Required,
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
        server_permissions.push(ServerPermission {
            need: Need::Required,
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
    if options.controllers.controllers.is_enabled(ControllerName::Events) {
        server_permissions.push(ServerPermission {
            need: Need::Optional,
            client: &clients.general,
            verbs: &["create", "patch"],
            group: "events.k8s.io",
            resource: "events",
            namespace: "",
            name: "",
            purpose: "to report imports as events",
            remedy: "grant it with a ClusterRole (manifests/base/rbac-server.yaml), or set \
                     --controllers=*,-events",
        });
    }
    server_permissions.extend(pull_secrets(options, clients));
    server_permissions
}

/// Permissions for the rules of the cluster for writes, unless their plugins are disabled.
fn rule_permissions<'a>(options: &'a Options, clients: &'a Clients) -> Vec<ServerPermission<'a>> {
    const READ: &[&str] = &["get", "list", "watch"];
    const CALL: &str = "to call the admission webhooks of the cluster";
    const CHARGE: &str = "to charge image streams to quotas";
    use PluginName::{
        ClusterResourceQuota, ImageLimitRange, MutatingAdmissionWebhook, ResourceQuota,
        ValidatingAdmissionWebhook,
    };
    let (webhooks, cluster) = ("admissionregistration.k8s.io", "quota.openshift.io");
    let rules = [
        (MutatingAdmissionWebhook, READ, webhooks, "mutatingwebhookconfigurations", CALL),
        (ValidatingAdmissionWebhook, READ, webhooks, "validatingwebhookconfigurations", CALL),
        (ImageLimitRange, READ, "", "limitranges", "to limit images and image streams"),
        (ResourceQuota, READ, "", "resourcequotas", CHARGE),
        (ResourceQuota, &["patch"], "", "resourcequotas/status", CHARGE),
        (ClusterResourceQuota, READ, cluster, "clusterresourcequotas", CHARGE),
        (ClusterResourceQuota, &["patch"], cluster, "clusterresourcequotas/status", CHARGE),
    ];
    let runs = |name: PluginName| !options.admission.disable_admission_plugins.contains(&name);
    let needed = rules.into_iter().filter(|(name, ..)| runs(*name));
    needed
        .map(|(_, verbs, group, resource, purpose)| ServerPermission {
            need: Need::Required,
            client: &clients.general,
            verbs,
            group,
            resource,
            namespace: "",
            name: "",
            purpose,
            remedy: "grant it with a ClusterRole (manifests/base/rbac-server.yaml), or disable the plugin with \
                     --disable-admission-plugins",
        })
        .collect()
}

/// The permissions of the component secrets-reader.
fn pull_secrets<'a>(options: &Options, clients: &'a Clients) -> Vec<ServerPermission<'a>> {
    let permission = |verbs, resource, name, purpose| ServerPermission {
        need: Need::Optional,
        client: &clients.general,
        verbs,
        group: "",
        resource,
        namespace: "",
        name,
        purpose,
        remedy: "add manifests/components/secrets-reader to import from registries that need \
                 credentials",
    };
    let mut permissions = vec![
        permission(&["list"], "secrets", "", "to import with the pull secrets of a namespace"),
        permission(&["get"], "serviceaccounts", "default", "to prefer its imagePullSecrets"),
    ];
    if options.controllers.controllers.is_enabled(ControllerName::PullSecrets) {
        let purpose = "to retry imports when a pull secret changes";
        permissions.push(permission(&["list", "watch"], "secrets", "", purpose));
    }
    permissions
}

impl ServerPermission<'_> {
    async fn check(&self) -> Finding {
        let Self { verbs, resource, purpose, .. } = self;
        for verb in *verbs {
            match self.may(verb).await {
                Ok(true) => {}
                Ok(false) => {
                    let text = format!("no permission to {verb} {resource}, {purpose}");
                    let finding = match self.need {
                        Need::Required => Finding::problem(SUBJECT, text),
                        Need::Optional => Finding::note(SUBJECT, format!("optional: {text}")),
                    };
                    return finding.remedy(self.remedy);
                }
                Err(error) => {
                    let text = format!(
                        "cannot review the permission to {verb} {resource}: {}",
                        error_message(&error)
                    );
                    return Finding::problem(SUBJECT, text).remedy(
                        Fault::of(&error)
                            .remedy()
                            .unwrap_or("check the credentials of the kubeconfig or of the pod"),
                    );
                }
            }
        }
        Finding::ok(SUBJECT, format!("{} {resource}, {purpose}", verbs.join(", ")))
    }

    async fn may(&self, verb: &str) -> kube::Result<bool> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let resource_attributes = Some(ResourceAttributes {
            verb: some(verb),
            group: some(self.group),
            resource: some(resource),
            subresource: some(subresource),
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
