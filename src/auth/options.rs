//! Flags of authentication and authorization, with the names of kube-apiserver.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::HeaderName;
use rustls_pki_types::UnixTime;

use super::authenticate::Authenticator;
use super::authorize::{AccessReviews, AlwaysAllowPaths, Authorizer};
use super::front_proxy::HeaderNames;
use super::priority::{FlowClassifier, PriorityOptions};
use super::token_file::TokenFile;
use super::token_reviews::TokenReviews;
use super::trust_controller::{
    ClusterLookup, FrontProxyFile, TrustController, TrustFileError, TrustSource,
};
use crate::cluster::Clients;
use crate::meta::{duration, file_error};
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
    #[arg(
        long,
        value_name = "PATHS",
        value_delimiter = ',',
        default_value = "/healthz,/livez,/readyz"
    )]
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
    /// Priority of users.
    #[command(flatten)]
    pub priority: PriorityOptions,
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
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "requestheader_client_ca_file"
    )]
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
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        requires = "requestheader_client_ca_file"
    )]
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

/// Authorization mode, with the names of kube-apiserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthorizationMode {
    /// Every authenticated user may do everything.
    #[value(name = "AlwaysAllow")]
    AlwaysAllow,
    /// The cluster decides by SubjectAccessReview.
    #[value(name = "Webhook")]
    Webhook,
}

/// Flags of authentication and authorization that do not work together.
#[derive(Debug, thiserror::Error)]
pub enum AccessOptionsError {
    /// No mode, and no cluster to default to `Webhook`.
    #[error(
        "--authorization-mode is not set and there is no cluster: set --kubeconfig, or \
             --authorization-mode=AlwaysAllow to allow everything to every authenticated user"
    )]
    MissingMode,
    /// `Webhook` without a cluster.
    #[error("--authorization-mode=Webhook needs a cluster: set --kubeconfig, or run in a pod")]
    MissingCluster,
    /// Anonymous requests with `AlwaysAllow`: no request would be refused.
    #[error(
        "--anonymous-auth=true is not allowed with --authorization-mode=AlwaysAllow: requests without \
         credentials could do everything"
    )]
    AnonymousWithAlwaysAllow,
    /// No authentication method: every request would be refused.
    #[error("no authentication method: set --token-auth-file, --client-ca-file or --kubeconfig")]
    MissingAuthentication,
    /// Token file that cannot be read or parsed.
    #[error("{flag}: cannot use {path}: {why}")]
    TokenFile {
        /// Flag of the file.
        flag: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Reason.
        why: String,
    },
    /// CA file that cannot be read or parsed.
    #[error(transparent)]
    Trust(#[from] TrustFileError),
}

impl Options {
    /// Returns true if the service account of the pod may connect the server to the cluster. With
    /// `AlwaysAllow`, only a kubeconfig does.
    pub fn uses_pod_account(&self) -> bool {
        self.authorization_mode != Some(AuthorizationMode::AlwaysAllow)
    }

    /// Returns true if trusted CAs are read from the cluster.
    pub fn reads_cluster_trust(&self) -> bool {
        let is_complete = self.client_ca_file.is_some()
            && self.front_proxy.requestheader_client_ca_file.is_some();
        !self.authentication_skip_lookup && !is_complete
    }

    /// Returns true if requests without credentials are served as the anonymous user.
    pub fn allows_anonymous(&self) -> bool {
        self.anonymous_auth
            .unwrap_or(self.authorization_mode != Some(AuthorizationMode::AlwaysAllow))
    }

    /// Creates the authorizer.
    ///
    /// # Errors
    /// A missing mode, and a mode that needs a cluster or excludes anonymous requests.
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
            (None | Some(AuthorizationMode::Webhook), Some(clients)) => {
                Ok(Authorizer::Webhook(AccessReviews::new(
                    clients.authorization.clone(),
                    AlwaysAllowPaths::new(&self.authorization_always_allow_paths),
                    self.authorization_webhook_cache_authorized_ttl,
                    self.authorization_webhook_cache_unauthorized_ttl,
                    metrics.clone(),
                )))
            }
        }
    }

    /// Creates the authenticator, and the controller that keeps its trusted CAs current.
    ///
    /// # Errors
    /// An unusable file, and flags without an authentication method.
    pub fn authenticator(
        &self,
        cluster: Option<&Clients>,
        flows: &Arc<FlowClassifier>,
        metrics: &Arc<Metrics>,
        now: UnixTime,
    ) -> Result<(Authenticator, TrustController), AccessOptionsError> {
        let has_no_file = self.token_auth_file.is_none() && self.client_ca_file.is_none();
        if has_no_file
            && cluster.is_none()
            && self.front_proxy.requestheader_client_ca_file.is_none()
        {
            return Err(AccessOptionsError::MissingAuthentication);
        }
        let tokens = self.token_auth_file.as_deref().map(read_tokens).transpose()?;
        let reviews = cluster.map(|clients| {
            let life = self.authentication_token_webhook_cache_ttl;
            TokenReviews::new(clients.authentication.clone(), life, flows.clone(), metrics.clone())
        });
        let (trusted, controller) = self.trust_controller(cluster).open(now, metrics.clone())?;
        Ok((Authenticator::new(tokens, reviews, trusted, metrics.clone()), controller))
    }

    fn trust_controller(&self, cluster: Option<&Clients>) -> TrustSource {
        let front_proxy = self.front_proxy.file();
        let lookup = match cluster.map(|clients| clients.authentication.clone()) {
            Some(_) if !self.reads_cluster_trust() => ClusterLookup::Disabled,
            Some(client) if self.authentication_tolerate_lookup_failure => {
                ClusterLookup::Optional(client)
            }
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
            extra_prefixes: requestheader_extra_headers_prefix
                .iter()
                .map(|name| name.as_str().to_owned())
                .collect(),
        };
        requestheader_client_ca_file.map(|ca_file| FrontProxyFile {
            ca_file,
            allowed_names: requestheader_allowed_names,
            headers: Arc::new(headers),
        })
    }
}

fn read_tokens(path: &Path) -> Result<TokenFile, AccessOptionsError> {
    let error = |why: String| AccessOptionsError::TokenFile {
        flag: "--token-auth-file",
        path: path.into(),
        why,
    };
    let content = std::fs::read(path).map_err(|why| error(file_error::reading(&why)))?;
    TokenFile::parse(&content).map_err(|why| error(why.to_string()))
}
