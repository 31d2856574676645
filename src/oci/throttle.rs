//! `Throttle`: the reason why this server does not send a request to a registry now.

use std::time::Duration;

/// A request that was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Reason.
    pub reason: ThrottleReason,
    /// Time after which it may be sent.
    pub retry_after: Duration,
}

/// Reason for not sending a request. The text does not depend on the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThrottleReason {
    /// The registry asked for a pause.
    #[error("it asked for a pause (Retry-After)")]
    Paused,
    /// Too many requests of the namespace wait for the registry.
    #[error("too many requests of this namespace wait for it")]
    Busy,
    /// This server uses too many registries.
    #[error("this server sends requests to too many registries")]
    TooManyRegistries,
    /// Other imports hold the memory for responses.
    #[error("other imports use the memory for responses")]
    Memory,
}
