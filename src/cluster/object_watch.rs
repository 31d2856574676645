//! Following objects of the control plane: for ever, over every outage, logging each outage once.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use super::error_message;
use crate::runtime::Backoff;
use crate::telemetry::OnChange;

/// What is followed, in the words of log lines.
#[derive(Clone, Copy, Debug)]
pub struct WatchSubject {
    /// What it is.
    pub what: &'static str,
    /// What to do where reading it is forbidden.
    pub if_forbidden: &'static str,
}

/// Follows one object: its states, and none whenever it is not there. Errors are told, and the stream goes on.
pub fn watch_object<K>(
    api: Api<K>,
    name: &str,
    subject: WatchSubject,
) -> impl Stream<Item = Result<Option<K>, String>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    log_outages(watcher::watch_object(api, name).backoff(backoff()), subject)
}

/// Follows all objects that an API is about. Errors are told, and the stream goes on.
pub fn watch_collection<K>(api: Api<K>, subject: WatchSubject) -> impl Stream<Item = Result<Event<K>, String>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    // `Init` only tells that a list is asked for, which is no sign of life: it must neither end an outage nor its pauses.
    let events = watcher::watcher(api, watcher::Config::default())
        .filter(|event| std::future::ready(!matches!(event, Ok(Event::Init))));
    log_outages(events.backoff(backoff()), subject)
}

fn log_outages<T: Send>(
    stream: impl Stream<Item = watcher::Result<T>> + Send,
    subject: WatchSubject,
) -> impl Stream<Item = Result<T, String>> + Send {
    let mut outage = OnChange::from_initial(false);
    stream.map(move |item| {
        let WatchSubject { what, if_forbidden } = subject;
        match item {
            Ok(item) => {
                if outage.record(false) {
                    info!(subject = what, "a watch of the control plane works again");
                }
                Ok(item)
            }
            // A watch that ends because its history is gone is begun anew without anybody's help.
            Err(watcher::Error::WatchError(status)) if status.code == 410 => Err(status.message.clone()),
            Err(error) => {
                let why = if is_forbidden(&error) {
                    format!("{}: {if_forbidden}", error_message(&error))
                } else {
                    error_message(&error)
                };
                if outage.record(true) {
                    warn!(subject = what, error = why, "a watch of the control plane failed, trying again");
                }
                Err(why)
            }
        }
    })
}

fn is_forbidden(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => {
            matches!(error, kube::Error::Api(status) if status.code == 403)
        }
        _ => false,
    }
}

/// The pauses between attempts: short at first, for a control plane that restarts is back in seconds.
fn backoff() -> WatchBackoff {
    WatchBackoff(Backoff::new(Duration::from_millis(200), Duration::from_secs(5)))
}

/// A [`Backoff`] for the streams of `kube`.
struct WatchBackoff(Backoff);

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.0.next_delay())
    }
}

impl kube::runtime::utils::Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0.reset();
    }
}
