//! The steps of a request, for the log, as `Trace` in k8s.io/utils/trace.

use std::fmt::Write;
use std::time::Instant;

use crate::telemetry::log::milliseconds;

/// A step of a request. Every request begins with authentication, which includes impersonation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The decision of authorization.
    Authorization,
    /// Reading the body.
    Body,
    /// Waiting for a place among the requests in flight.
    Queue,
    /// The work of the handler, until its response begins.
    Handler,
}

impl Step {
    const ALL: [Self; 4] = [Self::Authorization, Self::Body, Self::Queue, Self::Handler];

    fn name(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Body => "body",
            Self::Queue => "queue",
            Self::Handler => "handler",
        }
    }
}

/// The times at which steps began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steps([Option<Instant>; Step::ALL.len()]);

impl Steps {
    /// Records that a step begins now, and the one before it ends.
    pub(super) fn begin(&mut self, step: Step) {
        self.0[step as usize] = Some(Instant::now());
    }

    /// The steps with their durations, such as `authentication 0.1ms, handler 7.25ms`.
    pub(super) fn describe(&self, received: Instant, finished: Instant) -> String {
        let later = Step::ALL.into_iter().zip(self.0);
        let later = later.filter_map(|(step, start)| Some((step.name(), start?)));
        let mut text = String::new();
        let mut current = ("authentication", received);
        for next in later.chain([("", finished)]) {
            let (name, start) = std::mem::replace(&mut current, next);
            let separator = if text.is_empty() { "" } else { ", " };
            let took = milliseconds(next.1.saturating_duration_since(start));
            write!(text, "{separator}{name} {took}ms").expect("writing to a String does not fail");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_step_ends_where_the_next_begins() {
        let received = Instant::now();
        let after = |milliseconds| received + Duration::from_millis(milliseconds);
        let mut steps = Steps::default();
        assert_eq!(steps.describe(received, after(3)), "authentication 3ms");
        steps.0 = [Some(after(1)), None, Some(after(5)), Some(after(6))];
        let text = "authentication 1ms, authorization 4ms, queue 1ms, handler 14ms";
        assert_eq!(steps.describe(received, after(20)), text);
    }
}
