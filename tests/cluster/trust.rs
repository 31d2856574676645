//! Changes of the published trust also apply to open connections and resumable TLS sessions.
//!
//! kube-apiserver keeps values that others add to the ConfigMap, so each test adds its own
//! authorities and names and removes them again.

use std::time::{Duration, Instant};

use rustls::HandshakeKind;
use serde_json::Value;
use tokio::time;

use super::backend::{Certificate, Prepared};
use super::objects::V1;
use super::pki::{Authority, Pair};
use super::plane::{ControlPlane, FRONT_PROXY};
use super::site::{front_proxy, image, on_behalf, own, shared};
use super::wait::{DEADLINE, INTERVAL, until};
use crate::support::client::connection::Kept;
use crate::support::client::{Answer, Client, Request};
use crate::support::expect::Expect;

const CONFIG_MAP: &str =
    "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
pub(crate) const PROXY_CA: &str = "requestheader-client-ca-file";
const PROXY_NAMES: &str = "requestheader-allowed-names";
const CLIENT_CA: &str = "client-ca-file";

/// The lifetime of a certificate that expires during a test.
const LIFE: Duration = Duration::from_secs(4);

/// Changes a value of the ConfigMap that kube-apiserver publishes, and retries on conflicts.
pub(crate) async fn edit(plane: &ControlPlane, key: &str, change: impl Fn(&str) -> String) {
    until("the ConfigMap is changed", || async {
        let mut object = plane.get(CONFIG_MAP).await.ok_or("the ConfigMap is missing")?;
        let value = object["data"][key].as_str().unwrap_or_default();
        object["data"][key] = change(value).into();
        let answer = plane.ask(Request::new("PUT", CONFIG_MAP).json(&object)).await;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&answer.body).into_owned())
        }
    })
    .await;
}

/// Adds an authority to a bundle.
fn with(bundle: &str, authority: &Authority) -> String {
    format!("{}\n{}", without(bundle, authority).trim_end(), authority.pem())
}

/// Removes an authority from a bundle.
pub(crate) fn without(bundle: &str, authority: &Authority) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let compact = |pem: &str| pem.split_whitespace().collect::<String>();
    let unwanted = compact(&authority.pem());
    let certificates = bundle
        .split_inclusive("-----END CERTIFICATE-----")
        .filter_map(|part| part.find(BEGIN).map(|at| &part[at..]));
    certificates.filter(|pem| compact(pem) != unwanted).map(|pem| format!("{pem}\n")).collect()
}

/// Adds a name to a JSON list of the ConfigMap, or removes it.
fn names(list: &str, name: &str, wanted: Wanted) -> String {
    let mut names: Vec<String> = serde_json::from_str(list).expect("the names are a JSON list");
    names.retain(|each| each != name);
    if matches!(wanted, Wanted::Present) {
        names.push(name.to_owned());
    }
    Value::from(names).to_string()
}

enum Wanted {
    Present,
    Absent,
}

/// A front proxy in addition to kube-apiserver.
struct Proxy {
    name: &'static str,
    authority: Authority,
    pair: Pair,
}

impl Proxy {
    fn new(name: &'static str) -> Self {
        let authority = Authority::new(&format!("ca-of-{name}"));
        Self { name, pair: authority.user(name, None), authority }
    }

    async fn trust(&self, plane: &ControlPlane) {
        edit(plane, PROXY_CA, |bundle| with(bundle, &self.authority)).await;
        edit(plane, PROXY_NAMES, |list| names(list, self.name, Wanted::Present)).await;
    }

    async fn forget_authority(&self, plane: &ControlPlane) {
        edit(plane, PROXY_CA, |bundle| without(bundle, &self.authority)).await;
    }

    async fn forget_name(&self, plane: &ControlPlane) {
        edit(plane, PROXY_NAMES, |list| names(list, self.name, Wanted::Absent)).await;
    }
}

fn as_viewer() -> Request {
    on_behalf("viewer", &[], "GET", &image())
}

/// Waits until a request on a new connection gets the status `code`.
pub(crate) async fn answered_with(client: &Client, request: &Request, code: u16) {
    until(&format!("a request on a new connection is answered with {code}"), || async {
        let answer = client.send(request.clone()).await.map_err(|why| why.to_string())?;
        told(answer, code)
    })
    .await;
}

/// Waits until a request on this open connection gets 401.
async fn refused_on(mut connection: Kept, request: &Request) {
    let begun = Instant::now();
    let mut interval = time::interval(INTERVAL);
    loop {
        interval.tick().await;
        let answer = connection
            .send(request.clone())
            .await
            .expect("the connection is open until it is refused");
        if answer.status == 401 {
            return;
        }
        answer.is(200);
        assert!(begun.elapsed() < DEADLINE, "the open connection is still trusted");
    }
}

fn told(answer: Answer, code: u16) -> Result<(), String> {
    if answer.status == code {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&answer.body).into_owned())
    }
}

/// Reports whether the handshake resumed a session, so that the client sent no certificate.
fn is_resumed(connection: &Kept) -> bool {
    connection.stream.get_ref().get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// Opens a connection and asserts that the request is allowed on it.
async fn open(client: &Client, request: &Request) -> Kept {
    let mut connection = client.keep().await.expect("the server accepts connections");
    connection.send(request.clone()).await.expect("the server answers").is(200);
    connection
}

#[tokio::test]
async fn proxy_is_trusted_once_ca_and_name_are_published() {
    let site = shared().await;
    let proxy = Proxy::new("new-proxy");
    let client = site.backend.client(&proxy.pair.identity());
    answered_with(&client, &as_viewer(), 401).await;
    edit(&site.plane, PROXY_CA, |bundle| with(bundle, &proxy.authority)).await;
    answered_with(&client, &as_viewer(), 401).await;
    proxy.trust(&site.plane).await;
    answered_with(&client, &as_viewer(), 200).await;
}

#[tokio::test]
async fn open_connection_loses_trust_with_its_ca() {
    let site = shared().await;
    let proxy = Proxy::new("proxy-without-authority");
    let client = site.backend.client(&proxy.pair.identity());
    proxy.trust(&site.plane).await;
    answered_with(&client, &as_viewer(), 200).await;
    let connection = open(&client, &as_viewer()).await;
    proxy.forget_authority(&site.plane).await;
    refused_on(connection, &as_viewer()).await;
}

#[tokio::test]
async fn open_connection_loses_trust_with_its_name() {
    let site = shared().await;
    let proxy = Proxy::new("proxy-without-name");
    let client = site.backend.client(&proxy.pair.identity());
    proxy.trust(&site.plane).await;
    answered_with(&client, &as_viewer(), 200).await;
    let connection = open(&client, &as_viewer()).await;
    proxy.forget_name(&site.plane).await;
    refused_on(connection, &as_viewer()).await;
}

#[tokio::test]
async fn user_certificate_loses_trust_with_the_client_ca() {
    let site = shared().await;
    let authority = Authority::new("second-client-ca");
    let client = site.backend.client(&authority.user("viewer", None).identity());
    let request = Request::new("GET", &image());
    answered_with(&client, &request, 401).await;
    edit(&site.plane, CLIENT_CA, |bundle| with(bundle, &authority)).await;
    answered_with(&client, &request, 200).await;
    let connection = open(&client, &request).await;
    edit(&site.plane, CLIENT_CA, |bundle| without(bundle, &authority)).await;
    refused_on(connection, &request).await;
}

#[tokio::test]
async fn expired_certificate_is_refused_on_open_and_resumed_sessions() {
    // A change of the trusted authorities by another test would invalidate all sessions.
    let plane = own().await;
    let backend = Prepared::new(&plane, Certificate::Issued).await.start().await;
    let request = on_behalf("admin", &["system:masters"], "GET", &format!("{V1}/images"));
    answered_with(&backend.client(&front_proxy(&plane).identity()), &request, 200).await;

    let client =
        backend.client(&plane.authorities.front_proxy.user_for(FRONT_PROXY, LIFE).identity());
    let connection = open(&client, &request).await;
    assert!(is_resumed(&open(&client, &request).await), "the server supports session resumption");
    let resumed = until("a resumed session is rejected", || async {
        let mut connection = client.keep().await.map_err(|why| why.to_string())?;
        let answer = connection.send(request.clone()).await.map_err(|why| why.to_string())?;
        told(answer, 401).map(|()| is_resumed(&connection))
    })
    .await;
    assert!(resumed, "the rejected session was a resumed one");
    refused_on(connection, &request).await;
}

#[tokio::test]
async fn broken_config_map_keeps_last_good_cas_and_is_logged_once() {
    let plane = own().await;
    let backend = Prepared::new(&plane, Certificate::Issued).await.start().await;
    let proxy = front_proxy(&plane).identity();
    let request = on_behalf("admin", &["system:masters"], "GET", &format!("{V1}/images"));
    answered_with(&backend.client(&proxy), &request, 200).await;
    for (key, broken) in
        [(PROXY_NAMES, "no list"), (PROXY_CA, "no certificate"), (CLIENT_CA, "no certificate")]
    {
        let good = plane.get(CONFIG_MAP).await.expect("the ConfigMap exists")["data"][key].clone();
        edit(&plane, key, |_| broken.to_owned()).await;
        let told = || backend.log().matches(&format!(": {key}: ")).count();
        until("the server logs the error", || async {
            if told() > 0 { Ok(()) } else { Err(key.to_owned()) }
        })
        .await;
        backend.ask(&proxy, request.clone()).await.is(200);
        // A second update with the same broken value is not logged again.
        edit(&plane, "unrelated", |_| key.to_owned()).await;
        edit(&plane, key, |_| good.as_str().unwrap_or_default().to_owned()).await;
        backend.ask(&proxy, request.clone()).await.is(200);
        assert_eq!(told(), 1, "{key} is logged more than once:\n{}", backend.log());
    }
}
