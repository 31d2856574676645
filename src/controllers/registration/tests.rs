//! The caBundle of an APIService that others change, over a control plane in memory.
//!
//! Events are handled in order, so that what was not done about one is known when the next has been handled.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;

const NAME: &str = "v1.image.openshift.io";

/// The one APIService of a cluster, as an API server keeps it.
#[derive(Default)]
struct Plane {
    object: Option<Value>,
    version: u64,
    watchers: Vec<mpsc::UnboundedSender<String>>,
    /// The method and the answer that come instead of every answer.
    refusal: Option<(Method, StatusCode)>,
    patches: usize,
    refused: usize,
    others: Vec<Method>,
}

impl Plane {
    fn event(&mut self, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        self.watchers.retain(|watcher| watcher.send(line.clone()).is_ok());
    }

    fn put(&mut self, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let kind = if self.object.is_some() { "MODIFIED" } else { "ADDED" };
        self.object = Some(object.clone());
        self.event(kind, &object);
    }

    fn delete(&mut self) {
        self.version += 1;
        let object = self.object.take().unwrap();
        self.event("DELETED", &object);
    }

    fn patch(&mut self, patch: &Value) -> (StatusCode, Value) {
        self.patches += 1;
        let Some(mut object) = self.object.clone() else {
            return (StatusCode::NOT_FOUND, status(404));
        };
        for key in ["uid", "resourceVersion"] {
            if object["metadata"][key] != patch["metadata"][key] {
                return (StatusCode::CONFLICT, status(409));
            }
        }
        assert_eq!(patch["spec"].as_object().unwrap().len(), 1, "nothing else is changed");
        object["spec"]["caBundle"] = patch["spec"]["caBundle"].clone();
        self.put(object);
        (StatusCode::OK, self.object.clone().unwrap())
    }
}

fn status(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "it says no", "reason": "x", "code": code})
}

fn api_service(uid: &str, service: &str) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": NAME, "uid": uid},
        "spec": {
            "group": "image.openshift.io", "version": "v1", "groupPriorityMinimum": 9900, "versionPriority": 15,
            "service": {"namespace": "registry", "name": service, "port": 443},
        },
    })
}

fn ca(name: &str) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap().pem()
}

fn client(plane: &Arc<Mutex<Plane>>) -> Client {
    let plane = Arc::clone(plane);
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let plane = Arc::clone(&plane);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, kube::Error>(answer(&plane, &parts, &body))
        }
    });
    Client::new(service, "default")
}

fn answer(plane: &Mutex<Plane>, parts: &http::request::Parts, body: &[u8]) -> Response<Body> {
    let mut plane = plane.lock().unwrap();
    let query = parts.uri.query().unwrap_or_default();
    let (code, answer) = match &plane.refusal {
        Some((method, code)) if *method == parts.method => {
            let code = *code;
            plane.refused += 1;
            (code, status(code.as_u16()))
        }
        _ if parts.method == Method::PATCH => {
            assert_eq!(
                parts.uri.path(),
                format!("/apis/apiregistration.k8s.io/v1/apiservices/{NAME}")
            );
            plane.patch(&serde_json::from_slice(body).unwrap())
        }
        _ if parts.method != Method::GET => {
            plane.others.push(parts.method.clone());
            (StatusCode::METHOD_NOT_ALLOWED, status(405))
        }
        _ if query.contains("watch=true") => {
            let (sender, receiver) = mpsc::unbounded_channel::<String>();
            plane.watchers.push(sender);
            let lines = futures_util::stream::unfold(receiver, |mut receiver| async {
                let line = receiver.recv().await?;
                Some((Ok::<_, std::convert::Infallible>(line), receiver))
            });
            return Response::new(Body::from_stream(lines));
        }
        _ => {
            assert!(query.contains(&format!("fieldSelector=metadata.name%3D{NAME}")), "{query}");
            let items: Vec<_> = plane.object.iter().cloned().collect();
            let list = json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIServiceList",
                "metadata": {"resourceVersion": plane.version.to_string()}, "items": items,
            });
            (StatusCode::OK, list)
        }
    };
    Response::builder().status(code).body(Body::from(serde_json::to_vec(&answer).unwrap())).unwrap()
}

/// A server that keeps its registration.
struct Kept {
    plane: Arc<Mutex<Plane>>,
    bundle: watch::Sender<Bytes>,
    task: JoinHandle<()>,
}

impl Kept {
    fn start(plane: Plane, bundle: &str) -> Self {
        let plane = Arc::new(Mutex::new(plane));
        let bundle = watch::Sender::new(Bytes::from(bundle.to_owned()));
        let service = ServiceReference { namespace: "registry".into(), name: "images".into() };
        let (name, client) = (NAME.to_owned(), client(&plane));
        let short = Duration::from_millis(20);
        let pauses = Pauses { first: short, last: short, peace: PAUSES.peace };
        let mut registration =
            RegistrationController { client, name, service, bundle: bundle.subscribe(), pauses };
        let task = tokio::spawn(async move { registration.keep().await });
        Self { plane, bundle, task }
    }

    fn plane<T>(&self, work: impl FnOnce(&mut Plane) -> T) -> T {
        work(&mut self.plane.lock().unwrap())
    }

    fn ca_bundle(&self) -> String {
        let encoded = self.plane(|plane| plane.object.as_ref()?["spec"].get("caBundle").cloned());
        let bytes: Option<ByteString> =
            encoded.map(|encoded| serde_json::from_value(encoded).unwrap());
        String::from_utf8(bytes.unwrap_or_default().0).unwrap()
    }

    /// What somebody else writes.
    fn set(&self, ca_bundle: &str) {
        self.plane(|plane| {
            let mut object = plane.object.clone().unwrap();
            object["spec"]["caBundle"] = json!(ByteString(ca_bundle.into()));
            plane.put(object);
        });
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let condition = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), condition).await.expect(what);
        assert!(!self.task.is_finished());
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn with(object: Value) -> Plane {
    let mut plane = Plane::default();
    plane.put(object);
    plane
}

#[tokio::test]
async fn an_apiservice_is_waited_for_filled_mended_and_never_made() {
    let ours = ca("ours");
    let kept = Kept::start(Plane::default(), &ours);
    kept.until("it is looked for", |kept| kept.plane(|plane| plane.watchers.len() == 1)).await;
    kept.plane(|plane| plane.put(api_service("1", "images")));
    kept.until("a new APIService is filled", |kept| kept.ca_bundle() == ours).await;
    for reset in [String::new(), ca("other"), "rubbish".into()] {
        kept.set(&reset);
        kept.until("a reset is mended", |kept| kept.ca_bundle() == ours).await;
    }
    kept.plane(Plane::delete);
    kept.plane(|plane| plane.put(api_service("2", "images")));
    kept.until("the next one is filled", |kept| kept.ca_bundle() == ours).await;
    kept.plane(|plane| assert_eq!((plane.patches, &plane.others), (5, &vec![])));
}

#[tokio::test]
async fn additions_of_others_stay_until_our_list_changes() {
    let (old, new, more) = (ca("old"), ca("new"), ca("more"));
    let kept = Kept::start(with(api_service("1", "images")), &old);
    kept.until("it is filled", |kept| kept.ca_bundle() == old).await;
    kept.set(&format!("{more}{old}"));
    kept.set(&more);
    kept.until("only the loss is mended", |kept| kept.ca_bundle() == old).await;
    assert_eq!(kept.plane(|plane| plane.patches), 2);
    kept.bundle.send_replace(Bytes::from(format!("{new}{old}")));
    kept.until("a new CA is added", |kept| kept.ca_bundle() == format!("{new}{old}")).await;
    kept.bundle.send_replace(Bytes::from(new.clone()));
    kept.until("a former CA is taken out", |kept| kept.ca_bundle() == new).await;
}

#[test]
fn those_who_undo_each_others_changes_slow_down_to_one_a_minute() {
    let begin = Instant::now();
    let mut patience = Patience::new(PAUSES, begin);
    let pause_after = |patience: &mut Patience, idle: Duration| {
        let now = patience.not_before + idle;
        patience.changed(now);
        (patience.not_before - now).as_secs()
    };
    let pauses = [(); 9].map(|()| pause_after(&mut patience, Duration::ZERO));
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(pause_after(&mut patience, PAUSES.peace), 0);
}

#[tokio::test]
async fn foreign_or_insecure_api_service_is_left_alone() {
    let ours = ca("ours");
    let kept = Kept::start(with(api_service("1", "others")), &ours);
    let mut insecure = api_service("1", "images");
    insecure["spec"]["insecureSkipTLSVerify"] = json!(true);
    kept.until("it is followed", |kept| kept.plane(|plane| plane.watchers.len() == 1)).await;
    kept.plane(|plane| plane.put(insecure));
    kept.plane(|plane| plane.put(api_service("1", "images")));
    kept.until("it is filled", |kept| kept.ca_bundle() == ours).await;
    assert_eq!(kept.plane(|plane| plane.patches), 1);
}

#[tokio::test]
async fn without_a_ca_nothing_is_written_until_there_is_one() {
    let kept = Kept::start(with(api_service("1", "images")), "");
    kept.until("it is followed", |kept| kept.plane(|plane| plane.watchers.len() == 1)).await;
    let ours = ca("ours");
    kept.bundle.send_replace(Bytes::from(ours.clone()));
    kept.until("it is filled", |kept| kept.ca_bundle() == ours).await;
    assert_eq!(kept.plane(|plane| plane.patches), 1);
}

#[tokio::test]
async fn refusals_are_tried_again() {
    let ours = ca("ours");
    let codes = [
        StatusCode::FORBIDDEN,
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::UNPROCESSABLE_ENTITY,
    ];
    for (method, code) in [Method::PATCH, Method::GET]
        .into_iter()
        .flat_map(|each| codes.map(|code| (each.clone(), code)))
    {
        let mut plane = with(api_service("1", "images"));
        plane.refusal = Some((method, code));
        let kept = Kept::start(plane, &ours);
        kept.until("it is tried", |kept| kept.plane(|plane| plane.refused > 0)).await;
        assert_eq!(kept.ca_bundle(), "");
        kept.plane(|plane| plane.refusal = None);
        kept.until("it is filled", |kept| kept.ca_bundle() == ours).await;
    }
}

#[tokio::test]
async fn what_was_replaced_meanwhile_is_not_changed() {
    let ours = ca("ours");
    let kept = Kept::start(with(api_service("1", "images")), &ours);
    kept.until("it is filled", |kept| kept.ca_bundle() == ours).await;
    // Reset, and replaced by an object that is somebody else's before the reset is even seen.
    kept.plane(|plane| {
        let mut reset = plane.object.clone().unwrap();
        reset["spec"]["caBundle"] = Value::Null;
        plane.put(reset);
        plane.delete();
        plane.put(api_service("2", "others"));
        plane.put(api_service("2", "images"));
    });
    kept.until("the last one is filled", |kept| kept.ca_bundle() == ours).await;
    kept.plane(|plane| assert_eq!(plane.object.as_ref().unwrap()["metadata"]["uid"], "2"));
}
