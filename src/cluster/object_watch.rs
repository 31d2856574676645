//! Watches of control plane objects. They resume after every outage and log each outage once.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use super::error_message;
use super::failure::Fault;
use crate::runtime::Backoff;
use crate::telemetry::OnChange;

/// Delay after the first failure.
const FIRST_DELAY: Duration = Duration::from_millis(200);

/// Subject of a watch, in the words of log lines.
#[derive(Clone, Copy, Debug)]
pub struct WatchSubject {
    /// Name of the watched objects.
    pub what: &'static str,
    /// Remedy if reading them is forbidden.
    pub if_forbidden: &'static str,
}

/// Failure of a watch, which goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct WatchOutage {
    /// HTTP status of the response, if there was one.
    pub code: Option<u16>,
    /// Message, with the remedy if the request is forbidden.
    pub text: String,
}

/// Watches one object: yields its state on each change, and `None` while it does not exist. The
/// stream goes on after an error.
pub fn watch_object<K>(
    api: Api<K>,
    name: &str,
    subject: WatchSubject,
) -> impl Stream<Item = Result<Option<K>, String>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let states = log_outages(watcher::watch_object(api, name).backoff(backoff()), subject);
    states.map(|state| state.map_err(|outage| outage.text))
}

/// Watches all objects of an API. The stream goes on after an error.
pub fn watch_collection<K>(
    api: Api<K>,
    subject: WatchSubject,
) -> impl Stream<Item = Result<Event<K>, WatchOutage>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    // `Init` only announces a list request. It is no response, so it must not end an outage or
    // reset the back-off.
    let events = watcher::watcher(api, watcher::Config::default())
        .filter(|event| std::future::ready(!matches!(event, Ok(Event::Init))));
    log_outages(events.backoff(backoff()), subject)
}

/// Watches the metadata of the objects that match one of several field selectors. Each event has the
/// index of its selector. The stream goes on after an error.
pub(super) fn watch_metadata<K>(
    client: &Client,
    selectors: &[&str],
    subject: WatchSubject,
) -> impl Stream<Item = Result<(usize, Event<PartialObjectMeta<K>>), String>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let watches = selectors.iter().enumerate().map(|(at, selector)| {
        let api = Api::<PartialObjectMeta<K>>::all(client.clone());
        let events = watcher::watcher(api, watcher::Config::default().fields(selector))
            .filter(|event| std::future::ready(!matches!(event, Ok(Event::Init))));
        // Without the permission, which many clusters do not grant, requests are rare.
        let backoff = WatchBackoff(Backoff::new(FIRST_DELAY, Duration::from_secs(60)));
        events.backoff(backoff).map(move |event| Ok((at, event?))).boxed()
    });
    let events = log_outages(stream::select_all(watches), subject);
    events.map(|event| event.map_err(|outage| outage.text))
}

fn log_outages<T: Send>(
    stream: impl Stream<Item = watcher::Result<T>> + Send,
    subject: WatchSubject,
) -> impl Stream<Item = Result<T, WatchOutage>> + Send {
    let mut outage = OnChange::from_initial(false);
    stream.map(move |item| {
        let WatchSubject { what, if_forbidden } = subject;
        match item {
            Ok(item) => {
                if outage.record(false) {
                    info!(subject = what, "watch of the control plane resumed");
                }
                Ok(item)
            }
            // The history of the watch was compacted; the watcher lists again.
            Err(watcher::Error::WatchError(status)) if status.code == 410 => {
                Err(WatchOutage { code: Some(410), text: status.message.clone() })
            }
            Err(error) => {
                let code = code_of(&error);
                let remedy = match Fault::of(&error) {
                    Fault::Forbidden => Some(if_forbidden),
                    fault => fault.remedy(),
                };
                let error = error_message(&error);
                if outage.record(true) {
                    warn!(
                        subject = what,
                        error, remedy, "watch of the control plane failed; retrying"
                    );
                }
                let text = match remedy {
                    Some(remedy) => format!("{error}: {remedy}"),
                    None => error,
                };
                Err(WatchOutage { code, text })
            }
        }
    })
}

/// HTTP status of the response to the watch or its list.
fn code_of(error: &watcher::Error) -> Option<u16> {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

/// Back-off with a short first delay: a control plane that restarts is back in seconds.
fn backoff() -> WatchBackoff {
    WatchBackoff(Backoff::new(FIRST_DELAY, Duration::from_secs(5)))
}

/// [`Backoff`] for the streams of `kube`.
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
