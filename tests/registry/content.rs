//! Manifests and configurations, honest and not.

use axum::body::Body;
use imagestream_apiserver::domain::digest::Digest;
use imagestream_apiserver::domain::manifest::OCI_MANIFEST;
use imagestream_apiserver::oci::{
    ManifestReference, PullSource, RegistryClient, RegistryErrorKind, Repository, Security,
};

use crate::registry_server::content::manifest_answer;
use crate::registry_server::server::chunks;
use crate::registry_server::{Content, Image, RegistryServer, answer, json_error};
use crate::site::{SHORT, assert_text, options, repository, session, tag};

const INSECURE: Security = Security::Insecure;

fn honest() -> Content {
    Content::default().with("ns/app", "v1", Image::named("one"))
}

/// A registry that answers requests for a manifest in one way.
async fn with_manifest(
    respond: impl Fn() -> crate::registry_server::Answer + Send + Sync + 'static,
) -> RegistryServer {
    RegistryServer::start(move |request| match request.path() {
        "/v2/" => answer(200, &[], "{}"),
        _ => respond(),
    })
    .await
}

#[tokio::test]
async fn image_is_fetched_by_tag_and_digest() {
    let image = Image::named("one");
    let content = honest();
    let server = RegistryServer::start(move |request| content.answer(request)).await;
    let (session, repository) = (session(), repository(&server, "ns/app"));
    let manifest = session.manifest(&repository, &tag("v1"), INSECURE).await.unwrap();
    assert_eq!(manifest.bytes, image.manifest);
    assert_eq!((manifest.media_type, &manifest.digest), (OCI_MANIFEST, &image.digest));
    let config = session.blob(&manifest.source, &image.config_digest).await.unwrap();
    assert_eq!(config, image.config);
    let sha512 = format!("sha512:{}", "0".repeat(128)).parse::<Digest>().unwrap();
    let by_digest = ManifestReference::Digest(image.digest.clone());
    let again = session.manifest(&repository, &by_digest, INSECURE).await.unwrap();
    assert_eq!(again.digest, image.digest);
    let digest = session.head(&repository, &tag("v1"), INSECURE).await.unwrap();
    assert_eq!(digest, image.digest);
    let unknown = ManifestReference::Digest(sha512);
    let error = session.manifest(&repository, &unknown, INSECURE).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::ManifestUnknown);
    let pings = server.targets().into_iter().filter(|target| target == "/v2/").count();
    assert_eq!(pings, 1, "a session sends the first request once");
    assert_eq!(server.log().last().unwrap().authorization(), "");
}

#[tokio::test]
async fn unknown_names_have_their_kinds() {
    let content = honest();
    let server = RegistryServer::start(move |request| content.answer(request)).await;
    let session = session();
    let app = repository(&server, "ns/app");
    let error = session.manifest(&app, &tag("no"), INSECURE).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::ManifestUnknown);
    let error = session.head(&app, &tag("no"), INSECURE).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::ManifestUnknown);
    let error = session.tags(&repository(&server, "none"), INSECURE).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (RegistryErrorKind::NameUnknown, "name unknown".into())
    );
    let manifest = session.manifest(&app, &tag("v1"), INSECURE).await.unwrap();
    let error = session.blob(&manifest.source, &Digest::sha256_of("none")).await.unwrap_err();
    assert_eq!(error.to_string(), "unknown blob");
}

#[tokio::test]
async fn sha512_digest_is_verified() {
    let image = Image::named("one");
    let sha512 = format!("sha512:{}", "0".repeat(128)).parse::<Digest>().unwrap();
    let sha512 = sha512.digest_of(&image.manifest);
    let text = image.manifest.clone();
    let server = with_manifest(move || manifest_answer(&text, None)).await;
    let reference = ManifestReference::Digest(sha512);
    let manifest =
        session().manifest(&repository(&server, "a"), &reference, INSECURE).await.unwrap();
    assert_eq!(manifest.digest, image.digest);
}

#[tokio::test]
async fn wrong_digests_are_refused() {
    let (image, other) = (Image::named("one"), Image::named("other"));
    let (text, claimed) = (image.manifest.clone(), other.digest.clone());
    let server = with_manifest(move || manifest_answer(&text, Some(&claimed))).await;
    let (session, repository) = (session(), repository(&server, "a"));
    let expected = format!(
        "content integrity error: the manifest retrieved with digest {} does not match the digest \
         calculated from the content {}",
        other.digest, image.digest
    );
    let by_tag = session.manifest(&repository, &tag("x"), INSECURE).await;
    assert_text(by_tag, &server, &expected);
    let by_digest = ManifestReference::Digest(other.digest.clone());
    let by_digest = session.manifest(&repository, &by_digest, INSECURE).await;
    assert_text(by_digest, &server, &expected);
    let blob = RegistryServer::start(|_| answer(200, &[], "lie")).await;
    let source = PullSource { repository: crate::site::repository(&blob, "a"), security: INSECURE };
    let error = session.blob(&source, &image.config_digest).await.unwrap_err().to_string();
    assert!(error.starts_with("content integrity error: the blob retrieved with"), "{error}");
}

#[tokio::test]
async fn broken_responses_have_the_texts_of_go() {
    let url = "Get \"http://HOST/v2/a/manifests/x\"";
    let truncated = with_manifest(|| {
        // The pause lets the server send the first part.
        let parts = futures_util::stream::unfold(0, |part| async move {
            match part {
                0 => Some((Ok("{"), 1)),
                _ => {
                    tokio::task::yield_now().await;
                    Some((Err(std::io::Error::other("truncated")), 2))
                }
            }
        });
        answer(200, &[("content-length", "100")], Body::from_stream(parts))
    })
    .await;
    let result = session().manifest(&repository(&truncated, "a"), &tag("x"), INSECURE).await;
    assert_text(result, &truncated, &format!("{url}: unexpected EOF"));
    let closed = with_manifest(|| None).await;
    let result = session().manifest(&repository(&closed, "a"), &tag("x"), INSECURE).await;
    assert_text(result, &closed, &format!("{url}: EOF"));
    let encoded = with_manifest(|| answer(200, &[("content-encoding", "gzip")], "x")).await;
    let result = session().manifest(&repository(&encoded, "a"), &tag("x"), INSECURE).await;
    assert_text(result, &encoded, &format!("{url}: the response has a content encoding"));
}

#[tokio::test]
async fn endless_bodies_end_at_the_limit() {
    const LIMIT: &str = "the manifest is larger than the limit of 4194304 bytes";
    static CHUNK: [u8; 64 << 10] = [b' '; 64 << 10];
    let server = with_manifest(|| answer(200, &[], chunks(&CHUNK, usize::MAX))).await;
    let repository = repository(&server, "a");
    let result = session().manifest(&repository, &tag("x"), INSECURE).await;
    assert_text(result, &server, LIMIT);
    let error = with_manifest(|| answer(404, &[], chunks(&CHUNK, usize::MAX))).await;
    let result =
        session().manifest(&crate::site::repository(&error, "a"), &tag("x"), INSECURE).await;
    assert_eq!(result.unwrap_err().kind(), RegistryErrorKind::ManifestUnknown);
    let length = (301u32 << 20).to_string();
    let huge = with_manifest(move || {
        answer(200, &[("content-length", &length)], chunks(&CHUNK, usize::MAX))
    })
    .await;
    let result =
        session().manifest(&crate::site::repository(&huge, "a"), &tag("x"), INSECURE).await;
    assert_text(result, &huge, LIMIT);
}

#[tokio::test]
async fn number_of_values_is_limited() {
    let body = format!("[{}1]", "1,".repeat(1 << 20));
    let server = with_manifest(move || answer(200, &[], body.clone())).await;
    let result = session().manifest(&repository(&server, "a"), &tag("x"), INSECURE).await;
    assert_text(result, &server, "the manifest is larger than the limit of 50000 values");
}

#[tokio::test]
async fn slow_responses_end_at_their_time_limits() {
    const TIMEOUT: &str =
        "Get \"http://HOST/v2/a/manifests/x\": net/http: request canceled (time limit exceeded)";
    let client = RegistryClient::new(&options(), SHORT, Default::default()).unwrap();
    let idle = with_manifest(|| {
        answer(
            200,
            &[],
            Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>()),
        )
    })
    .await;
    let result = client.session(Default::default());
    let result = result.manifest(&repository(&idle, "a"), &tag("x"), INSECURE).await;
    assert_text(result, &idle, TIMEOUT);
    // Each part arrives within the idle limit, the whole does not within the total limit.
    let dripping = with_manifest(|| {
        let ticks = tokio::time::interval(SHORT.idle / 6);
        let drops = futures_util::stream::unfold(ticks, |mut ticks| async move {
            ticks.tick().await;
            Some((Ok::<_, std::io::Error>(" "), ticks))
        });
        answer(200, &[], Body::from_stream(drops))
    })
    .await;
    let begun = tokio::time::Instant::now();
    let result = client.session(Default::default());
    let result = result.manifest(&repository(&dripping, "a"), &tag("x"), INSECURE).await;
    assert_eq!(result.as_ref().unwrap_err().kind(), RegistryErrorKind::Temporary);
    assert_text(result, &dripping, TIMEOUT);
    assert!(begun.elapsed() >= SHORT.total, "the parts alone are in time");
}

#[tokio::test]
async fn rate_limits_are_reported_in_both_forms() {
    let json = with_manifest(|| {
        let mut response = json_error(429, "TOOMANYREQUESTS", "slow down")?;
        response.headers_mut().insert("retry-after", "7".parse().ok()?);
        Some(response)
    })
    .await;
    let result = session().manifest(&repository(&json, "a"), &tag("x"), INSECURE).await;
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "toomanyrequests: slow down");
    assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(7)));
    assert_eq!(error.kind(), RegistryErrorKind::TooManyRequests);
    for body in [r#"{"details":"later"}"#, "<html>later</html>"] {
        let plain = with_manifest(move || answer(429, &[], body)).await;
        let result = session().manifest(&repository(&plain, "a"), &tag("x"), INSECURE).await;
        assert_eq!(result.unwrap_err().kind(), RegistryErrorKind::TooManyRequests);
        assert_eq!(plain.log().len(), 2, "a limited request is not repeated");
    }
}

#[tokio::test]
async fn head_falls_back_to_get() {
    let image = Image::named("one");
    for head in [405, 200] {
        let text = image.manifest.clone();
        let server = RegistryServer::start(move |request| match request.method.as_str() {
            "HEAD" => answer(head, &[], ""),
            _ if request.path() == "/v2/" => answer(200, &[], ""),
            _ => manifest_answer(&text, None),
        })
        .await;
        let digest = session().head(&repository(&server, "a"), &tag("x"), INSECURE).await.unwrap();
        assert_eq!(digest, image.digest);
        assert_eq!(server.log().last().unwrap().method, "GET");
    }
}

#[tokio::test]
async fn server_that_is_no_registry_is_reported() {
    let server = RegistryServer::start(|_| answer(503, &[], "<html>secret</html>")).await;
    let (repository, session) = (repository(&server, "a"), session());
    let result = session.manifest(&repository, &tag("x"), INSECURE).await;
    let expected = "endpoint \"http://HOST\" does not support v2 API (got 503 Service Unavailable)";
    assert_text(result, &server, expected);
    let _ = session.manifest(&repository, &tag("y"), INSECURE).await;
    assert_eq!(server.log().len(), 1, "a session asks a broken registry once");
}

#[tokio::test]
async fn connection_errors_have_the_recorded_texts() {
    let server = RegistryServer::start(|_| answer(200, &[], "")).await;
    let repository = repository(&server, "a");
    let result = session().manifest(&repository, &tag("x"), Security::Verified).await;
    let expected = "Get \"https://HOST/v2/\": http: server gave HTTP response to HTTPS client";
    assert_text(result, &server, expected);
    // Port 1 is closed.
    let closed = Repository::parse("127.0.0.1:1/a").unwrap();
    for (security, scheme) in [(Security::Verified, "https"), (INSECURE, "http")] {
        let error = session().manifest(&closed, &tag("x"), security).await.unwrap_err();
        let expected = format!(
            "Get \"{scheme}://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused"
        );
        assert_eq!(error.to_string(), expected);
    }
    let unknown = Repository::parse("none.invalid/a").unwrap();
    let error = session().manifest(&unknown, &tag("x"), Security::Verified).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("Get \"https://none.invalid/v2/\": dial tcp: lookup none.invalid: "),
        "{text}"
    );
}
