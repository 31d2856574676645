//! Validating webhook over TLS in a thread of this process: it allows all writes and counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use base64::prelude::{BASE64_STANDARD, Engine};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::listen::{self, Served};

/// Webhook that runs as long as this process.
pub(crate) struct WebhookServer {
    calls: Arc<AtomicUsize>,
    served: Served,
}

#[derive(Deserialize)]
struct Review<'a> {
    #[serde(borrow)]
    request: ReviewRequest<'a>,
}

#[derive(Deserialize)]
struct ReviewRequest<'a> {
    uid: &'a str,
}

impl WebhookServer {
    /// Starts a webhook.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let review = async move |body: Bytes| {
            counted.fetch_add(1, Ordering::Relaxed);
            let Ok(Review { request: ReviewRequest { uid } }) = serde_json::from_slice(&body)
            else {
                return (
                    StatusCode::BAD_REQUEST,
                    [(header::CONTENT_TYPE, "text/plain")],
                    String::new(),
                );
            };
            let review = json!({
                "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
                "response": {"uid": uid, "allowed": true},
            });
            (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], review.to_string())
        };
        let served = listen::start(Router::new().route("/", post(review)))?;
        Ok(Self { calls, served })
    }

    /// Number of calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Webhook of a configuration, for creates of a resource.
    pub(crate) fn webhook(&self, group: &str, resource: &str) -> Value {
        let Served { address, certificate } = &self.served;
        let rule = json!({
            "operations": ["CREATE"], "apiGroups": [group], "apiVersions": ["v1"], "resources": [resource],
        });
        let client = json!({
            "url": format!("https://{address}/"), "caBundle": BASE64_STANDARD.encode(certificate),
        });
        json!({
            "name": "load.example.com", "clientConfig": client, "rules": [rule], "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        })
    }
}
