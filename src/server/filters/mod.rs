//! The filters of every request, in their order.
//!
//! [`FilterChain::serve`] and the two functions that it calls list the filters, outermost first, as
//! `DefaultBuildHandlerChain` in k8s.io/apiserver/pkg/server/config.go does. Each filter is a file.
//! Filters are plain functions, so that a request needs one future and not one allocation for each
//! filter.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use tower::Service;

mod accounted_body;
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
mod response_memory;
mod warnings;
mod well_formed;

pub(super) use authentication::Authentication;
pub(super) use authorization::Authorization;

use self::audit::AuditEntry;
use self::error_response::ErrorFormat;
use self::in_flight::RequestLimits;
use self::long_running::LongRunning;
use super::audit::{AuditContext, AuditLog};
use super::memory::Memory;
use super::respond::EventStream;
use super::router::Router;
use super::shutdown::Shutdown;
use super::websocket::WebSockets;
use crate::auth::Rejection;
use crate::endpoints::request_info::{RequestInfo, RequestPath};
use crate::machinery::query::Query;
use crate::resources::API;
use crate::telemetry::metrics::{Metrics, RequestLabels};

/// The filters, with the handlers behind them.
pub(super) struct FilterChain {
    /// Credentials and the users that they prove.
    pub(super) authentication: Authentication,
    /// The decisions about requests.
    pub(super) authorization: Authorization,
    /// The limits on the number of requests.
    pub(super) in_flight: RequestLimits,
    /// Memory for the bodies of responses.
    pub(super) response_memory: Arc<Memory>,
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
    + Send {
        tower::service_fn(move |request: hyper::Request<Incoming>| {
            let chain = self.clone();
            async move { Ok(chain.serve(request.map(Body::new)).await) }
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

        let outcome = self.serve_in_time(&info, &labels, &mut audit.context, request).await;

        let mut response =
            outcome.unwrap_or_else(|refusal| error_format.response(refusal, &uri, &query));
        let took = received.elapsed();
        request_log::write(&response, &audit_id, &method, uri.path(), took);
        audit_id::set(&mut response, audit_id);
        cache_control::set(&mut response, uri.path());
        warnings::add(&mut response, &audit.context);
        let response = head::complete(&method, response);
        let code = response.status().as_u16();
        if response.extensions().get::<EventStream>().is_some() {
            let metrics = self.metrics.clone();
            let request =
                LongRunning { metrics, labels, code, received, _audit: audit.start(&response) };
            return self.websockets.complete(long_running::observe(response, request));
        }
        self.metrics.record_response(&labels, code, took);
        audit.end(&response);
        response
    }

    /// Serves a request within its deadline.
    async fn serve_in_time(
        &self,
        info: &RequestInfo<'_>,
        labels: &RequestLabels,
        context: &mut AuditContext,
        request: Request,
    ) -> Result<Response, Rejection> {
        well_formed::check(&request)?;
        let deadline = deadline::of(info, self.request_timeout)?;
        // Boxed, because the futures of handlers are large, and a future is copied when it moves.
        let served = Box::pin(self.serve_admitted(info, labels, context, request));
        deadline::enforce(deadline, panic_recovery::catch(&self.metrics, served)).await
    }

    /// Serves a request if all filters admit it.
    async fn serve_admitted(
        &self,
        info: &RequestInfo<'_>,
        labels: &RequestLabels,
        context: &mut AuditContext,
        mut request: Request,
    ) -> Result<Response, Rejection> {
        self.authentication.authenticate(&mut request, context).await?;
        impersonation::apply(request.headers(), &self.authorization, context).await?;
        self.authentication.remove_credentials(&mut request);
        draining::check(&self.shutdown, &request)?;
        let review = self.authorization.authorize(info, context);
        // Health checks and discovery are served from memory. They have no limit, so that they work
        // during an overload.
        let is_limited = info.resource_of(API).is_some() || matches!(review, Ok(Some(_)));
        let permit = match is_limited {
            true => Some(self.in_flight.admit(info.kind()).ok_or_else(|| self.overloaded(labels))?),
            false => None,
        };
        if let Some(review) = review? {
            self.authorization.complete(review, context).await?;
        }

        let version = request.version();
        let response = self.router.handle(info, context.effective(), request).await;

        let Some(permit) = permit else {
            return Ok(response);
        };
        if response.extensions().get::<EventStream>().is_some() {
            let watch = self.in_flight.admit_watch().ok_or_else(|| self.overloaded(labels))?;
            let gauge = self.metrics.long_running(labels);
            return Ok(long_running::hold(response, (watch, gauge), &self.shutdown));
        }
        let share = response_memory::take(&self.response_memory, info.kind(), &response);
        let share = share.ok_or_else(|| self.overloaded(labels))?;
        Ok(response.map(|body| accounted_body::account(body, permit, share, version)))
    }

    /// 429, which metrics count.
    fn overloaded(&self, labels: &RequestLabels) -> Rejection {
        metrics::too_many_requests(&self.metrics, labels).into()
    }
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
