//! The caBundle of an APIService that other clients change, with a control plane in memory.
//!
//! The controller handles events in order. When it has handled one, it has skipped the earlier ones
//! that it did not react to.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;

const NAME: &str = "v1.image.openshift.io";

/// A control plane with one APIService.
#[derive(Default)]
struct Plane {
    object: Option<Value>,
    version: u64,
    watchers: Vec<mpsc::UnboundedSender<String>>,
    /// A method, and the status code of all responses to it.
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
        assert_eq!(patch["spec"].as_object().unwrap().len(), 1, "the patch changes caBundle only");
        object["spec"]["caBundle"] = patch["spec"]["caBundle"].clone();
        self.put(object);
        (StatusCode::OK, self.object.clone().unwrap())
    }
}

fn status(code: u16) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": "refused by the test", "reason": "x", "code": code,
    })
}

fn api_service(uid: &str, service: &str) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": NAME, "uid": uid},
        "spec": {
            "group": "image.openshift.io", "version": "v1",
            "groupPriorityMinimum": 9900, "versionPriority": 15,
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

/// A running controller with its control plane.
struct Fixture {
    plane: Arc<Mutex<Plane>>,
    bundle: watch::Sender<Bytes>,
    task: JoinHandle<()>,
}

impl Fixture {
    fn start(plane: Plane, bundle: &str) -> Self {
        let plane = Arc::new(Mutex::new(plane));
        let bundle = watch::Sender::new(Bytes::from(bundle.to_owned()));
        let service = ServiceReference { namespace: "registry".into(), name: "images".into() };
        let (name, client) = (NAME.to_owned(), client(&plane));
        let short = Duration::from_millis(20);
        let delays = WriteDelays { first: short, longest: short, stable: DELAYS.stable };
        let mut registration =
            RegistrationController { client, name, service, bundle: bundle.subscribe(), delays };
        let task = tokio::spawn(async move { registration.follow().await });
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

    /// Sets caBundle, as another client does.
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

impl Drop for Fixture {
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
async fn a_late_or_reset_apiservice_gets_the_ca_and_none_is_created() {
    let ours = ca("ours");
    let fixture = Fixture::start(Plane::default(), &ours);
    fixture
        .until("it is watched", |fixture| fixture.plane(|plane| plane.watchers.len() == 1))
        .await;
    fixture.plane(|plane| plane.put(api_service("1", "images")));
    fixture.until("a new APIService gets the CA", |fixture| fixture.ca_bundle() == ours).await;
    for reset in [String::new(), ca("other"), "garbage".into()] {
        fixture.set(&reset);
        fixture.until("the CA is written again", |fixture| fixture.ca_bundle() == ours).await;
    }
    fixture.plane(Plane::delete);
    fixture.plane(|plane| plane.put(api_service("2", "images")));
    fixture.until("the next one gets the CA", |fixture| fixture.ca_bundle() == ours).await;
    fixture.plane(|plane| assert_eq!((plane.patches, &plane.others), (5, &vec![])));
}

#[tokio::test]
async fn added_cas_stay_until_the_own_cas_change() {
    let (old, new, more) = (ca("old"), ca("new"), ca("more"));
    let fixture = Fixture::start(with(api_service("1", "images")), &old);
    fixture.until("it gets the CA", |fixture| fixture.ca_bundle() == old).await;
    fixture.set(&format!("{more}{old}"));
    fixture.set(&more);
    fixture.until("only the removal is reverted", |fixture| fixture.ca_bundle() == old).await;
    assert_eq!(fixture.plane(|plane| plane.patches), 2);
    fixture.bundle.send_replace(Bytes::from(format!("{new}{old}")));
    fixture
        .until("a new CA is added", |fixture| fixture.ca_bundle() == format!("{new}{old}"))
        .await;
    fixture.bundle.send_replace(Bytes::from(new.clone()));
    fixture.until("a former CA is removed", |fixture| fixture.ca_bundle() == new).await;
}

#[test]
fn overwritten_writes_slow_down_to_one_a_minute() {
    let begin = Instant::now();
    let mut limiter = WriteLimiter::new(DELAYS, begin);
    let delay_after = |limiter: &mut WriteLimiter, idle: Duration| {
        let now = limiter.not_before + idle;
        limiter.record_write(now);
        (limiter.not_before - now).as_secs()
    };
    let delays = [(); 9].map(|()| delay_after(&mut limiter, Duration::ZERO));
    assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(delay_after(&mut limiter, DELAYS.stable), 0);
}

#[tokio::test]
async fn foreign_or_insecure_api_service_is_not_changed() {
    let ours = ca("ours");
    let fixture = Fixture::start(with(api_service("1", "others")), &ours);
    let mut insecure = api_service("1", "images");
    insecure["spec"]["insecureSkipTLSVerify"] = json!(true);
    fixture
        .until("it is watched", |fixture| fixture.plane(|plane| plane.watchers.len() == 1))
        .await;
    fixture.plane(|plane| plane.put(insecure));
    fixture.plane(|plane| plane.put(api_service("1", "images")));
    fixture.until("it gets the CA", |fixture| fixture.ca_bundle() == ours).await;
    assert_eq!(fixture.plane(|plane| plane.patches), 1);
}

#[tokio::test]
async fn nothing_is_written_before_the_ca_is_known() {
    let fixture = Fixture::start(with(api_service("1", "images")), "");
    fixture
        .until("it is watched", |fixture| fixture.plane(|plane| plane.watchers.len() == 1))
        .await;
    let ours = ca("ours");
    fixture.bundle.send_replace(Bytes::from(ours.clone()));
    fixture.until("it gets the CA", |fixture| fixture.ca_bundle() == ours).await;
    assert_eq!(fixture.plane(|plane| plane.patches), 1);
}

#[tokio::test]
async fn failed_writes_and_watches_are_retried() {
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
        let fixture = Fixture::start(plane, &ours);
        fixture.until("it is tried", |fixture| fixture.plane(|plane| plane.refused > 0)).await;
        assert_eq!(fixture.ca_bundle(), "");
        fixture.plane(|plane| plane.refusal = None);
        fixture.until("it gets the CA", |fixture| fixture.ca_bundle() == ours).await;
    }
}

#[tokio::test]
async fn a_replaced_api_service_is_not_changed() {
    let ours = ca("ours");
    let fixture = Fixture::start(with(api_service("1", "images")), &ours);
    fixture.until("it gets the CA", |fixture| fixture.ca_bundle() == ours).await;
    // The reset object is replaced by one for another Service before the controller sees the reset.
    fixture.plane(|plane| {
        let mut reset = plane.object.clone().unwrap();
        reset["spec"]["caBundle"] = Value::Null;
        plane.put(reset);
        plane.delete();
        plane.put(api_service("2", "others"));
        plane.put(api_service("2", "images"));
    });
    fixture.until("the last one gets the CA", |fixture| fixture.ca_bundle() == ours).await;
    fixture.plane(|plane| assert_eq!(plane.object.as_ref().unwrap()["metadata"]["uid"], "2"));
}
