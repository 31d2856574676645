//! The sender of events, which other controllers record.

use futures_util::future::BoxFuture;

use super::controller::Controller;
use super::selection::ControllerName;
use crate::cluster::EventSender;

impl Controller for EventSender {
    fn name(&self) -> &'static str {
        ControllerName::Events.as_str()
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            EventSender::run(self).await;
            // Nothing records events any more.
            std::future::pending().await
        })
    }
}
