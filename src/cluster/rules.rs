//! Rules of the cluster for writes, such as webhooks and quotas, from a watch of their objects.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::object_watch::{WatchSubject, watch_collection};
use crate::telemetry::admission_metrics::AdmissionMetrics;

/// Kind of objects with rules for writes.
pub trait RuleSource:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// Rules of all objects.
    type Rules: Clone + Send + Sync + 'static;

    /// Name of the reflector in logs.
    const NAME: &'static str;
    /// Words of log lines.
    const SUBJECT: WatchSubject;

    /// Adds the rules of a new or changed object. Returns true if the rules changed.
    fn apply(self, rules: &mut Self::Rules) -> bool;

    /// Removes the rules of a deleted object. Returns true if the rules changed.
    fn remove(&self, rules: &mut Self::Rules) -> bool;
}

/// Rules of the cluster, which may not be known yet.
pub struct ClusterRules<R>(watch::Receiver<RulesState<R>>);

/// Reflector that keeps [`ClusterRules`] current, by a list and a watch.
pub struct RulesReflector<S: RuleSource> {
    client: Client,
    /// The rules of a cluster without such objects.
    none: S::Rules,
    state: watch::Sender<RulesState<S::Rules>>,
    metrics: AdmissionMetrics,
    /// Time for which the control plane must refuse the list before the refusal counts.
    persistence: Duration,
}

/// Rules that are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesUnknown {
    /// No response of the control plane yet.
    #[error("not yet ready to handle request")]
    Pending,
    /// Missing permission.
    #[error("not yet ready to handle request: {0}")]
    Refused(String),
}

#[derive(Clone, Debug)]
enum RulesState<R> {
    Unknown(RulesUnknown),
    Known(R),
}

/// Timeout of a request for the resources of an API.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two looks for an API that the cluster does not have. A look is one small request.
const RECHECK: Duration = Duration::from_secs(10);
/// A kube-apiserver that has just started refuses requests until it has read its roles.
const PERSISTENCE: Duration = Duration::from_secs(5);

impl<R> Clone for ClusterRules<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: Clone + Send + Sync + 'static> ClusterRules<R> {
    /// Rules of a cluster, and the reflector that must run to keep them current. `none` are those
    /// without objects.
    pub fn of<S>(client: Client, metrics: AdmissionMetrics, none: R) -> (Self, RulesReflector<S>)
    where
        S: RuleSource<Rules = R>,
    {
        metrics.set_known(&S::plural(&()), 0);
        let (state, receiver) = watch::channel(RulesState::Unknown(RulesUnknown::Pending));
        let reflector = RulesReflector { client, none, state, metrics, persistence: PERSISTENCE };
        (Self(receiver), reflector)
    }

    /// Reads the rules; `None` if they are not known.
    pub fn read<T>(&self, read: impl FnOnce(&R) -> T) -> Option<T> {
        match &*self.0.borrow() {
            RulesState::Known(rules) => Some(read(rules)),
            RulesState::Unknown(_) => None,
        }
    }

    /// Waits until the rules are known.
    ///
    /// # Errors
    /// They are still unknown after `wait`, or this server has no permission to list them.
    pub async fn known(&self, wait: Duration) -> Result<(), RulesUnknown> {
        let mut state = self.0.clone();
        let is_decided =
            |state: &RulesState<R>| !matches!(state, RulesState::Unknown(RulesUnknown::Pending));
        match timeout(wait, state.wait_for(is_decided)).await {
            Ok(Ok(state)) => match &*state {
                RulesState::Known(_) => Ok(()),
                RulesState::Unknown(unknown) => Err(unknown.clone()),
            },
            Ok(Err(_)) | Err(_) => Err(RulesUnknown::Pending),
        }
    }

    /// Waits for a change of the rules. Returns `None` when their reflector has ended.
    pub async fn changed(&mut self) -> Option<()> {
        self.0.changed().await.ok()
    }
}

impl<S: RuleSource> RulesReflector<S> {
    /// Lists and watches the objects. Never returns.
    pub async fn run(&self) {
        loop {
            while self.is_missing().await {
                self.publish(self.none.clone());
                sleep(RECHECK).await;
            }
            self.follow().await;
        }
    }

    /// Follows the objects until the cluster has no such API any more.
    async fn follow(&self) {
        let api = Api::<S>::all_with(self.client.clone(), &());
        let mut events = pin!(watch_collection(api, S::SUBJECT));
        let mut listed = self.none.clone();
        let mut refused_since = None;
        while let Some(event) = events.next().await {
            if event.is_ok() {
                refused_since = None;
            }
            match event {
                Ok(Event::Apply(object)) => self.edit(|rules| object.apply(rules)),
                Ok(Event::Delete(object)) => self.edit(|rules| object.remove(rules)),
                Ok(Event::InitApply(object)) => {
                    object.apply(&mut listed);
                }
                Ok(Event::InitDone) => {
                    self.publish(std::mem::replace(&mut listed, self.none.clone()));
                }
                Ok(Event::Init) => listed = self.none.clone(),
                Err(outage) => {
                    listed = self.none.clone();
                    let may_be_missing = matches!(outage.code, Some(403 | 404));
                    if may_be_missing && self.is_missing().await {
                        return;
                    }
                    match outage.code {
                        Some(404) => self.publish(self.none.clone()),
                        Some(403) => {
                            let since = *refused_since.get_or_insert_with(Instant::now);
                            if since.elapsed() >= self.persistence {
                                self.record_unknown(RulesUnknown::Refused(outage.text));
                            }
                        }
                        _ => {
                            refused_since = None;
                            self.record_unknown(RulesUnknown::Pending);
                        }
                    }
                }
            }
        }
    }

    fn publish(&self, rules: S::Rules) {
        self.state.send_replace(RulesState::Known(rules));
        self.metrics.set_known(&S::plural(&()), 1);
    }

    /// Changes known rules. The watch begins after the list, so they are known.
    fn edit(&self, edit: impl FnOnce(&mut S::Rules) -> bool) {
        self.state.send_if_modified(|state| match state {
            RulesState::Known(rules) => edit(rules),
            RulesState::Unknown(_) => false,
        });
    }

    /// Known rules stay in force during an outage.
    fn record_unknown(&self, unknown: RulesUnknown) {
        self.state.send_if_modified(|state| {
            let is_unknown = matches!(state, RulesState::Unknown(_));
            if is_unknown {
                *state = RulesState::Unknown(unknown);
            }
            is_unknown
        });
    }

    /// Returns true if the cluster does not have the API: it has no rules then. A list does not tell,
    /// because the control plane refuses a request before it looks up the API. Discovery is allowed
    /// to every user.
    async fn is_missing(&self) -> bool {
        let version = S::api_version(&());
        if !version.contains('/') {
            return false;
        }
        let resources = timeout(TIMEOUT, self.client.list_api_group_resources(&version)).await;
        matches!(resources, Ok(Err(kube::Error::Api(status))) if status.code == 404)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use k8s_openapi::api::apps::v1::Deployment;
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;

    const WAIT: Duration = Duration::from_secs(20);

    /// The names of all Deployments, as the rules of a test.
    impl RuleSource for Deployment {
        type Rules = BTreeSet<String>;

        const NAME: &'static str = "test";
        const SUBJECT: WatchSubject =
            WatchSubject { what: "the deployments", if_forbidden: "allow deployments" };

        fn apply(self, rules: &mut BTreeSet<String>) -> bool {
            rules.insert(self.name_any())
        }

        fn remove(&self, rules: &mut BTreeSet<String>) -> bool {
            rules.remove(&self.name_any())
        }
    }

    /// Client of a cluster that answers lists and discovery with these statuses: the lists in turn,
    /// and then always with the last status. The watch removes `a` and adds `c`.
    fn client(lists: &'static [u16], discovery: u16) -> Client {
        let listed = Arc::new(AtomicUsize::new(0));
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let listed = Arc::clone(&listed);
            async move {
                let object = |name: &str| {
                    json!({
                        "kind": "Deployment", "apiVersion": "apps/v1",
                        "metadata": {"name": name, "resourceVersion": "2"},
                    })
                };
                let is_watch = request.uri().query().unwrap_or_default().contains("watch=true");
                let is_discovery = request.uri().path() == "/apis/apps/v1";
                let code = match (is_discovery, is_watch) {
                    (true, _) => discovery,
                    (_, true) => *lists.last().unwrap(),
                    _ => lists[listed.fetch_add(1, Ordering::Relaxed).min(lists.len() - 1)],
                };
                let body = match code {
                    200 if is_watch => {
                        let event = |kind: &str, name: &str| {
                            json!({"type": kind, "object": object(name)}).to_string() + "\n"
                        };
                        event("DELETED", "a") + &event("ADDED", "c")
                    }
                    200 => {
                        let metadata = json!({"resourceVersion": "1"});
                        json!({"metadata": metadata, "items": [object("a"), object("b")]})
                            .to_string()
                    }
                    code => json!({"kind": "Status", "code": code, "message": "no"}).to_string(),
                };
                let body = kube::client::Body::from(body.into_bytes());
                Ok::<_, std::io::Error>(http::Response::builder().status(code).body(body).unwrap())
            }
        });
        Client::new(service, "default")
    }

    async fn known(list: &'static [u16], discovery: u16) -> Result<BTreeSet<String>, RulesUnknown> {
        let (rules, mut reflector) = ClusterRules::of::<Deployment>(
            client(list, discovery),
            AdmissionMetrics::default(),
            BTreeSet::new(),
        );
        reflector.persistence = Duration::ZERO;
        assert!(rules.read(|_| ()).is_none());
        tokio::select! {
            () = reflector.run() => unreachable!("it never returns"),
            known = rules.known(WAIT) => known.map(|()| rules.read(Clone::clone).unwrap()),
        }
    }

    #[tokio::test]
    async fn list_and_watch_make_the_rules() {
        let (mut rules, reflector) = ClusterRules::of::<Deployment>(
            client(&[200], 200),
            AdmissionMetrics::default(),
            BTreeSet::new(),
        );
        let expected = BTreeSet::from(["b".to_owned(), "c".to_owned()]);
        let watched = async {
            while rules.read(|rules| *rules == expected) != Some(true) {
                rules.changed().await.unwrap();
            }
        };
        tokio::select! {
            () = reflector.run() => unreachable!("it never returns"),
            watched = timeout(WAIT, watched) => watched.unwrap(),
        }
    }

    #[tokio::test]
    async fn cluster_without_the_api_has_no_rules() {
        assert!(known(&[403], 404).await.unwrap().is_empty());
        assert!(known(&[404], 200).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn missing_permission_is_reported_with_the_remedy() {
        let why = known(&[403], 200).await.unwrap_err().to_string();
        assert_eq!(why, "not yet ready to handle request: no: allow deployments");
    }

    #[tokio::test]
    async fn failed_discovery_does_not_mean_that_there_are_no_rules() {
        let why = known(&[403], 503).await.unwrap_err();
        assert!(matches!(why, RulesUnknown::Refused(_)), "{why}");
    }

    #[tokio::test]
    async fn refusals_of_a_starting_control_plane_are_waited_out() {
        let (rules, reflector) = ClusterRules::of::<Deployment>(
            client(&[403, 403, 200], 200),
            AdmissionMetrics::default(),
            BTreeSet::new(),
        );
        tokio::select! {
            () = reflector.run() => unreachable!("it never returns"),
            known = rules.known(WAIT) => known.unwrap(),
        }
    }

    #[tokio::test]
    async fn wait_for_unknown_rules_ends() {
        let (rules, _reflector) = ClusterRules::of::<Deployment>(
            client(&[500], 500),
            AdmissionMetrics::default(),
            BTreeSet::new(),
        );
        let known = rules.known(Duration::from_millis(20)).await;
        assert_eq!(known.unwrap_err(), RulesUnknown::Pending);
    }
}
