//! Credentials for webhooks, from a kubeconfig whose users are named after hosts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use serde_json::Value;

use crate::meta::file_error;

/// Credentials by host. As `defaultAuthenticationInfoResolver` in
/// `k8s.io/apiserver/pkg/util/webhook/authentication.go`.
#[derive(Clone, Debug, Default)]
pub struct WebhookCredentials {
    users: Vec<(String, Arc<WebhookUser>)>,
    /// The user of the current context, for all other hosts.
    default: Option<Arc<WebhookUser>>,
}

/// User of a kubeconfig.
#[derive(Default)]
pub struct WebhookUser {
    /// Identity among the users of one kubeconfig.
    pub(super) number: usize,
    pub(super) certificate: Option<ClientPair>,
    authorization: AuthorizationHeader,
}

/// Client certificate with its chain, and its key.
pub(super) struct ClientPair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

#[derive(Default)]
enum AuthorizationHeader {
    #[default]
    None,
    Fixed(String),
    /// File with a bearer token, which is read for each call.
    TokenFile(PathBuf),
}

/// Kubeconfig that cannot be used for webhooks.
#[derive(Debug, thiserror::Error)]
pub enum WebhookCredentialsError {
    /// Document of another form.
    #[error("it is not a kubeconfig: {0}")]
    Malformed(serde_json::Error),
    /// User that cannot be used.
    #[error("the user {name:?} cannot be used: {why}")]
    User {
        /// Name of the user.
        name: String,
        /// Cause and way out.
        why: String,
    },
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct KubeconfigFields {
    users: Vec<NamedUser>,
    contexts: Vec<NamedContext>,
    current_context: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedUser {
    name: String,
    user: UserFields,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserFields {
    token: String,
    #[serde(rename = "tokenFile")]
    token_file: String,
    username: String,
    password: String,
    #[serde(rename = "client-certificate")]
    certificate: String,
    #[serde(rename = "client-certificate-data")]
    certificate_data: String,
    #[serde(rename = "client-key")]
    key: String,
    #[serde(rename = "client-key-data")]
    key_data: String,
    exec: Option<Value>,
    #[serde(rename = "auth-provider")]
    auth_provider: Option<Value>,
    #[serde(rename = "as")]
    impersonated: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedContext {
    name: String,
    context: ContextFields,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContextFields {
    user: String,
}

impl WebhookCredentials {
    /// Reads the users of a kubeconfig in this folder, with their files.
    ///
    /// # Errors
    /// Another document, or a user with a file that cannot be read or a way to authenticate that
    /// this server does not have.
    pub fn of_kubeconfig(config: Value, folder: &Path) -> Result<Self, WebhookCredentialsError> {
        let config = serde_json::from_value(config).map_err(WebhookCredentialsError::Malformed)?;
        let KubeconfigFields { users, contexts, current_context } = config;
        let mut read = Vec::new();
        for (number, NamedUser { name, user }) in users.into_iter().enumerate() {
            match user.read(number, folder) {
                Ok(user) => read.push((name, Arc::new(user))),
                Err(why) => return Err(WebhookCredentialsError::User { name, why }),
            }
        }
        let current = contexts.into_iter().find(|context| context.name == current_context);
        let current = current.map(|context| context.context.user).unwrap_or_default();
        let default = read.iter().find(|(name, _)| *name == current).map(|(_, user)| user.clone());
        Ok(Self { users: read, default })
    }

    /// Returns the user for a host and port, such as `hook.ns.svc:443`. A user is named after the
    /// host with or without the port 443, after a domain of it, as `*.ns.svc`, or `*`.
    pub(super) fn user(&self, host: &str, port: u16) -> Option<Arc<WebhookUser>> {
        let with_port = format!("{host}:{port}");
        let names = std::iter::once(with_port.as_str()).chain((port == 443).then_some(host));
        let mut named = names.filter_map(|name| self.of_host(name));
        let named = named.next().or_else(|| self.named("*"));
        named.or(self.default.as_ref()).cloned()
    }

    /// The user of the longest name that matches.
    fn of_host(&self, host: &str) -> Option<&Arc<WebhookUser>> {
        let domains = host.match_indices('.').map(|(at, _)| format!("*{}", &host[at..]));
        self.named(host).or_else(|| domains.into_iter().find_map(|domain| self.named(&domain)))
    }

    fn named(&self, wanted: &str) -> Option<&Arc<WebhookUser>> {
        self.users.iter().find(|(name, _)| name == wanted).map(|(_, user)| user)
    }
}

impl WebhookUser {
    /// Returns the header `Authorization`; `None` without token and password.
    ///
    /// # Errors
    /// A sentence about a token file that cannot be read.
    pub(super) async fn authorization(&self) -> Result<Option<String>, String> {
        match &self.authorization {
            AuthorizationHeader::None => Ok(None),
            AuthorizationHeader::Fixed(value) => Ok(Some(value.clone())),
            AuthorizationHeader::TokenFile(path) => match tokio::fs::read_to_string(path).await {
                Ok(token) => Ok(Some(bearer(token.trim()))),
                Err(error) => {
                    let why = file_error::reading(&error);
                    Err(format!("failed to read token file {:?}: {why}", path.display()))
                }
            },
        }
    }
}

impl UserFields {
    fn read(self, number: usize, folder: &Path) -> Result<WebhookUser, String> {
        if self.exec.is_some() || self.auth_provider.is_some() || !self.impersonated.is_empty() {
            return Err(
                "for webhooks this server has no exec, auth-provider and as: use a token, \
                        tokenFile, a client certificate, or a password"
                    .into(),
            );
        }
        let certificate = content(&self.certificate_data, &self.certificate, folder)?;
        let key = content(&self.key_data, &self.key, folder)?;
        let certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(ClientPair::read(&certificate, &key)?),
            (None, None) => None,
            _ => return Err("it has a client certificate or a key, but not both".into()),
        };
        let authorization = if !self.token_file.is_empty() {
            AuthorizationHeader::TokenFile(folder.join(&self.token_file))
        } else if !self.token.is_empty() {
            AuthorizationHeader::Fixed(bearer(&self.token))
        } else if !self.username.is_empty() {
            let pair = BASE64_STANDARD.encode(format!("{}:{}", self.username, self.password));
            AuthorizationHeader::Fixed(format!("Basic {pair}"))
        } else {
            AuthorizationHeader::None
        };
        Ok(WebhookUser { number, certificate, authorization })
    }
}

impl ClientPair {
    fn read(certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|why| format!("client certificate: {why}"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|why| format!("client key: {why}"))?;
        match chain.is_empty() {
            true => Err("client certificate: no certificate in PEM".into()),
            false => Ok(Self { chain, key }),
        }
    }
}

impl fmt::Debug for WebhookUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookUser").field("number", &self.number).finish_non_exhaustive()
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The content of a field with data, or else of a file.
fn content(data: &str, file: &str, folder: &Path) -> Result<Option<Vec<u8>>, String> {
    if !data.is_empty() {
        let data = BASE64_STANDARD.decode(data);
        return data.map(Some).map_err(|why| format!("its data is not base64: {why}"));
    }
    if file.is_empty() {
        return Ok(None);
    }
    let path = folder.join(file);
    let read = std::fs::read(&path);
    read.map(Some).map_err(|error| format!("{}: {}", path.display(), file_error::reading(&error)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn credentials(names: &[&str], current: &str) -> WebhookCredentials {
        let user = |name: &&str| json!({"name": name, "user": {"token": name}});
        let users: Vec<Value> = names.iter().map(user).collect();
        let config = json!({
            "users": users, "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "", "user": current}}],
        });
        WebhookCredentials::of_kubeconfig(config, Path::new("/")).unwrap()
    }

    async fn token(credentials: &WebhookCredentials, host: &str, port: u16) -> Option<String> {
        let user = credentials.user(host, port)?;
        user.authorization().await.unwrap()
    }

    #[tokio::test]
    async fn user_with_the_closest_name_is_chosen() {
        let all = ["*", "a.ns.svc", "a.ns.svc:8443", "*.ns.svc", "*.svc:8443"];
        let credentials = credentials(&all, "");
        for (host, port, expected) in [
            ("a.ns.svc", 443, "a.ns.svc"),
            ("a.ns.svc", 8443, "a.ns.svc:8443"),
            ("b.ns.svc", 443, "*.ns.svc"),
            ("b.ns.svc", 8443, "*.svc:8443"),
            ("b.ns.svc", 9443, "*"),
            ("example.com", 443, "*"),
        ] {
            let expected = Some(format!("Bearer {expected}"));
            assert_eq!(token(&credentials, host, port).await, expected, "{host}:{port}");
        }
    }

    #[tokio::test]
    async fn current_context_is_the_last_resort() {
        let of_context = credentials(&["a.svc", "other"], "other");
        assert_eq!(token(&of_context, "b.svc", 443).await.as_deref(), Some("Bearer other"));
        let without = credentials(&["a.svc", "other"], "");
        assert_eq!(token(&without, "b.svc", 443).await, None);
    }

    #[tokio::test]
    async fn token_files_are_read_again_and_passwords_encoded() {
        let folder = tempfile::tempdir().unwrap();
        let users = json!([
            {"name": "a", "user": {"tokenFile": "token", "token": "unused"}},
            {"name": "b", "user": {"username": "u", "password": "p"}},
        ]);
        let read =
            WebhookCredentials::of_kubeconfig(json!({"users": users}), folder.path()).unwrap();
        let user = read.user("a", 443).unwrap();
        assert!(user.authorization().await.unwrap_err().contains("failed to read token file"));
        for token in ["first", "second"] {
            std::fs::write(folder.path().join("token"), format!("{token}\n")).unwrap();
            assert_eq!(user.authorization().await, Ok(Some(format!("Bearer {token}"))));
        }
        assert_eq!(token(&read, "b", 443).await.as_deref(), Some("Basic dTpw"));
        assert!(!format!("{read:?}").contains("dTpw"));
    }

    #[test]
    fn unusable_users_are_refused() {
        for (user, expected) in [
            (json!({"exec": {"command": "x"}}), "no exec"),
            (json!({"client-certificate-data": "eA=="}), "not both"),
            (json!({"client-certificate-data": "?", "client-key-data": "eA=="}), "not base64"),
            (json!({"client-certificate-data": "eA==", "client-key-data": "eA=="}), "client key"),
            (json!({"client-certificate": "missing"}), "correct the path"),
        ] {
            let config = json!({"users": [{"name": "a", "user": user}]});
            let why = WebhookCredentials::of_kubeconfig(config, Path::new("/none")).unwrap_err();
            assert!(why.to_string().contains(expected), "{why}");
        }
        let odd = WebhookCredentials::of_kubeconfig(json!({"users": 1}), Path::new("/"));
        assert!(odd.unwrap_err().to_string().starts_with("it is not a kubeconfig"));
    }
}
