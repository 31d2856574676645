//! Rotation of certificates and certificate authorities without a restart.

use serde_json::json;

use super::backend::{Certificate, Prepared, certificate_by};
use super::objects::{API_SERVICE, V1, in_base64};
use super::pki::Authority;
use super::plane::FRONT_PROXY;
use super::site::{anonymous, furnish, image, on_behalf, own, shared};
use super::trust::{PROXY_CA, answered_with, edit, without};
use super::wait::until;
use crate::support::client::Request;
use crate::support::expect::Expect;

#[tokio::test]
async fn a_new_serving_certificate_is_shown_without_a_restart() {
    let site = shared().await;
    let next = &site.plane.authorities.next_backend;
    let client = site.backend.client_trusting(&next.pem(), &anonymous());
    let ready = || client.send(Request::new("GET", "/readyz"));
    ready().await.expect_err("the present certificate is not of the next authority");
    site.backend.show(&certificate_by(next));
    until("the new certificate is shown", || async {
        ready().await.map_err(|why| why.to_string())
    })
    .await;
    // From here on kube-apiserver trusts only the new authority.
    site.plane.patch(API_SERVICE, &json!({"spec": {"caBundle": in_base64(next.pem())}})).await;
    site.plane.available().await;
    let viewer = site.plane.client(site.plane.user("viewer", None).identity());
    viewer
        .send_unchecked(Request::new("GET", &image()))
        .await
        .expect("kube-apiserver answers")
        .is(200);
}

#[tokio::test]
async fn the_front_proxy_ca_is_rotated_without_a_restart() {
    let mut plane = own().await;
    let backend = Prepared::new(&plane, Certificate::Issued).await.start().await;
    plane.register(&backend).await;
    furnish(&plane).await;
    let new = Authority::new("next-front-proxy-ca");
    let old = &plane.authorities.front_proxy;
    let (old_proxy, new_proxy) = (old.user(FRONT_PROXY, None), new.user(FRONT_PROXY, None));
    let [by_old, by_new] = [&old_proxy, &new_proxy].map(|pair| backend.client(&pair.identity()));
    let request = on_behalf("admin", &["system:masters"], "GET", &format!("{V1}/images"));
    let viewer = plane.client(plane.user("viewer", None).identity());
    let through = || viewer.send_unchecked(Request::new("GET", &image()));

    // Both authorities are trusted for a while.
    answered_with(&by_old, &request, 200).await;
    answered_with(&by_new, &request, 401).await;
    plane.trust_front_proxies(&[old, &new]).expect("the bundle can be written");
    answered_with(&by_new, &request, 200).await;
    answered_with(&by_old, &request, 200).await;

    let read = plane.pairs_read();
    plane.be_front_proxy(&new_proxy).expect("the certificate can be written");
    until("kube-apiserver reads the new certificate", || async {
        if plane.pairs_read() > read { Ok(()) } else { Err("no such log line".to_owned()) }
    })
    .await;
    through().await.expect("kube-apiserver answers").is(200);

    // Then the old authority is removed.
    plane.trust_front_proxies(&[&new]).expect("the bundle can be written");
    until("the old authority is not trusted", || async {
        // kube-apiserver writes it back until it has reloaded the file.
        edit(&plane, PROXY_CA, |bundle| without(bundle, old)).await;
        let answer = by_old.send(request.clone()).await.map_err(|why| why.to_string())?;
        if answer.status == 401 { Ok(()) } else { Err(answer.status.to_string()) }
    })
    .await;
    answered_with(&by_new, &request, 200).await;
    until("kube-apiserver shows the new certificate", || async {
        let answer = through().await.map_err(|why| why.to_string())?;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&answer.body).into_owned())
        }
    })
    .await;
    plane.authorities.front_proxy = new;
}
