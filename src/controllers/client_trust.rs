//! The CAs of clients and front proxies, which follow files and a ConfigMap of the cluster.

use futures_util::future::BoxFuture;

use super::controller::Controller;
use crate::auth::TrustController;

impl Controller for TrustController {
    fn name(&self) -> &'static str {
        "client-trust"
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(TrustController::run(self))
    }
}
