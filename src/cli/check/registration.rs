//! Check of the APIService that makes kube-apiserver send requests to this server.

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceSpec};
use kube::Api;

use super::finding::Finding;
use crate::api::{GROUP, VERSION};
use crate::cluster::{Clients, error_message};
use crate::server::Options;

const SUBJECT: &str = "APIService v1.image.openshift.io";

/// Checks condition, Service and CA of the APIService.
pub(super) async fn check(options: &Options, clients: &Clients) -> Vec<Finding> {
    let services: Api<APIService> = Api::all(clients.general.clone());
    let found = match services.get_opt(&format!("{VERSION}.{GROUP}")).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            let remedy = "register the server: kubectl apply -k manifests/registered/embedded";
            return vec![Finding::problem(SUBJECT, "it does not exist").remedy(remedy)];
        }
        Err(error) => {
            let remedy = "allow this server's user to get it (manifests/base/rbac-server.yaml)";
            return vec![Finding::problem(SUBJECT, error_message(&error)).remedy(remedy)];
        }
    };
    let mut findings = vec![condition(&found)];
    if let Some(spec) = &found.spec {
        findings.push(service(spec, options));
        findings.push(trust(spec));
    }
    findings
}

fn condition(found: &APIService) -> Finding {
    let conditions =
        found.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    match conditions.iter().find(|condition| condition.type_ == "Available") {
        Some(condition) if condition.status == "True" => {
            Finding::ok(SUBJECT, "kube-apiserver finds this server available")
        }
        Some(condition) => {
            let (reason, message) = (condition.reason.as_deref(), condition.message.as_deref());
            let text = format!(
                "not available: {}: {}",
                reason.unwrap_or("?"),
                message.unwrap_or("no message")
            );
            Finding::problem(SUBJECT, text).remedy(remedy(message.unwrap_or_default()))
        }
        None => Finding::problem(SUBJECT, "kube-apiserver has not checked it yet")
            .remedy("wait half a minute and check again"),
    }
}

/// Remedy for the usual cause of a message of kube-apiserver.
fn remedy(message: &str) -> &'static str {
    if message.contains("x509") || message.contains("tls:") {
        "spec.caBundle must contain the CA of the serving certificate, which must be issued for \
         <service>.<namespace>.svc; --inject-ca-bundle keeps the caBundle current"
    } else if message.contains("connection refused")
        || message.contains("no route")
        || message.contains("timed out")
    {
        "check that the server is running and ready, and that kube-apiserver can reach the pod \
         (network policies, firewalls)"
    } else if message.contains("not found") || message.contains("endpoints") {
        "the Service must exist, have the port that the APIService names, and select a ready pod"
    } else {
        "see the log of this server, the Service and its endpoints"
    }
}

fn service(spec: &APIServiceSpec, options: &Options) -> Finding {
    let actual = spec.service.as_ref().map(|service| {
        let (name, namespace) = (service.name.as_deref(), service.namespace.as_deref());
        (name.unwrap_or_default().to_owned(), namespace.unwrap_or_default().to_owned())
    });
    let Some((name, namespace)) = actual else {
        return Finding::problem(
            SUBJECT,
            "it has no spec.service: kube-apiserver serves the group itself",
        )
        .remedy("set spec.service to the Service in front of this server");
    };
    let own = options.tls.service_name.clone().zip(options.tls.service_namespace.clone());
    match own {
        Some(own) if own != (name.clone(), namespace.clone()) => {
            let text = format!(
                "it points to the Service {namespace}/{name}, but the flags name {}/{}",
                own.1, own.0
            );
            Finding::problem(SUBJECT, text)
                .remedy("correct spec.service, or --service-name and --service-namespace")
        }
        _ => Finding::ok(SUBJECT, format!("it points to the Service {namespace}/{name}")),
    }
}

fn trust(spec: &APIServiceSpec) -> Finding {
    match (&spec.ca_bundle, spec.insecure_skip_tls_verify) {
        (_, Some(true)) => Finding::problem(
            SUBJECT,
            "insecureSkipTLSVerify is set: kube-apiserver does not authenticate this server",
        )
        .remedy("remove it, and set spec.caBundle (--inject-ca-bundle does)"),
        (None, _) => Finding::note(
            SUBJECT,
            "spec.caBundle is empty: the system roots of kube-apiserver must include the CA",
        ),
        (Some(_), _) => Finding::ok(SUBJECT, "spec.caBundle is set"),
    }
}
