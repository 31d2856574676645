//! A server without a configured certificate. It creates its own certificate authority and writes
//! the bundle into its APIService.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time;

use super::backend::{Certificate, Prepared};
use super::objects::{self, API_SERVICE, SECRET, SERVER, in_base64};
use super::pki::Authority;
use super::plane::ControlPlane;
use super::site::{furnish, image, own};
use super::wait::{INTERVAL, until};
use crate::support::client::Request;
use crate::support::expect::Expect;

/// The time in which a deleted APIService must not reappear.
const PATIENCE: Duration = Duration::from_secs(3);

/// Waits until the APIService has the CA bundle.
async fn trusts(plane: &ControlPlane, bundle: &str) {
    let wanted: Value = in_base64(bundle).into();
    until("the APIService has the bundle of the server", || async {
        let api_service = plane.get(API_SERVICE).await.ok_or("the APIService is missing")?;
        let found = &api_service["spec"]["caBundle"];
        if *found == wanted { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_server_with_nothing_but_its_rights_becomes_available() {
    let plane = own().await;
    let prepared = Prepared::new(&plane, Certificate::OwnCa).await.flag("--inject-ca-bundle");
    plane.apply(&[objects::service(), objects::api_service(prepared.port(), None)]);
    let mut backend = prepared.start().await;
    plane.available().await;
    let authority = backend.authority().expect("the server has created its authority");
    trusts(&plane, &authority).await;
    furnish(&plane).await;
    let viewer = plane.client(plane.user("viewer", None).identity());
    viewer
        .send_unchecked(Request::new("GET", &image()))
        .await
        .expect("kube-apiserver answers")
        .is(200);

    backend.start_again().await;
    assert_eq!(
        backend.authority().expect("the authority exists"),
        authority,
        "the authority outlives the process"
    );
    plane.available().await;
}

#[tokio::test]
async fn a_bundle_that_somebody_resets_is_written_again() {
    let plane = own().await;
    let prepared = Prepared::new(&plane, Certificate::OwnCa).await.flag("--inject-ca-bundle");
    plane.apply(&[objects::service(), objects::api_service(prepared.port(), None)]);
    let backend = prepared.start().await;
    let authority = backend.authority().expect("the server has created its authority");
    for other in [Value::Null, in_base64(Authority::new("another").pem()).into()] {
        trusts(&plane, &authority).await;
        plane.patch(API_SERVICE, &json!({"spec": {"caBundle": other}})).await;
    }
    trusts(&plane, &authority).await;
    plane.available().await;
}

#[tokio::test]
async fn an_api_service_that_was_deleted_is_not_created_again() {
    let plane = own().await;
    let prepared = Prepared::new(&plane, Certificate::OwnCa).await.flag("--inject-ca-bundle");
    let api_service = objects::api_service(prepared.port(), None);
    plane.apply(&[objects::service(), api_service.clone()]);
    let backend = prepared.start().await;
    let authority = backend.authority().expect("the server has created its authority");
    trusts(&plane, &authority).await;
    plane.delete(API_SERVICE).await;
    let (begun, mut interval) = (Instant::now(), time::interval(INTERVAL));
    while begun.elapsed() < PATIENCE {
        interval.tick().await;
        assert!(plane.get(API_SERVICE).await.is_none(), "the server creates the APIService");
    }
    assert!(!backend.has_ended(), "the server keeps running without the APIService");
    // The server still watches: a new APIService gets the bundle.
    plane.apply(&[api_service]);
    trusts(&plane, &authority).await;
}

#[tokio::test]
async fn replicas_share_their_authority_by_a_secret() {
    let plane = own().await;
    let path = format!("/api/v1/namespaces/{SERVER}/secrets");
    // The manifests create the empty Secret because the server has no right to create it.
    assert!(
        plane
            .get(&format!("{path}/{SECRET}"))
            .await
            .expect("the Secret exists")
            .get("data")
            .is_none()
    );
    let flag = format!("--cert-secret={SECRET}");
    let mut replicas = Vec::new();
    for _ in 0..2 {
        replicas.push(Prepared::new(&plane, Certificate::OwnCa).await.flag(&flag).spawn());
    }
    let authority = until("the Secret has the authority", || async {
        let secret = plane.get(&format!("{path}/{SECRET}")).await.ok_or("the Secret is missing")?;
        let found = secret["data"]["ca.crt"].as_str().map(str::to_owned);
        found.ok_or_else(|| "it has no ca.crt".to_owned())
    })
    .await;
    for replica in &mut replicas {
        replica.trust(&objects::from_base64(&authority));
        replica.ready().await;
        assert!(fs::read_dir(replica.path("certs")).is_err(), "no certificate folder exists");
    }
}
