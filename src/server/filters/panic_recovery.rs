//! Recovery from panics: a panic ends its request, not the server.

use axum::response::Response;

use crate::auth::Rejection;
use crate::meta::Status;
use crate::telemetry::CaughtPanic;
use crate::telemetry::caught_panic;
use crate::telemetry::metrics::Metrics;

/// Runs the rest of the chain.
///
/// # Errors
/// Those of `next`; 500 for a panic, whose text and location stay in the log (`WithPanicRecovery` in
/// k8s.io/apiserver/pkg/server/filters/wrap.go).
pub(super) async fn catch(
    metrics: &Metrics,
    next: impl Future<Output = Result<Response, Rejection>>,
) -> Result<Response, Rejection> {
    caught_panic::catch_in(next).await.unwrap_or_else(|panic| {
        metrics.record_panic();
        Err(status(&panic).into())
    })
}

fn status(panic: &CaughtPanic) -> Status {
    let mut status =
        Status::internal("This request caused apiserver to panic. Look in the logs for details.");
    status.reason = "InternalError".into();
    status.hidden = Some(panic.to_string());
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panic_becomes_a_status_without_its_message() {
        let next = async { panic!("secret") };
        let Err(Rejection::Status(status)) = catch(&Metrics::new(), next).await else {
            panic!("a panic is a refusal");
        };
        assert_eq!((status.code, status.reason.as_str()), (500, "InternalError"));
        assert!(!status.message.contains("secret") && status.hidden.unwrap().contains("secret"));
    }
}
