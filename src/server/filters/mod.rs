//! The filters of every request, in their order.
//!
//! [`FilterChain::serve`] and the two functions that it calls list the filters, outermost first, as
//! `DefaultBuildHandlerChain` in k8s.io/apiserver/pkg/server/config.go does. Each filter is a file.
//! Filters are plain functions, so that a request needs one future and not one allocation for each
//! filter.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};

mod accounted_body;
mod arrival;
mod audit;
mod audit_id;
mod authentication;
mod authorization;
mod cache_control;
mod deadline;
mod draining;
mod error_response;
mod head;
mod impersonation;
pub(super) mod in_flight;
mod long_running;
mod metrics;
mod panic_recovery;
mod request_log;
mod warnings;
mod well_formed;

pub(super) use authentication::Authentication;
pub(super) use authorization::Authorization;

use self::audit::AuditEntry;
use self::error_response::ErrorFormat;
use self::in_flight::{Permit, RequestLimits};
use self::long_running::LongRunning;
use self::request_log::{ExpectedSpeed, RequestLog, ResponseFacts};
use super::audit::{AuditContext, AuditLog};
use super::health;
use super::listen::Peer;
use super::profiling;
use super::request_body;
use super::respond::EventStream;
use super::router::Router;
use super::shutdown::Shutdown;
use super::steps::Step;
use super::websocket::WebSockets;
use crate::auth::{FlowClassifier, Rejection};
use crate::endpoints::request_info::{RequestInfo, RequestKind, RequestPath, ResourceInfo};
use crate::machinery::query::Query;
use crate::meta::Status;
use crate::runtime::{Flow, MemoryBudget, PriorityLevel};
use crate::telemetry::metrics::{Metrics, RequestLabels};

/// The filters, with the handlers behind them.
pub(super) struct FilterChain {
    /// Credentials and the users that they prove.
    pub(super) authentication: Authentication,
    /// The decisions about requests.
    pub(super) authorization: Authorization,
    /// The flows that share limits.
    pub(super) flows: Arc<FlowClassifier>,
    /// The limits on the number of requests.
    pub(super) in_flight: RequestLimits,
    /// Memory for the bodies of requests.
    pub(super) memory: MemoryBudget,
    /// The audit log, if there is one.
    pub(super) audit: Option<Arc<AuditLog>>,
    /// The metrics of requests.
    pub(super) metrics: Arc<Metrics>,
    /// The longest time that a request may take.
    pub(super) request_timeout: Duration,
    /// The phase of the server.
    pub(super) shutdown: Shutdown,
    /// Connections that became WebSockets.
    pub(super) websockets: WebSockets,
    /// The handlers.
    pub(super) router: Router,
}

impl FilterChain {
    /// The service of the listener.
    pub(super) fn service(
        self: Arc<Self>,
    ) -> impl Service<
        hyper::Request<Incoming>,
        Response = Response,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + Sync {
        service_fn(move |request: hyper::Request<Incoming>| {
            let chain = self.clone();
            // Boxed, because the listener and hyper move the future several times.
            Box::pin(async move { Ok(chain.serve(request.map(Body::new)).await) })
        })
    }

    /// Serves a request: the filters that see every response, around those that can refuse the
    /// request.
    async fn serve(&self, request: Request) -> Response {
        let received = Instant::now();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let (path, query) = (RequestPath::new(uri.path()), Query::parse(uri.query()));
        let info = RequestInfo::new(&method, &path, &query);
        let audit_id = audit_id::of(request.headers());
        let labels = metrics::labels(self.router.api(), &info);
        let error_format = ErrorFormat::of(request.headers());
        let mut audit = AuditEntry::begin(self.audit.as_ref(), &audit_id, &request, &info);
        let log = RequestLog::begin(&request, received);

        let version = request.version();
        let mut permit = None;
        let outcome =
            self.serve_in_time(&info, &labels, &mut audit.context, &mut permit, request).await;

        let mut response =
            outcome.unwrap_or_else(|refusal| error_format.response(refusal, &uri, &query));
        if let Some(permit) = permit {
            response = response.map(|body| accounted_body::account(body, permit, version));
        }
        let took = received.elapsed();
        let response = head::complete(&method, response);
        let speed = match deadline::is_import(&info) || profiling::is_profile(info.path) {
            true => ExpectedSpeed::Any,
            false => ExpectedSpeed::Fast,
        };
        let facts =
            ResponseFacts { audit_id: &audit_id, method: method.as_str(), path: uri.path(), speed };
        let mut response = log.end(response, took, &facts, &audit.context);
        audit_id::set(&mut response, audit_id);
        cache_control::set(&mut response, uri.path());
        draining::end_connection(&self.shutdown, version, &mut response);
        warnings::add(&mut response, &audit.context);
        let code = response.status().as_u16();
        if response.extensions().get::<EventStream>().is_some() {
            let metrics = self.metrics.clone();
            let request =
                LongRunning { metrics, labels, code, received, _audit: audit.start(&response) };
            return self.websockets.complete(long_running::observe(response, request));
        }
        metrics::record(&self.metrics, &labels, code, took);
        audit.end(&response);
        response
    }

    /// Serves a request within its deadline. `permit` keeps the place of a response that is an
    /// error.
    async fn serve_in_time(
        &self,
        info: &RequestInfo<'_>,
        labels: &RequestLabels,
        context: &mut AuditContext,
        permit: &mut Option<Permit>,
        request: Request,
    ) -> Result<Response, Rejection> {
        well_formed::check(&request)?;
        let deadline = deadline::of(info, self.request_timeout)?;
        // Boxed, because the futures of handlers are large, and a future is copied when it moves.
        let served = Box::pin(self.serve_admitted(info, labels, context, permit, request));
        deadline::enforce(deadline, panic_recovery::catch(&self.metrics, served)).await
    }

    /// Serves a request if all filters admit it.
    async fn serve_admitted(
        &self,
        info: &RequestInfo<'_>,
        labels: &RequestLabels,
        context: &mut AuditContext,
        permit: &mut Option<Permit>,
        mut request: Request,
    ) -> Result<Response, Rejection> {
        let version = request.version();
        let address = source_of(&request);
        let identified = self.identify(address, context, &mut request).await;
        let flow = self.flows.flow(context.effective().map(Arc::as_ref), address);
        context.steps.begin(Step::Authorization);
        let authorized = match identified {
            Ok(()) => self.authorize(info, flow, context).await,
            refused => refused,
        };
        // A mutating request takes its place when its body has arrived.
        let resource = self.router.resource(info);
        let body = match (&authorized, info.kind(), resource) {
            (Ok(()), RequestKind::Mutating, Some(resource)) => {
                context.steps.begin(Step::Body);
                self.read_body(resource, flow, &mut request).await?
            }
            _ => Bytes::new(),
        };
        context.steps.begin(Step::Queue);
        let is_resource = resource.is_some() && authorized.is_ok();
        if is_limited(info, flow, is_resource) {
            *permit = Some(self.admit(info.kind(), flow).await?);
        }
        authorized?;

        context.steps.begin(Step::Handler);
        let user = context.effective();
        let response = self.router.handle(info, user, flow, request, body).await;

        if response.extensions().get::<EventStream>().is_some() {
            let watch =
                self.in_flight.admit_watch(flow).map_err(|_| Status::too_many_requests())?;
            drop(permit.take());
            let gauge = self.metrics.long_running(labels);
            return Ok(long_running::hold(response, (watch, gauge), &self.shutdown));
        }
        if permit.is_none() {
            return Ok(response);
        }
        let account = |body, permit| accounted_body::account(body, permit, version);
        Ok(match permit.take() {
            Some(permit) => response.map(|body| account(body, permit)),
            None => response,
        })
    }

    /// Finds the user of a request, and removes the credentials from it.
    ///
    /// # Errors
    /// The errors of authentication and impersonation.
    async fn identify(
        &self,
        address: IpAddr,
        context: &mut AuditContext,
        request: &mut Request,
    ) -> Result<(), Rejection> {
        self.authentication.authenticate(request, address, context).await?;
        let (headers, authorization) = (request.headers(), &self.authorization);
        impersonation::apply(headers, authorization, &self.flows, address, context).await?;
        self.authentication.remove_credentials(request);
        Ok(())
    }

    async fn authorize(
        &self,
        info: &RequestInfo<'_>,
        flow: Flow,
        context: &mut AuditContext,
    ) -> Result<(), Rejection> {
        match self.authorization.authorize(info, context)? {
            Some(review) => self.authorization.complete(review, flow, context).await,
            None => Ok(()),
        }
    }

    /// Reads the body of a request for a resource.
    ///
    /// # Errors
    /// The errors of [`request_body::read`], and of the form of the path.
    async fn read_body(
        &self,
        resource: &ResourceInfo<'_>,
        flow: Flow,
        request: &mut Request,
    ) -> Result<Bytes, Rejection> {
        resource.check_form()?;
        let body = std::mem::take(request.body_mut());
        let reading = request_body::read(&self.memory, flow, request.headers(), body);
        Ok(Box::pin(reading).await?)
    }

    async fn admit(&self, kind: RequestKind, flow: Flow) -> Result<Permit, Rejection> {
        let admitted = self.in_flight.admit(kind, flow).await;
        admitted.map_err(|_| Status::too_many_requests().into())
    }
}

/// The source address of a request.
fn source_of(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip())
}

/// Returns true if the response to a request takes a place among the requests in flight.
///
/// Probes have no limit. Discovery, metrics and refusals have one for clients without credentials
/// only: they are served from memory, and must work during an overload. Imports take places of
/// their own, because they last as long as external registries need.
fn is_limited(info: &RequestInfo<'_>, flow: Flow, is_resource: bool) -> bool {
    let is_stranger = flow.level == PriorityLevel::Unauthenticated;
    (is_resource && !deadline::is_import(info))
        || (is_stranger && !health::is_health_path(info.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A future is copied when it moves, and is as large as the largest future that it awaits.
    #[test]
    fn the_future_of_a_request_is_small() {
        fn size<F>(_: impl Fn(&'static FilterChain, Request) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(FilterChain::serve) < 4096, "{}", size(FilterChain::serve));
    }
}
