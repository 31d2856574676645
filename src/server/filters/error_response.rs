//! Responses to refused requests.

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::auth::Rejection;
use crate::endpoints::negotiation::Accept;
use crate::machinery::query::Query;
use crate::server::respond;

/// The headers that determine the representation of an error.
pub(super) struct ErrorFormat {
    accept: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

impl ErrorFormat {
    /// Keeps the headers, because the request is gone when an error is written.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let header = |name: HeaderName| headers.get(name).cloned();
        Self { accept: header(header::ACCEPT), user_agent: header(header::USER_AGENT) }
    }

    /// The response to a refused request.
    pub(super) fn response(&self, refusal: Rejection, uri: &Uri, query: &Query) -> Response {
        match refusal {
            Rejection::Status(status) => {
                let accept =
                    Accept::from_values(self.accept.as_ref(), self.user_agent.as_ref(), query);
                respond::status(&status, accept.error_media())
            }
            Rejection::InvalidImpersonation(why) => respond::internal(uri, &why),
            Rejection::Internal(why) => respond::hiding(respond::internal(uri, &why), why),
        }
    }
}
