//! One line of the audit log: the fields of `audit.k8s.io/v1` in the order and with the emptiness of the reference
//! implementation, as far as level `Metadata` has them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::auth::{Decision, ResourceAction, User};
use crate::machinery::json;
use crate::meta::Status;

/// What is told of one request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::server) struct Event<'a> {
    /// What the client gets back in its `Audit-Id` header.
    #[serde(rename = "auditID")]
    pub(in crate::server) audit_id: Cow<'a, str>,
    /// Where the request is.
    pub(in crate::server) stage: Stage,
    /// Path and query as received.
    #[serde(rename = "requestURI")]
    pub(in crate::server) request_uri: Cow<'a, str>,
    /// The verb of a resource, else the method in small letters.
    pub(in crate::server) verb: Cow<'a, str>,
    /// Who asked; empty where that could not be proved.
    pub(in crate::server) user: Person<'a>,
    /// Who the request was carried out as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) impersonated_user: Option<Person<'a>>,
    /// Where the request came from, the nearest last.
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[_]>::is_empty")]
    pub(in crate::server) source_ips: &'a [IpAddr],
    /// What the client calls itself.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(in crate::server) user_agent: Cow<'a, str>,
    /// What was asked for, where it is a resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) object_ref: Option<ObjectRef<'a>>,
    /// How it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::server) response_status: Option<ResponseStatus>,
    /// When the request arrived.
    #[serde(serialize_with = "microseconds")]
    pub(in crate::server) request_received_timestamp: Timestamp,
    /// When it came to its stage.
    #[serde(serialize_with = "microseconds")]
    pub(in crate::server) stage_timestamp: Timestamp,
    /// What authorization said; nothing where it was not asked.
    #[serde(rename = "annotations", serialize_with = "annotations", skip_serializing_if = "Option::is_none")]
    pub(in crate::server) decision: Option<&'a Decision>,
}

/// Where a request is when its event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(in crate::server) enum Stage {
    /// Its answer has begun, and goes on for long.
    ResponseStarted,
    /// Its answer is complete.
    ResponseComplete,
    /// It ended in a panic that nobody caught.
    Panic,
}

/// A user.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(in crate::server) struct Person<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a BTreeMap<String, Vec<String>>>,
}

impl<'a> From<&'a User> for Person<'a> {
    fn from(user: &'a User) -> Self {
        let User { name, uid, groups, extra } = user;
        Self { username: name, uid, groups, extra: Some(extra).filter(|extra| !extra.is_empty()) }
    }
}

/// What a request is about.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::server) struct ObjectRef<'a> {
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

impl<'a> From<&'a ResourceAction> for ObjectRef<'a> {
    fn from(action: &'a ResourceAction) -> Self {
        let ResourceAction { verb: _, group, version, resource, subresource, namespace, name, fields: _, labels: _ } =
            action;
        Self { resource, namespace, name, api_group: group, api_version: version, subresource }
    }
}

/// How a request was answered.
#[derive(Clone, Debug, Serialize)]
pub(in crate::server) struct ResponseStatus {
    /// Always empty, and always there.
    metadata: Empty,
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
struct Empty {}

impl ResponseStatus {
    /// An answer that is no `Status`.
    pub(in crate::server) fn of_code(code: u16) -> Self {
        Self { metadata: Empty {}, status: "".into(), message: "".into(), reason: "".into(), code: Some(code) }
    }

    /// An answer that is a `Status`: with its text, unless that may quote the body of the request.
    pub(in crate::server) fn of_status(status: &Status) -> Self {
        let quotes_body = matches!(status.code, 400 | 422);
        Self {
            status: status.status.clone().into(),
            message: if quotes_body { "".into() } else { status.message.clone().into() },
            reason: status.reason.clone().into(),
            ..Self::of_code(if status.code == 0 { 200 } else { status.code })
        }
    }

    /// No answer: the client was gone first. Whether the request took effect is not known.
    pub(in crate::server) fn abandoned() -> Self {
        Self { message: "Connection closed early".into(), code: None, ..Self::of_code(0) }
    }

    /// No answer but the end of the connection.
    pub(in crate::server) fn panicked() -> Self {
        Self { status: "Failure".into(), reason: "InternalError".into(), ..Self::of_code(500) }
    }
}

impl Event<'_> {
    /// The event as one line, its end included.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(1024);
        json::encode_behind(br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata""#, self, &mut line);
        line.push(b'\n');
        line
    }
}

/// RFC 3339 in UTC with six digits behind the point, as Kubernetes' `MicroTime`.
fn microseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}

/// The annotations that Kubernetes gives what authorization said.
fn annotations<S: Serializer>(decision: &Option<&Decision>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    if let Some(decision) = decision {
        let (word, reason) = match decision {
            Decision::Allowed => ("allow", ""),
            Decision::Denied { reason } => ("forbid", reason.as_str()),
        };
        map.serialize_entry("authorization.k8s.io/decision", word)?;
        map.serialize_entry("authorization.k8s.io/reason", reason)?;
    }
    map.end()
}
