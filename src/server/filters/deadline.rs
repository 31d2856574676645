//! The deadline of a request.

use std::time::Duration;

use axum::response::Response;
use http::Method;

use crate::auth::Rejection;
use crate::endpoints::request_info::{RequestInfo, RequestKind, ResourceInfo};
use crate::endpoints::verb::Verb;
use crate::meta::Status;
use crate::resources::API;

/// The longest deadline of mutating requests, as `requestTimeoutUpperBound` in
/// k8s.io/apiserver/pkg/endpoints/handlers/rest.go: clients get a response before they give up.
const MAX_MUTATION: Duration = Duration::from_secs(34);

/// The longest deadline of imports. They last as long as external registries need, so clients ask
/// for more time than for other writes.
const MAX_IMPORT: Duration = Duration::from_secs(3600);

/// The time that a request may take: the parameter `timeout`, at most `request_timeout`. A watch
/// has `timeoutSeconds` instead.
///
/// # Errors
/// 400 if the parameter is no duration.
pub(super) fn of(info: &RequestInfo<'_>, request_timeout: Duration) -> Result<Duration, Status> {
    let max = match info.kind() {
        RequestKind::ReadOnly => request_timeout,
        RequestKind::Mutating => request_timeout.min(MAX_MUTATION),
    };
    let is_watch =
        info.method == Method::GET && info.resource_of(API).is_some_and(ResourceInfo::is_watch);
    let requested = if is_watch { None } else { info.query.timeout()? };
    let longest = if is_import(info) { MAX_IMPORT } else { max };
    Ok(requested.map_or(max, |requested| requested.min(longest)))
}

/// Returns true for the create of an ImageStreamImport.
pub(super) fn is_import(info: &RequestInfo<'_>) -> bool {
    info.resource_of(API).is_some_and(|resource| {
        resource.verb == Some(Verb::Create)
            && resource.resource == "imagestreamimports"
            && resource.subresource.is_empty()
    })
}

/// Runs the rest of the chain.
///
/// # Errors
/// Those of `next`; 504 if it takes longer than the deadline.
pub(super) async fn enforce(
    deadline: Duration,
    next: impl Future<Output = Result<Response, Rejection>>,
) -> Result<Response, Rejection> {
    tokio::time::timeout(deadline, next).await.unwrap_or_else(|_| {
        let status =
            Status::timeout("Timeout: request did not complete within the allotted timeout");
        Err(status.with_details(Default::default()).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::request_info::RequestPath;
    use crate::machinery::query::Query;

    fn deadline(method: &str, path: &str, query: &str) -> Option<u64> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let (path, query) = (RequestPath::new(path), Query::parse(Some(query)));
        let deadline = of(&RequestInfo::new(&method, &path, &query), Duration::from_secs(60));
        deadline.ok().map(|deadline| deadline.as_secs())
    }

    #[test]
    fn a_client_can_shorten_its_deadline() {
        const LIST: &str = "/apis/image.openshift.io/v1/imagestreams";
        const IMPORTS: &str = "/apis/image.openshift.io/v1/namespaces/ns/imagestreamimports";
        for (method, path, query, expected) in [
            ("GET", LIST, "", Some(60)),
            ("GET", LIST, "timeout=10s", Some(10)),
            ("GET", LIST, "timeout=10m", Some(60)),
            ("GET", LIST, "timeout=x", None),
            ("GET", LIST, "watch=1&timeout=x", Some(60)),
            ("POST", LIST, "", Some(34)),
            ("POST", LIST, "watch=1&timeout=40s", Some(34)),
            ("POST", IMPORTS, "", Some(34)),
            ("POST", IMPORTS, "timeout=40m", Some(2400)),
            ("POST", IMPORTS, "timeout=2h", Some(3600)),
            ("GET", IMPORTS, "timeout=40m", Some(60)),
            ("GET", "/version", "watch=1&timeout=x", None),
        ] {
            assert_eq!(deadline(method, path, query), expected, "{method} {path}?{query}");
        }
    }

    #[tokio::test]
    async fn a_late_request_is_504() {
        let outcome = enforce(Duration::from_millis(10), std::future::pending()).await;
        let Err(Rejection::Status(status)) = outcome else {
            panic!("a late request is a refusal");
        };
        assert_eq!((status.code, status.reason.as_str()), (504, "Timeout"));
    }
}
