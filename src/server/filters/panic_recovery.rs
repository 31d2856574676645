//! Recovery from panics: a panic ends its request, not the server.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::response::Response;
use futures_util::FutureExt;

use crate::auth::Rejection;
use crate::meta::Status;
use crate::telemetry::metrics::Metrics;

/// Runs the rest of the chain.
///
/// # Errors
/// Those of `next`; 500 for a panic, whose text stays in the log (`WithPanicRecovery` in
/// k8s.io/apiserver/pkg/server/filters/wrap.go).
pub(super) async fn catch(
    metrics: &Metrics,
    next: impl Future<Output = Result<Response, Rejection>>,
) -> Result<Response, Rejection> {
    AssertUnwindSafe(next).catch_unwind().await.unwrap_or_else(|panic| {
        metrics.record_panic();
        Err(status(&*panic).into())
    })
}

fn status(panic: &(dyn Any + Send)) -> Status {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or(panic.downcast_ref::<&str>().copied());
    let mut status =
        Status::internal("This request caused apiserver to panic. Look in the logs for details.");
    status.reason = "InternalError".into();
    status.hidden = Some(format!("panic: {}", text.unwrap_or("without a text")));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panic_becomes_a_status_without_its_message() {
        let next =
            std::future::ready(()).map(|()| -> Result<Response, Rejection> { panic!("secret") });
        let Err(Rejection::Status(status)) = catch(&Metrics::new(), next).await else {
            panic!("a panic is a refusal");
        };
        assert_eq!((status.code, status.reason.as_str()), (500, "InternalError"));
        assert!(!status.message.contains("secret") && status.hidden.unwrap().contains("secret"));
    }
}
