//! Bodies of requests: JSON or YAML into a type, with the texts of the reference where a body cannot be used.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cx::Cx;
use crate::meta::{Kind, Status};

/// The largest body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 3 << 20;

/// The API that bodies must belong to.
#[derive(Clone, Copy, Debug)]
pub struct GroupVersion {
    /// Group and version, as in `apiVersion`.
    pub name: &'static str,
    /// The version alone.
    pub version: &'static str,
}

/// The object in a request's body.
///
/// # Errors
/// 415 for a media type that is not read, 400 for everything else that is wrong with the body.
pub fn decode<T: Kind>(cx: &Cx, api: GroupVersion) -> Result<T, Status> {
    let value = read(cx, T::KIND)?;
    let (kind, version) = (text_of(&value, "kind"), text_of(&value, "apiVersion"));
    if !version.is_empty() && version != api.name {
        let text =
            format!("the API version in the data ({version}) does not match the expected API version ({})", api.name);
        return Err(Status::bad_request(text));
    }
    if !kind.is_empty() && kind != T::KIND {
        let why = format!("converting ({}.{kind}) to (image.{}): unknown conversion", api.version, T::KIND);
        return Err(cannot_be_handled(&kind, api, T::KIND, &why));
    }
    let mut object: T = from_value(value).map_err(|why| cannot_be_handled(T::KIND, api, T::KIND, &why))?;
    object.default_fields();
    Ok(object)
}

/// A value as a type of the API, to which a `null` means the same as a key that is not there.
///
/// # Errors
/// A sentence that says which part is of a wrong type.
pub fn from_value<T: DeserializeOwned>(mut value: Value) -> Result<T, String> {
    drop_nulls(&mut value);
    serde_json::from_value(value).map_err(|why| why.to_string())
}

/// The value in a request's body, whatever its type; `kind` is what the error names.
///
/// # Errors
/// As for [`decode`].
pub fn read(cx: &Cx, kind: &str) -> Result<Value, Status> {
    let media = cx.content_type.as_deref().unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        "" | "application/json" => {
            from_json(&cx.body).map_err(|why| unrecognized(kind, &format!("json parse error: {why}"), &cx.body))
        }
        "application/yaml" => {
            from_yaml(&cx.body).map_err(|why| unrecognized(kind, &format!("yaml parse error: {why}"), &cx.body))
        }
        _ => {
            let text = "the body of the request was in an unknown format - accepted media types include: \
                        application/json, application/yaml, application/vnd.kubernetes.protobuf";
            Err(Status::failure(415, "UnsupportedMediaType", text))
        }
    }
}

fn from_json(body: &[u8]) -> Result<Value, String> {
    if body.is_empty() {
        return Err("unexpected end of JSON input".into());
    }
    let value: Value = serde_json::from_slice(body).map_err(|why| why.to_string())?;
    if value.is_object() { Ok(value) } else { Err(format!("cannot unmarshal {} into an object", name_of(&value))) }
}

fn from_yaml(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|why| why.to_string())?;
    let value: Value = serde_saphyr::from_str(text).map_err(|why| why.to_string())?;
    if value.is_object() { Ok(value) } else { Err(format!("cannot unmarshal {} into an object", name_of(&value))) }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn text_of(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn unrecognized(kind: &str, why: &str, body: &[u8]) -> Status {
    let text = format!(
        "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; {why} ({})",
        head(body)
    );
    Status::bad_request(text)
}

fn cannot_be_handled(found: &str, api: GroupVersion, wanted: &str, why: &str) -> Status {
    let text = format!("{found} in version {:?} cannot be handled as a {wanted}: {why}", api.version);
    Status::bad_request(text)
}

/// The beginning of a body for an error message: text as it is, anything else in hexadecimal.
fn head(body: &[u8]) -> String {
    let start = &body[..body.len().min(30)];
    match std::str::from_utf8(start) {
        Ok("") => "<empty>".into(),
        Ok(text) if text.starts_with('{') => text.into(),
        _ => start.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
