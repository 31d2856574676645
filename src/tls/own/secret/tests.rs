//! Replicas that share a Secret, over a control plane that is one function.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// The one Secret of a namespace, as an API server keeps it.
#[derive(Default)]
struct Plane {
    secret: Option<Secret>,
    version: u64,
    /// Answers that come instead of the next ones.
    instead: VecDeque<(Method, StatusCode)>,
    /// What another replica writes just before the next update.
    meanwhile: Option<Content>,
    updates: usize,
}

type Shared = Arc<Mutex<Plane>>;

impl Plane {
    fn with(secret: Secret) -> Shared {
        Arc::new(Mutex::new(Self { secret: Some(secret), ..Self::default() }))
    }

    fn current(&mut self) -> Option<Secret> {
        let mut secret = self.secret.clone()?;
        secret.metadata.resource_version = Some(self.version.to_string());
        Some(secret)
    }

    fn answer(&mut self, method: &Method, body: &[u8]) -> (StatusCode, Value) {
        if let Some(at) = self.instead.iter().position(|(each, _)| each == method) {
            let (_, code) = self.instead.remove(at).unwrap();
            return (code, status(code));
        }
        let Some(current) = self.current() else { return (StatusCode::NOT_FOUND, status(StatusCode::NOT_FOUND)) };
        if method == Method::PUT {
            if let Some(content) = self.meanwhile.take() {
                self.put(&content);
            }
            let new: Secret = serde_json::from_slice(body).unwrap();
            if new.metadata.resource_version != Some(self.version.to_string()) {
                return (StatusCode::CONFLICT, status(StatusCode::CONFLICT));
            }
            (self.secret, self.version, self.updates) = (Some(new.clone()), self.version + 1, self.updates + 1);
            return (StatusCode::OK, serde_json::to_value(new).unwrap());
        }
        (StatusCode::OK, serde_json::to_value(current).unwrap())
    }

    fn put(&mut self, content: &Content) {
        let part = |part: &Option<Vec<u8>>| ByteString(part.clone().unwrap_or_default());
        let data = self.secret.as_mut().unwrap().data.get_or_insert_default();
        data.insert("ca.crt".into(), part(&content.ca_certificates));
        data.insert("ca.key".into(), part(&content.ca_key));
        data.insert("tls.crt".into(), part(&content.certificate));
        data.insert("tls.key".into(), part(&content.key));
        self.version += 1;
    }
}

fn status(code: StatusCode) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "it says no", "reason": "x", "code": code.as_u16()})
}

fn replica(plane: &Shared) -> Store {
    let plane = Arc::clone(plane);
    let service = tower::service_fn(move |request: Request<Body>| {
        let plane = Arc::clone(&plane);
        async move {
            let (parts, body) = request.into_parts();
            assert_eq!(parts.uri.path(), "/api/v1/namespaces/registry/secrets/serving");
            let body = body.collect().await?.to_bytes();
            let (code, answer) = plane.lock().unwrap().answer(&parts.method, &body);
            let answer = axum::body::Body::from(serde_json::to_vec(&answer).unwrap());
            Ok::<_, kube::Error>(Response::builder().status(code).body(answer).unwrap())
        }
    });
    let names = vec!["images.registry.svc".to_owned()];
    Store::new(Client::new(service, "default"), "registry".into(), "serving".into(), names)
}

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

async fn fault(plane: &Shared) -> String {
    let error = replica(plane).look(now()).await.err().unwrap();
    assert!(error.may_pass(), "{error}");
    error.to_string()
}

#[tokio::test]
async fn first_replica_fills_an_empty_secret() {
    let plane = Plane::with(Secret::default());
    let first = replica(&plane).look(now()).await.unwrap();
    let updates = plane.lock().unwrap().updates;
    let second = replica(&plane).look(now()).await.unwrap();
    assert_eq!((&first.pair.key.cert, &first.bundle), (&second.pair.key.cert, &second.bundle));
    assert_eq!((updates, plane.lock().unwrap().updates), (2, 2), "a CA and a pair");
}

#[tokio::test]
async fn other_secret_keys_stay_and_empty_values_are_missing() {
    let data = [("tls.crt", ""), ("tls.key", ""), ("mine", "kept")];
    let data = data.map(|(key, value)| (key.to_owned(), ByteString(value.into())));
    let secret = Secret { data: Some(data.into()), type_: Some("kubernetes.io/tls".into()), ..Secret::default() };
    let plane = Plane::with(secret);
    replica(&plane).look(now()).await.unwrap();
    let kept = plane.lock().unwrap().secret.clone().unwrap();
    assert_eq!(kept.type_.as_deref(), Some("kubernetes.io/tls"));
    let data = kept.data.unwrap();
    assert_eq!(data["mine"].0, b"kept");
    for key in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
        assert!(data[key].0.starts_with(b"-----BEGIN "), "{key}");
    }
}

#[tokio::test]
async fn of_two_replicas_at_once_one_takes_what_the_other_made() {
    let other = Plane::with(Secret::default());
    let theirs = replica(&other).look(now()).await.unwrap();
    let plane = Plane::with(Secret::default());
    plane.lock().unwrap().meanwhile = Some(content(&other.lock().unwrap().secret.clone().unwrap()));
    let ours = replica(&plane).look(now()).await.unwrap();
    assert_eq!((&ours.pair.key.cert, &ours.bundle), (&theirs.pair.key.cert, &theirs.bundle));
    assert_eq!(plane.lock().unwrap().updates, 0);
}

#[tokio::test]
async fn a_pair_that_is_due_is_renewed_in_the_secret_for_all() {
    let plane = Plane::with(Secret::default());
    let (first, second) = (replica(&plane), replica(&plane));
    let before = first.look(now()).await.unwrap();
    let later = now() + jiff::SignedDuration::from_hours(24 * 340);
    let renewed = first.look(later).await.unwrap();
    assert_ne!(renewed.pair.key.cert, before.pair.key.cert);
    assert_eq!(second.look(later).await.unwrap().pair.key.cert, renewed.pair.key.cert);
    assert_eq!(renewed.bundle, before.bundle);
}

#[tokio::test]
async fn secret_errors_name_a_remedy_and_create_nothing() {
    let missing = Shared::default();
    let error = fault(&missing).await;
    assert!(error.contains("kubectl -n registry create secret generic serving"), "{error}");
    assert!(missing.lock().unwrap().secret.is_none());
    let plane = Plane::with(Secret::default());
    for (method, code, expected) in [
        (Method::GET, StatusCode::FORBIDDEN, "may not get it (it says no): a Role in registry must allow"),
        (Method::PUT, StatusCode::FORBIDDEN, "may not update it (it says no): a Role in registry must allow"),
        (Method::PUT, StatusCode::UNPROCESSABLE_ENTITY, "update is refused: it says no"),
        (Method::GET, StatusCode::INTERNAL_SERVER_ERROR, "get is refused: it says no"),
    ] {
        plane.lock().unwrap().instead.push_back((method, code));
        let error = fault(&plane).await;
        assert!(error.starts_with("secret registry/serving (--cert-secret): "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn what_is_wrong_in_the_secret_is_told_by_its_key() {
    let plane = Plane::with(Secret::default());
    let store = replica(&plane);
    store.look(now()).await.unwrap();
    let spoil = |key: &str| {
        let mut plane = plane.lock().unwrap();
        plane.secret.as_mut().unwrap().data.as_mut().unwrap().insert(key.to_owned(), ByteString(b"rubbish".to_vec()));
    };
    spoil("ca.key");
    let concern = store.look(now()).await.unwrap().concern.unwrap().to_string();
    assert!(concern.contains("ca.key of secret registry/serving (--cert-secret), or remove both"), "{concern}");
    spoil("tls.key");
    let error = store.look(now()).await.err().unwrap();
    assert!(!error.may_pass(), "waiting does not help: {error}");
}
