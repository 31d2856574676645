//! The namespaces of the cluster, which admission reads from memory.

use futures_util::future::BoxFuture;

use super::controller::Controller;
use crate::cluster::NamespaceReflector;

impl Controller for NamespaceReflector {
    fn name(&self) -> &'static str {
        "namespaces"
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(NamespaceReflector::run(self))
    }
}
