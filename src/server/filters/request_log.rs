//! The log line of a request.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tracing::{Level, debug, enabled, error, info};

use super::arrival::{Arrival, ForwardedBy};
use crate::server::audit::AuditContext;
use crate::server::respond::{Hidden, ReturnedStatus};
use crate::telemetry::SLOW;
use crate::telemetry::log::{STEPS, milliseconds};

/// Time to produce a response above which a request is logged as slow, as in
/// k8s.io/apiserver/pkg/endpoints/handlers/trace_util.go.
const SLOW_TIME: Duration = Duration::from_millis(500);

/// A request to be logged.
pub(super) struct RequestLog {
    received: Instant,
    /// Absent unless every request is logged.
    arrival: Option<Box<Arrival>>,
}

/// The facts about a response that failed or was slow.
pub(super) struct ResponseFacts<'a> {
    pub(super) audit_id: &'a HeaderValue,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) speed: ExpectedSpeed,
}

/// The time that a request may take before it counts as slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpectedSpeed {
    /// [`SLOW_TIME`].
    Fast,
    /// Any time: the request waits for other servers, or for a time that it names.
    Any,
}

impl RequestLog {
    /// The log line of a request that arrived.
    pub(super) fn begin(request: &Request, received: Instant) -> Self {
        let arrival = enabled!(Level::DEBUG).then(|| Box::new(Arrival::of(request)));
        Self { received, arrival }
    }

    /// Logs a response that was produced in this time: a failure with its hidden cause as an error,
    /// a slow one, and at debug level all of them. The line at debug level is written when the last
    /// byte is sent, if the length of the response is not known before.
    pub(super) fn end(
        self,
        response: Response,
        took: Duration,
        of: &ResponseFacts<'_>,
        context: &AuditContext,
    ) -> Response {
        let finished = self.received + took;
        let ResponseFacts { method, path, .. } = of;
        let (audit_id, took_ms) = (of.audit_id.to_str().unwrap_or_default(), milliseconds(took));
        let code = response.status().as_u16();
        if let Some(Hidden(cause)) = response.extensions().get::<Hidden>() {
            let user = user_of(context);
            error!(audit_id, method, path, code, took_ms, user, %cause, "request failed");
        }
        if took >= SLOW_TIME && of.speed == ExpectedSpeed::Fast {
            let (user, steps) = (user_of(context), context.steps.describe(self.received, finished));
            info!(target: SLOW, audit_id, method, path, code, took_ms, user, steps, "slow request");
        }
        match self.arrival {
            Some(arrival) => {
                let line = RequestLine {
                    received: self.received,
                    arrival,
                    audit_id: audit_id.to_owned(),
                    code,
                    reason: reason_of(&response, context),
                    steps: enabled!(target: STEPS, Level::TRACE)
                        .then(|| context.steps.describe(self.received, finished)),
                    user: context.user.as_ref().map(|user| user.name.clone()),
                    acting_as: context.acting_as.as_ref().map(|user| user.name.clone()),
                    forwarded_by: ForwardedBy::of(context),
                    bytes: 0,
                };
                line.follow(response)
            }
            None => response,
        }
    }
}

fn user_of(context: &AuditContext) -> Option<&str> {
    context.effective().map(|user| user.name.as_str())
}

/// The reason of a 401 or 403.
fn reason_of(response: &Response, context: &AuditContext) -> Option<String> {
    match response.status().as_u16() {
        401 => context.unauthenticated.as_ref().map(ToString::to_string),
        403 => {
            let status = response.extensions().get::<ReturnedStatus>();
            status.map(|ReturnedStatus(status)| status.message.clone())
        }
        _ => None,
    }
}

/// The line at debug level.
struct RequestLine {
    received: Instant,
    arrival: Box<Arrival>,
    audit_id: String,
    code: u16,
    reason: Option<String>,
    steps: Option<String>,
    user: Option<String>,
    acting_as: Option<String>,
    forwarded_by: ForwardedBy,
    /// The length of the body, or of its part that was sent.
    bytes: u64,
}

impl RequestLine {
    /// Writes the line, or has the body write it at its end.
    fn follow(mut self, response: Response) -> Response {
        match response.body().size_hint().exact() {
            Some(bytes) => {
                self.bytes = bytes;
                self.write();
                response
            }
            None => response.map(|body| {
                Body::new(LoggedBody { body, line: self }.map_err(axum::BoxError::from))
            }),
        }
    }

    fn write(&self) {
        let Self { arrival, code, bytes, .. } = self;
        let sources = arrival.source_ips(self.forwarded_by);
        debug!(
            audit_id = self.audit_id,
            method = arrival.method.as_str(),
            uri = &*arrival.uri(),
            code,
            took_ms = milliseconds(self.received.elapsed()),
            bytes,
            user = self.user,
            acting_as = self.acting_as,
            ?sources,
            agent = &*arrival.user_agent(),
            reason = self.reason,
            steps = self.steps,
            "request served"
        );
    }
}

/// A body that is counted, and logged when it is dropped.
struct LoggedBody {
    body: Body,
    line: RequestLine,
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.line.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        self.line.write();
    }
}
