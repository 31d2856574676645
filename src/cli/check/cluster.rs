//! The control plane: whether it answers, and what it says of certificates.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use rustls::pki_types::UnixTime;
use tokio::time::timeout;

use super::finding::Finding;
use crate::auth::{self, CaBundle, ClusterTrust, TRUST_CONFIG_MAP, TRUST_NAMESPACE};
use crate::cluster::{Clients, error_message};

const PLANE: &str = "control plane";
const CONFIG_MAP: &str = "ConfigMap kube-system/extension-apiserver-authentication";
/// The longest that the control plane may take to say its version.
const TIMEOUT: Duration = Duration::from_secs(10);
/// An authority that ends sooner than this is told of.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Whether the control plane answers.
pub(super) async fn reach(clients: &Clients) -> Finding {
    let why = match timeout(TIMEOUT, clients.general.apiserver_version()).await {
        Ok(Ok(version)) => return Finding::ok(PLANE, format!("it answers, with version {}", version.git_version)),
        Ok(Err(error)) => error_message(&error),
        Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
    };
    Finding::problem(PLANE, why)
        .remedy("is the address in the kubeconfig right, is kube-apiserver up, and may this host reach it?")
}

/// What the control plane says of certificates.
pub(super) async fn trust(options: &auth::Options, clients: &Clients) -> Vec<Finding> {
    if !options.reads_cluster_trust() {
        return vec![Finding::note(CONFIG_MAP, "it is not read, since flags say so or say everything that it would")];
    }
    let config_maps: Api<ConfigMap> = Api::namespaced(clients.authentication.clone(), TRUST_NAMESPACE);
    match config_maps.get_opt(TRUST_CONFIG_MAP).await {
        Ok(Some(config_map)) => {
            cluster_trust(auth::parse_cluster_trust(&config_map.data.unwrap_or_default(), UnixTime::now()))
        }
        Ok(None) => {
            vec![Finding::problem(CONFIG_MAP, "it is not there").remedy(
                "kube-apiserver makes it when it starts with --client-ca-file or --requestheader-client-ca-file",
            )]
        }
        Err(error) => vec![Finding::problem(CONFIG_MAP, error_message(&error)).remedy(
            "bind the Role extension-apiserver-authentication-reader in kube-system to this server's user \
             (manifests/base/rbac-server.yaml does)",
        )],
    }
}

/// The authorities that flags name.
pub(super) fn files(options: &auth::Options) -> Vec<Finding> {
    let files = [
        ("--client-ca-file", &options.client_ca_file),
        ("--requestheader-client-ca-file", &options.front_proxy.requestheader_client_ca_file),
    ];
    let named = files.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)));
    let read = |path: &PathBuf| {
        let pem = std::fs::read(path).map_err(|why| why.to_string())?;
        CaBundle::parse(&pem, UnixTime::now()).map_err(|why| why.to_string())
    };
    let found = named.map(|(flag, path)| match read(path) {
        Ok(ca_bundle) => lifetime(flag, &ca_bundle, &ca_bundle.to_string()),
        Err(why) => {
            Finding::problem(flag, format!("{}: {why}", path.display())).remedy("name a bundle of certificates in PEM")
        }
    });
    found.collect()
}

fn cluster_trust(ClusterTrust { clients, front_proxy }: ClusterTrust) -> Vec<Finding> {
    let is_open_to_users = match (&clients, &front_proxy) {
        (Some(Ok(clients)), Some(Ok(proxy))) => proxy.allowed_names.is_empty() && proxy.ca_bundle.is_same(clients),
        _ => false,
    };
    let users = match clients {
        None => Finding::note("client CA", "the cluster names none: certificates of users are not accepted"),
        Some(Err(fault)) => broken("client CA", fault),
        Some(Ok(ca_bundle)) => lifetime("client CA", &ca_bundle, &ca_bundle.to_string()),
    };
    let proxies = match front_proxy {
        None => Finding::problem(
            "front proxy CA",
            "the cluster names none: nothing that comes through kube-apiserver is believed",
        )
        .remedy("start kube-apiserver with --requestheader-client-ca-file and --proxy-client-cert-file"),
        Some(Err(fault)) => broken("front proxy CA", fault),
        Some(Ok(proxy)) if is_open_to_users => Finding::problem(
            "front proxy CA",
            format!(
                "{}; it signs users too, and any name is allowed: every user can act as any other",
                proxy.ca_bundle
            ),
        )
        .remedy("give kube-apiserver a front-proxy CA of its own, or name the proxy in --requestheader-allowed-names"),
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

fn broken(subject: &'static str, fault: String) -> Finding {
    Finding::problem(subject, fault)
        .remedy("mend the flags of kube-apiserver; it writes this ConfigMap from them when it starts")
}

fn lifetime(subject: &'static str, ca_bundle: &CaBundle, text: &str) -> Finding {
    match ca_bundle.first_expiry() {
        None => Finding::problem(subject, "every certificate in it has ended").remedy("renew it at kube-apiserver"),
        Some(end) if end.as_secs() < UnixTime::now().as_secs() + EXPIRES_SOON.as_secs() => {
            Finding::note(subject, text).remedy("one of its certificates ends soon: renew it at kube-apiserver")
        }
        Some(_) => Finding::ok(subject, text),
    }
}
