//! Events of events.k8s.io/v1: repeated ones form a series.
//!
//! Events tell people about work in the background. They are sent beside it, and dropped rather than
//! delaying it: if they are too many, while the control plane is away, and without the permission.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{self, Instant};
use tracing::{info, warn};

use super::error_message;
use super::event_book::{EventBook, Occurrence};
use super::object_event::{EventSubject, ObjectEvent};
use crate::runtime::TokenBucket;
use crate::telemetry::OnChange;

/// Maximum number of events that wait to be sent.
const QUEUE: usize = 1_024;
/// Maximum rate of requests, after a burst.
const REQUESTS: TokenRate = TokenRate { per_second: 5.0, burst: 50.0 };
/// Maximum rate of events of one object, after a burst, as the spam filter of client-go.
const EVENTS_OF_OBJECT: TokenRate = TokenRate { per_second: 1.0 / 300.0, burst: 25.0 };
/// Maximum number of objects whose rates are kept. Beyond it, events of new objects are dropped.
const MAX_OBJECTS: usize = 4_096;
/// Maximum length of a note in bytes.
const MAX_NOTE_BYTES: usize = 1_024;
/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failure, in which events are dropped.
const FAILURE_PAUSE: Duration = Duration::from_secs(30);
/// Pause without the permission.
const FORBIDDEN_PAUSE: Duration = Duration::from_secs(600);

/// Name of this server in events.
const REPORTER: &str = "imagestream-apiserver";
const REMEDY: &str = "allow this server's user to create and patch events.events.k8s.io \
                      (manifests/base/rbac-server.yaml does)";

/// Rate with a burst.
#[derive(Clone, Copy)]
struct TokenRate {
    per_second: f64,
    burst: f64,
}

/// Recorder of events. Clones record to the same queue.
#[derive(Clone, Debug, Default)]
pub struct EventRecorder(Option<Arc<EventQueue>>);

/// Sender of recorded events.
pub struct EventSender {
    client: Client,
    instance: String,
    queue: mpsc::Receiver<ObjectEvent>,
}

#[derive(Debug)]
struct EventQueue {
    sender: mpsc::Sender<ObjectEvent>,
    rates: Mutex<HashMap<String, TokenBucket>>,
}

/// Failure of a request.
enum SendError {
    /// The event that a series continues does not exist any more.
    Gone,
    /// The namespace does not exist or is terminating.
    NoNamespace,
    Forbidden(String),
    Failed(String),
}

impl EventRecorder {
    /// Recorder that drops all events, without a cluster.
    pub fn none() -> Self {
        Self(None)
    }

    /// Recorder of events in a cluster, and the sender that must run. `instance` is the name of this
    /// replica.
    pub fn of(client: Client, instance: String) -> (Self, EventSender) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let recorder = Self(Some(Arc::new(EventQueue { sender, rates: Mutex::default() })));
        (recorder, EventSender { client, instance, queue })
    }

    /// Records an event. It never waits: an event beyond the limits is dropped.
    pub fn record(&self, mut event: ObjectEvent) {
        let Some(queue) = &self.0 else { return };
        if queue.admits(&event.subject.uid, Instant::now()) {
            event.note.truncate(event.note.floor_char_boundary(MAX_NOTE_BYTES));
            // A full queue means that the control plane is too slow, which the sender logs.
            drop(queue.sender.try_send(event));
        }
    }
}

impl EventQueue {
    /// Takes a token of an object.
    fn admits(&self, uid: &str, now: Instant) -> bool {
        let mut rates = self.rates.lock();
        if !rates.contains_key(uid) {
            if rates.len() >= MAX_OBJECTS {
                rates.retain(|_, rate| !rate.is_full(now));
            }
            if rates.len() >= MAX_OBJECTS {
                return false;
            }
            rates.insert(uid.to_owned(), EVENTS_OF_OBJECT.bucket(now));
        }
        rates.get_mut(uid).is_some_and(|rate| rate.try_take(now))
    }
}

impl TokenRate {
    fn bucket(self, now: Instant) -> TokenBucket {
        TokenBucket::full(self.per_second, self.burst, now)
    }
}

impl EventSender {
    /// Sends recorded events. Returns when no recorder is left.
    pub async fn run(&mut self) {
        let mut book = EventBook::default();
        let mut rate = REQUESTS.bucket(Instant::now());
        let mut outage = OnChange::from_initial(false);
        let mut pause_ends = Instant::now();
        while let Some(event) = self.queue.recv().await {
            if Instant::now() < pause_ends {
                continue;
            }
            time::sleep(rate.take(Instant::now(), 1.0)).await;
            let failed = match self.send(&mut book, &event).await {
                Ok(()) => {
                    if outage.record(false) {
                        info!("events are sent again");
                    }
                    continue;
                }
                Err(SendError::Gone | SendError::NoNamespace) => continue,
                Err(SendError::Forbidden(error)) => (format!("{error}: {REMEDY}"), FORBIDDEN_PAUSE),
                Err(SendError::Failed(error)) => (error, FAILURE_PAUSE),
            };
            let (error, pause) = failed;
            if outage.record(true) {
                warn!(error, "cannot send events; dropping them");
            }
            pause_ends = Instant::now() + pause;
        }
    }

    /// Sends an event, as a new one or as one more of its series.
    async fn send(&self, book: &mut EventBook, event: &ObjectEvent) -> Result<(), SendError> {
        let now = jiff::Timestamp::now();
        let occurrence = book.record(event, now);
        if let Occurrence::Repeated { name, count } = &occurrence {
            let series = EventSeries { count: *count, last_observed_time: MicroTime(now) };
            match self.patch(&event.subject.namespace, name, series).await {
                // It has expired.
                Err(SendError::Gone) => {}
                outcome => return outcome,
            }
        }
        let name = book.begin(event, now);
        let created = self.create(event, &name, now).await;
        if created.is_err() {
            book.forget(event);
        }
        created
    }

    async fn create(
        &self,
        event: &ObjectEvent,
        name: &str,
        now: jiff::Timestamp,
    ) -> Result<(), SendError> {
        let EventSubject { api_version, kind, namespace, name: object, uid } = &event.subject;
        let text = |text: &str| Some(text.to_owned());
        let event = Event {
            metadata: ObjectMeta {
                name: text(name),
                namespace: text(namespace),
                ..ObjectMeta::default()
            },
            regarding: Some(ObjectReference {
                api_version: text(api_version),
                kind: text(kind),
                namespace: text(namespace),
                name: text(object),
                uid: text(uid),
                ..ObjectReference::default()
            }),
            action: text(event.action),
            reason: text(event.reason),
            type_: text(event.r#type.name()),
            note: text(&event.note),
            event_time: Some(MicroTime(now)),
            reporting_controller: text(REPORTER),
            reporting_instance: text(&self.instance),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let parameters = PostParams::default();
        outcome(time::timeout(TIMEOUT, api.create(&parameters, &event)).await)
    }

    async fn patch(
        &self,
        namespace: &str,
        name: &str,
        series: EventSeries,
    ) -> Result<(), SendError> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let patch = Patch::Merge(serde_json::json!({ "series": series }));
        let parameters = PatchParams::default();
        outcome(time::timeout(TIMEOUT, api.patch(name, &parameters, &patch)).await)
    }
}

fn outcome(response: Result<kube::Result<Event>, time::error::Elapsed>) -> Result<(), SendError> {
    let error = match response {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => {
            let text = format!("no response within {} s", TIMEOUT.as_secs());
            return Err(SendError::Failed(text));
        }
    };
    let kube::Error::Api(status) = &error else {
        return Err(SendError::Failed(error_message(&error)));
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let is_ending = causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating");
    Err(match status.code {
        403 if is_ending => SendError::NoNamespace,
        403 => SendError::Forbidden(error_message(&error)),
        404 if status.details.as_ref().is_some_and(|it| it.kind == "namespaces") => {
            SendError::NoNamespace
        }
        404 => SendError::Gone,
        _ => SendError::Failed(error_message(&error)),
    })
}

#[cfg(test)]
mod tests;
