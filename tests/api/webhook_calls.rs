//! Calls of admission webhooks: credentials, metrics, and deletions of signatures.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::fixtures::{image, stream};
use crate::harness::Expect;
use crate::registry::{Authority, ServerCertificate};
use crate::support::client::Request;
use crate::webhooks::{Configurations, STREAMS, WebhookLab, validating, webhook};

/// Writes the configuration of the plugin for validating webhooks, with these users of its
/// kubeconfig, and returns the flag.
fn credentials(folder: &Path, users: &Value) -> String {
    let (config, kubeconfig) = (folder.join("admission.yaml"), folder.join("kubeconfig"));
    std::fs::write(&kubeconfig, json!({"users": users}).to_string()).expect("it can be written");
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n\
         - name: ValidatingAdmissionWebhook\n  configuration:\n    apiVersion: apiserver.config.k8s.io/v1\n    \
         kind: WebhookAdmissionConfiguration\n    kubeConfigFile: {}\n",
        kubeconfig.display()
    );
    std::fs::write(&config, text).expect("it can be written");
    format!("--admission-control-config-file={}", config.display())
}

#[tokio::test]
async fn webhooks_get_the_credentials_of_their_plugin() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let user = json!({"name": "127.0.0.1", "user": {"token": "other"}});
    let users = json!([user, {"name": "*", "user": {"token": "for-webhooks"}}]);
    let flag = credentials(folder.path(), &users);
    let lab = WebhookLab::start(&[&flag], |client| Configurations::Listed {
        mutating: vec![webhook("m.example.com", client("/annotate"), json!({}))],
        validating: vec![webhook("v.example.com", client("/allow"), json!({}))],
    })
    .await;
    lab.api.post(STREAMS, &stream("s")).await.is(201);
    let authorization = |path: &str| {
        let log = lab.webhooks.log();
        let request = log.into_iter().find(|request| request.path() == path);
        let headers = request.expect("the webhook was called").headers;
        headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    // The port is not 443, so the name without a port does not match.
    assert_eq!(authorization("/allow").as_deref(), Some("Bearer for-webhooks"));
    assert_eq!(authorization("/annotate"), None);
}

#[tokio::test]
async fn client_certificates_are_presented_in_handshakes() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let clients = Authority::new("clients");
    let (certificate, key) = clients.client();
    std::fs::write(folder.path().join("client.key"), key).expect("it can be written");
    let data = STANDARD.encode(certificate);
    let user = json!({"client-certificate-data": data, "client-key": "client.key"});
    let flag = credentials(folder.path(), &json!([{"name": "*", "user": user}]));
    let demand = |certificate: ServerCertificate| certificate.demanding(&clients);
    let lab = WebhookLab::start_with(&[&flag], demand, |client| Configurations::Listed {
        mutating: vec![webhook(
            "m.example.com",
            client("/annotate"),
            json!({"failurePolicy": "Ignore"}),
        )],
        validating: vec![webhook("v.example.com", client("/label"), json!({}))],
    })
    .await;
    let text = "admission webhook \"v.example.com\" denied the request: the label team is missing";
    lab.api.post(STREAMS, &stream("s")).await.fails(403, "Forbidden", text);
    assert_eq!(lab.reviews("/label").len(), 1);
    // The plugin for mutating webhooks has no credentials.
    assert!(lab.reviews("/annotate").is_empty());
}

#[tokio::test]
async fn refusals_and_ignored_failures_are_counted() {
    let lab = WebhookLab::start(&[], |client| {
        let ignored = json!({"failurePolicy": "Ignore"});
        validating(vec![
            webhook("ignored.example.com", client("/error"), ignored),
            webhook("deny.example.com", client("/deny"), json!({})),
            webhook("error.example.com", client("/error"), json!({})),
        ])
    })
    .await;
    assert!(lab.api.post(STREAMS, &stream("s")).await.status >= 400);
    let metrics = lab.api.ask(Request::new("GET", "/metrics")).await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let labels = "type=\"validating\"";
    for line in [
        format!(
            "apiserver_admission_webhook_fail_open_count{{name=\"ignored.example.com\",{labels}}} 1"
        ),
        format!(
            "apiserver_admission_webhook_rejection_count{{name=\"deny.example.com\",{labels},operation=\"CREATE\",\
             error_type=\"no_error\",rejection_code=\"400\"}} 1"
        ),
        format!(
            "apiserver_admission_webhook_rejection_count{{name=\"error.example.com\",{labels},operation=\"CREATE\",\
             error_type=\"calling_webhook_error\",rejection_code=\"503\"}} 1"
        ),
    ] {
        assert!(metrics.lines().any(|each| each == line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn deletions_of_signatures_are_reviewed() {
    let lab = WebhookLab::start(&[], |client| {
        validating(vec![webhook("v.example.com", client("/allow"), json!({}))])
    })
    .await;
    let name = format!("sha256:{}", "7".repeat(64));
    lab.api.post("images", &image(&name)).await.is(201);
    let signature = format!("{name}@signed");
    let object = json!({
        "kind": "ImageSignature", "apiVersion": "image.openshift.io/v1", "metadata": {"name": signature},
        "type": "AtomicImageV1", "content": "eA==",
    });
    lab.api.post("imagesignatures", &object).await.is(201);
    lab.api.delete(&format!("imagesignatures/{signature}")).await.is(200);
    let reviews = lab.reviews("/allow");
    let deletion = reviews.last().expect("the webhook was called");
    assert_eq!((&deletion["operation"], &deletion["name"]), (&json!("DELETE"), &json!(signature)));
    assert_eq!(deletion["oldObject"]["type"], "AtomicImageV1");
}

#[tokio::test]
async fn disabled_plugins_call_no_webhooks() {
    let lab =
        WebhookLab::start(&["--disable-admission-plugins=ValidatingAdmissionWebhook"], |client| {
            validating(vec![webhook("v.example.com", client("/deny"), json!({}))])
        })
        .await;
    lab.api.post(STREAMS, &stream("s")).await.is(201);
    assert!(lab.webhooks.log().is_empty());
}
