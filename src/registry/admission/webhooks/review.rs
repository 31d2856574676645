//! AdmissionReviews: the request to a webhook, and its response.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::{ReviewVersion, WebhookPhase};
use crate::meta::{Status, StatusDetails, excerpt, field};
use crate::registry::actor::{Actor, DryRun};
use crate::registry::admission::attributes::{
    AdmissionAttributes, AdmissionOperation, AdmissionTarget, DynObject,
};

/// The part of requests that does not depend on the webhook: the JSON of all fields but the UID,
/// without the first brace.
pub(super) struct ReviewBody {
    pub(super) operation: AdmissionOperation,
    fields: String,
}

/// The response of a webhook that allowed the write, or not.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ReviewResponse {
    pub(super) allowed: bool,
    /// The result of a webhook that did not allow the write.
    pub(super) result: Option<ReviewStatus>,
    /// The JSON patch of a mutating webhook.
    pub(super) patch: Option<Vec<u8>>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) warnings: Vec<String>,
}

/// A `Status` as webhooks send it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct ReviewStatus {
    message: String,
    reason: String,
    code: i64,
    details: Option<StatusDetails>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReviewDocument {
    kind: String,
    api_version: String,
    response: Option<ResponseFields>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResponseFields {
    uid: String,
    allowed: bool,
    status: Option<ReviewStatus>,
    patch: Option<String>,
    patch_type: Option<String>,
    audit_annotations: Option<BTreeMap<String, String>>,
    warnings: Option<Vec<String>>,
}

const KIND: &str = "AdmissionReview";

impl ReviewBody {
    /// The request for a write, without its UID. As `CreateV1AdmissionReview` in
    /// k8s.io/apiserver/pkg/admission/plugin/webhook/request/admissionreview.go.
    pub(super) fn new(attributes: &AdmissionAttributes, actor: &Actor) -> Self {
        let AdmissionAttributes { target, namespace, name, old, new } = attributes;
        let AdmissionTarget { operation, resource, subresource, kind, api, .. } = *target;
        let kind = json!({"group": api.group, "version": api.version, "kind": kind});
        let resource = json!({
            "group": resource.group, "version": api.version, "resource": resource.name,
        });
        let mut request = json!({"kind": kind, "resource": resource});
        let mut set = |key: &str, value: Value| {
            if value != json!("") {
                request[key] = value;
            }
        };
        set("subResource", subresource.into());
        set("requestKind", kind);
        set("requestResource", resource);
        set("requestSubResource", subresource.into());
        set("name", name.as_str().into());
        set("namespace", namespace.as_str().into());
        set("operation", operation.as_str().into());
        set("userInfo", user_info(actor));
        let object = |object: &Option<Arc<dyn DynObject>>| {
            object.as_ref().map_or(Value::Null, |object| object.to_value(api))
        };
        set("object", object(new));
        set("oldObject", object(old));
        set("dryRun", (actor.dry_run == DryRun::All).into());
        set("options", options(operation, actor));
        Self { operation, fields: request.to_string().split_off(1) }
    }

    /// The bytes of a request with a UID.
    pub(super) fn request(&self, uid: &str, version: ReviewVersion) -> Vec<u8> {
        let (api, uid, rest) = (api_version(version), Value::from(uid), &self.fields);
        format!(
            "{{\"kind\":\"{KIND}\",\"apiVersion\":\"{api}\",\"request\":{{\"uid\":{uid},{rest}}}"
        )
        .into_bytes()
    }
}

impl ReviewResponse {
    /// Reads the response to a request with this UID. As `VerifyAdmissionResponse` in
    /// k8s.io/apiserver/pkg/admission/plugin/webhook/request/admissionreview.go.
    ///
    /// # Errors
    /// A sentence about a response that is none to this request.
    pub(super) fn read(
        body: &[u8],
        uid: &str,
        version: ReviewVersion,
        phase: WebhookPhase,
    ) -> Result<Self, String> {
        let document: ReviewDocument = serde_json::from_slice(body).map_err(|why| {
            format!("failed to call webhook: couldn't get version/kind; json parse error: {why}")
        })?;
        let invalid = |why: String| format!("received invalid webhook response: {why}");
        let response = document.response.ok_or_else(|| match document.kind.is_empty() {
            true => {
                let shown = excerpt::of(String::from_utf8_lossy(body));
                format!("failed to call webhook: Object 'Kind' is missing in '{shown}'")
            }
            false => invalid("webhook response was absent".into()),
        })?;
        if version == ReviewVersion::V1 {
            if response.uid != uid {
                let found = field::quote(&excerpt::of(&response.uid).to_string());
                return Err(invalid(format!("expected response.uid=\"{uid}\", got {found}")));
            }
            let found = (document.api_version.as_str(), document.kind.as_str());
            if found != (api_version(version), KIND) {
                let (api, kind) = (excerpt::of(found.0), excerpt::of(found.1));
                return Err(invalid(format!(
                    "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {api}, Kind={kind}"
                )));
            }
        }
        let patch = response.patch(version, phase).map_err(invalid)?;
        Ok(Self {
            allowed: response.allowed,
            result: response.status,
            patch,
            annotations: response.audit_annotations.unwrap_or_default(),
            warnings: response.warnings.unwrap_or_default(),
        })
    }
}

impl ResponseFields {
    /// The patch of a mutating webhook; a validating one must have none.
    fn patch(
        &self,
        version: ReviewVersion,
        phase: WebhookPhase,
    ) -> Result<Option<Vec<u8>>, String> {
        let encoded = self.patch.as_deref().filter(|patch| !patch.is_empty());
        match (phase, version, encoded, self.patch_type.as_deref()) {
            (WebhookPhase::Validating, ReviewVersion::V1, Some(_), _) => {
                Err("validating webhook may not return response.patch".into())
            }
            (WebhookPhase::Validating, ReviewVersion::V1, None, Some(_)) => {
                Err("validating webhook may not return response.patchType".into())
            }
            (WebhookPhase::Validating, ..) | (WebhookPhase::Mutating, _, None, None) => Ok(None),
            (WebhookPhase::Mutating, ReviewVersion::V1Beta1, None, Some(_)) => Ok(None),
            (WebhookPhase::Mutating, ReviewVersion::V1, Some(_), None) => {
                Err("webhook returned response.patch but not response.patchType".into())
            }
            (WebhookPhase::Mutating, ReviewVersion::V1, None, Some(_)) => {
                Err("webhook returned response.patchType but not response.patch".into())
            }
            (WebhookPhase::Mutating, ReviewVersion::V1, Some(_), Some(other))
                if other != "JSONPatch" =>
            {
                Err(format!(
                    "unsupported patch type {}",
                    field::quote(&excerpt::of(other).to_string())
                ))
            }
            (WebhookPhase::Mutating, _, Some(encoded), _) => {
                let patch = STANDARD.decode(encoded);
                patch.map(Some).map_err(|why| format!("response.patch is not base64: {why}"))
            }
        }
    }
}

impl ReviewStatus {
    /// The Status of a rejection, as `ToStatusErr` in
    /// k8s.io/apiserver/pkg/admission/plugin/webhook/errors/statuserror.go.
    pub(super) fn rejection(this: Option<Self>, webhook: &str) -> Status {
        let Self { message, reason, code, details } = this.unwrap_or_default();
        let denied = format!("admission webhook {} denied the request", field::quote(webhook));
        let text = match (message.as_str(), reason.as_str()) {
            ("", "") => format!("{denied} without explanation"),
            ("", reason) => format!("{denied}: {reason}"),
            (message, _) => format!("{denied}: {message}"),
        };
        let code = u16::try_from(code).ok().filter(|code| *code < 600).unwrap_or(500).max(400);
        let status = Status::failure(code, &excerpt::of(&reason).to_string(), text);
        match details {
            Some(details) => status.with_details(details),
            None => status,
        }
    }
}

fn api_version(version: ReviewVersion) -> &'static str {
    match version {
        ReviewVersion::V1 => "admission.k8s.io/v1",
        ReviewVersion::V1Beta1 => "admission.k8s.io/v1beta1",
    }
}

fn user_info(actor: &Actor) -> Value {
    let user = &actor.user;
    let mut info = json!({});
    if !user.name.is_empty() {
        info["username"] = user.name.as_str().into();
    }
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.groups.is_empty() {
        info["groups"] = user.groups.clone().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

/// The options of the request, of the kind that belongs to the operation.
fn options(operation: AdmissionOperation, actor: &Actor) -> Value {
    let kind = match operation {
        AdmissionOperation::Create => "CreateOptions",
        AdmissionOperation::Update => "UpdateOptions",
        AdmissionOperation::Delete => "DeleteOptions",
    };
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    if let (Value::Object(all), Some(Value::Object(given))) =
        (&mut options, actor.options.as_deref())
    {
        all.extend(given.clone());
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(response: Value, phase: WebhookPhase) -> Result<ReviewResponse, String> {
        let review =
            json!({"kind": KIND, "apiVersion": "admission.k8s.io/v1", "response": response});
        ReviewResponse::read(review.to_string().as_bytes(), "u", ReviewVersion::V1, phase)
    }

    #[test]
    fn response_must_belong_to_the_request() {
        let mutating = WebhookPhase::Mutating;
        let whole = |text: &str, version| {
            ReviewResponse::read(text.as_bytes(), "u", version, mutating).unwrap_err()
        };
        assert!(whole("no", ReviewVersion::V1).starts_with("failed to call webhook: couldn't get"));
        assert!(whole("{}", ReviewVersion::V1).contains("Object 'Kind' is missing in '{}'"));
        let absent = whole("{\"kind\":\"AdmissionReview\"}", ReviewVersion::V1);
        assert_eq!(absent, "received invalid webhook response: webhook response was absent");
        let other = read(json!({"uid": "x", "allowed": true}), mutating).unwrap_err();
        assert!(other.ends_with("expected response.uid=\"u\", got \"x\""), "{other}");
        let beta = json!({"kind": KIND, "apiVersion": "admission.k8s.io/v1beta1", "response": {"uid": "u", "allowed": true}});
        let text = beta.to_string();
        assert!(whole(&text, ReviewVersion::V1).contains("got admission.k8s.io/v1beta1"));
        let read = ReviewResponse::read(text.as_bytes(), "", ReviewVersion::V1Beta1, mutating);
        assert!(read.unwrap().allowed);
    }

    #[test]
    fn patches_belong_to_mutating_webhooks() {
        let (mutating, validating) = (WebhookPhase::Mutating, WebhookPhase::Validating);
        let response = |patch: Value, kind: Value| json!({"uid": "u", "allowed": true, "patch": patch, "patchType": kind});
        let (patch, kind) = (json!("W10="), json!("JSONPatch"));
        let found = read(response(patch.clone(), kind.clone()), mutating).unwrap();
        assert_eq!(found.patch.as_deref(), Some(&b"[]"[..]));
        for (response, phase, text) in [
            (response(patch.clone(), Value::Null), mutating, "patch but not response.patchType"),
            (response(Value::Null, kind.clone()), mutating, "patchType but not response.patch"),
            (response(patch.clone(), json!("Merge")), mutating, "unsupported patch type \"Merge\""),
            (response(json!("%"), kind.clone()), mutating, "is not base64"),
            (response(patch, Value::Null), validating, "may not return response.patch"),
            (response(Value::Null, kind), validating, "may not return response.patchType"),
        ] {
            let why = read(response, phase).unwrap_err();
            assert!(why.contains(text), "{why}");
        }
    }

    #[test]
    fn rejections_have_the_texts_of_kube_apiserver() {
        let rejection = |status: Value| {
            let status: Option<ReviewStatus> = serde_json::from_value(status).unwrap();
            let Status { code, reason, message, .. } = ReviewStatus::rejection(status, "w");
            (code, reason, message)
        };
        let denied = "admission webhook \"w\" denied the request";
        let none = rejection(Value::Null);
        assert_eq!(none, (400, String::new(), format!("{denied} without explanation")));
        let text = rejection(json!({"message": "no", "reason": "R", "code": 403}));
        assert_eq!(text, (403, "R".into(), format!("{denied}: no")));
        let reason = rejection(json!({"reason": "R", "code": 200}));
        assert_eq!(reason, (400, "R".into(), format!("{denied}: R")));
        assert_eq!(rejection(json!({"code": 70000})).0, 500);
    }
}
