//! Decoding of request bodies: JSON, YAML and protobuf.
//!
//! The error texts are those of `transformDecodeError` in
//! k8s.io/apiserver/pkg/endpoints/handlers/rest.go and of the decoders below it.

use serde_json::Value;

use crate::endpoints::context::RequestContext;
use crate::machinery::body_limits::{self, MAX_DEPTH, exceeds_depth};
use crate::machinery::field_validation::{self, FieldValidation};
use crate::machinery::go_fmt::{self, json_type_name};
use crate::machinery::go_json::{self, RepeatedKeys};
use crate::machinery::group_version::{GroupVersion, unknown_conversion};
use crate::machinery::media_type;
use crate::machinery::protobuf;
use crate::machinery::schema::{self, Schema};
use crate::machinery::value::{Decoded, object_from, parse_json, parse_yaml};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Kind, Limited, Status, excerpt};

/// The maximum size of a request body, in bytes.
pub const MAX_BODY_BYTES: usize = 3 << 20;

/// Decodes the object in a request body.
///
/// # Errors
/// 415 for an unsupported media type, 413 for too many values in protobuf, 400 for any other
/// invalid body.
pub fn object<T: Kind>(
    cx: &RequestContext,
    api: GroupVersion,
    schema: &Schema,
    validation: FieldValidation,
) -> Result<Decoded<T>, Status> {
    let format = BodyFormat::of(cx)?;
    let mut value = match format {
        BodyFormat::Json => {
            let keys = RepeatedKeys::Shape(&schema.root);
            from_text::<T>(json_object(&cx.body, keys), api, &cx.body)?
        }
        BodyFormat::Yaml => from_text::<T>(yaml_object(&cx.body), api, &cx.body)?,
        BodyFormat::Protobuf => from_protobuf::<T>(&cx.body, api)?,
    };
    let warnings = match (format, validation) {
        // In protobuf unknown fields are ignored, and the last one of duplicate fields is used.
        (BodyFormat::Protobuf, _) | (_, FieldValidation::Ignore) => Limited::default(),
        (_, FieldValidation::Warn | FieldValidation::Strict) => field_validation::strict_errors(
            cx.content_type.as_deref().unwrap_or_default(),
            &cx.body,
            schema,
        ),
    };
    let refuse = |why: &str| cannot_be_handled(T::KIND, api.version, T::KIND, why);
    schema::coerce(&mut value, &schema.root).map_err(|mismatch| refuse(&mismatch.json_error()))?;
    let object = object_from(value).map_err(|why| refuse(&why))?;
    if validation == FieldValidation::Strict && !warnings.is_empty() {
        return Err(refuse(&field_validation::error_message(&warnings)));
    }
    Ok(Decoded { object, warnings: field_validation::warnings(warnings) })
}

/// Checks that `kind` and `apiVersion`, if present, are those that the endpoint expects.
fn check_type_meta(
    value: &Value,
    api: GroupVersion,
    expected: &str,
    body: &[u8],
) -> Result<(), Status> {
    let text = |name: &'static str| {
        let values = type_meta_values(value, name);
        values.filter_map(Value::as_str).last().unwrap_or_default()
    };
    let (kind, full_version) = (text("kind"), text("apiVersion"));
    let kind = if kind.is_empty() { expected } else { kind };
    // `GROUP/` has no version, as in `ParseGroupVersion` in k8s.io/apimachinery/pkg/runtime/schema.
    let full_version = full_version.strip_suffix('/').map_or(full_version, |group| match group {
        "" => "",
        group if group == api.group => api.name,
        _ => full_version,
    });
    let (group, version) = full_version.split_once('/').unwrap_or(("", full_version));
    if version.contains('/') {
        return Err(unrecognized(
            expected,
            &format!("unexpected GroupVersion string: {}", excerpt::of(full_version)),
            body,
        ));
    }
    let is_own_version = full_version.is_empty() || full_version == api.name;
    let is_other_version = !is_own_version && group == api.group;
    let version = if version.is_empty() { api.version } else { version };
    if is_other_version || (is_own_version && !api.has_kind(kind)) {
        let shown = if full_version.is_empty() { api.name } else { full_version };
        return Err(cannot_be_handled(kind, version, expected, &api.unknown_kind(kind, shown)));
    }
    if kind != expected {
        return Err(cannot_be_handled(
            kind,
            version,
            expected,
            &unknown_conversion(version, kind, expected),
        ));
    }
    if is_own_version {
        return Ok(());
    }
    let expected_version = api.name;
    let found = excerpt::of(full_version);
    let text = format!(
        "the API version in the data ({found}) does not match the expected API version ({expected_version})"
    );
    Err(Status::bad_request(text))
}

/// Decodes the options in a request body, which have the fields of `message`. Protobuf options of
/// another kind have kind and version only.
///
/// # Errors
/// 415 for an unsupported media type, 400 for an invalid body.
pub fn options(cx: &RequestContext, message: &MessageDescriptor) -> Result<Value, Status> {
    let options = match BodyFormat::of(cx)? {
        BodyFormat::Protobuf => protobuf_options(&cx.body, message).map_err(|why| why.to_string()),
        BodyFormat::Json => json_object(&cx.body, RepeatedKeys::Merged),
        BodyFormat::Yaml => yaml_object(&cx.body),
    };
    options.map_err(Status::bad_request)
}

/// The format of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyFormat {
    Json,
    Yaml,
    Protobuf,
}

impl BodyFormat {
    /// The format by `Content-Type`; JSON without one.
    fn of(cx: &RequestContext) -> Result<Self, Status> {
        let header = cx
            .content_type
            .as_deref()
            .filter(|header| !header.is_empty())
            .unwrap_or("application/json");
        match media_type::parse_content_type(header).unwrap_or_default().as_str() {
            "application/json" => Ok(Self::Json),
            "application/yaml" => Ok(Self::Yaml),
            protobuf::MEDIA_TYPE => Ok(Self::Protobuf),
            _ => {
                let text = "the body of the request was in an unknown format - accepted media types include: \
                            application/json, application/yaml, application/vnd.kubernetes.protobuf";
                Err(Status::failure(415, "UnsupportedMediaType", text))
            }
        }
    }
}

fn json_object(body: &[u8], repeated_keys: RepeatedKeys<'_>) -> Result<Value, String> {
    let value = parse_json(body, repeated_keys).map_err(|why| go_fmt::no_type_meta(&why))?;
    as_object(value).map_err(|why| go_fmt::no_type_meta(&why))
}

fn yaml_object(body: &[u8]) -> Result<Value, String> {
    as_object(parse_yaml(body)?).map_err(|why| go_fmt::no_type_meta(&why))
}

fn from_text<T: Kind>(
    parsed: Result<Value, String>,
    api: GroupVersion,
    body: &[u8],
) -> Result<Value, Status> {
    let value = parsed.map_err(|why| unrecognized(T::KIND, &why, body))?;
    check_type_meta(&value, api, T::KIND, body)?;
    Ok(value)
}

/// Decodes protobuf. The type is checked first, because the fields of another message have other
/// numbers.
fn from_protobuf<T: Kind>(body: &[u8], api: GroupVersion) -> Result<Value, Status> {
    let typed = protobuf::decode_envelope(body)
        .map_err(|why| unrecognized(T::KIND, &why.to_string(), body))?;
    check_type_meta(&type_meta(&typed), api, T::KIND, body)?;
    let refuse = |why: &str| cannot_be_handled(T::KIND, api.version, T::KIND, why);
    let fields = protobuf::decode_fields(T::MESSAGE, typed.message).map_err(|why| match why {
        protobuf::DecodeError::TooManyValues => body_limits::too_many_values(),
        other => refuse(&other.to_string()),
    })?;
    as_object(Value::Object(fields)).map_err(|why| refuse(&why))
}

fn protobuf_options(
    body: &[u8],
    message: &MessageDescriptor,
) -> Result<Value, protobuf::DecodeError> {
    let typed = protobuf::decode_envelope(body)?;
    match typed.kind.as_str() {
        kind if kind == message.name || kind.is_empty() => {
            protobuf::decode_fields(message, typed.message).map(Value::Object)
        }
        _ => Ok(type_meta(&typed)),
    }
}

/// Kind and version of a message, as an object.
fn type_meta(typed: &protobuf::RuntimeUnknown<'_>) -> Value {
    serde_json::json!({ "kind": typed.kind, "apiVersion": typed.api_version })
}

/// Checks that a value is an object whose kind and version are strings. `null` is an empty object.
fn as_object(value: Value) -> Result<Value, String> {
    if exceeds_depth(&value, MAX_DEPTH) {
        return Err(format!("the object is nested deeper than {MAX_DEPTH} levels"));
    }
    match &value {
        Value::Null => return Ok(Value::Object(serde_json::Map::new())),
        Value::Object(_) => {}
        other => {
            return Err(go_fmt::not_a_struct(json_type_name(other)));
        }
    }
    for name in ["kind", "apiVersion"] {
        let mismatch = type_meta_values(&value, name)
            .find(|value| !value.is_string() && !value.is_null())
            .map(json_type_name);
        if let Some(found) = mismatch {
            return Err(format!(
                "json: cannot unmarshal {found} into Go struct field .{name} of type string"
            ));
        }
    }
    Ok(value)
}

/// The values of `kind` or `apiVersion`, whose keys match in any case: `SimpleMetaFactory.Interpret`
/// reads them with `encoding/json`.
fn type_meta_values<'a>(object: &'a Value, name: &'static str) -> impl Iterator<Item = &'a Value> {
    let fields = object.as_object().into_iter().flatten();
    fields.filter(|(key, _)| go_json::same_key(name, key)).map(|(_, value)| value)
}

fn unrecognized(kind: &str, why: &str, body: &[u8]) -> Status {
    let head = head(body);
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {why} ({head})"
    ))
}

fn cannot_be_handled(found: &str, version: &str, expected: &str, why: &str) -> Status {
    let (found, version) = (excerpt::of(found), excerpt::of(version));
    Status::bad_request(format!(
        "{found} in version {version:?} cannot be handled as a {expected}: {why}"
    ))
}

/// The start of a body for an error: JSON as text, anything else in hexadecimal.
fn head(body: &[u8]) -> String {
    const MAX_BYTES: usize = 30;
    let start = &body[..body.len().min(MAX_BYTES)];
    let more = if body.len() > MAX_BYTES { " ..." } else { "" };
    match std::str::from_utf8(start) {
        Ok("") => "<empty>".into(),
        Ok(text) if text.starts_with('{') => format!("{text}{more}"),
        _ => start.iter().map(|byte| format!("{byte:02x}")).chain([more.to_owned()]).collect(),
    }
}

#[cfg(test)]
mod tests;
