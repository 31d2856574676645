//! What every request goes through, whatever its path: identity, limits, deadline, metrics, and the log of failures.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::HttpBody;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, header};
use tower::ServiceExt;

use super::access::{Access, AuditContext, Authorization};
use super::audit::{AuditLog, Entry};
use super::documents::Documents;
use super::health::Health;
use super::held::held;
use super::inflight::InFlight;
use super::lasting::{self, Story};
use super::memory::{Memory, STREAMED, Share};
use super::shutdown::Phase;
use super::websocket::{Upgrade, WebSockets};
use super::{respond, router, well_formed};
use crate::auth::Refusal;
use crate::endpoints::negotiate::{Media, Wanted};
use crate::endpoints::request_info::{RequestInfo, RequestKind, RequestPath};
use crate::endpoints::serve::Api;
use crate::endpoints::verb::Verb;
use crate::machinery::query::Query;
use crate::meta::Status;
use crate::resources::API;
use crate::telemetry::metrics::{Metrics, RequestLabels};

/// Everything that requests need.
pub(super) struct App {
    /// The resources.
    pub(super) api: Api,
    /// Who are you, and may you.
    pub(super) access: Access,
    /// How many at a time.
    pub(super) in_flight: InFlight,
    /// Memory for bodies of requests.
    pub(super) bodies: Arc<Memory>,
    /// Memory for bodies of answers.
    pub(super) answers: Arc<Memory>,
    /// Whether all is well.
    pub(super) health: Health,
    /// Who asked what, if that is written down.
    pub(super) audit: Option<Arc<AuditLog>>,
    /// What happened.
    pub(super) metrics: Arc<Metrics>,
    /// The documents that never change.
    pub(super) documents: Documents,
    /// The longest that a request may take.
    pub(super) request_timeout: Duration,
    /// Connections that became something else.
    pub(super) websockets: WebSockets,
}

/// What a request asks for, read once and used by everything that follows.
#[derive(Clone)]
pub(super) struct Asked {
    /// The parameters.
    pub(super) query: Query,
}

/// Requests that change something get an answer before clients give up on them.
const LONGEST_MUTATION: Duration = Duration::from_secs(34);

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// Leads a request through, and tells of it.
pub(super) async fn guard(app: &App, fixed: Router, request: Request) -> Response {
    let start = Instant::now();
    let audit_id = request.headers().get(AUDIT_ID).filter(|id| is_audit_id(id)).cloned().unwrap_or_else(new_audit_id);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let (path, query) = (RequestPath::new(uri.path()), Query::parse(uri.query()));
    let info = RequestInfo::new(&method, &path, &query);
    let labels = app.labels(&info);
    let wishes = Wishes::of(&request);
    let mut entry = Entry::begin(app.audit.as_ref(), &audit_id, &request, &info);
    let is_watch = method == Method::GET && info.resource_of(API).is_some_and(|resource| resource.is_watch());
    // A watch lasts as long as it says in words of its own.
    let asked_for = if is_watch { Ok(None) } else { query.timeout() };
    let outcome = match well_formed::check(&request).and(asked_for).map(|asked_for| app.deadline(&info, asked_for)) {
        Ok(deadline) => {
            // On the heap, for what is awaited inside of it would be copied with every move of this future.
            let passing = Box::pin(app.pass(&mut entry.context, &labels, &info, request, fixed));
            run(&app.metrics, deadline, passing).await
        }
        Err(status) => Err(status.into()),
    };
    let mut response = outcome.unwrap_or_else(|refusal| match refusal {
        Refusal::Status(status) => respond::status(&status, wishes.media(&query)),
        Refusal::Senseless(why) => respond::internal(&uri, &why),
        Refusal::Undecided(why) => respond::hiding(respond::internal(&uri, &why), why),
    });
    let took = start.elapsed();
    tell(&response, &audit_id, &method, uri.path(), took);
    let headers = response.headers_mut();
    headers.insert(AUDIT_ID, audit_id);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(caching(uri.path())));
    if let Some(warning) = entry.context.warning {
        respond::append_warning(headers, warning);
    }
    if method == Method::HEAD {
        response = respond::without_body(response);
    }
    let code = response.status().as_u16();
    if response.extensions().get::<respond::Endless>().is_some() {
        let story = Story { metrics: app.metrics.clone(), labels, code, start, _event: entry.start(&response) };
        let upgrade = response.extensions_mut().remove::<Upgrade>();
        let response = response.map(|body| lasting::keeping(body, story));
        return match upgrade {
            Some(upgrade) => app.websockets.upgrade(upgrade, response),
            None => response,
        };
    }
    app.metrics.answered(&labels, code, took);
    entry.end(&response);
    response
}

/// What caches may do with an answer that says nothing of it. OpenAPI is served by another part of the reference, which says this.
fn caching(path: &str) -> &'static str {
    if path.starts_with("/openapi/") { "no-cache, private" } else { "no-store" }
}

/// What is kept of a request to write an error as its client wants it, once the request itself is gone.
struct Wishes {
    accept: Option<HeaderValue>,
    agent: Option<HeaderValue>,
}

impl Wishes {
    fn of(request: &Request) -> Self {
        let header = |name: HeaderName| request.headers().get(name).cloned();
        Self { accept: header(header::ACCEPT), agent: header(header::USER_AGENT) }
    }

    fn media(&self, query: &Query) -> Media {
        Wanted::by(self.accept.as_ref(), self.agent.as_ref(), query).for_errors()
    }
}

/// Runs the rest within the deadline. A panic ends the request, not the server.
async fn run(
    metrics: &Metrics,
    deadline: Duration,
    rest: impl Future<Output = Result<Response, Refusal>>,
) -> Result<Response, Refusal> {
    let rest = AssertUnwindSafe(rest).catch_unwind();
    match tokio::time::timeout(deadline, rest).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => {
            metrics.panicked();
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let mut status = Status::internal("This request caused apiserver to panic. Look in the logs for details.");
            status.reason = "InternalError".into();
            status.hidden = Some(format!("panic: {}", text.unwrap_or("without a text")));
            Err(status.into())
        }
        Err(_) => {
            let status = Status::timeout("Timeout: request did not complete within the allotted timeout");
            Err(status.with_details(Default::default()).into())
        }
    }
}

/// The one line about a request that failed; all others are told at a higher verbosity.
fn tell(response: &Response, audit_id: &HeaderValue, method: &Method, path: &str, took: Duration) {
    let code = response.status().as_u16();
    let audit_id = audit_id.to_str().unwrap_or_default();
    let took_ms = took.as_secs_f64() * 1e3;
    match response.extensions().get::<respond::Hidden>() {
        Some(respond::Hidden(cause)) => {
            tracing::error!(audit_id, %method, path, code, took_ms, "request failed: {cause}")
        }
        None => tracing::debug!(audit_id, %method, path, code, took_ms, "request answered"),
    }
}

/// The longest audit ID of a client that is kept, in bytes.
const LONGEST_AUDIT_ID: usize = 64;

/// Returns true if the audit ID of a client is kept for logs and the response. Any other is replaced.
fn is_audit_id(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    (1..=LONGEST_AUDIT_ID).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

fn new_audit_id() -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    HeaderValue::from_str(uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text)).expect("a UUID is plain ASCII")
}

impl App {
    /// How long a request may take.
    fn deadline(&self, info: &RequestInfo<'_>, asked_for: Option<Duration>) -> Duration {
        let most = match info.kind() {
            RequestKind::ReadOnly => self.request_timeout,
            RequestKind::Mutating => self.request_timeout.min(LONGEST_MUTATION),
        };
        asked_for.map_or(most, |wanted| wanted.min(most))
    }

    /// Lets a request through to what answers it, if it may go there.
    async fn pass(
        &self,
        context: &mut AuditContext,
        labels: &RequestLabels,
        info: &RequestInfo<'_>,
        mut request: Request,
        fixed: Router,
    ) -> Result<Response, Refusal> {
        self.access.identify(&mut request, context).await?;
        if self.health.shutdown.phase() >= Phase::Draining && !self.health.is_path(request.uri().path()) {
            return Err(Status::unavailable("apiserver is shutting down").into());
        }
        let authorization = self.access.authorize(info, context);
        // Probes and discovery answer from memory, and must answer when nothing else does. They ask nobody.
        let resource = info.resource_of(API);
        let is_work = resource.is_some() || matches!(authorization, Ok(Authorization::ReviewNeeded(..)));
        let permit = is_work.then(|| self.in_flight.enter(info.kind()));
        if let Some(None) = permit {
            self.metrics.terminated(labels, 429);
            return Err(Status::too_many_requests().into());
        }
        let version = request.version();
        self.access.review(authorization?, context).await?;
        let user = context.effective().cloned();
        let response = match resource {
            Some(resource) => router::resource(self, user, info, resource, request).await,
            None => {
                request.extensions_mut().insert(Asked { query: info.query.clone() });
                Box::pin(fixed.oneshot(request)).await.unwrap_or_else(|never| match never {})
            }
        };
        match permit.flatten() {
            Some(_) if response.extensions().get::<respond::Endless>().is_some() => {
                let place = self.in_flight.enter_watch().ok_or_else(|| {
                    self.metrics.terminated(labels, 429);
                    Status::too_many_requests()
                })?;
                let end = self.health.shutdown.reached(Phase::Draining);
                let kept = (place, self.metrics.long_running(labels));
                Ok(response.map(|body| lasting::keeping(lasting::until(body, end), kept)))
            }
            Some(permit) => {
                let share = self.room(&response, info.kind()).ok_or_else(|| {
                    self.metrics.terminated(labels, 429);
                    Status::too_many_requests()
                })?;
                Ok(response.map(|body| held(body, permit, share, version)))
            }
            None => Ok(response),
        }
    }

    /// Room for an answer until it is sent, if there is any. What was changed is done, and must not be told to be refused.
    fn room(&self, response: &Response, kind: RequestKind) -> Option<Share> {
        let size = response.body().size_hint().exact();
        let size = size.map_or(STREAMED, |size| usize::try_from(size).unwrap_or(usize::MAX));
        match kind {
            RequestKind::ReadOnly => self.answers.take(size),
            RequestKind::Mutating => Some(self.answers.add(size)),
        }
    }

    fn labels(&self, info: &RequestInfo<'_>) -> RequestLabels {
        let Some(resource) = info.resource_of(API) else {
            return RequestLabels::default();
        };
        let Ok(endpoint) = self.api.find(resource) else {
            return RequestLabels::default();
        };
        let scope = match (resource.namespace, resource.name) {
            ("", "") => "cluster",
            (_, "") => "namespace",
            _ => "resource",
        };
        RequestLabels {
            verb: resource.verb.map_or("", Verb::metric_label),
            group: API.group,
            version: API.version,
            resource: endpoint.resource,
            subresource: endpoint.subresource.unwrap_or_default(),
            scope,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(10);

    fn status(outcome: Result<Response, Refusal>) -> Status {
        match outcome {
            Err(Refusal::Status(status)) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// A future is copied each time it is moved, and is as large as the largest of all that is awaited in it.
    #[test]
    fn the_future_of_a_request_is_small() {
        fn size<F>(_: impl Fn(&'static App, Router, Request) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(guard) < 4096, "{}", size(guard));
    }

    #[tokio::test]
    async fn panic_becomes_a_status_without_its_message() {
        let rest = std::future::ready(()).map(|()| -> Result<Response, Refusal> { panic!("secret") });
        let status = status(run(&Metrics::new(), SOON, rest).await);
        assert_eq!((status.code, status.reason.as_str()), (500, "InternalError"));
        assert!(!status.message.contains("secret") && status.hidden.unwrap().contains("secret"));
    }

    #[test]
    fn an_audit_id_is_short_and_plain() {
        let (longest, too_long) = ("x".repeat(64), "x".repeat(65));
        for (id, is_kept) in [
            ("my-own-ID-7", true),
            (&longest, true),
            (&too_long, false),
            ("", false),
            ("a b", false),
            ("a_b", false),
            ("a\u{e4}", false),
        ] {
            assert_eq!(is_audit_id(&HeaderValue::from_bytes(id.as_bytes()).unwrap()), is_kept, "{id}");
        }
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_answered_504() {
        let status = status(run(&Metrics::new(), SOON, std::future::pending()).await);
        assert_eq!((status.code, status.reason.as_str()), (504, "Timeout"));
    }
}
