//! Requests to the image API of a cluster.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::endpoint::TransferError;
use crate::cluster::{Fault, error_message};
use crate::meta::{ListMeta, Status};
use crate::resources::import_export::{StoredObject, decode_objects, encode_for_api};
use crate::runtime::Backoff;

/// The path of the API.
const ROOT: &str = "/apis/image.openshift.io/v1";
/// The most bytes of a response.
const MAX_BODY_BYTES: usize = 16 << 20;
/// The most attempts of a request that the server is too busy for, or that gets no response.
const MAX_ATTEMPTS: usize = 6;
/// The delays between attempts.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// A client of the image API of a cluster.
pub(super) struct ApiClient {
    name: String,
    client: Client,
}

/// The failure of a request.
pub(super) enum ApiFailure {
    /// The request is refused for a reason of its own.
    Refused(Box<Status>),
    /// The server fails, or does not accept the client.
    Failed(TransferError),
}

/// The failure of one attempt.
enum AttemptFailure {
    /// The same request may succeed later.
    Later(String),
    /// It will not.
    Never(ApiFailure),
}

impl ApiFailure {
    /// A refusal for this reason.
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(Box::new(Status::failure(422, "Invalid", why)))
    }

    /// Returns true if an object of the name exists.
    pub(super) fn is_existing(&self) -> bool {
        matches!(self, Self::Refused(status) if status.reason == "AlreadyExists")
    }

    /// Returns true if the object was written since it was read.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code == 409)
    }

    /// Returns true if the object or its namespace does not exist.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code == 404)
    }

    /// The same refusal with a way out.
    pub(super) fn with_remedy(self, remedy: &str) -> Self {
        match self {
            Self::Refused(mut status) => {
                status.message = format!("{}; {remedy}", status.message);
                Self::Refused(status)
            }
            failed => failed,
        }
    }
}

impl From<TransferError> for ApiFailure {
    fn from(error: TransferError) -> Self {
        Self::Failed(error)
    }
}

impl ApiClient {
    /// A client of the server that messages name like this.
    pub(super) fn new(name: String, client: Client) -> Self {
        Self { name, client }
    }

    /// An error of the server.
    pub(super) fn failed(&self, why: impl ToString) -> TransferError {
        TransferError::Endpoint { endpoint: self.name.clone(), why: why.to_string() }
    }

    /// The error for a failure that no transfer survives.
    pub(super) fn stopped(&self, failure: ApiFailure) -> TransferError {
        match failure {
            ApiFailure::Refused(status) => self.failed(status.message),
            ApiFailure::Failed(error) => error,
        }
    }

    /// Reads an object, with its resourceVersion.
    pub(super) async fn read(&self, path: &str) -> Result<StoredObject, ApiFailure> {
        let body = self.send(&Method::GET, path, Vec::new()).await?;
        Ok(self.decode(&body)?)
    }

    /// Writes an object, and returns the result with its resourceVersion.
    pub(super) async fn write(
        &self,
        method: &Method,
        path: &str,
        object: &StoredObject,
    ) -> Result<StoredObject, ApiFailure> {
        let body = self.send(method, path, encode_for_api(object)).await?;
        Ok(self.decode(&body)?)
    }

    /// The number of objects of a resource; `None` if the server does not say it.
    pub(super) async fn count(&self, resource: &str) -> Result<Option<u64>, TransferError> {
        let page = self.send(&Method::GET, &format!("{resource}?limit=1"), Vec::new()).await;
        page.map(|page| count_of(&page)).map_err(|failure| self.stopped(failure))
    }

    fn decode(&self, body: &[u8]) -> Result<StoredObject, TransferError> {
        let value: &RawValue = serde_json::from_slice(body).map_err(|why| self.failed(why))?;
        let objects = decode_objects(value).map_err(|why| self.failed(why))?;
        let object = objects.into_iter().next();
        let object = object.ok_or_else(|| self.failed("it responds without an object"))?;
        object.map_err(|why| self.failed(why))
    }

    /// Sends a request, also repeatedly. `path` is that below the API.
    pub(super) async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Bytes, ApiFailure> {
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        let body = Bytes::from(body);
        for attempt in 1.. {
            match self.attempt(method, path, body.clone()).await {
                Ok(body) => return Ok(body),
                Err(AttemptFailure::Never(failure)) => return Err(failure),
                Err(AttemptFailure::Later(why)) if attempt == MAX_ATTEMPTS => {
                    return Err(self.failed(why).into());
                }
                Err(AttemptFailure::Later(_)) => tokio::time::sleep(backoff.next_delay()).await,
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn attempt(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, AttemptFailure> {
        let never = |error: TransferError| AttemptFailure::Never(error.into());
        let request = Request::builder()
            .method(method)
            .uri(format!("{ROOT}/{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Body::from(body))
            .map_err(|why| never(self.failed(why)))?;
        let response = self.client.send(request).await.map_err(|error| self.unanswered(&error))?;
        let code = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await;
        let body = match body {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let endpoint = self.name.clone();
                let error = TransferError::LargeResponse { endpoint, bytes: MAX_BODY_BYTES };
                return Err(never(error));
            }
            Err(error) => {
                return Err(AttemptFailure::Later(format!("the response was cut off: {error}")));
            }
        };
        if code.is_success() {
            return Ok(body);
        }
        let status = status_of(code, &body);
        Err(match code {
            StatusCode::UNAUTHORIZED => never(
                self.failed("it does not accept the credentials: renew them in the kubeconfig"),
            ),
            StatusCode::TOO_MANY_REQUESTS => AttemptFailure::Later(status.message),
            code if code.is_server_error() => AttemptFailure::Later(status.message),
            _ => AttemptFailure::Never(ApiFailure::Refused(Box::new(status))),
        })
    }

    fn unanswered(&self, error: &kube::Error) -> AttemptFailure {
        let (fault, message) = (Fault::of(error), error_message(error));
        let text = match fault.server_remedy() {
            Some(remedy) => format!("{message}; {remedy}"),
            None => message,
        };
        match fault {
            Fault::NoResponse | Fault::Refused | Fault::Other => AttemptFailure::Later(text),
            _ => AttemptFailure::Never(self.failed(text).into()),
        }
    }
}

/// The number of objects, from a page with one of them; `None` if the page does not say it.
fn count_of(page: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct CountedPage<'a> {
        metadata: ListMeta,
        #[serde(borrow, default)]
        items: Vec<&'a RawValue>,
    }
    let CountedPage { metadata, items } = serde_json::from_slice(page).ok()?;
    match metadata.remaining_item_count {
        Some(rest) => Some(items.len() as u64 + rest),
        None => metadata.r#continue.is_empty().then_some(items.len() as u64),
    }
}

/// The Status in a response; one with the code if there is none.
fn status_of(code: StatusCode, body: &[u8]) -> Status {
    match serde_json::from_slice::<Status>(body) {
        Ok(status) if !status.message.is_empty() => Status { code: code.as_u16(), ..status },
        _ => Status::failure(code.as_u16(), "", format!("it responds with {code}")),
    }
}
