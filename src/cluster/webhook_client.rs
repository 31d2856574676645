//! HTTP client of admission webhooks.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header;
use parking_lot::Mutex;
use reqwest::{Client, Url, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;

use super::error_message;
use super::webhook::{Webhook, WebhookTarget};
use super::webhook_credentials::{ClientPair, WebhookCredentials, WebhookUser};
use super::webhook_response::{ReadError, ResponseReader, WebhookCallError, WebhookResponse};
use crate::runtime::BudgetAccount;

/// HTTP client of admission webhooks. Webhooks with the same CAs and credentials share connections.
#[derive(Default)]
pub struct WebhookClient {
    credentials: WebhookCredentials,
    clients: Mutex<HashMap<WebhookClientKey, Client>>,
    system_roots: OnceLock<RootCertStore>,
}

/// Settings that connections have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct WebhookClientKey {
    ca_bundle: Vec<u8>,
    /// User among those of the credentials.
    user: Option<usize>,
    /// HTTP/2 sends all requests to one of several servers, so only a local one gets it.
    protocol: HttpVersions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum HttpVersions {
    Http1,
    Any,
}

/// Maximum number of sets of CAs with open connections.
const MAX_CLIENTS: usize = 128;
/// Time to keep an idle connection.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(90);
/// Idle connections that are kept for each host.
const MAX_IDLE_CONNECTIONS: usize = 16;

impl WebhookClient {
    /// Client that authenticates with these credentials.
    pub fn new(credentials: WebhookCredentials) -> Self {
        Self { credentials, ..Self::default() }
    }

    /// Posts an AdmissionReview and returns the response. Its memory is charged to an account.
    ///
    /// # Errors
    /// An unusable configuration, a failed or late response, a status other than 2xx, or no memory.
    pub async fn post(
        &self,
        webhook: &Webhook,
        review: Vec<u8>,
        account: Option<&BudgetAccount>,
    ) -> Result<WebhookResponse, WebhookCallError> {
        let url = url_of(webhook)?;
        let user = self.credentials.user(
            url.host_str().unwrap_or_default(),
            url.port_or_known_default().unwrap_or_default(),
        );
        let client = self.client(webhook, &url, user.as_deref())?;
        let authorization = match &user {
            Some(user) => user.authorization().await?,
            None => None,
        };
        let mut request = client
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, */*")
            .body(review);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let mut reader = ResponseReader { deadline: Instant::now() + webhook.timeout, account };
        match reader.read(request.send()).await {
            Ok(response) => Ok(response),
            Err(ReadError::Transport(why)) => {
                Err(WebhookCallError::Failed(format!("Post \"{url}\": {why}")))
            }
            Err(ReadError::Response(why)) => Err(WebhookCallError::Failed(why)),
            Err(ReadError::Memory(refusal)) => Err(WebhookCallError::NoMemory(refusal)),
        }
    }

    fn client(
        &self,
        webhook: &Webhook,
        url: &Url,
        user: Option<&WebhookUser>,
    ) -> Result<Client, String> {
        let protocol = if is_local(url) { HttpVersions::Any } else { HttpVersions::Http1 };
        let ca_bundle = webhook.ca_bundle.clone();
        let key = WebhookClientKey { ca_bundle, user: user.map(|user| user.number), protocol };
        if let Some(client) = self.clients.lock().get(&key) {
            return Ok(client.clone());
        }
        let certificate = user.and_then(|user| user.certificate.as_ref());
        let client = self
            .build(&key, certificate)
            .map_err(|why| format!("could not get REST client: {why}"))?;
        let mut clients = self.clients.lock();
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        Ok(clients.entry(key).or_insert(client).clone())
    }

    fn build(
        &self,
        key: &WebhookClientKey,
        certificate: Option<&ClientPair>,
    ) -> Result<Client, String> {
        let roots = match key.ca_bundle.is_empty() {
            true => self.system_roots.get_or_init(system_roots).clone(),
            false => roots(&key.ca_bundle)?,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = config.with_root_certificates(roots);
        let mut config = match certificate {
            None => config.with_no_client_auth(),
            Some(ClientPair { chain, key }) => config
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| error.to_string())?,
        };
        config.alpn_protocols = match key.protocol {
            HttpVersions::Http1 => vec![b"http/1.1".to_vec()],
            HttpVersions::Any => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent("kube-apiserver-admission")
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .build()
            .map_err(|error| error_message(&error))
    }
}

/// URL with the timeout, for the webhook.
fn url_of(webhook: &Webhook) -> Result<Url, String> {
    let WebhookTarget::Url(url) = &webhook.target else {
        return Err("webhook configuration must have either service or URL".into());
    };
    let mut url = Url::parse(url).map_err(|why| format!("Unparsable URL: {why}"))?;
    if url.scheme() != "https" {
        return Err(format!("the URL {url} does not begin with https://"));
    }
    url.set_query(Some(&format!("timeout={}s", webhook.timeout.as_secs())));
    Ok(url)
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn roots(bundle: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        let certificate = certificate.map_err(|why| format!("caBundle: {why}"))?;
        roots.add(certificate).map_err(|why| format!("caBundle: {why}"))?;
    }
    match roots.is_empty() {
        true => Err("unable to load root certificates: unable to parse bytes as PEM block".into()),
        false => Ok(roots),
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
