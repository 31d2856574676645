//! The CA of this server in the APIService that registers it with kube-apiserver.
//!
//! Only `spec.caBundle` is written. A missing APIService is not created, so that an uninstall is not
//! undone, and one that points at another Service is not changed.

mod reconcile;

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use k8s_openapi::ByteString;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::controller::Controller;
use crate::api::{GROUP, VERSION};
use crate::cluster::error_message;
use crate::cluster::object_watch::{WatchSubject, watch_object};
use crate::runtime::Backoff;
use crate::telemetry::OnChange;
use crate::tls::ServiceReference;
use reconcile::{Fit, Precondition, RegistrationState, compare};

/// Keeps the CAs of this server in its APIService.
pub(super) struct RegistrationController {
    client: Client,
    name: String,
    service: ServiceReference,
    bundle: watch::Receiver<Bytes>,
    pauses: Pauses,
}

const SUBJECT: WatchSubject = WatchSubject {
    what: "the APIService of this server",
    if_forbidden: "a ClusterRole must allow this server to get, list, watch and patch the one of \
                   apiservices.apiregistration.k8s.io that has this name (resourceNames), for --inject-ca-bundle",
};

/// How long is waited between changes.
#[derive(Clone, Copy)]
struct Pauses {
    /// The first pause between two changes when somebody undoes them; it doubles with each.
    first: Duration,
    /// The longest such pause, and the one after a change that was refused.
    last: Duration,
    /// A change that lasted this long was not undone by a machine.
    peace: Duration,
}

const PAUSES: Pauses = Pauses {
    first: Duration::from_secs(1),
    last: Duration::from_secs(60),
    peace: Duration::from_secs(600),
};
/// The longest that the control plane may take for an answer to a change.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What is known of the object.
enum Known {
    /// Nothing yet.
    Nothing,
    /// It is not there.
    Absent,
    /// It looks like this.
    Object(Box<APIService>),
}

/// What a change came to.
enum Changed {
    /// The object is like this now.
    Into(Box<APIService>),
    /// There is no object any more.
    Gone,
    /// The object is not what it was when it was compared; its present state is on its way here.
    Outdated,
    Refused(String),
}

/// The state of the work.
struct Work {
    known: Known,
    /// How much of our list must be in the object.
    fit: Fit,
    findings: OnChange<String>,
    patience: Patience,
}

/// When the object may be changed again, so that two who insist on their own do not keep the cluster busy.
struct Patience {
    pauses: Pauses,
    not_before: Instant,
    last: Option<Instant>,
    backoff: Backoff,
}

impl Controller for RegistrationController {
    fn name(&self) -> &'static str {
        "registration"
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.keep())
    }
}

impl RegistrationController {
    /// Keeps the CAs of `bundle`, in PEM, in the APIService while it points at `service`. An empty
    /// bundle means that the CAs are unknown.
    pub(super) fn new(
        client: Client,
        service: ServiceReference,
        bundle: watch::Receiver<Bytes>,
    ) -> Self {
        Self { client, name: format!("{VERSION}.{GROUP}"), service, bundle, pauses: PAUSES }
    }

    /// Follows the APIService and the CAs, and writes the CAs into the APIService. Returns if the CAs
    /// have no sender any more.
    async fn keep(&mut self) {
        let api = Api::<APIService>::all(self.client.clone());
        let name = self.name.clone();
        let mut states = pin!(watch_object(api.clone(), &name, SUBJECT));
        let mut work = Work::new(self.pauses);
        loop {
            let is_due = self.settle(&api, &mut work).await;
            tokio::select! {
                state = states.next() => match state {
                    Some(Ok(state)) => work.known = state.map_or(Known::Absent, |object| Known::Object(Box::new(object))),
                    Some(Err(_)) => {}
                    None => return,
                },
                changed = self.bundle.changed() => match changed {
                    Ok(()) => work.fit = Fit::Exactly,
                    Err(_) => return,
                },
                () = tokio::time::sleep_until(work.patience.not_before), if is_due => {}
            }
        }
    }

    /// Changes the object if it must be. Returns whether a change is due that has to wait.
    async fn settle(&mut self, api: &Api<APIService>, work: &mut Work) -> bool {
        let object = match &work.known {
            Known::Nothing => return false,
            Known::Absent => None,
            Known::Object(object) => Some(object.clone()),
        };
        let bundle = self.bundle.borrow_and_update().clone();
        match compare(object.as_deref(), &self.service, &bundle, work.fit) {
            RegistrationState::Change { .. } if Instant::now() < work.patience.not_before => true,
            RegistrationState::Change { found, precondition } => {
                let outcome = self.change(api, &precondition, bundle).await;
                self.conclude(work, outcome, found)
            }
            state => {
                if state == RegistrationState::Fits {
                    work.fit = Fit::AtLeast;
                }
                if work.findings.record(format!("{state:?}")) {
                    self.log(&state);
                }
                false
            }
        }
    }

    /// Writes the list, and nothing else.
    async fn change(
        &self,
        api: &Api<APIService>,
        precondition: &Precondition,
        bundle: Bytes,
    ) -> Changed {
        let Precondition { uid, resource_version } = precondition;
        let bundle = ByteString(bundle.into());
        let patch = Patch::Merge(json!({
            "metadata": {"uid": uid, "resourceVersion": resource_version},
            "spec": {"caBundle": bundle},
        }));
        let params = PatchParams {
            field_manager: Some(env!("CARGO_PKG_NAME").to_owned()),
            ..PatchParams::default()
        };
        match tokio::time::timeout(TIMEOUT, api.patch(&self.name, &params, &patch)).await {
            Ok(Ok(object)) => Changed::Into(Box::new(object)),
            Ok(Err(kube::Error::Api(status))) => match status.code {
                404 => Changed::Gone,
                409 => Changed::Outdated,
                403 => Changed::Refused(format!("{}: {}", status.message, SUBJECT.if_forbidden)),
                _ => Changed::Refused(status.message.clone()),
            },
            Ok(Err(error)) => Changed::Refused(error_message(&error)),
            Err(_) => Changed::Refused(format!("no answer within {}s", TIMEOUT.as_secs())),
        }
    }

    fn conclude(&self, work: &mut Work, outcome: Changed, found: &'static str) -> bool {
        let now = Instant::now();
        match outcome {
            Changed::Into(object) => {
                work.patience.changed(now);
                work.known = Known::Object(object);
                info!(apiservice = %self.name, found, "wrote the CA of this server into spec.caBundle");
                work.findings.record(format!("{:?}", RegistrationState::Fits));
                work.fit = Fit::AtLeast;
                false
            }
            Changed::Gone => {
                work.known = Known::Absent;
                false
            }
            Changed::Outdated => {
                work.known = Known::Nothing;
                false
            }
            Changed::Refused(reason) => {
                if work.findings.record(reason.clone()) {
                    error!(apiservice = %self.name, reason, "spec.caBundle cannot be set, trying again from time to time");
                }
                work.patience.not_before = now + self.pauses.last;
                true
            }
        }
    }

    fn log(&self, state: &RegistrationState) {
        let apiservice = &self.name;
        match state {
            RegistrationState::Absent => {
                info!(%apiservice, "waiting for the APIService: it is not there, and is not created here")
            }
            RegistrationState::Fits => {
                info!(%apiservice, "spec.caBundle holds the CA of this server")
            }
            RegistrationState::NoBundle => warn!(
                %apiservice,
                "spec.caBundle is left alone: the serving certificate is somebody else's and its CA is not known here"
            ),
            RegistrationState::Insecure => error!(
                %apiservice,
                "insecureSkipTLSVerify is true, with which no caBundle can be set, so anybody could pose as this server: \
                 remove it, and the CA is written at once"
            ),
            RegistrationState::Elsewhere { points_at } => warn!(
                %apiservice, points_at, ours = %self.service,
                "spec.caBundle is left alone: the APIService points elsewhere; correct it, or --service-name and \
                 --service-namespace"
            ),
            RegistrationState::Change { .. } => {}
        }
    }
}

impl Work {
    fn new(pauses: Pauses) -> Self {
        let patience = Patience::new(pauses, Instant::now());
        Self { known: Known::Nothing, fit: Fit::AtLeast, findings: OnChange::default(), patience }
    }
}

impl Patience {
    fn new(pauses: Pauses, now: Instant) -> Self {
        Self {
            pauses,
            not_before: now,
            last: None,
            backoff: Backoff::new(pauses.first, pauses.last),
        }
    }

    fn changed(&mut self, now: Instant) {
        let is_undone =
            self.last.is_some_and(|before| now.duration_since(before) < self.pauses.peace);
        self.last = Some(now);
        if is_undone {
            self.not_before = now + self.backoff.next_delay();
        } else {
            self.backoff.reset();
            self.not_before = now;
        }
    }
}

#[cfg(test)]
mod tests;
