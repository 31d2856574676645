//! `Status`: the only error that leaves the server, built by constructors named after the Kubernetes reasons.

use std::{error, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Limited, ListMeta, TextSize, excerpt, field};

/// A resource of an API group as errors name it, for example `imagestreams` of `image.openshift.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupResource<'a> {
    /// API group; empty for the core group.
    pub group: &'a str,
    /// Plural name of the resource, or what stands in its place in an error.
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

/// The outcome of a request where it is not an object: nearly always an error.
// Field order and emptiness are those of the reference implementation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.Status")]
pub struct Status {
    /// List metadata, `{}` but for expired continue tokens.
    pub metadata: ListMeta,
    /// `Success` or `Failure`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// What happened, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What happened, for programs; some errors have none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the error is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<StatusDetails>,
    /// HTTP status code; absent in the answer to a deletion.
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u16,
    /// What went wrong inside; for the log, never for the client.
    #[serde(skip)]
    pub hidden: Option<String>,
    /// What the client should hear besides, in headers.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// What a `Status` is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.StatusDetails")]
pub struct StatusDetails {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Its resource or kind; which of the two depends on the error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its UID.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The single faults, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub causes: Vec<StatusCause>,
    /// Seconds after which another try makes sense.
    #[serde(skip_serializing_if = "is_zero_u32")]
    pub retry_after_seconds: u32,
}

/// One of the faults behind a `Status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.StatusCause")]
pub struct StatusCause {
    /// Kind of fault.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Text for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Path of the field.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl TextSize for StatusCause {
    fn text_bytes(&self) -> usize {
        self.reason.len() + self.message.len() + self.field.len()
    }
}

impl Status {
    /// A failure with a code, a reason (may be empty) and a text, which is cut to the length that an answer has room for.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        let mut message = message.into();
        cut(&mut message, MAX_MESSAGE_BYTES);
        Self { status: "Failure".into(), message, reason: reason.into(), code, ..Self::default() }
    }

    /// A success that has nothing else to say.
    pub fn success() -> Self {
        Self { status: "Success".into(), ..Self::default() }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    /// 401: the credentials are missing or wrong; says nothing else on purpose.
    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    /// 403: the user is known, and may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::failure(403, "Forbidden", message)
    }

    /// 404: an object does not exist.
    pub fn not_found(resource: GroupResource<'_>, name: &str) -> Self {
        Self::failure(404, "NotFound", format!("{resource} {} not found", field::quote(name))).about(resource, name)
    }

    /// 404: there is no such path.
    pub fn no_such_path() -> Self {
        let text = "the server could not find the requested resource";
        Self::failure(404, "NotFound", text).with_details(StatusDetails::default())
    }

    /// 405: the path exists, but not for this method.
    pub fn method_not_allowed() -> Self {
        let text = "the server does not allow this method on the requested resource";
        Self::failure(405, "MethodNotAllowed", text).with_details(StatusDetails::default())
    }

    /// 405: objects of this resource can be listed, but not watched.
    pub fn not_watchable(resource: GroupResource<'_>) -> Self {
        let text = format!("watch is not supported on resources of kind {}", field::quote(&resource.to_string()));
        Self::failure(405, "MethodNotAllowed", text).about(resource, "")
    }

    /// 409: an object of this name exists.
    pub fn already_exists(resource: GroupResource<'_>, name: &str) -> Self {
        Self::failure(409, "AlreadyExists", format!("{resource} {} already exists", field::quote(name)))
            .about(resource, name)
    }

    /// 409: the object is not in the state that the request builds on.
    pub fn conflict(resource: GroupResource<'_>, name: &str, why: &str) -> Self {
        let text = format!("Operation cannot be fulfilled on {resource} {}: {why}", field::quote(name));
        Self::failure(409, "Conflict", text).about(resource, name)
    }

    /// 409: somebody else changed the object since it was read.
    pub fn modified(resource: GroupResource<'_>, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 410: the wanted revision is no longer kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    /// 413: the body is larger than the server takes; `limit` in bytes.
    pub fn request_too_large(limit: usize) -> Self {
        let text = format!("Request entity too large: limit is {limit}");
        Self::failure(413, "RequestEntityTooLarge", text)
    }

    /// 422: the object breaks rules. `kind` names the kind, not the resource.
    pub fn invalid(kind: GroupResource<'_>, name: &str, errors: &field::Errors) -> Self {
        let text = format!("{kind} {} is invalid: {}", field::quote(name), field::join(errors));
        let (name, group, kind) = (name.into(), kind.group.into(), kind.name.into());
        let causes = errors.iter().map(field::Error::cause).collect();
        let details = StatusDetails { name, group, kind, causes, ..StatusDetails::default() };
        Self::failure(422, "Invalid", text).with_details(details)
    }

    /// 429: the server has as much to do as it takes on.
    pub fn too_many_requests() -> Self {
        Self::failure(429, "TooManyRequests", "Too many requests, please try again later.").retry_after(1)
    }

    /// 500 whose text the client may see.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::failure(500, "", message)
    }

    /// 500 whose cause only the log may see.
    pub fn hidden(cause: impl fmt::Display) -> Self {
        let mut status = Self::failure(500, "InternalError", "Internal error occurred: see the server's log");
        status.hidden = Some(cause.to_string());
        status
    }

    /// 503: the server cannot answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", message).retry_after(1)
    }

    /// 504: the request took longer than it may.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::failure(504, "Timeout", message)
    }

    /// The same status with details, whose texts are cut, and whose causes are dropped from the end, to what an answer has
    /// room for.
    pub fn with_details(mut self, mut details: StatusDetails) -> Self {
        for text in [&mut details.name, &mut details.group, &mut details.kind, &mut details.uid] {
            cut(text, MAX_DETAIL_BYTES);
        }
        details.causes = fitting(details.causes);
        self.details = Some(details);
        self
    }

    /// The same status, telling clients to come back after `seconds`.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// The same status about an object.
    pub fn about(self, resource: GroupResource<'_>, name: &str) -> Self {
        self.with_details(StatusDetails {
            name: name.into(),
            group: resource.group.into(),
            kind: resource.name.into(),
            ..StatusDetails::default()
        })
    }
}

// The limits of the texts of a status add up to less than 128 KiB, in each of the media types.
/// The most bytes of a message, as it is encoded.
const MAX_MESSAGE_BYTES: usize = 48 << 10;
/// The most bytes of all causes, as they are encoded.
const MAX_CAUSES_BYTES: usize = 48 << 10;
/// The most bytes of another text of the details, as it is encoded.
const MAX_DETAIL_BYTES: usize = 2 << 10;

/// Cuts a text where its encoded form reaches `most` bytes, and returns the length of that form.
fn cut(text: &mut String, most: usize) -> usize {
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

/// The most bytes that a character takes in JSON, or in YAML, where a line break is followed by an indentation.
fn encoded_bytes(letter: char) -> usize {
    match letter {
        '\n' => 8,
        '\'' | '"' | '\\' => 2,
        '<' | '>' | '&' | '\u{7f}' | '\u{2028}' | '\u{2029}' => 6,
        letter if letter.is_control() => 6,
        letter => letter.len_utf8(),
    }
}

/// The first of the causes, as many as an answer has room for. One that is too long by itself is cut.
fn fitting(causes: Vec<StatusCause>) -> Vec<StatusCause> {
    let mut left = MAX_CAUSES_BYTES;
    let mut fitting: Limited<StatusCause> = Limited::default();
    for mut cause in causes {
        let texts = [&mut cause.reason, &mut cause.field, &mut cause.message];
        let encoded: usize = texts.into_iter().map(|text| cut(text, MAX_CAUSES_BYTES / 3)).sum();
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

    /// The most bytes of an answer that is a status.
    const MAX_STATUS_BYTES: usize = 128 << 10;

    fn encoded(status: &Status) -> usize {
        serde_json::to_vec_pretty(status).unwrap().len()
    }

    #[test]
    fn no_status_is_longer_than_its_limit() {
        let resource = GroupResource { group: "g", name: "r" };
        for text in ["x", "\u{1}", "é", "\"", "\n", "<"] {
            let long = text.repeat(1 << 20);
            let errors = std::iter::repeat_n((), 200)
                .map(|()| field::Error { field: long.clone(), kind: field::ErrorKind::Internal(long.clone()) });
            for status in [
                Status::failure(400, "", long.clone()),
                Status::not_found(resource, &long),
                Status::invalid(GroupResource { group: &long, name: &long }, &long, &errors.collect()),
            ] {
                assert!(encoded(&status) < MAX_STATUS_BYTES, "{text:?}: {}", encoded(&status));
                assert!(status.message.ends_with(excerpt::MARK) || status.code == 404, "{text:?}");
            }
        }
    }

    #[test]
    fn causes_are_dropped_from_the_end() {
        let errors: field::Errors =
            (0..100).map(|at| field::Error::required(format_args!("{at}{:1000}", ""), "")).collect();
        let details = Status::invalid(GroupResource { group: "", name: "r" }, "n", &errors).details.unwrap();
        assert!((40..60).contains(&details.causes.len()), "{}", details.causes.len());
        assert!(details.causes[0].field.starts_with('0'));
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let text = "x".repeat(MAX_MESSAGE_BYTES);
        assert_eq!(Status::bad_request(text.clone()).message, text);
    }
}
