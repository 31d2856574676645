//! `Status`: the only error that clients receive. Its constructors correspond to those of
//! k8s.io/apimachinery/pkg/api/errors/errors.go.

use std::{error, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Limited, ListMeta, StatusCause, excerpt, field};

/// A resource or kind of an API group, as named in errors, such as `imagestreams` in
/// `image.openshift.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupResource<'a> {
    /// API group. Empty for the core group.
    pub group: &'a str,
    /// Plural name of the resource, or the kind.
    pub name: &'a str,
}

impl fmt::Display for GroupResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group {
            "" => f.write_str(self.name),
            group => write!(f, "{}.{group}", self.name),
        }
    }
}

/// Status is the result of an operation that does not return an object, such as an error.
// The order of the fields, and the conditions for omitting them, are those of apimachinery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.Status")]
pub struct Status {
    /// Standard list metadata. Set only for expired continue tokens.
    pub metadata: ListMeta,
    /// Status of the operation: `Success` or `Failure`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Message is a human-readable description of the status.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Reason is a machine-readable description of the status. Clarifies the code; empty if there
    /// is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Details is further data about the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<StatusDetails>,
    /// Code is the HTTP status code. Omitted in the response to a deletion.
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u16,
    /// Internal cause for the log. Never sent to clients.
    #[serde(skip)]
    pub hidden: Option<String>,
    /// Warnings for the `Warning` response headers.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// StatusDetails is further data about the reason of a status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.StatusDetails")]
pub struct StatusDetails {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind or resource of the object, depending on the reason.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// UID of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Causes is the list of the individual errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub causes: Vec<StatusCause>,
    /// RetryAfterSeconds is the number of seconds after which the request should be retried.
    #[serde(skip_serializing_if = "is_zero_u32")]
    pub retry_after_seconds: u32,
}

impl Status {
    /// Returns a failure. `reason` may be empty; the message is truncated to the limit of a
    /// response.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        let mut message = message.into();
        truncate(&mut message, MAX_MESSAGE_BYTES);
        Self { status: "Failure".into(), message, reason: reason.into(), code, ..Self::default() }
    }

    /// Returns a success without further data.
    pub fn success() -> Self {
        Self { status: "Success".into(), ..Self::default() }
    }

    /// Returns 400 for a malformed request.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    /// Returns 401 for missing or invalid credentials. The text reveals nothing else on purpose.
    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    /// Returns 403 for a request that the user is not allowed to make.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::failure(403, "Forbidden", message)
    }

    /// Returns 404 for an object that does not exist.
    pub fn not_found(resource: GroupResource<'_>, name: &str) -> Self {
        Self::failure(404, "NotFound", format!("{resource} {} not found", field::quote(name)))
            .about(resource, name)
    }

    /// Returns 404 for a path that does not exist.
    pub fn no_such_path() -> Self {
        let text = "the server could not find the requested resource";
        Self::failure(404, "NotFound", text).with_details(StatusDetails::default())
    }

    /// Returns 405 for a path that does not support the method.
    pub fn method_not_allowed() -> Self {
        let text = "the server does not allow this method on the requested resource";
        Self::failure(405, "MethodNotAllowed", text).with_details(StatusDetails::default())
    }

    /// Returns 405 for a resource that supports list but not watch.
    pub fn not_watchable(resource: GroupResource<'_>) -> Self {
        let text = format!(
            "watch is not supported on resources of kind {}",
            field::quote(&resource.to_string())
        );
        Self::failure(405, "MethodNotAllowed", text).about(resource, "")
    }

    /// Returns 409 for a name that is already in use.
    pub fn already_exists(resource: GroupResource<'_>, name: &str) -> Self {
        Self::failure(
            409,
            "AlreadyExists",
            format!("{resource} {} already exists", field::quote(name)),
        )
        .about(resource, name)
    }

    /// Returns 409 for an object whose state does not allow the request.
    pub fn conflict(resource: GroupResource<'_>, name: &str, reason: &str) -> Self {
        let text =
            format!("Operation cannot be fulfilled on {resource} {}: {reason}", field::quote(name));
        Self::failure(409, "Conflict", text).about(resource, name)
    }

    /// Returns 409 for an object that was modified after it was read.
    pub fn modified(resource: GroupResource<'_>, name: &str) -> Self {
        let reason = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, reason)
    }

    /// Returns 410 for a revision that was compacted.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    /// Returns 413 for a request body of more than `limit` bytes.
    pub fn request_too_large(limit: usize) -> Self {
        let text = format!("Request entity too large: limit is {limit}");
        Self::failure(413, "RequestEntityTooLarge", text)
    }

    /// Returns 422 for an object that fails validation. `kind` holds the kind, not the resource.
    pub fn invalid(kind: GroupResource<'_>, name: &str, errors: &field::Errors) -> Self {
        let text = format!("{kind} {} is invalid: {}", field::quote(name), field::join(errors));
        let (name, group, kind) = (name.into(), kind.group.into(), kind.name.into());
        let causes = errors.iter().map(field::Error::cause).collect();
        let details = StatusDetails { name, group, kind, causes, ..StatusDetails::default() };
        Self::failure(422, "Invalid", text).with_details(details)
    }

    /// Returns 429 for an overloaded server.
    pub fn too_many_requests() -> Self {
        Self::failure(429, "TooManyRequests", "Too many requests, please try again later.")
            .retry_after(1)
    }

    /// Returns 500 with a message for the client.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::failure(500, "", message)
    }

    /// Returns 500 without details. `cause` is for the log only.
    pub fn hidden(cause: impl fmt::Display) -> Self {
        let mut status =
            Self::failure(500, "InternalError", "Internal error occurred: see the server's log");
        status.hidden = Some(cause.to_string());
        status
    }

    /// Returns 503 for a server that cannot handle the request now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", message).retry_after(1)
    }

    /// Returns 504 for a request that exceeded its deadline.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::failure(504, "Timeout", message)
    }

    /// Returns the status with details. Texts are truncated, and causes dropped from the end, to
    /// the limits of a response.
    pub fn with_details(mut self, mut details: StatusDetails) -> Self {
        for text in [&mut details.name, &mut details.group, &mut details.kind, &mut details.uid] {
            truncate(text, MAX_DETAIL_BYTES);
        }
        details.causes = fitting_causes(details.causes);
        self.details = Some(details);
        self
    }

    /// Returns the status with a request to retry after `seconds`.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// Returns the status with the object as its details.
    pub fn about(self, resource: GroupResource<'_>, name: &str) -> Self {
        self.with_details(StatusDetails {
            name: name.into(),
            group: resource.group.into(),
            kind: resource.name.into(),
            ..StatusDetails::default()
        })
    }
}

// In every media type, the limits of all texts add up to less than 128 KiB.
/// Maximum size of the encoded message in bytes.
const MAX_MESSAGE_BYTES: usize = 48 << 10;
/// Maximum size of all encoded causes in bytes.
const MAX_CAUSES_BYTES: usize = 48 << 10;
/// Maximum size of any other encoded text of the details in bytes.
const MAX_DETAIL_BYTES: usize = 2 << 10;

/// Truncates a text to `most` encoded bytes and returns its encoded length.
fn truncate(text: &mut String, most: usize) -> usize {
    let mut encoded = 0;
    for (at, letter) in text.char_indices() {
        encoded += encoded_bytes(letter);
        if encoded > most {
            text.truncate(at);
            text.push_str(excerpt::MARK);
            return encoded;
        }
    }
    encoded
}

/// Returns the maximum encoded length of a character in JSON and YAML. In YAML an indent follows a
/// newline.
fn encoded_bytes(letter: char) -> usize {
    match letter {
        '\n' => 8,
        '\'' | '"' | '\\' => 2,
        '<' | '>' | '&' | '\u{7f}' | '\u{2028}' | '\u{2029}' => 6,
        letter if letter.is_control() => 6,
        letter => letter.len_utf8(),
    }
}

/// Returns as many of the first causes as fit into a response. Truncates overlong ones.
fn fitting_causes(causes: Vec<StatusCause>) -> Vec<StatusCause> {
    let mut left = MAX_CAUSES_BYTES;
    let mut fitting: Limited<StatusCause> = Limited::default();
    for mut cause in causes {
        let texts = [&mut cause.reason, &mut cause.field, &mut cause.message];
        let encoded: usize =
            texts.into_iter().map(|text| truncate(text, MAX_CAUSES_BYTES / 3)).sum();
        match left.checked_sub(encoded) {
            Some(rest) => left = rest,
            None => break,
        }
        fitting.push_with(|| cause);
    }
    fitting.into_vec()
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for Status {}

fn is_zero(number: &u16) -> bool {
    *number == 0
}

fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maximum size of an encoded status in bytes.
    const MAX_STATUS_BYTES: usize = 128 << 10;

    fn encoded(status: &Status) -> usize {
        serde_json::to_vec_pretty(status).unwrap().len()
    }

    #[test]
    fn encoded_status_stays_below_the_limit() {
        let resource = GroupResource { group: "g", name: "r" };
        for text in ["x", "\u{1}", "é", "\"", "\n", "<"] {
            let long = text.repeat(1 << 20);
            let errors = std::iter::repeat_n((), 200).map(|()| field::Error {
                field: long.clone(),
                kind: field::ErrorKind::Internal(long.clone()),
            });
            for status in [
                Status::failure(400, "", long.clone()),
                Status::not_found(resource, &long),
                Status::invalid(
                    GroupResource { group: &long, name: &long },
                    &long,
                    &errors.collect(),
                ),
            ] {
                assert!(encoded(&status) < MAX_STATUS_BYTES, "{text:?}: {}", encoded(&status));
                assert!(status.message.ends_with(excerpt::MARK) || status.code == 404, "{text:?}");
            }
        }
    }

    #[test]
    fn causes_are_dropped_from_the_end() {
        let errors: field::Errors = (0..100)
            .map(|at| field::Error::required(format_args!("{at}{:1000}", ""), ""))
            .collect();
        let details =
            Status::invalid(GroupResource { group: "", name: "r" }, "n", &errors).details.unwrap();
        assert!((40..60).contains(&details.causes.len()), "{}", details.causes.len());
        assert!(details.causes[0].field.starts_with('0'));
    }

    #[test]
    fn short_message_is_kept() {
        let text = "x".repeat(MAX_MESSAGE_BYTES);
        assert_eq!(Status::bad_request(text.clone()).message, text);
    }
}
