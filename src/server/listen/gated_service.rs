//! The service of one connection: passes the requests that the connection's limits admit to the
//! application, with their peer.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Empty};
use hyper::body::{Body, Incoming};
use hyper::service::{HttpService, service_fn};

use super::activity::{Activity, SendDeadline, TrackedBody};
use super::peer::Peer;
use super::request_gate::RequestGate;
use super::service::{BoxError, RequestService};
use crate::server::respond::EventStream;

/// Body of a response of the application, or of a refusal.
type GatedBody<S> = Either<
    TrackedBody<<S as RequestService>::ResponseBody>,
    Empty<<TrackedBody<<S as RequestService>::ResponseBody> as Body>::Data>,
>;

/// The service of a connection.
pub(super) fn gated<S: RequestService>(
    app: S,
    peer: Peer,
    activity: Arc<Activity>,
    gate: RequestGate,
) -> impl HttpService<
    Incoming,
    ResBody = GatedBody<S>,
    Error = impl Into<BoxError>,
    Future: Send + 'static,
> {
    service_fn(move |mut request: Request<Incoming>| {
        let in_flight = activity.enter();
        let admitted = gate.admit(&request).map(|admitted| {
            request.extensions_mut().insert(peer.clone());
            (admitted, app.call(request))
        });
        async move {
            let (admitted, response) = match admitted {
                Ok(admitted) => admitted,
                Err(status) => return Ok(refusal(status).map(|_| Either::Right(Empty::new()))),
            };
            response.await.map(|response| {
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    admitted.upgrade();
                }
                let deadline = deadline(&response);
                response.map(|body| Either::Left(TrackedBody::new(body, deadline, in_flight)))
            })
        }
    })
}

/// A response to a request that the limits of the connection do not admit. It has no body, as those
/// that hyper sends for the same statuses.
fn refusal(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Scope of the send timeout of a response.
fn deadline<B: Body>(response: &Response<B>) -> SendDeadline {
    match response.body().size_hint().exact() {
        Some(_) => SendDeadline::Response,
        None if response.extensions().get::<EventStream>().is_some() => SendDeadline::Event,
        None => SendDeadline::Part,
    }
}
