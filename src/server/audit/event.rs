//! An event of the audit log: `Event` in k8s.io/apiserver/pkg/apis/audit/v1/types.go at level
//! `Metadata`, with the same order and omission of fields.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::auth::{Decision, ResourceAction, User};
use crate::machinery::json;
use crate::meta::Status;

/// An audit event.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditEvent<'a> {
    /// ID of the request, also sent in the `Audit-Id` header of the response.
    #[serde(rename = "auditID")]
    pub(crate) audit_id: Cow<'a, str>,
    /// Stage of the request.
    pub(crate) stage: AuditStage,
    /// Path and query as received.
    #[serde(rename = "requestURI")]
    pub(crate) request_uri: Cow<'a, str>,
    /// Verb of a resource request, else the HTTP method in lower case.
    pub(crate) verb: Cow<'a, str>,
    /// Authenticated user; empty if authentication failed.
    pub(crate) user: AuditUser<'a>,
    /// Impersonated user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) impersonated_user: Option<AuditUser<'a>>,
    /// Addresses of the client and the proxies, nearest last.
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) source_ips: &'a [IpAddr],
    /// `User-Agent` header.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) user_agent: Cow<'a, str>,
    /// Object of a resource request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object_ref: Option<AuditObjectReference<'a>>,
    /// Status of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_status: Option<ResponseStatus>,
    /// Time when the request arrived.
    #[serde(serialize_with = "microseconds")]
    pub(crate) request_received_timestamp: Timestamp,
    /// Time when the request reached its stage.
    #[serde(serialize_with = "microseconds")]
    pub(crate) stage_timestamp: Timestamp,
    /// Decision of authorization, if it was needed, and annotations of admission.
    #[serde(skip_serializing_if = "AuditAnnotations::is_empty")]
    pub(crate) annotations: AuditAnnotations<'a>,
}

/// Annotations of an event.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AuditAnnotations<'a> {
    /// Decision of authorization.
    pub(crate) decision: Option<&'a Decision>,
    /// Annotations of admission; none for an empty map.
    pub(crate) admission: Option<&'a BTreeMap<String, String>>,
}

/// Stage of a request when its event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum AuditStage {
    /// The response of a long-running request has started.
    ResponseStarted,
    /// The response is complete.
    ResponseComplete,
    /// The request panicked.
    Panic,
}

/// User of an event: `UserInfo` in k8s.io/api/authentication/v1/types.go.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct AuditUser<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a BTreeMap<String, Vec<String>>>,
}

impl<'a> From<&'a User> for AuditUser<'a> {
    fn from(user: &'a User) -> Self {
        let User { name, uid, groups, extra } = user;
        Self { username: name, uid, groups, extra: Some(extra).filter(|extra| !extra.is_empty()) }
    }
}

/// Object of a request.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditObjectReference<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subresource: &'a str,
}

impl<'a> From<&'a ResourceAction> for AuditObjectReference<'a> {
    fn from(action: &'a ResourceAction) -> Self {
        let ResourceAction {
            verb: _,
            group,
            version,
            resource,
            subresource,
            namespace,
            name,
            fields: _,
            labels: _,
        } = action;
        Self { resource, namespace, name, api_group: group, api_version: version, subresource }
    }
}

/// Status of a response.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ResponseStatus {
    /// Always present and empty.
    metadata: EmptyMetadata,
    #[serde(skip_serializing_if = "str::is_empty")]
    status: Cow<'static, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: Cow<'static, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct EmptyMetadata {}

impl ResponseStatus {
    /// A response without a `Status`.
    pub(crate) fn of_code(code: u16) -> Self {
        Self {
            metadata: EmptyMetadata {},
            status: "".into(),
            message: "".into(),
            reason: "".into(),
            code: Some(code),
        }
    }

    /// A response with a `Status`. The message is omitted if it may quote the body of the request.
    pub(crate) fn of_status(status: &Status) -> Self {
        let quotes_body = matches!(status.code, 400 | 422);
        Self {
            status: status.status.clone().into(),
            message: if quotes_body { "".into() } else { status.message.clone().into() },
            reason: status.reason.clone().into(),
            ..Self::of_code(if status.code == 0 { 200 } else { status.code })
        }
    }

    /// No response, because the client disconnected. The request may have taken effect.
    pub(crate) fn abandoned() -> Self {
        Self { message: "Connection closed early".into(), code: None, ..Self::of_code(0) }
    }

    /// No response, because of a panic.
    pub(crate) fn panicked() -> Self {
        Self { status: "Failure".into(), reason: "InternalError".into(), ..Self::of_code(500) }
    }
}

impl AuditEvent<'_> {
    /// The event as one line with its newline.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(1024);
        json::encode_behind(
            br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata""#,
            self,
            &mut line,
        );
        line.push(b'\n');
        line
    }
}

/// RFC 3339 in UTC with six fractional digits: `MicroTime` in
/// k8s.io/apimachinery/pkg/apis/meta/v1/micro_time.go.
fn microseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}

impl AuditAnnotations<'_> {
    fn is_empty(&self) -> bool {
        self.decision.is_none() && self.admission.is_none_or(BTreeMap::is_empty)
    }
}

impl Serialize for AuditAnnotations<'_> {
    /// Those of the decision are from `WithAuthorization` in
    /// k8s.io/apiserver/pkg/endpoints/filters/authorization.go.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all: BTreeMap<&str, &str> = BTreeMap::new();
        if let Some(decision) = self.decision {
            let (word, reason) = match decision {
                Decision::Allowed => ("allow", ""),
                Decision::Denied { reason } => ("forbid", reason.as_str()),
            };
            all.insert("authorization.k8s.io/decision", word);
            all.insert("authorization.k8s.io/reason", reason);
        }
        // A webhook cannot replace the decision.
        for (key, value) in self.admission.into_iter().flatten() {
            all.entry(key).or_insert(value);
        }
        serializer.collect_map(all)
    }
}
