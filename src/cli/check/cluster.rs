//! Checks of the control plane: connection and trusted CAs.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use rustls::pki_types::UnixTime;
use tokio::time::timeout;

use super::finding::Finding;
use crate::auth::{self, CaBundle, ClusterTrust, TRUST_CONFIG_MAP, TRUST_NAMESPACE};
use crate::cluster::{self, Clients, Fault, error_message};
use crate::meta::file_error;
use crate::tls::Lifetime;

const PLANE: &str = "control plane";
const CONFIG_MAP: &str = "ConfigMap kube-system/extension-apiserver-authentication";
/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Checks that the control plane responds.
pub(super) async fn reach(clients: &Clients) -> Finding {
    let address = &clients.address;
    match timeout(TIMEOUT, clients.general.apiserver_version()).await {
        Ok(Ok(version)) => {
            Finding::ok(PLANE, format!("{address} responds, version {}", version.git_version))
        }
        Ok(Err(error)) => failed(PLANE, address, &error),
        Err(_) => {
            let text = format!("{address}: no response within {} s", TIMEOUT.as_secs());
            let finding = Finding::problem(PLANE, text);
            finding.remedy(Fault::NoResponse.remedy().unwrap_or_default())
        }
    }
}

/// The finding for a failed request to the control plane.
fn failed(subject: &'static str, address: &str, error: &kube::Error) -> Finding {
    let (fault, message) = (Fault::of(error), error_message(error));
    let text = match fault {
        Fault::Unauthorized => format!("{address}: {message}: the credentials are not valid"),
        _ if message.starts_with(address) => message,
        _ => format!("{address}: {message}"),
    };
    let finding = Finding::problem(subject, text);
    finding.remedy(fault.remedy().unwrap_or("see the log of kube-apiserver"))
}

/// Checks the client certificates of the kubeconfigs.
pub(super) fn credentials(options: &cluster::Options) -> Vec<Finding> {
    const SUBJECT: &str = "client certificate";
    let remedy = "renew the client certificate in the kubeconfig";
    let found = options.client_certificates().into_iter().map(|(flag, expires)| {
        let text = format!("that of {flag} is valid until {expires}");
        match Lifetime::of(expires, Timestamp::now()) {
            Lifetime::Over => {
                Finding::problem(SUBJECT, format!("that of {flag} expired at {expires}"))
                    .remedy(remedy)
            }
            Lifetime::EndsSoon => Finding::note(SUBJECT, text).remedy(remedy),
            Lifetime::Long => Finding::ok(SUBJECT, text),
        }
    });
    found.collect()
}

/// Checks the CAs in the ConfigMap of the control plane.
pub(super) async fn trust(options: &auth::Options, clients: &Clients) -> Vec<Finding> {
    if !options.reads_cluster_trust() {
        return vec![Finding::note(CONFIG_MAP, "it is not read, because the flags replace it")];
    }
    let config_maps: Api<ConfigMap> =
        Api::namespaced(clients.authentication.clone(), TRUST_NAMESPACE);
    match config_maps.get_opt(TRUST_CONFIG_MAP).await {
        Ok(Some(config_map)) => {
            cluster_trust(auth::parse_cluster_trust(&config_map.data.unwrap_or_default(), UnixTime::now()))
        }
        Ok(None) => {
            vec![Finding::problem(CONFIG_MAP, "it does not exist").remedy(
                "start kube-apiserver with --client-ca-file or --requestheader-client-ca-file, which creates it",
            )]
        }
        Err(error) => vec![match Fault::of(&error) {
            Fault::Forbidden => Finding::problem(CONFIG_MAP, error_message(&error)).remedy(
                "bind the Role extension-apiserver-authentication-reader in kube-system to this server's \
                 user, or apply manifests/base/rbac-server.yaml",
            ),
            _ => failed(CONFIG_MAP, &clients.address, &error),
        }],
    }
}

/// Checks the CA files of the flags.
pub(super) fn files(options: &auth::Options) -> Vec<Finding> {
    let files = [
        ("--client-ca-file", &options.client_ca_file),
        ("--requestheader-client-ca-file", &options.front_proxy.requestheader_client_ca_file),
    ];
    let named = files.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)));
    let read = |path: &PathBuf| {
        let pem = std::fs::read(path).map_err(|why| file_error::reading(&why))?;
        CaBundle::parse(&pem, UnixTime::now()).map_err(|why| why.to_string())
    };
    let found = named.map(|(flag, path)| match read(path) {
        Ok(ca_bundle) => lifetime(flag, &ca_bundle, &ca_bundle.to_string()),
        Err(why) => Finding::problem(flag, format!("{}: {why}", path.display()))
            .remedy("use a bundle of PEM certificates"),
    });
    found.collect()
}

fn cluster_trust(ClusterTrust { clients, front_proxy }: ClusterTrust) -> Vec<Finding> {
    let is_open_to_users = match (&clients, &front_proxy) {
        (Some(Ok(clients)), Some(Ok(proxy))) => {
            proxy.allowed_names.is_empty() && proxy.ca_bundle.is_same(clients)
        }
        _ => false,
    };
    let users = match clients {
        None => {
            Finding::note("client CA", "the cluster has none: client certificates are not accepted")
        }
        Some(Err(error)) => broken("client CA", error),
        Some(Ok(ca_bundle)) => lifetime("client CA", &ca_bundle, &ca_bundle.to_string()),
    };
    let proxies = match front_proxy {
        None => Finding::problem(
            "front proxy CA",
            "the cluster has none: no request through kube-apiserver is authenticated",
        )
        .remedy("start kube-apiserver with --requestheader-client-ca-file and --proxy-client-cert-file"),
        Some(Err(error)) => broken("front proxy CA", error),
        Some(Ok(proxy)) if is_open_to_users => Finding::problem(
            "front proxy CA",
            format!(
                "{}; it signs user certificates too, and any name is allowed: every user can act as any other",
                proxy.ca_bundle
            ),
        )
        .remedy("use a separate front-proxy CA in kube-apiserver, or set --requestheader-allowed-names there"),
        Some(Ok(proxy)) => {
            let names = match proxy.allowed_names.as_slice() {
                [] => "any name is allowed".to_owned(),
                names => format!("allowed names: {}", names.join(", ")),
            };
            lifetime("front proxy CA", &proxy.ca_bundle, &format!("{}; {names}", proxy.ca_bundle))
        }
    };
    vec![users, proxies]
}

fn broken(subject: &'static str, error: String) -> Finding {
    Finding::problem(subject, error)
        .remedy("correct the flags of kube-apiserver, which writes this ConfigMap at start")
}

fn lifetime(subject: &'static str, ca_bundle: &CaBundle, text: &str) -> Finding {
    let end = ca_bundle.first_expiry();
    let end = end.and_then(|end| Timestamp::from_second(end.as_secs().try_into().ok()?).ok());
    match end.map(|end| Lifetime::of(end, Timestamp::now())) {
        None | Some(Lifetime::Over) => {
            Finding::problem(subject, "all its certificates have expired")
                .remedy("renew it in kube-apiserver")
        }
        Some(Lifetime::EndsSoon) => Finding::note(subject, text)
            .remedy("a certificate of it expires soon: renew it in kube-apiserver"),
        Some(Lifetime::Long) => Finding::ok(subject, text),
    }
}
