//! The control plane: whether it answers, and what it says of certificates.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use rustls::pki_types::UnixTime;
use tokio::time::timeout;

use super::finding::Finding;
use crate::auth::{self, Authority, Said, TRUST_CONFIG_MAP, TRUST_NAMESPACE};
use crate::cluster::{Clients, told};

const PLANE: &str = "control plane";
const CONFIG_MAP: &str = "ConfigMap kube-system/extension-apiserver-authentication";
/// The longest that the control plane may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);
/// An authority that ends sooner than this is told of.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Whether the control plane answers.
pub(super) async fn reach(clients: &Clients) -> Finding {
    let why = match timeout(PATIENCE, clients.general.apiserver_version()).await {
        Ok(Ok(version)) => return Finding::good(PLANE, format!("it answers, with version {}", version.git_version)),
        Ok(Err(error)) => told(&error),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    Finding::wrong(PLANE, why)
        .way_out("is the address in the kubeconfig right, is kube-apiserver up, and may this host reach it?")
}

/// What the control plane says of certificates.
pub(super) async fn trust(options: &auth::Options, clients: &Clients) -> Vec<Finding> {
    if !options.looks_up_trust() {
        return vec![Finding::noteworthy(
            CONFIG_MAP,
            "it is not read, since flags say so or say everything that it would",
        )];
    }
    let config_maps: Api<ConfigMap> = Api::namespaced(clients.authentication.clone(), TRUST_NAMESPACE);
    match config_maps.get_opt(TRUST_CONFIG_MAP).await {
        Ok(Some(config_map)) => {
            told_of(auth::read_cluster_trust(&config_map.data.unwrap_or_default(), UnixTime::now()))
        }
        Ok(None) => {
            vec![Finding::wrong(CONFIG_MAP, "it is not there").way_out(
                "kube-apiserver makes it when it starts with --client-ca-file or --requestheader-client-ca-file",
            )]
        }
        Err(error) => vec![Finding::wrong(CONFIG_MAP, told(&error)).way_out(
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
        Authority::parse(&pem, UnixTime::now()).map_err(|why| why.to_string())
    };
    let found = named.map(|(flag, path)| match read(path) {
        Ok(authority) => lifetime(flag, &authority, &authority.to_string()),
        Err(why) => {
            Finding::wrong(flag, format!("{}: {why}", path.display())).way_out("name a bundle of certificates in PEM")
        }
    });
    found.collect()
}

fn told_of(Said { clients, front_proxy }: Said) -> Vec<Finding> {
    let poses = match (&clients, &front_proxy) {
        (Some(Ok(clients)), Some(Ok(proxy))) => proxy.allowed_names.is_empty() && proxy.authority.is_same(clients),
        _ => false,
    };
    let users = match clients {
        None => Finding::noteworthy("client CA", "the cluster names none: certificates of users are not accepted"),
        Some(Err(fault)) => broken("client CA", fault),
        Some(Ok(authority)) => lifetime("client CA", &authority, &authority.to_string()),
    };
    let proxies = match front_proxy {
        None => Finding::wrong(
            "front proxy CA",
            "the cluster names none: nothing that comes through kube-apiserver is believed",
        )
        .way_out("start kube-apiserver with --requestheader-client-ca-file and --proxy-client-cert-file"),
        Some(Err(fault)) => broken("front proxy CA", fault),
        Some(Ok(proxy)) if poses => Finding::wrong(
            "front proxy CA",
            format!(
                "{}; it signs users too, and any name is allowed: every user can act as any other",
                proxy.authority
            ),
        )
        .way_out("give kube-apiserver a front-proxy CA of its own, or name the proxy in --requestheader-allowed-names"),
        Some(Ok(proxy)) => {
            let names = match proxy.allowed_names.as_slice() {
                [] => "any name is allowed".to_owned(),
                names => format!("allowed names: {}", names.join(", ")),
            };
            lifetime("front proxy CA", &proxy.authority, &format!("{}; {names}", proxy.authority))
        }
    };
    vec![users, proxies]
}

fn broken(subject: &'static str, fault: String) -> Finding {
    Finding::wrong(subject, fault)
        .way_out("mend the flags of kube-apiserver; it writes this ConfigMap from them when it starts")
}

fn lifetime(subject: &'static str, authority: &Authority, text: &str) -> Finding {
    match authority.ends() {
        None => Finding::wrong(subject, "every certificate in it has ended").way_out("renew it at kube-apiserver"),
        Some(end) if end.as_secs() < UnixTime::now().as_secs() + SOON.as_secs() => {
            Finding::noteworthy(subject, text).way_out("one of its certificates ends soon: renew it at kube-apiserver")
        }
        Some(_) => Finding::good(subject, text),
    }
}
