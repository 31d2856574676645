//! Tests of events against a cluster inside the test.

use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::cluster::ObjectEventType;

const DEADLINE: Duration = Duration::from_secs(30);

type Requests = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A cluster that records requests and answers each as `respond` says.
fn cluster(
    respond: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static,
) -> (EventRecorder, EventSender, Requests) {
    let (log, respond) = (Requests::default(), Arc::new(respond));
    let requests = log.clone();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (requests, respond) = (requests.clone(), respond.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.expect("the body is in memory");
            let body: Value = serde_json::from_slice(&body).expect("it is JSON");
            let method = parts.method.to_string();
            let (status, mut answer) = respond(&method);
            if status < 300 {
                answer = json!({"metadata": {"name": "e", "namespace": "ns"}, "eventTime": null});
            }
            requests.lock().push((method, parts.uri.path().to_owned(), body));
            let body = kube::client::Body::from(answer.to_string().into_bytes());
            let response = http::Response::builder().status(status).body(body).unwrap();
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let (recorder, sender) = EventRecorder::of(Client::new(service, "default"), "pod-1".into());
    (recorder, sender, log)
}

fn event(name: &str, note: &str) -> ObjectEvent {
    ObjectEvent {
        subject: EventSubject {
            api_version: "image.openshift.io/v1",
            kind: "ImageStream",
            namespace: "ns".into(),
            name: name.into(),
            uid: format!("uid-of-{name}"),
        },
        r#type: ObjectEventType::Warning,
        reason: "ImportFailed",
        action: "Importing",
        note: note.into(),
    }
}

fn failure(code: u16, details: Value) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "X",
        "message": "no", "code": code, "details": details})
}

/// Sends all recorded events.
async fn send_all(recorder: EventRecorder, mut sender: EventSender) {
    drop(recorder);
    timeout(DEADLINE, sender.run()).await.expect("all events are sent");
}

#[tokio::test]
async fn repeated_event_becomes_a_series() {
    let (recorder, sender, log) = cluster(|_| (200, Value::Null));
    for note in ["a", "a", "b", "a"] {
        recorder.record(event("s", note));
    }
    send_all(recorder, sender).await;
    let log = log.lock();
    let methods: Vec<&str> = log.iter().map(|(method, ..)| method.as_str()).collect();
    assert_eq!(methods, ["POST", "PATCH", "POST", "PATCH"]);
    let (_, path, first) = &log[0];
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/ns/events");
    for (pointer, expected) in [
        ("/apiVersion", "events.k8s.io/v1"),
        ("/kind", "Event"),
        ("/regarding/kind", "ImageStream"),
        ("/regarding/apiVersion", "image.openshift.io/v1"),
        ("/regarding/uid", "uid-of-s"),
        ("/reason", "ImportFailed"),
        ("/action", "Importing"),
        ("/type", "Warning"),
        ("/note", "a"),
        ("/reportingController", "imagestream-apiserver"),
        ("/reportingInstance", "pod-1"),
    ] {
        assert_eq!(first.pointer(pointer), Some(&json!(expected)), "{pointer} in {first}");
    }
    assert!(first.get("series").is_none() && first["eventTime"].is_string(), "{first}");
    let name = first["metadata"]["name"].as_str().unwrap();
    assert_eq!(log[1].1, format!("{path}/{name}"));
    assert_eq!(log[1].2["series"]["count"], 2);
    assert_eq!(log[3].2["series"]["count"], 3);
    assert_eq!(log[3].2.as_object().unwrap().len(), 1, "all other fields are immutable");
}

#[tokio::test]
async fn expired_series_begins_again() {
    let (recorder, sender, log) = cluster(|method| match method {
        "PATCH" => (404, failure(404, json!({"kind": "events"}))),
        _ => (201, Value::Null),
    });
    recorder.record(event("s", "a"));
    recorder.record(event("s", "a"));
    send_all(recorder, sender).await;
    let methods: Vec<String> = log.lock().iter().map(|(method, ..)| method.clone()).collect();
    assert_eq!(methods, ["POST", "PATCH", "POST"]);
}

#[tokio::test]
async fn missing_permission_costs_one_request() {
    let (recorder, sender, log) = cluster(|_| (403, failure(403, json!({}))));
    for at in 0..20 {
        recorder.record(event("s", &at.to_string()));
    }
    send_all(recorder, sender).await;
    assert_eq!(log.lock().len(), 1);
}

#[tokio::test]
async fn terminating_namespace_does_not_stop_events_of_others() {
    let causes = json!({"causes": [{"reason": "NamespaceTerminating"}]});
    let (recorder, sender, log) = cluster(move |_| (403, failure(403, causes.clone())));
    recorder.record(event("s", "a"));
    recorder.record(event("t", "a"));
    send_all(recorder, sender).await;
    assert_eq!(log.lock().len(), 2);
}

#[tokio::test]
async fn object_with_many_events_leaves_room_for_others() {
    let (recorder, sender, log) = cluster(|_| (201, Value::Null));
    for at in 0..1_000 {
        recorder.record(event("noisy", &at.to_string()));
    }
    recorder.record(event("quiet", &"x".repeat(3_000)));
    send_all(recorder, sender).await;
    let log = log.lock();
    let of =
        |name: &str| log.iter().filter(|(_, _, body)| body["regarding"]["name"] == name).count();
    assert_eq!((of("noisy"), of("quiet")), (25, 1));
    assert_eq!(log.last().unwrap().2["note"].as_str().unwrap().len(), MAX_NOTE_BYTES);
}

#[test]
fn number_of_objects_is_bounded() {
    let (sender, _queue) = mpsc::channel(1);
    let queue = EventQueue { sender, rates: Mutex::default() };
    let now = Instant::now();
    for at in 0..MAX_OBJECTS {
        assert!(queue.admits(&at.to_string(), now));
    }
    assert!(!queue.admits("one more", now));
    assert!(queue.admits("one more", now + Duration::from_secs(400)), "the others are idle");
    assert_eq!(queue.rates.lock().len(), 1);
}

#[test]
fn without_a_cluster_nothing_is_recorded() {
    EventRecorder::none().record(event("s", "a"));
}
