//! Tests of replicas that share a Secret, with an in-process API server.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// The Secret of a namespace in an API server.
#[derive(Default)]
struct ApiServer {
    secret: Option<Secret>,
    version: u64,
    /// Errors for the next requests with these methods.
    errors: VecDeque<(Method, StatusCode)>,
    /// Data that another replica writes just before the next update.
    concurrent_write: Option<CertificateData>,
    updates: usize,
}

type Shared = Arc<Mutex<ApiServer>>;

impl ApiServer {
    fn with(secret: Secret) -> Shared {
        Arc::new(Mutex::new(Self { secret: Some(secret), ..Self::default() }))
    }

    fn current(&mut self) -> Option<Secret> {
        let mut secret = self.secret.clone()?;
        secret.metadata.resource_version = Some(self.version.to_string());
        Some(secret)
    }

    fn response(&mut self, method: &Method, body: &[u8]) -> (StatusCode, Value) {
        if let Some(at) = self.errors.iter().position(|(each, _)| each == method) {
            let (_, code) = self.errors.remove(at).unwrap();
            return (code, status(code));
        }
        let Some(current) = self.current() else {
            return (StatusCode::NOT_FOUND, status(StatusCode::NOT_FOUND));
        };
        if method == Method::PUT {
            if let Some(data) = self.concurrent_write.take() {
                self.put(&data);
            }
            let new: Secret = serde_json::from_slice(body).unwrap();
            if new.metadata.resource_version != Some(self.version.to_string()) {
                return (StatusCode::CONFLICT, status(StatusCode::CONFLICT));
            }
            (self.secret, self.version, self.updates) =
                (Some(new.clone()), self.version + 1, self.updates + 1);
            return (StatusCode::OK, serde_json::to_value(new).unwrap());
        }
        (StatusCode::OK, serde_json::to_value(current).unwrap())
    }

    fn put(&mut self, data: &CertificateData) {
        let part = |part: &Option<Vec<u8>>| ByteString(part.clone().unwrap_or_default());
        let values = self.secret.as_mut().unwrap().data.get_or_insert_default();
        values.insert("ca.crt".into(), part(&data.ca_certificates));
        values.insert("ca.key".into(), part(&data.ca_key));
        values.insert("tls.crt".into(), part(&data.certificate));
        values.insert("tls.key".into(), part(&data.key));
        self.version += 1;
    }
}

fn status(code: StatusCode) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "it says no", "reason": "x", "code": code.as_u16()})
}

fn replica(api_server: &Shared) -> CertificateSecret {
    let api_server = Arc::clone(api_server);
    let service = tower::service_fn(move |request: Request<Body>| {
        let api_server = Arc::clone(&api_server);
        async move {
            let (parts, body) = request.into_parts();
            assert_eq!(parts.uri.path(), "/api/v1/namespaces/registry/secrets/serving");
            let body = body.collect().await?.to_bytes();
            let (code, response) = api_server.lock().unwrap().response(&parts.method, &body);
            let response = axum::body::Body::from(serde_json::to_vec(&response).unwrap());
            Ok::<_, kube::Error>(Response::builder().status(code).body(response).unwrap())
        }
    });
    let names = vec!["images.registry.svc".to_owned()];
    CertificateSecret::new(
        Client::new(service, "default"),
        "registry".into(),
        "serving".into(),
        names,
    )
}

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

async fn load_error(api_server: &Shared) -> String {
    let error = replica(api_server).load(now()).await.err().unwrap();
    assert!(error.is_retryable(), "{error}");
    error.to_string()
}

#[tokio::test]
async fn first_replica_fills_an_empty_secret() {
    let api_server = ApiServer::with(Secret::default());
    let first = replica(&api_server).load(now()).await.unwrap();
    let updates = api_server.lock().unwrap().updates;
    let second = replica(&api_server).load(now()).await.unwrap();
    assert_eq!((&first.pair.key.cert, &first.bundle), (&second.pair.key.cert, &second.bundle));
    assert_eq!((updates, api_server.lock().unwrap().updates), (2, 2), "a CA and a pair");
}

#[tokio::test]
async fn other_secret_keys_stay_and_empty_values_are_missing() {
    let data = [("tls.crt", ""), ("tls.key", ""), ("mine", "kept")];
    let data = data.map(|(key, value)| (key.to_owned(), ByteString(value.into())));
    let secret = Secret {
        data: Some(data.into()),
        type_: Some("kubernetes.io/tls".into()),
        ..Secret::default()
    };
    let api_server = ApiServer::with(secret);
    replica(&api_server).load(now()).await.unwrap();
    let loaded = api_server.lock().unwrap().secret.clone().unwrap();
    assert_eq!(loaded.type_.as_deref(), Some("kubernetes.io/tls"));
    let data = loaded.data.unwrap();
    assert_eq!(data["mine"].0, b"kept");
    for key in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
        assert!(data[key].0.starts_with(b"-----BEGIN "), "{key}");
    }
}

#[tokio::test]
async fn one_of_two_concurrent_replicas_uses_the_others_data() {
    let other = ApiServer::with(Secret::default());
    let other_loaded = replica(&other).load(now()).await.unwrap();
    let api_server = ApiServer::with(Secret::default());
    api_server.lock().unwrap().concurrent_write =
        Some(data(&other.lock().unwrap().secret.clone().unwrap()));
    let own = replica(&api_server).load(now()).await.unwrap();
    assert_eq!(
        (&own.pair.key.cert, &own.bundle),
        (&other_loaded.pair.key.cert, &other_loaded.bundle)
    );
    assert_eq!(api_server.lock().unwrap().updates, 0);
}

#[tokio::test]
async fn a_renewed_pair_reaches_all_replicas() {
    let api_server = ApiServer::with(Secret::default());
    let (first, second) = (replica(&api_server), replica(&api_server));
    let before = first.load(now()).await.unwrap();
    let later = now() + jiff::SignedDuration::from_hours(24 * 340);
    let renewed = first.load(later).await.unwrap();
    assert_ne!(renewed.pair.key.cert, before.pair.key.cert);
    assert_eq!(second.load(later).await.unwrap().pair.key.cert, renewed.pair.key.cert);
    assert_eq!(renewed.bundle, before.bundle);
}

#[tokio::test]
async fn secret_errors_name_a_remedy_and_create_nothing() {
    let missing = Shared::default();
    let error = load_error(&missing).await;
    assert!(error.contains("kubectl -n registry create secret generic serving"), "{error}");
    assert!(missing.lock().unwrap().secret.is_none());
    let api_server = ApiServer::with(Secret::default());
    for (method, code, expected) in [
        (
            Method::GET,
            StatusCode::FORBIDDEN,
            "may not get it (it says no): a Role in registry must allow",
        ),
        (
            Method::PUT,
            StatusCode::FORBIDDEN,
            "may not update it (it says no): a Role in registry must allow",
        ),
        (Method::PUT, StatusCode::UNPROCESSABLE_ENTITY, "update is refused: it says no"),
        (Method::GET, StatusCode::INTERNAL_SERVER_ERROR, "get is refused: it says no"),
    ] {
        api_server.lock().unwrap().errors.push_back((method, code));
        let error = load_error(&api_server).await;
        assert!(error.starts_with("secret registry/serving (--cert-secret): "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn errors_name_the_key_of_the_secret() {
    let api_server = ApiServer::with(Secret::default());
    let store = replica(&api_server);
    store.load(now()).await.unwrap();
    let spoil = |key: &str| {
        let mut api_server = api_server.lock().unwrap();
        api_server
            .secret
            .as_mut()
            .unwrap()
            .data
            .as_mut()
            .unwrap()
            .insert(key.to_owned(), ByteString(b"rubbish".to_vec()));
    };
    spoil("ca.key");
    let warning = store.load(now()).await.unwrap().warning.unwrap().to_string();
    assert!(
        warning.contains("ca.key of secret registry/serving (--cert-secret), or remove both"),
        "{warning}"
    );
    spoil("tls.key");
    let error = store.load(now()).await.err().unwrap();
    assert!(!error.is_retryable(), "not retryable: {error}");
}
