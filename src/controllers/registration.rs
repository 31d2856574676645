//! The CA bundle in the APIService that registers this server with kube-apiserver.
//!
//! The controller writes `spec.caBundle` only. It does not create a missing APIService, so that an
//! uninstall stays complete, and does not change one that refers to another Service.

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
use reconcile::{BundleMatch, Precondition, RegistrationState, compare};

/// Writes the CAs of this server into its APIService.
pub(super) struct RegistrationController {
    client: Client,
    name: String,
    service: ServiceReference,
    bundle: watch::Receiver<Bytes>,
    delays: WriteDelays,
}

const SUBJECT: WatchSubject = WatchSubject {
    what: "the APIService of this server",
    if_forbidden: "--inject-ca-bundle needs a ClusterRole that allows this server to get, list, \
                   watch and patch apiservices.apiregistration.k8s.io with the name of its \
                   APIService in resourceNames",
};

/// Delays between writes.
#[derive(Clone, Copy)]
struct WriteDelays {
    /// Delay after the first write that another client overwrites. It doubles with each further
    /// one.
    first: Duration,
    /// Longest delay, and the delay after a failed write.
    longest: Duration,
    /// Age of a write after which the next delay is the first one again.
    stable: Duration,
}

const DELAYS: WriteDelays = WriteDelays {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
    stable: Duration::from_secs(600),
};
/// Timeout of a write.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Latest observed state of the APIService.
enum ObservedApiService {
    /// Not observed yet, or outdated.
    Unknown,
    /// The APIService does not exist.
    Absent,
    /// The APIService.
    Object(Box<APIService>),
}

/// Outcome of a write.
enum PatchOutcome {
    /// The patched APIService.
    Patched(Box<APIService>),
    /// The APIService does not exist any more.
    NotFound,
    /// The APIService has changed since it was compared. The watch delivers its new state.
    Conflict,
    /// The write failed, for this reason.
    Failed(String),
}

/// State of a run of the controller.
struct RegistrationRun {
    observed: ObservedApiService,
    /// Required match between the CAs of this server and those of the APIService.
    required: BundleMatch,
    logged: OnChange<String>,
    limiter: WriteLimiter,
}

/// Limit on the rate of writes, for the case that another client keeps overwriting them.
struct WriteLimiter {
    delays: WriteDelays,
    not_before: Instant,
    last: Option<Instant>,
    backoff: Backoff,
}

impl Controller for RegistrationController {
    fn name(&self) -> &'static str {
        "registration"
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.follow())
    }
}

impl RegistrationController {
    /// A controller that writes the CAs of `bundle`, in PEM, into the APIService while it refers to
    /// `service`. An empty bundle means that the CAs are not known.
    pub(super) fn new(
        client: Client,
        service: ServiceReference,
        bundle: watch::Receiver<Bytes>,
    ) -> Self {
        Self { client, name: format!("{VERSION}.{GROUP}"), service, bundle, delays: DELAYS }
    }

    /// Watches the APIService and the CAs, and reconciles on each change. Returns when the sender
    /// of the CAs is dropped.
    async fn follow(&mut self) {
        let api = Api::<APIService>::all(self.client.clone());
        let name = self.name.clone();
        let mut states = pin!(watch_object(api.clone(), &name, SUBJECT));
        let mut run = RegistrationRun::new(self.delays);
        loop {
            let is_delayed = self.reconcile(&api, &mut run).await;
            tokio::select! {
                state = states.next() => match state {
                    Some(Ok(state)) => run.observed = state.into(),
                    Some(Err(_)) => {}
                    None => return,
                },
                changed = self.bundle.changed() => match changed {
                    Ok(()) => run.required = BundleMatch::Exact,
                    Err(_) => return,
                },
                () = tokio::time::sleep_until(run.limiter.not_before), if is_delayed => {}
            }
        }
    }

    /// Compares the APIService with the CAs, and writes the CAs if they differ. Returns true if a
    /// write is due, but delayed.
    async fn reconcile(&mut self, api: &Api<APIService>, run: &mut RegistrationRun) -> bool {
        let object = match &run.observed {
            ObservedApiService::Unknown => return false,
            ObservedApiService::Absent => None,
            ObservedApiService::Object(object) => Some(object.clone()),
        };
        let bundle = self.bundle.borrow_and_update().clone();
        match compare(object.as_deref(), &self.service, &bundle, run.required) {
            RegistrationState::Change { .. } if Instant::now() < run.limiter.not_before => true,
            RegistrationState::Change { found, precondition } => {
                let outcome = self.patch(api, &precondition, bundle).await;
                self.record(run, outcome, found)
            }
            state => {
                if state == RegistrationState::Current {
                    run.required = BundleMatch::Superset;
                }
                if run.logged.record(format!("{state:?}")) {
                    self.log(&state);
                }
                false
            }
        }
    }

    /// Writes `spec.caBundle`, and no other field.
    async fn patch(
        &self,
        api: &Api<APIService>,
        precondition: &Precondition,
        bundle: Bytes,
    ) -> PatchOutcome {
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
            Ok(Ok(object)) => PatchOutcome::Patched(Box::new(object)),
            Ok(Err(kube::Error::Api(status))) => match status.code {
                404 => PatchOutcome::NotFound,
                409 => PatchOutcome::Conflict,
                403 => {
                    let remedy = SUBJECT.if_forbidden;
                    PatchOutcome::Failed(format!("{}: {remedy}", status.message))
                }
                _ => PatchOutcome::Failed(status.message.clone()),
            },
            Ok(Err(error)) => PatchOutcome::Failed(error_message(&error)),
            Err(_) => PatchOutcome::Failed(format!("no response within {} s", TIMEOUT.as_secs())),
        }
    }

    /// Records the outcome of a write, and logs it. Returns true if the write must be repeated.
    fn record(
        &self,
        run: &mut RegistrationRun,
        outcome: PatchOutcome,
        found: &'static str,
    ) -> bool {
        let now = Instant::now();
        match outcome {
            PatchOutcome::Patched(object) => {
                run.limiter.record_write(now);
                run.observed = ObservedApiService::Object(object);
                info!(
                    apiservice = %self.name, found,
                    "wrote the CA of this server into spec.caBundle"
                );
                run.logged.record(format!("{:?}", RegistrationState::Current));
                run.required = BundleMatch::Superset;
                false
            }
            PatchOutcome::NotFound => {
                run.observed = ObservedApiService::Absent;
                false
            }
            PatchOutcome::Conflict => {
                run.observed = ObservedApiService::Unknown;
                false
            }
            PatchOutcome::Failed(reason) => {
                if run.logged.record(reason.clone()) {
                    error!(apiservice = %self.name, reason, "cannot write spec.caBundle; retrying");
                }
                run.limiter.not_before = now + self.delays.longest;
                true
            }
        }
    }

    fn log(&self, state: &RegistrationState) {
        let apiservice = &self.name;
        match state {
            RegistrationState::Absent => {
                info!(%apiservice, "waiting for the APIService; this server does not create it")
            }
            RegistrationState::Current => {
                info!(%apiservice, "spec.caBundle holds the CA of this server")
            }
            RegistrationState::NoBundle => warn!(
                %apiservice,
                "the CA of the serving certificate is not known; not changing spec.caBundle"
            ),
            RegistrationState::Insecure => error!(
                %apiservice,
                "spec.insecureSkipTLSVerify is true, so kube-apiserver does not verify this \
                 server, and spec.caBundle cannot be set: remove insecureSkipTLSVerify"
            ),
            RegistrationState::OtherService { points_at } => warn!(
                %apiservice, points_at, ours = %self.service,
                "the APIService refers to another service; not changing spec.caBundle: correct \
                 spec.service, or --service-name and --service-namespace"
            ),
            RegistrationState::Change { .. } => {}
        }
    }
}

impl From<Option<APIService>> for ObservedApiService {
    fn from(object: Option<APIService>) -> Self {
        object.map_or(Self::Absent, |object| Self::Object(Box::new(object)))
    }
}

impl RegistrationRun {
    fn new(delays: WriteDelays) -> Self {
        Self {
            observed: ObservedApiService::Unknown,
            required: BundleMatch::Superset,
            logged: OnChange::default(),
            limiter: WriteLimiter::new(delays, Instant::now()),
        }
    }
}

impl WriteLimiter {
    fn new(delays: WriteDelays, now: Instant) -> Self {
        Self {
            delays,
            not_before: now,
            last: None,
            backoff: Backoff::new(delays.first, delays.longest),
        }
    }

    /// Records a write. The next one is delayed if the previous one was soon overwritten.
    fn record_write(&mut self, now: Instant) {
        let is_overwritten =
            self.last.is_some_and(|before| now.duration_since(before) < self.delays.stable);
        self.last = Some(now);
        if is_overwritten {
            self.not_before = now + self.backoff.next_delay();
        } else {
            self.backoff.reset();
            self.not_before = now;
        }
    }
}

#[cfg(test)]
mod tests;
