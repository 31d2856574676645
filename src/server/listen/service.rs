//! The HTTP service behind all connections.

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;

/// An error of any type.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Trait alias for the HTTP services that the listener accepts.
pub trait RequestService:
    Service<
        Request<Incoming>,
        Response = Response<<Self as RequestService>::ResponseBody>,
        Error: Into<BoxError>,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
    /// Body of a response.
    type ResponseBody: Body<Data: Send, Error: Into<BoxError>> + Unpin + Send + 'static;
}

impl<S, B> RequestService for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type ResponseBody = B;
}
