//! The flags of authentication and authorization, and what they must not be together. Names follow kube-apiserver.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::HeaderName;
use rustls_pki_types::UnixTime;

use super::authenticate::Authenticator;
use super::authorize::{AccessReviews, Authorizer, OpenPaths};
use super::front_proxy::HeaderNames;
use super::token_review::TokenReviews;
use super::tokens::TokenFile;
use super::trust_source::{FrontProxyFile, Lookup, TrustFileError, TrustKeeper, TrustSource};
use crate::cluster::Clients;
use crate::meta::duration;
use crate::telemetry::metrics::Metrics;

/// The flags of authentication and authorization.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Options {
    /// Who may do what: the cluster decides (Webhook), or every authenticated user may do everything (AlwaysAllow). Webhook
    /// where a kubeconfig is given or this is a pod, otherwise it must be said.
    #[arg(long, value_name = "MODE", value_enum)]
    pub authorization_mode: Option<Mode>,
    /// Paths that everybody may ask for, without a review; beginnings of paths, where they end in *.
    #[arg(long, value_name = "PATHS", value_delimiter = ',', default_value = "/healthz,/livez,/readyz")]
    pub authorization_always_allow_paths: Vec<String>,
    /// How long it is remembered that a user may do something.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::non_negative)]
    pub authorization_webhook_cache_authorized_ttl: Duration,
    /// How long it is remembered that a user may not do something.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::non_negative)]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,
    /// Whether requests without credentials are served as system:anonymous. On with Webhook, not possible with AlwaysAllow.
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub anonymous_auth: Option<bool>,
    /// File with bearer tokens, a line each: token,user,uid,"group1,group2".
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// File with the certificate authorities of users, in PEM, instead of those of the cluster. A certificate's common name is
    /// the user, its organizations the groups. Read again every minute.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// How long it is remembered whose token a token is.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::non_negative)]
    pub authentication_token_webhook_cache_ttl: Duration,
    /// Do not read the authorities of users and front proxies from the cluster.
    #[arg(long)]
    pub authentication_skip_lookup: bool,
    /// Be ready before the authorities of users and front proxies could be read from the cluster.
    #[arg(long)]
    pub authentication_tolerate_lookup_failure: bool,
    /// The front proxies.
    #[command(flatten)]
    pub front_proxy: FrontProxyOptions,
}

/// The flags that describe front proxies, instead of what the cluster says of them.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct FrontProxyOptions {
    /// File with the authorities of front proxies, in PEM, instead of those of the cluster. Read again every minute.
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// The common names of front proxies; any, if none is given.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "requestheader_client_ca_file")]
    pub requestheader_allowed_names: Vec<String>,
    /// Headers with the name of the user.
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        default_value = "X-Remote-User",
        requires = "requestheader_client_ca_file"
    )]
    pub requestheader_username_headers: Vec<HeaderName>,
    /// Headers with the UID of the user.
    #[arg(long, value_name = "HEADERS", value_delimiter = ',', requires = "requestheader_client_ca_file")]
    pub requestheader_uid_headers: Vec<HeaderName>,
    /// Headers with the groups of the user.
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        default_value = "X-Remote-Group",
        requires = "requestheader_client_ca_file"
    )]
    pub requestheader_group_headers: Vec<HeaderName>,
    /// Beginnings of headers with anything else about the user.
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        default_value = "X-Remote-Extra-",
        requires = "requestheader_client_ca_file"
    )]
    pub requestheader_extra_headers_prefix: Vec<HeaderName>,
}

/// Ways to decide who may do what. The names are the ones that kube-apiserver takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Every authenticated user may do everything.
    #[value(name = "AlwaysAllow")]
    AlwaysAllow,
    /// The cluster decides.
    #[value(name = "Webhook")]
    Webhook,
}

/// Why nobody can be let in with these flags.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Nobody said who may do what.
    #[error(
        "--authorization-mode is not given, and there is no cluster to ask: name the cluster with --kubeconfig, or say \
         --authorization-mode=AlwaysAllow to let every authenticated user do everything"
    )]
    NoMode,
    /// There is nobody to ask.
    #[error("--authorization-mode=Webhook needs a cluster to ask: name it with --kubeconfig, or run in a pod")]
    NoCluster,
    /// Everybody would be allowed everything.
    #[error("--anonymous-auth=true cannot go with --authorization-mode=AlwaysAllow: everybody could do everything")]
    OpenDoor,
    /// Nobody could be served.
    #[error(
        "neither --token-auth-file nor --client-ca-file is given, and there is no cluster (--kubeconfig): nobody could \
         prove who they are"
    )]
    NoAuthentication,
    /// A file cannot be used.
    #[error("{flag}: {path} cannot be used: {why}")]
    Unusable {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file with authorities cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustFileError),
}

impl Options {
    /// Whether a pod's own service account leads to a cluster that is to be asked. A server that lets everybody do everything is
    /// on its own, unless it is told of a cluster.
    pub fn may_join_cluster(&self) -> bool {
        self.authorization_mode != Some(Mode::AlwaysAllow)
    }

    /// Whether the cluster is asked whose certificates to believe.
    pub fn looks_up_trust(&self) -> bool {
        let is_complete = self.client_ca_file.is_some() && self.front_proxy.requestheader_client_ca_file.is_some();
        !self.authentication_skip_lookup && !is_complete
    }

    /// Whether requests without credentials are served as the anonymous user.
    pub fn serves_anonymous(&self) -> bool {
        self.anonymous_auth.unwrap_or(self.authorization_mode != Some(Mode::AlwaysAllow))
    }

    /// Who may do what.
    ///
    /// # Errors
    /// A mode that is missing, impossible, or too open.
    pub fn authorizer(&self, cluster: Option<&Clients>, metrics: &Arc<Metrics>) -> Result<Authorizer, AccessError> {
        match (self.authorization_mode, cluster) {
            (None, None) => Err(AccessError::NoMode),
            (Some(Mode::Webhook), None) => Err(AccessError::NoCluster),
            (Some(Mode::AlwaysAllow), _) if self.anonymous_auth == Some(true) => Err(AccessError::OpenDoor),
            (Some(Mode::AlwaysAllow), _) => Ok(Authorizer::AlwaysAllow),
            (None | Some(Mode::Webhook), Some(clients)) => Ok(Authorizer::Webhook(AccessReviews::new(
                clients.authorization.clone(),
                OpenPaths::new(&self.authorization_always_allow_paths),
                self.authorization_webhook_cache_authorized_ttl,
                self.authorization_webhook_cache_unauthorized_ttl,
                metrics.clone(),
            ))),
        }
    }

    /// How users prove who they are, and the work that keeps it current.
    ///
    /// # Errors
    /// A file that cannot be used, or no way at all.
    pub fn authenticator(
        &self,
        cluster: Option<&Clients>,
        metrics: &Arc<Metrics>,
        now: UnixTime,
    ) -> Result<(Authenticator, TrustKeeper), AccessError> {
        let nobody = self.token_auth_file.is_none() && self.client_ca_file.is_none();
        if nobody && cluster.is_none() && self.front_proxy.requestheader_client_ca_file.is_none() {
            return Err(AccessError::NoAuthentication);
        }
        let tokens = self.token_auth_file.as_deref().map(read_tokens).transpose()?;
        let reviews = cluster.map(|clients| {
            let life = self.authentication_token_webhook_cache_ttl;
            TokenReviews::new(clients.authentication.clone(), life, metrics.clone())
        });
        let (trusted, keeper) = self.trust_source(cluster).open(now, metrics.clone())?;
        Ok((Authenticator::new(tokens, reviews, trusted, metrics.clone()), keeper))
    }

    fn trust_source(&self, cluster: Option<&Clients>) -> TrustSource {
        let front_proxy = self.front_proxy.file();
        let lookup = match cluster.map(|clients| clients.authentication.clone()) {
            Some(_) if !self.looks_up_trust() => Lookup::Never,
            Some(client) if self.authentication_tolerate_lookup_failure => Lookup::Tolerated(client),
            Some(client) => Lookup::Required(client),
            None => Lookup::Never,
        };
        TrustSource { client_ca_file: self.client_ca_file.clone(), front_proxy, lookup }
    }
}

impl FrontProxyOptions {
    fn file(&self) -> Option<FrontProxyFile> {
        let Self {
            requestheader_client_ca_file,
            requestheader_allowed_names,
            requestheader_username_headers,
            requestheader_uid_headers,
            requestheader_group_headers,
            requestheader_extra_headers_prefix,
        } = self.clone();
        let headers = HeaderNames {
            username: requestheader_username_headers,
            uid: requestheader_uid_headers,
            group: requestheader_group_headers,
            extra_prefixes: requestheader_extra_headers_prefix.iter().map(|name| name.as_str().to_owned()).collect(),
        };
        requestheader_client_ca_file.map(|ca_file| FrontProxyFile {
            ca_file,
            allowed_names: requestheader_allowed_names,
            headers: Arc::new(headers),
        })
    }
}

fn read_tokens(path: &Path) -> Result<TokenFile, AccessError> {
    let fault = |why: String| AccessError::Unusable { flag: "--token-auth-file", path: path.into(), why };
    let content = std::fs::read(path).map_err(|why| fault(why.to_string()))?;
    TokenFile::parse(&content).map_err(|why| fault(why.to_string()))
}
