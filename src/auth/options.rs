//! The flags of authentication and authorization, and what they must not be together. Names follow kube-apiserver.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::HeaderName;
use rustls_pki_types::UnixTime;

use super::authenticate::Authenticator;
use super::authorize::{AccessReviews, AlwaysAllowPaths, Authorizer};
use super::front_proxy::HeaderNames;
use super::token_file::TokenFile;
use super::token_reviews::TokenReviews;
use super::trust_controller::{ClusterLookup, FrontProxyFile, TrustController, TrustFileError, TrustSource};
use crate::cluster::Clients;
use crate::meta::duration;
use crate::telemetry::metrics::Metrics;

/// Flags of authentication and authorization.
#[derive(Clone, Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "Authentication and authorization")]
pub struct Options {
    /// Authorization mode; Webhook if a cluster is configured, otherwise required.
    #[arg(long, value_name = "MODE", value_enum)]
    pub authorization_mode: Option<AuthorizationMode>,
    /// Paths without authorization; a trailing * matches every path with that prefix.
    #[arg(long, value_name = "PATHS", value_delimiter = ',', default_value = "/healthz,/livez,/readyz")]
    pub authorization_always_allow_paths: Vec<String>,
    /// Time to cache a SubjectAccessReview that allows a request.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::non_negative)]
    pub authorization_webhook_cache_authorized_ttl: Duration,
    /// Time to cache a SubjectAccessReview that denies a request.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::non_negative)]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,
    /// Treat requests without credentials as system:anonymous.
    ///
    /// The default is true with --authorization-mode=Webhook. Not allowed with AlwaysAllow.
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub anonymous_auth: Option<bool>,
    /// File of bearer tokens, with lines of the form token,user,uid,"group1,group2".
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// CA certificates (PEM) of client certificates, instead of those of the cluster.
    ///
    /// The common name of a client certificate is the user, its organizations are the groups. The
    /// file is read again every minute.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Time to cache a TokenReview.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::non_negative)]
    pub authentication_token_webhook_cache_ttl: Duration,
    /// Do not read the CA certificates of clients and front proxies from the cluster.
    ///
    /// They are in the ConfigMap kube-system/extension-apiserver-authentication.
    #[arg(long)]
    pub authentication_skip_lookup: bool,
    /// Become ready before these CA certificates were read from the cluster.
    #[arg(long)]
    pub authentication_tolerate_lookup_failure: bool,
    /// Front proxies.
    #[command(flatten)]
    pub front_proxy: FrontProxyOptions,
}

/// Flags of front proxies, which override the cluster's ConfigMap.
#[derive(Clone, Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "Authentication and authorization")]
pub struct FrontProxyOptions {
    /// CA certificates (PEM) of front proxies, instead of those of the cluster.
    ///
    /// The file is read again every minute.
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names of front proxies; any name if not set.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "requestheader_client_ca_file")]
    pub requestheader_allowed_names: Vec<String>,
    /// Request headers with the user name, set by front proxies.
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        default_value = "X-Remote-User",
        requires = "requestheader_client_ca_file"
    )]
    pub requestheader_username_headers: Vec<HeaderName>,
    /// Request headers with the UID of the user, set by front proxies.
    #[arg(long, value_name = "HEADERS", value_delimiter = ',', requires = "requestheader_client_ca_file")]
    pub requestheader_uid_headers: Vec<HeaderName>,
    /// Request headers with the groups of the user, set by front proxies.
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        default_value = "X-Remote-Group",
        requires = "requestheader_client_ca_file"
    )]
    pub requestheader_group_headers: Vec<HeaderName>,
    /// Prefixes of request headers with extra attributes of the user, set by front proxies.
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        default_value = "X-Remote-Extra-",
        requires = "requestheader_client_ca_file"
    )]
    pub requestheader_extra_headers_prefix: Vec<HeaderName>,
}

/// Authorization mode, by kube-apiserver's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthorizationMode {
    /// Every authenticated user may do everything.
    #[value(name = "AlwaysAllow")]
    AlwaysAllow,
    /// The cluster decides by SubjectAccessReview.
    #[value(name = "Webhook")]
    Webhook,
}

/// Why nobody can be let in with these flags.
#[derive(Debug, thiserror::Error)]
pub enum AccessOptionsError {
    /// Nobody said who may do what.
    #[error(
        "--authorization-mode is not given, and there is no cluster to ask: name the cluster with --kubeconfig, or say \
         --authorization-mode=AlwaysAllow to let every authenticated user do everything"
    )]
    MissingMode,
    /// There is nobody to ask.
    #[error("--authorization-mode=Webhook needs a cluster to ask: name it with --kubeconfig, or run in a pod")]
    MissingCluster,
    /// Everybody would be allowed everything.
    #[error("--anonymous-auth=true cannot go with --authorization-mode=AlwaysAllow: everybody could do everything")]
    AnonymousWithAlwaysAllow,
    /// Nobody could be served.
    #[error(
        "neither --token-auth-file nor --client-ca-file is given, and there is no cluster (--kubeconfig): nobody could \
         prove who they are"
    )]
    MissingAuthentication,
    /// A file cannot be used.
    #[error("{flag}: {path} cannot be used: {why}")]
    TokenFile {
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
    pub fn uses_pod_account(&self) -> bool {
        self.authorization_mode != Some(AuthorizationMode::AlwaysAllow)
    }

    /// Whether the cluster is asked whose certificates to believe.
    pub fn reads_cluster_trust(&self) -> bool {
        let is_complete = self.client_ca_file.is_some() && self.front_proxy.requestheader_client_ca_file.is_some();
        !self.authentication_skip_lookup && !is_complete
    }

    /// Whether requests without credentials are served as the anonymous user.
    pub fn allows_anonymous(&self) -> bool {
        self.anonymous_auth.unwrap_or(self.authorization_mode != Some(AuthorizationMode::AlwaysAllow))
    }

    /// Who may do what.
    ///
    /// # Errors
    /// A mode that is missing, impossible, or too open.
    pub fn authorizer(
        &self,
        cluster: Option<&Clients>,
        metrics: &Arc<Metrics>,
    ) -> Result<Authorizer, AccessOptionsError> {
        match (self.authorization_mode, cluster) {
            (None, None) => Err(AccessOptionsError::MissingMode),
            (Some(AuthorizationMode::Webhook), None) => Err(AccessOptionsError::MissingCluster),
            (Some(AuthorizationMode::AlwaysAllow), _) if self.anonymous_auth == Some(true) => {
                Err(AccessOptionsError::AnonymousWithAlwaysAllow)
            }
            (Some(AuthorizationMode::AlwaysAllow), _) => Ok(Authorizer::AlwaysAllow),
            (None | Some(AuthorizationMode::Webhook), Some(clients)) => Ok(Authorizer::Webhook(AccessReviews::new(
                clients.authorization.clone(),
                AlwaysAllowPaths::new(&self.authorization_always_allow_paths),
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
    ) -> Result<(Authenticator, TrustController), AccessOptionsError> {
        let nobody = self.token_auth_file.is_none() && self.client_ca_file.is_none();
        if nobody && cluster.is_none() && self.front_proxy.requestheader_client_ca_file.is_none() {
            return Err(AccessOptionsError::MissingAuthentication);
        }
        let tokens = self.token_auth_file.as_deref().map(read_tokens).transpose()?;
        let reviews = cluster.map(|clients| {
            let life = self.authentication_token_webhook_cache_ttl;
            TokenReviews::new(clients.authentication.clone(), life, metrics.clone())
        });
        let (trusted, controller) = self.trust_controller(cluster).open(now, metrics.clone())?;
        Ok((Authenticator::new(tokens, reviews, trusted, metrics.clone()), controller))
    }

    fn trust_controller(&self, cluster: Option<&Clients>) -> TrustSource {
        let front_proxy = self.front_proxy.file();
        let lookup = match cluster.map(|clients| clients.authentication.clone()) {
            Some(_) if !self.reads_cluster_trust() => ClusterLookup::Disabled,
            Some(client) if self.authentication_tolerate_lookup_failure => ClusterLookup::Optional(client),
            Some(client) => ClusterLookup::Required(client),
            None => ClusterLookup::Disabled,
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

fn read_tokens(path: &Path) -> Result<TokenFile, AccessOptionsError> {
    let error = |why: String| AccessOptionsError::TokenFile { flag: "--token-auth-file", path: path.into(), why };
    let content = std::fs::read(path).map_err(|why| error(why.to_string()))?;
    TokenFile::parse(&content).map_err(|why| error(why.to_string()))
}
