//! Tests of charges against a control plane in the test process.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::evaluator::QuotaEvaluator;
use super::ledger::QuotaLedger;
use crate::cluster::{QuotaClient, QuotaPlace};
use crate::machinery::group_version::GroupVersion;
use crate::meta::{GroupResource, Status, Time};
use crate::registry::actor::{Actor, DryRun};
use crate::registry::admission::attributes::{
    AdmissionAttributes, AdmissionOperation, AdmissionTarget, WriteOrigin,
};

/// Counts one object for each write.
struct One;

impl QuotaEvaluator for One {
    fn resources(&self) -> &'static [&'static str] {
        &["count/streams", "streams"]
    }

    fn handles(&self, _: &AdmissionTarget) -> bool {
        true
    }

    fn added<'a>(&'a self, _: &'a AdmissionAttributes) -> BoxFuture<'a, Result<u64, Status>> {
        future::ready(Ok(1)).boxed()
    }
}

/// The quotas of a control plane, by path.
#[derive(Clone, Default)]
struct FakeQuotas(Arc<Mutex<Vec<(String, Value)>>>);

impl FakeQuotas {
    fn with(self, name: &str, hard: &Value, used: &Value) -> Self {
        let quota = json!({
            "kind": "ResourceQuota", "apiVersion": "v1",
            "metadata": {"namespace": "ns", "name": name, "resourceVersion": "1"},
            "spec": {"hard": hard}, "status": {"hard": hard, "used": used},
        });
        let path = format!("/api/v1/namespaces/ns/resourcequotas/{name}");
        self.0.lock().push((path, quota));
        self
    }

    fn used(&self, at: usize) -> Value {
        self.0.lock()[at].1["status"]["used"].clone()
    }

    fn client(&self) -> Client {
        let quotas = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let quotas = quotas.clone();
            async move {
                let (method, path) = (request.method().clone(), request.uri().path().to_owned());
                let body = request.into_body().collect_bytes().await.unwrap();
                let (code, body) = quotas.respond(method == "PATCH", &path, &body);
                // Others get a turn between two requests.
                tokio::task::yield_now().await;
                let body = kube::client::Body::from(body.to_string().into_bytes());
                Ok::<_, std::io::Error>(http::Response::builder().status(code).body(body).unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn respond(&self, is_patch: bool, path: &str, body: &[u8]) -> (u16, Value) {
        let failure = |code: u16| {
            let reason = if code == 404 { "NotFound" } else { "Conflict" };
            (code, json!({"kind": "Status", "code": code, "reason": reason, "message": "no"}))
        };
        let mut quotas = self.0.lock();
        let path = path.trim_end_matches("/status");
        let Some((_, quota)) = quotas.iter_mut().find(|(at, _)| at == path) else {
            return failure(404);
        };
        if is_patch {
            let patch: Value = serde_json::from_slice(body).unwrap();
            let version = &mut quota["metadata"]["resourceVersion"];
            if patch["metadata"]["resourceVersion"] != *version {
                return failure(409);
            }
            let next = version.as_str().unwrap().parse::<u64>().unwrap() + 1;
            *version = next.to_string().into();
            for (name, amount) in patch["status"]["used"].as_object().unwrap() {
                quota["status"]["used"][name] = amount.clone();
            }
        }
        (200, quota.clone())
    }

    fn ledger(&self) -> Arc<QuotaLedger> {
        Arc::new(QuotaLedger::new(QuotaClient::new(self.client()), Arc::new(One)))
    }
}

fn places(names: &[&str]) -> BTreeSet<QuotaPlace> {
    let place =
        |name: &&str| QuotaPlace::Namespace { namespace: "ns".into(), name: (*name).into() };
    names.iter().map(place).collect()
}

fn attributes() -> AdmissionAttributes {
    let target = AdmissionTarget {
        operation: AdmissionOperation::Create,
        origin: WriteOrigin::Request,
        resource: GroupResource { group: "g", name: "streams" },
        subresource: "",
        kind: "Stream",
        api: GroupVersion { group: "g", name: "g/v1", version: "v1", kinds: &["Stream"] },
    };
    AdmissionAttributes { target, namespace: "ns".into(), name: "x".into(), old: None, new: None }
}

fn actor() -> Actor {
    Actor::internal("test", Time::from_unix_seconds(0))
}

async fn charge(quotas: &FakeQuotas, names: &[&str]) -> Result<(), String> {
    let charged = quotas.ledger().charge(places(names), &attributes(), &actor()).await;
    charged.map_err(|status| format!("{} {}", status.code, status.message))
}

#[tokio::test]
async fn limited_resources_are_charged() {
    let hard = json!({"streams": "3", "count/streams": "9", "pods": "1"});
    let used = json!({"streams": "2", "count/streams": "2", "pods": "1"});
    let quotas = FakeQuotas::default().with("q", &hard, &used);
    charge(&quotas, &["q", "deleted"]).await.unwrap();
    let charged = json!({"streams": "3", "count/streams": "3", "pods": "1"});
    assert_eq!(quotas.used(0), charged);
    let why = charge(&quotas, &["q"]).await.unwrap_err();
    let text = "403 streams.g \"x\" is forbidden: exceeded quota: q, requested: streams=1, used: streams=3, limited: streams=3";
    assert_eq!(why, text);
    assert_eq!(quotas.used(0), charged);
}

#[tokio::test]
async fn quota_without_usage_refuses() {
    let quotas = FakeQuotas::default().with("q", &json!({"streams": "3", "pods": "1"}), &json!({}));
    let why = charge(&quotas, &["q"]).await.unwrap_err();
    let text = "403 streams.g \"x\" is forbidden: status unknown for quota: q, resources: streams";
    assert_eq!(why, text);
}

#[tokio::test]
async fn no_quota_is_charged_if_one_is_exceeded() {
    let (hard, used) = (json!({"streams": "1"}), json!({"streams": "0"}));
    let quotas = FakeQuotas::default().with("a", &hard, &used).with("b", &hard, &hard);
    let why = charge(&quotas, &["a", "b"]).await.unwrap_err();
    assert!(why.contains("exceeded quota: b, "), "{why}");
    assert_eq!(quotas.used(0), used);
}

#[tokio::test]
async fn dry_run_charges_nothing() {
    let (hard, used) = (json!({"streams": "1"}), json!({"streams": "0"}));
    let quotas = FakeQuotas::default().with("q", &hard, &used);
    let dry = Actor { dry_run: DryRun::All, ..actor() };
    quotas.ledger().charge(places(&["q"]), &attributes(), &dry).await.unwrap();
    assert_eq!(quotas.used(0), used);
    charge(&quotas, &["q"]).await.unwrap();
    quotas.ledger().charge(places(&["q"]), &attributes(), &dry).await.unwrap_err();
}

#[tokio::test]
async fn scoped_quota_limits_no_object() {
    let quotas = FakeQuotas::default().with("q", &json!({"streams": "0"}), &json!({}));
    quotas.0.lock()[0].1["spec"]["scopes"] = json!(["Terminating"]);
    charge(&quotas, &["q"]).await.unwrap();
}

#[tokio::test]
async fn last_places_go_to_as_many_writes_of_two_servers() {
    let quotas =
        FakeQuotas::default().with("q", &json!({"streams": "5"}), &json!({"streams": "0"}));
    let servers = [quotas.ledger(), quotas.ledger()];
    let (attributes, actor) = (attributes(), actor());
    let writes = (0..12).map(|at| servers[at % 2].charge(places(&["q"]), &attributes, &actor));
    let outcomes = future::join_all(writes).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    let refused = outcomes.into_iter().filter_map(Result::err);
    assert!(refused.into_iter().all(|status| status.code == 403));
    assert_eq!(quotas.used(0), json!({"streams": "5"}));
}
