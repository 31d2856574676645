//! Requests that imports of one process share or spare: first requests, tokens, pauses, slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;
use imagestream_apiserver::domain::digest::Digest;
use imagestream_apiserver::oci::{
    ConfigFormat, CredentialSet, Keyring, Options, PacingOptions, PullSession, PullSource,
    RegistryClient, RegistryErrorKind, Security,
};
use imagestream_apiserver::telemetry::metrics::Metrics;
use serde_json::json;
use tokio::time::timeout;

use crate::registry_server::{Answer, Content, Image, RegistryServer, answer};
use crate::site::{SHORT, client, options, repository, tag};

const INSECURE: Security = Security::Insecure;
const DEADLINE: Duration = Duration::from_secs(30);

fn content() -> Content {
    Content::default().with("ns/app", "x", Image::named("one"))
}

/// A registry whose tokens come from a token server that numbers them.
async fn registry_with_tokens() -> (RegistryServer, RegistryServer) {
    let issued = AtomicUsize::new(0);
    let tokens = RegistryServer::start(move |_| {
        let token = format!("t{}", issued.fetch_add(1, Ordering::SeqCst));
        answer(200, &[], json!({"token": token, "expires_in": 300}).to_string())
    })
    .await;
    let (content, realm) = (content(), tokens.url("/token"));
    let server = RegistryServer::start(move |request| {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"r\"");
        match request.authorization().starts_with("Bearer ") {
            true => content.answer(request),
            false => answer(401, &[("www-authenticate", &challenge)], ""),
        }
    })
    .await;
    (server, tokens)
}

/// A session of a namespace that has the password `p` for a registry.
fn session_of(client: &RegistryClient, namespace: &str, host: &str) -> PullSession {
    let config = json!({"auths": {host: {"username": "u", "password": "p"}}}).to_string();
    let mut set = CredentialSet::of_namespace(namespace);
    set.add("secret \"s\"", ConfigFormat::DockerConfigJson, config.as_bytes()).unwrap();
    client.session(Keyring::new(set))
}

#[tokio::test]
async fn check_of_a_known_registry_costs_one_head() {
    let (server, tokens) = registry_with_tokens().await;
    let client = client(&options());
    let repository = repository(&server, "ns/app");
    for _ in 0..20 {
        let session = session_of(&client, "ns", &server.host());
        let digest = session.head(&repository, &tag("x"), INSECURE).await.unwrap();
        assert_eq!(digest, Image::named("one").digest);
    }
    assert_eq!(tokens.log().len(), 1);
    let methods: Vec<String> = server.log().into_iter().map(|it| it.method).collect();
    let heads = methods.iter().filter(|method| *method == "HEAD").count();
    assert_eq!((heads, methods.len()), (20, 21), "and one first request");
}

#[tokio::test]
async fn namespaces_with_equal_passwords_share_no_token() {
    let (server, tokens) = registry_with_tokens().await;
    let client = client(&options());
    let repository = repository(&server, "ns/app");
    for namespace in ["a", "b", "a", "b"] {
        let session = session_of(&client, namespace, &server.host());
        session.head(&repository, &tag("x"), INSECURE).await.unwrap();
    }
    for namespace in ["a", "b"] {
        let session = client.session(Keyring::of_namespace(namespace));
        session.head(&repository, &tag("x"), INSECURE).await.unwrap();
    }
    let log = tokens.log();
    let anonymous = log.iter().filter(|request| request.authorization().is_empty()).count();
    assert_eq!((log.len(), anonymous), (3, 1), "a, b, and everybody");
    let sent = |at: usize| server.log()[at].authorization().to_owned();
    assert_eq!(
        [sent(1), sent(2), sent(3), sent(4)],
        ["Bearer t0", "Bearer t1", "Bearer t0", "Bearer t1"]
    );
}

#[tokio::test]
async fn registry_that_disappears_and_returns_is_met_anew() {
    let is_gone = Arc::new(AtomicBool::new(false));
    let (gone, content) = (is_gone.clone(), content());
    let server = RegistryServer::start(move |request| match gone.load(Ordering::SeqCst) {
        true => None,
        false => content.answer(request),
    })
    .await;
    let client = client(&options());
    let repository = repository(&server, "ns/app");
    let check = async || {
        let session = client.session(Keyring::default());
        session.head(&repository, &tag("x"), INSECURE).await
    };
    check().await.unwrap();
    is_gone.store(true, Ordering::SeqCst);
    let first = check().await.unwrap_err();
    let later = check().await.unwrap_err();
    assert_eq!(first.to_string(), later.to_string(), "the text does not depend on the past");
    let start = format!("Get \"{}\": ", server.url("/v2/"));
    assert!(first.to_string().starts_with(&start), "{first}");
    assert_eq!(first.kind(), RegistryErrorKind::Temporary);
    is_gone.store(false, Ordering::SeqCst);
    check().await.unwrap();
}

#[tokio::test]
async fn pause_of_a_registry_is_respected_by_its_credential() {
    let content = content();
    let server =
        RegistryServer::start(move |request| match (request.path(), request.authorization()) {
            ("/v2/", _) => answer(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
            (_, "") => content.answer(request),
            _ => answer(429, &[("retry-after", "60")], ""),
        })
        .await;
    let client = client(&options());
    let repository = repository(&server, "ns/app");
    let session = session_of(&client, "ns", &server.host());
    let refused = session.head(&repository, &tag("x"), INSECURE).await.unwrap_err();
    assert_eq!(refused.kind(), RegistryErrorKind::TooManyRequests);
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(429));
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(60)));
    let name = format!("secret \"s\", entry {:?}", server.host());
    assert_eq!(refused.credential(), Some(&*name));
    assert_eq!(session.credential_name(&repository), name);
    let before = server.log().len();
    for _ in 0..50 {
        let session = session_of(&client, "ns", &server.host());
        let paused = session.head(&repository, &tag("x"), INSECURE).await.unwrap_err();
        assert_eq!(paused.kind(), RegistryErrorKind::Throttled, "{paused}");
        assert!(paused.retry_after().unwrap() <= Duration::from_secs(60));
        assert!(paused.to_string().contains(&server.host()), "{paused}");
    }
    assert_eq!(server.log().len(), before, "no request was sent");
    let anonymous = client.session(Keyring::of_namespace("ns"));
    anonymous.head(&repository, &tag("x"), INSECURE).await.unwrap();
    assert_eq!(anonymous.credential_name(&repository), "anonymous");
}

#[tokio::test]
async fn registries_that_hang_delay_no_other() {
    let never = || -> Answer {
        let body = futures_util::stream::pending::<Result<&str, std::io::Error>>();
        answer(200, &[("docker-content-digest", "x")], Body::from_stream(body))
    };
    /// Slots, and requests before and after them (`GET /v2/`).
    const MOST: usize = 8 + 4;
    let (mut hanging, mut waiting) = (Vec::new(), tokio::task::JoinSet::new());
    let mut options = options();
    options.pacing.max_requests_inflight_per_registry = "8".parse().expect("it is a number");
    let client = Arc::new(client(&options));
    for _ in 0..5 {
        let content = content();
        let server = RegistryServer::start(move |request| match request.path() {
            "/v2/" => content.answer(request),
            _ => never(),
        })
        .await;
        for _ in 0..40 {
            let (client, repository) = (client.clone(), repository(&server, "ns/app"));
            waiting.spawn(async move {
                let session = client.session(Keyring::default());
                drop(session.manifest(&repository, &tag("x"), INSECURE).await);
            });
        }
        hanging.push(server);
    }
    let is_asked = || hanging.iter().all(|server| server.log().len() > 2);
    let asked = async {
        while !is_asked() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, asked).await.expect("all registries are asked");
    let content = content();
    let honest = RegistryServer::start(move |request| content.answer(request)).await;
    let session = client.session(Keyring::default());
    let honest = repository(&honest, "ns/app");
    let x = tag("x");
    let manifest = session.manifest(&honest, &x, INSECURE);
    timeout(Duration::from_secs(10), manifest).await.expect("nothing delays it").unwrap();
    assert!(hanging.iter().all(|server| server.log().len() < MOST), "slots bound the requests");
}

#[tokio::test]
async fn rate_of_requests_is_kept_and_counted() {
    let content = content();
    let server = RegistryServer::start(move |request| content.answer(request)).await;
    let pacing = PacingOptions {
        registry_requests_per_second: "20".parse().unwrap(),
        ..PacingOptions::default()
    };
    let metrics = Metrics::new();
    let options = Options { pacing, ..options() };
    let client = RegistryClient::new(&options, SHORT, metrics.imports().clone()).unwrap();
    let repository = repository(&server, "ns/app");
    let begun = std::time::Instant::now();
    let session = client.session(Keyring::default());
    // 100 are saved up for a burst; the first connects.
    for _ in 0..109 {
        session.head(&repository, &tag("x"), INSECURE).await.unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    let series = format!("registry=\"{}\",code=\"2xx\"", server.host());
    let line = format!("imagestream_apiserver_registry_requests_total{{{series}}} 110\n");
    assert!(metrics.text().contains(&line), "{}", metrics.text());
}

#[tokio::test]
async fn slow_large_bodies_leave_memory_to_others() {
    const DECLARED: &str = "4000000";
    let client = Arc::new(client(&options()));
    let (mut slow, mut waiting) = (Vec::new(), tokio::task::JoinSet::new());
    for _ in 0..5 {
        let content = content();
        let server = RegistryServer::start(move |request| match request.path() {
            "/v2/" => content.answer(request),
            _ => {
                let first =
                    futures_util::stream::iter([Ok::<_, std::io::Error>(vec![b' '; 1 << 20])]);
                let body = first.chain(futures_util::stream::pending());
                answer(200, &[("content-length", DECLARED)], Body::from_stream(body))
            }
        })
        .await;
        for _ in 0..8 {
            let (client, repository) = (client.clone(), repository(&server, "ns/app"));
            waiting.spawn(async move {
                let session = client.session(Keyring::of_namespace("slow"));
                drop(session.manifest(&repository, &tag("x"), INSECURE).await);
            });
        }
        slow.push(server);
    }
    let asked = async {
        while !slow.iter().all(|server| server.log().len() >= 9) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, asked).await.expect("all of them are asked at once");
    let config = json!({"padding": "x".repeat(7 << 20)}).to_string();
    let (digest, body) = (Digest::sha256_of(&config), config.clone());
    let honest = RegistryServer::start(move |request| match request.path() {
        "/v2/" => answer(200, &[], "{}"),
        _ => answer(200, &[], body.clone()),
    })
    .await;
    let source = PullSource { repository: repository(&honest, "ns/app"), security: INSECURE };
    let session = client.session(Keyring::of_namespace("quick"));
    let blob = timeout(Duration::from_secs(10), session.blob(&source, &digest)).await;
    assert_eq!(blob.expect("memory is left").unwrap().len(), config.len());
    // The namespace itself waits for its own bodies.
    let session = client.session(Keyring::of_namespace("slow"));
    let blob = timeout(Duration::from_secs(1), session.blob(&source, &digest)).await;
    assert!(blob.is_err(), "16 MiB are in use");
}
