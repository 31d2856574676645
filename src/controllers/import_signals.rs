//! `ImportSignals`: the connections of the import controller to people and to the control plane.

use std::collections::BTreeSet;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use kube::Client;

use super::controller::Controller;
use super::import_events::ImportEvents;
use super::selection::{ControllerName, ControllerSelection};
use crate::cluster::{EventRecorder, SecretWatch};
use crate::telemetry::import_metrics::ImportMetrics;

/// Name of the replica in events if the environment does not have one.
const UNNAMED: &str = "imagestream-apiserver";

/// Inputs and outputs of the import controller besides streams and registries.
pub struct ImportSignals {
    /// Namespaces whose secrets changed, as they change.
    pub changed_secrets: BoxStream<'static, BTreeSet<String>>,
    /// Events on image streams.
    pub events: ImportEvents,
    /// Metrics.
    pub metrics: ImportMetrics,
}

impl ImportSignals {
    /// Signals without a cluster: secrets never change, and events are dropped.
    pub fn none(metrics: ImportMetrics) -> Self {
        let events = ImportEvents::new(EventRecorder::none());
        Self { changed_secrets: stream::pending().boxed(), events, metrics }
    }

    /// Signals of a server, and the controllers that serve them. There are none if this server does
    /// not import by itself.
    pub fn of(
        control_plane: Option<Client>,
        selection: &ControllerSelection,
        metrics: ImportMetrics,
    ) -> (Self, Vec<Box<dyn Controller>>) {
        let mut signals = Self::none(metrics);
        let mut controllers: Vec<Box<dyn Controller>> = Vec::new();
        let imports = selection.is_enabled(ControllerName::ImageImport);
        let Some(client) = control_plane.filter(|_| imports) else {
            return (signals, controllers);
        };
        if selection.is_enabled(ControllerName::Events) {
            // The name of the pod.
            let instance = std::env::var("HOSTNAME").unwrap_or_else(|_| UNNAMED.to_owned());
            let (recorder, sender) = EventRecorder::of(client.clone(), instance);
            signals.events = ImportEvents::new(recorder);
            controllers.push(Box::new(sender));
        }
        if selection.is_enabled(ControllerName::PullSecrets) {
            let (watch, changes) = SecretWatch::of(client);
            let changed = stream::unfold(changes, |changes| async {
                let namespaces = changes.changed().await;
                Some((namespaces, changes))
            });
            signals.changed_secrets = changed.boxed();
            controllers.push(Box::new(watch));
        }
        (signals, controllers)
    }
}
