//! The service that answers the requests of all connections.

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tower::Service;

use super::BoxError;

/// The bounds of a service of HTTP, as one name. Every service that meets them implements it.
pub trait RequestService:
    Service<
        Request<Incoming>,
        Response = Response<<Self as RequestService>::ResponseBody>,
        Error: Into<BoxError>,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
    /// The body of a response.
    type ResponseBody: Body<Data: Send, Error: Into<BoxError>> + Unpin + Send + 'static;
}

impl<S, B> RequestService for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type ResponseBody = B;
}
