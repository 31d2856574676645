//! The watch of pull secrets, for imports that wait for credentials.

use futures_util::future::BoxFuture;

use super::controller::Controller;
use super::selection::ControllerName;
use crate::cluster::SecretWatch;

impl Controller for SecretWatch {
    fn name(&self) -> &'static str {
        ControllerName::PullSecrets.as_str()
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(SecretWatch::run(self))
    }
}
