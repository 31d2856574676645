//! The clients of the control plane, which follow the files of their configuration.

use futures_util::future::BoxFuture;

use super::controller::Controller;
use crate::cluster::ClientReloads;

impl Controller for ClientReloads {
    fn name(&self) -> &'static str {
        "cluster-connection"
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.keep_current())
    }
}
