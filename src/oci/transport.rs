//! `HttpTransport`: requests within the rules that hold for all servers of an import: addresses,
//! pace, redirects, time limits and sizes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper_util::client::proxy::matcher::Matcher;
use parking_lot::Mutex;
use reqwest::{Client, Response, Url, redirect};
use tokio::time::Instant;

use super::body_memory::{BodyMemory, BodyShare};
use super::certs_dir::{CertsDir, HostCertificates};
use super::error::{RegistryError, RequestFailure};
use super::failure::{self, RootCount, Route, request_error};
use super::guard::AddressGuard;
use super::limits::{MAX_ERROR_BYTES, MAX_REDIRECTS, PullTimeouts};
use super::registry_limiter::RequestSlot;
use super::registry_limiters::{RegistryLimiters, authority};
use super::request_sender::RequestSender;
use super::resolver::GuardedResolver;
use super::response_error::retry_after;
use super::trust::{self, Security, SystemRoots};
use crate::machinery::body_limits::count_values;
use crate::telemetry::import_metrics::{ImportMetrics, ResponseClass};

/// Idle connections that are kept for each host.
const MAX_IDLE_CONNECTIONS: usize = 16;
/// Time to keep an idle connection.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(90);
/// Maximum size of response headers over HTTP/2.
const MAX_HEADER_BYTES: u32 = 64 << 10;

/// HTTP client of all imports. Requests share connections, not credentials.
pub(super) struct HttpTransport {
    guard: Arc<AddressGuard>,
    roots: SystemRoots,
    certificates: CertsDir,
    /// Proxies of HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
    proxies: Matcher,
    timeouts: PullTimeouts,
    limiters: RegistryLimiters,
    bodies: BodyMemory,
    metrics: ImportMetrics,
    clients: Mutex<HashMap<ClientKey, Client>>,
}

/// Settings that connections have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ClientKey {
    certificates: Option<String>,
    security: Security,
    route: Route,
}

/// A request.
pub(super) struct RegistryRequest<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: Option<HeaderValue>,
    /// Header for the origin of the URL. Other origins do not get it.
    pub(super) authorization: Option<HeaderValue>,
    /// Form of a POST request.
    pub(super) form: Option<String>,
    pub(super) sender: &'a RequestSender,
    pub(super) security: Security,
    /// Time limit of the request with its response.
    pub(super) timeout: Duration,
}

/// A response without its body.
pub(super) struct RegistryResponse {
    response: Response,
    method: &'static str,
    /// URL after redirects.
    url: Url,
    route: Route,
    roots: RootCount,
    sent: Instant,
    slot: RequestSlot,
    memory: BodyShare,
    registry: String,
}

impl HttpTransport {
    pub(super) fn new(
        guard: AddressGuard,
        roots: SystemRoots,
        certificates: CertsDir,
        timeouts: PullTimeouts,
        limiters: RegistryLimiters,
        metrics: ImportMetrics,
    ) -> Self {
        Self {
            guard: Arc::new(guard),
            roots,
            certificates,
            proxies: Matcher::from_env(),
            timeouts,
            limiters,
            bodies: BodyMemory::new(),
            metrics,
            clients: Mutex::default(),
        }
    }

    pub(super) fn timeouts(&self) -> &PullTimeouts {
        &self.timeouts
    }

    /// Sends a request and follows redirects of GET and HEAD. The limits are those of the first
    /// server; the time limit begins when they let the request pass.
    ///
    /// # Errors
    /// A request without a response, and a refused address or redirect.
    pub(super) async fn send(
        &self,
        request: RegistryRequest<'_>,
    ) -> Result<RegistryResponse, RegistryError> {
        let sender = request.sender;
        let identity = self.limiters.identity(sender.credential.as_ref());
        let registry = authority(&request.url);
        let throttled =
            |throttle| RegistryError::Throttled { registry: registry.clone(), throttle };
        let limiter = self.limiters.of(&request.url).map_err(throttled)?;
        let slot = limiter.acquire(&sender.namespace, identity).await.map_err(throttled)?;
        let sent = Instant::now();
        let arrived = self.follow(request, sent).await;
        self.metrics.record_request(&registry, class_of(&arrived));
        match &arrived {
            Ok(arrived) => {
                let status = arrived.response.status();
                let is_refused = status == StatusCode::TOO_MANY_REQUESTS;
                if is_refused {
                    limiter.record_refusal(sent);
                }
                let is_paused = is_refused || status == StatusCode::SERVICE_UNAVAILABLE;
                if let Some(pause) = retry_after(arrived.response.headers()).filter(|_| is_paused) {
                    limiter.record_pause(identity, pause);
                }
            }
            Err(error) if error.is_unreachable() => limiter.record_failure(sent),
            Err(_) => {}
        }
        let Arrived { response, method, url, route, roots } = arrived?;
        let memory = self.bodies.share(&sender.namespace);
        Ok(RegistryResponse { response, method, url, route, roots, sent, slot, memory, registry })
    }

    async fn follow(
        &self,
        request: RegistryRequest<'_>,
        sent: Instant,
    ) -> Result<Arrived, RegistryError> {
        let deadline = sent + request.timeout;
        let RegistryRequest { method, mut url, accept, mut authorization, form, security, .. } =
            request;
        let name = go_name(&method);
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = HeaderMap::new();
            headers.extend(accept.clone().map(|value| (header::ACCEPT, value)));
            headers.extend(authorization.clone().map(|value| (header::AUTHORIZATION, value)));
            let hop = Hop { method: &method, url: &url, headers, form: form.as_deref(), security };
            let incoming = self.send_once(hop, deadline).await?;
            let Some(next) = redirect_target(&incoming, &method) else { return Ok(incoming) };
            let next = next.and_then(|next| permitted(&url, next));
            let next = next.map_err(|cause| request_error(name, &url, cause))?;
            if next.origin() != url.origin() {
                authorization = None;
            }
            url = next;
        }
        Err(request_error(name, &url, RequestFailure::Redirect("stopped after 10 redirects")))
    }

    async fn send_once(&self, hop: Hop<'_>, deadline: Instant) -> Result<Arrived, RegistryError> {
        let Hop { method, url, headers, form, security } = hop;
        let name = go_name(method);
        let error = |cause| request_error(name, url, cause);
        self.check_literal(url).map_err(error)?;
        let (client, route) = self.client(url, security).map_err(error)?;
        let remaining = deadline.saturating_duration_since(Instant::now());
        let mut builder =
            client.request(method.clone(), url.clone()).headers(headers).timeout(remaining);
        if let Some(form) = form {
            let form_type = "application/x-www-form-urlencoded";
            builder = builder.header(header::CONTENT_TYPE, form_type).body(form.to_owned());
        }
        let roots = self.root_count(url);
        let response = builder.send().await;
        let response = response.map_err(|why| error(failure::of(&why, url, route, roots)))?;
        Ok(Arrived { response, method: name, url: url.clone(), route, roots })
    }

    /// Checks an address in a URL. Names are checked when they are resolved.
    fn check_literal(&self, url: &Url) -> Result<(), RequestFailure> {
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            Ok(address) => self.guard.check(address).map_err(RequestFailure::Blocked),
            Err(_) => Ok(()),
        }
    }

    fn root_count(&self, url: &Url) -> RootCount {
        let own = self.host_certificates(url).is_some_and(|(_, it)| !it.authorities.is_empty());
        if self.roots.store.is_empty() && !own { RootCount::None } else { RootCount::Some }
    }

    fn host_certificates(&self, url: &Url) -> Option<(&str, &HostCertificates)> {
        self.certificates.find(url.host_str()?, url.port_or_known_default()?)
    }

    /// The client for a URL. It is created when it is first used.
    fn client(&self, url: &Url, security: Security) -> Result<(Client, Route), RequestFailure> {
        let uri = url.as_str().parse::<http::Uri>().map_err(|error| unsupported(&error))?;
        let is_proxied = self.proxies.intercept(&uri).is_some();
        let route = if is_proxied { Route::Proxied } else { Route::Direct };
        let found = self.host_certificates(url);
        let key =
            ClientKey { certificates: found.map(|(name, _)| name.to_owned()), security, route };
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(&key) {
            return Ok((client.clone(), route));
        }
        let config = trust::client_config(&self.roots, found.map(|(_, it)| it), security);
        let config = config.map_err(|error| RequestFailure::Tls(format!("tls: {error}")))?;
        let client = self.build(config, route).map_err(|error| unsupported(&error))?;
        clients.insert(key, client.clone());
        Ok((client, route))
    }

    fn build(&self, config: rustls::ClientConfig, route: Route) -> reqwest::Result<Client> {
        let builder = Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.timeouts.connect)
            .read_timeout(self.timeouts.idle)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .http2_max_header_list_size(MAX_HEADER_BYTES);
        match route {
            Route::Direct => {
                builder.no_proxy().dns_resolver(GuardedResolver(self.guard.clone())).build()
            }
            // By default the client uses the proxies of the environment, as `proxies` does. The
            // proxy resolves the name of the registry. Its own address is not checked.
            Route::Proxied => builder.build(),
        }
    }
}

/// One request of a chain of redirects.
struct Hop<'a> {
    method: &'a Method,
    url: &'a Url,
    headers: HeaderMap,
    form: Option<&'a str>,
    security: Security,
}

/// A response to one request.
struct Arrived {
    response: Response,
    method: &'static str,
    url: Url,
    route: Route,
    roots: RootCount,
}

impl RegistryResponse {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns the URL after redirects.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Reads a body of at most `limit` bytes. Error messages call it `what`.
    ///
    /// # Errors
    /// A larger, encoded or incomplete body.
    pub(super) async fn read(
        mut self,
        what: &'static str,
        limit: usize,
    ) -> Result<Bytes, RegistryError> {
        let too_large = || RegistryError::TooLarge { what, limit, unit: "bytes" };
        if let Some(encoding) = self.headers().get(header::CONTENT_ENCODING)
            && encoding != "identity"
        {
            let cause = RequestFailure::Unsupported("the response has a content encoding".into());
            return Err(request_error(self.method, &self.url, cause));
        }
        if self.response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        // Within the limit, as checked above.
        let declared =
            self.response.content_length().and_then(|length| usize::try_from(length).ok());
        let mut body = BytesMut::new();
        loop {
            match self.response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > limit => return Err(too_large()),
                Ok(Some(chunk)) => {
                    let reserved =
                        self.memory.grow_to(declared.unwrap_or(body.len() + chunk.len())).await;
                    let registry = &self.registry;
                    reserved.map_err(|throttle| RegistryError::Throttled {
                        registry: registry.clone(),
                        throttle,
                    })?;
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => return Ok(body.freeze()),
                Err(error) => {
                    self.slot.limiter().record_failure(self.sent);
                    let cause = failure::of(&error, &self.url, self.route, self.roots);
                    return Err(request_error(self.method, &self.url, cause));
                }
            }
        }
    }

    /// Reads a JSON body of at most `limit` bytes and `max_values` values.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) async fn read_json(
        self,
        what: &'static str,
        limit: usize,
        max_values: usize,
    ) -> Result<Bytes, RegistryError> {
        let body = self.read(what, limit).await?;
        match count_values(&body) > max_values {
            true => Err(RegistryError::TooLarge { what, limit: max_values, unit: "values" }),
            false => Ok(body),
        }
    }

    /// Reads the body of an error. One that is too large or incomplete counts as empty, because the
    /// status alone is an error already.
    pub(super) async fn read_error(self) -> Bytes {
        self.read("error", MAX_ERROR_BYTES).await.unwrap_or_default()
    }
}

/// The response as a label.
fn class_of(arrived: &Result<Arrived, RegistryError>) -> ResponseClass {
    match arrived {
        Ok(arrived) => ResponseClass::Status(arrived.response.status().as_u16()),
        Err(_) => ResponseClass::None,
    }
}

fn unsupported(error: &dyn std::error::Error) -> RequestFailure {
    RequestFailure::Unsupported(error.to_string())
}

/// The URL of a redirect; none for other responses, which include redirects without a target.
fn redirect_target(incoming: &Arrived, method: &Method) -> Option<Result<Url, RequestFailure>> {
    let is_redirect = matches!(incoming.response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    if !is_redirect || *method == Method::POST {
        return None;
    }
    let location = incoming.response.headers().get(header::LOCATION)?;
    let target = location.to_str().ok().and_then(|text| incoming.url.join(text).ok());
    Some(target.ok_or(RequestFailure::Redirect("failed to parse Location header")))
}

/// Checks a redirect.
fn permitted(from: &Url, to: Url) -> Result<Url, RequestFailure> {
    match (from.scheme(), to.scheme()) {
        ("https", "http") => Err(RequestFailure::Redirect("redirect from https to http")),
        (_, "https" | "http") if to.username().is_empty() && to.password().is_none() => Ok(to),
        _ => Err(RequestFailure::Redirect("redirect to an unsupported URL")),
    }
}

/// The name of a method in Go's errors.
fn go_name(method: &Method) -> &'static str {
    match *method {
        Method::HEAD => "Head",
        Method::POST => "Post",
        _ => "Get",
    }
}
