//! Bodies of requests: JSON, YAML or protobuf into a type, with the texts of the reference where a body cannot be used.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cx::Cx;
use super::go_text::{self, name_of};
use super::protobuf;
use super::schema::{self, Schema};
use super::strict::{self, FieldValidation};
use super::values;
use crate::meta::protobuf::Message;
use crate::meta::{Kind, Limited, ManagedFieldsEntry, Status, excerpt, go_json};

/// The largest body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 3 << 20;

/// The API that bodies must belong to.
#[derive(Clone, Copy, Debug)]
pub struct GroupVersion {
    /// The group alone.
    pub group: &'static str,
    /// Group and version, as in `apiVersion`.
    pub name: &'static str,
    /// The version alone.
    pub version: &'static str,
    /// The kinds of the version, but for their lists.
    pub kinds: &'static [&'static str],
}

impl GroupVersion {
    /// The sentence about a kind that a version of the group does not have.
    fn unknown_kind(&self, kind: &str, version: &str) -> String {
        let (kind, version) = (excerpt::of(kind), excerpt::of(version));
        format!("no kind {kind:?} is registered for version {version:?} in scheme {:?}", self.group)
    }

    /// Why a document that is to be of the kind `wanted` cannot be read, going by what it says of itself. The core API's version is
    /// taken for that of the group, which was there once.
    pub(super) fn misread(&self, document: &Value, wanted: &str) -> Option<String> {
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
        let (kind, version) = (text("kind"), text("apiVersion"));
        let kind = if kind.is_empty() { wanted } else { kind };
        if !["", "v1", self.name].contains(&version) {
            return Some(self.unknown_kind(kind, version));
        }
        match kind == wanted {
            true => None,
            false if self.knows(kind) => Some(unknown_conversion(self.version, kind, wanted)),
            false => Some(self.unknown_kind(kind, self.name)),
        }
    }

    /// Whether the version has a kind of this name, be it a list or one of those that every version has.
    fn knows(&self, kind: &str) -> bool {
        const EVERYWHERE: [&str; 7] = [
            "CreateOptions",
            "DeleteOptions",
            "GetOptions",
            "ListOptions",
            "PatchOptions",
            "UpdateOptions",
            "WatchEvent",
        ];
        EVERYWHERE.contains(&kind)
            || self.kinds.iter().any(|known| kind == *known || kind.strip_suffix("List") == Some(known))
    }
}

/// An object from a request's body.
#[derive(Clone, Debug)]
pub struct Decoded<T> {
    /// The object.
    pub object: T,
    /// Faults of the body that are no errors.
    pub warnings: Vec<String>,
}

/// The object in a request's body.
///
/// # Errors
/// 415 for a media type that is not read, 400 for everything else that is wrong with the body.
pub fn decode<T: Kind>(
    cx: &Cx,
    api: GroupVersion,
    schema: &Schema,
    validation: FieldValidation,
) -> Result<Decoded<T>, Status> {
    let format = Format::of(cx)?;
    let mut value = match format {
        Format::Protobuf => from_protobuf::<T>(&cx.body, api)?,
        Format::Text(text) => {
            let value = text.parse(&cx.body).map_err(|why| unrecognized(T::KIND, &why, &cx.body))?;
            check_type(&value, api, T::KIND, &cx.body)?;
            value
        }
    };
    let warnings = match (format, validation) {
        // What no field knows is passed over in protobuf, and of values that are there twice the last one counts.
        (Format::Protobuf, _) | (_, FieldValidation::Ignore) => Limited::default(),
        (_, FieldValidation::Warn | FieldValidation::Strict) => {
            strict::faults(cx.content_type.as_deref().unwrap_or_default(), &cx.body, schema)
        }
    };
    let refuse = |why: &str| cannot_be_handled(T::KIND, api.version, T::KIND, why);
    schema::fit(&mut value, &schema.root).map_err(|misfit| refuse(&misfit.in_text()))?;
    let object = object_from(value).map_err(|why| refuse(&why))?;
    if validation == FieldValidation::Strict && !warnings.is_empty() {
        return Err(refuse(&strict::told(&warnings)));
    }
    Ok(Decoded { object, warnings: strict::warnings(warnings) })
}

/// Refuses an object that says it is of another kind or version; one that does not say is what the path says.
fn check_type(value: &Value, api: GroupVersion, wanted: &str, body: &[u8]) -> Result<(), Status> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, full_version) = (text("kind"), text("apiVersion"));
    let kind = if kind.is_empty() { wanted } else { kind };
    // A group alone, or a slash alone, says no version.
    let full_version = full_version.strip_suffix('/').map_or(full_version, |group| match group {
        "" => "",
        group if group == api.group => api.name,
        _ => full_version,
    });
    let (group, version) = full_version.split_once('/').unwrap_or(("", full_version));
    if version.contains('/') {
        return Err(unrecognized(
            wanted,
            &format!("unexpected GroupVersion string: {}", excerpt::of(full_version)),
            body,
        ));
    }
    let is_here = full_version.is_empty() || full_version == api.name;
    let is_other_version = !is_here && group == api.group;
    let version = if version.is_empty() { api.version } else { version };
    if is_other_version || (is_here && !api.knows(kind)) {
        let shown = if full_version.is_empty() { api.name } else { full_version };
        return Err(cannot_be_handled(kind, version, wanted, &api.unknown_kind(kind, shown)));
    }
    if kind != wanted {
        return Err(cannot_be_handled(kind, version, wanted, &unknown_conversion(version, kind, wanted)));
    }
    if is_here {
        return Ok(());
    }
    let expected = api.name;
    let found = excerpt::of(full_version);
    let text = format!("the API version in the data ({found}) does not match the expected API version ({expected})");
    Err(Status::bad_request(text))
}

fn unknown_conversion(version: &str, kind: &str, wanted: &str) -> String {
    let (version, kind) = (excerpt::of(version), excerpt::of(kind));
    format!("converting ({version}.{kind}) to (image.{wanted}): unknown conversion")
}

/// A value as an object, with the defaults of the API. Where it says that managedFields are to be none, which is more than not to
/// say anything of them, the object has one empty entry.
///
/// # Errors
/// A sentence that says which part is of a wrong type.
pub fn object_from<T: Kind>(value: Value) -> Result<T, String> {
    let ends_tracking = value.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(Vec::is_empty);
    let mut object: T = from_value(value)?;
    object.default_fields();
    if ends_tracking {
        object.metadata_mut().managed_fields = vec![ManagedFieldsEntry::default()];
    }
    Ok(object)
}

/// A value as a type of the API, to which a `null` means the same as a key that is not there.
///
/// # Errors
/// A sentence that says which part is of a wrong type.
pub fn from_value<T: DeserializeOwned>(mut value: Value) -> Result<T, String> {
    drop_nulls(&mut value);
    serde_json::from_value(value).map_err(excerpt::of)
}

/// An object as a value, with `kind` and `apiVersion`.
pub fn to_value<T: Kind>(object: &T, api: GroupVersion) -> Value {
    let fields = serde_json::to_value(object).expect("objects have text keys and no failing serializers");
    let mut value = serde_json::Map::new();
    value.insert("kind".into(), T::KIND.into());
    value.insert("apiVersion".into(), api.name.into());
    if let Value::Object(fields) = fields {
        value.extend(fields);
    }
    Value::Object(value)
}

/// The options in a request's body, which are what this message says. Of those that say they are of another kind nothing but
/// that is read.
///
/// # Errors
/// 415 for a media type that is not read, 400 for a body that cannot be read.
pub fn read_options(cx: &Cx, message: &Message) -> Result<Value, Status> {
    let options = match Format::of(cx)? {
        Format::Protobuf => protobuf_options(&cx.body, message).map_err(|why| why.to_string()),
        Format::Text(text) => text.parse(&cx.body),
    };
    options.map_err(Status::bad_request)
}

/// The ways to write a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text(Text),
    Protobuf,
}

/// Those that people can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Json,
    Yaml,
}

impl Format {
    /// The format of a request's body.
    fn of(cx: &Cx) -> Result<Self, Status> {
        match media_type(cx.content_type.as_deref().unwrap_or_default()).unwrap_or_default().as_str() {
            "application/json" => Ok(Self::Text(Text::Json)),
            "application/yaml" => Ok(Self::Text(Text::Yaml)),
            protobuf::MEDIA_TYPE => Ok(Self::Protobuf),
            _ => {
                let text = "the body of the request was in an unknown format - accepted media types include: \
                            application/json, application/yaml, application/vnd.kubernetes.protobuf";
                Err(Status::failure(415, "UnsupportedMediaType", text))
            }
        }
    }
}

/// The media type that a header names, JSON where there is none; none of a header whose parameters are no pairs, or there twice.
fn media_type(header: &str) -> Option<String> {
    let (media, parameters) = header.split_once(';').unwrap_or((header, ""));
    let mut names = BTreeSet::new();
    for parameter in parameters.split(';').map(str::trim) {
        match parameter.split_once('=') {
            Some((name, value)) if !value.is_empty() && names.insert(name) => {}
            // A semicolon at the end says nothing.
            None if parameter.is_empty() && names.is_empty() => {}
            _ => return None,
        }
    }
    let media = media.trim().to_ascii_lowercase();
    Some(if header.is_empty() { "application/json".into() } else { media })
}

impl Text {
    /// The value in a body, or why not even kind and version can be told. YAML is read as the JSON that it stands for.
    fn parse(self, body: &[u8]) -> Result<Value, String> {
        let value = match self {
            Self::Yaml => yaml_value(body)?,
            Self::Json => json_value(body).map_err(|why| go_text::of_type(&why))?,
        };
        as_object(value).map_err(|why| go_text::of_type(&why))
    }
}

/// The value in a body of protobuf. Its message is only read if it says it is what is wanted: no other is like it.
fn from_protobuf<T: Kind>(body: &[u8], api: GroupVersion) -> Result<Value, Status> {
    let typed = protobuf::open(body).map_err(|why| unrecognized(T::KIND, &why.to_string(), body))?;
    let own_type = own_type(&typed);
    check_type(&own_type, api, T::KIND, body)?;
    let refuse = |why: &str| cannot_be_handled(T::KIND, api.version, T::KIND, why);
    let fields = protobuf::fields(T::MESSAGE, typed.message).map_err(|why| match why {
        protobuf::Unreadable::TooMany => values::too_many(),
        other => refuse(&other.to_string()),
    })?;
    as_object(Value::Object(fields)).map_err(|why| refuse(&why))
}

fn protobuf_options(body: &[u8], message: &Message) -> Result<Value, protobuf::Unreadable> {
    let typed = protobuf::open(body)?;
    match typed.kind.as_str() {
        kind if kind == message.name || kind.is_empty() => protobuf::fields(message, typed.message).map(Value::Object),
        _ => Ok(own_type(&typed)),
    }
}

fn own_type(typed: &protobuf::Typed<'_>) -> Value {
    serde_json::json!({ "kind": typed.kind, "apiVersion": typed.api_version })
}

/// The value in a JSON body.
pub(super) fn json_value(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|why| {
        let told = go_json::syntax_fault(&String::from_utf8_lossy(body));
        told.map_or_else(|| why.to_string(), excerpt::of)
    })
}

/// The value in a YAML body. The first document counts, as for the reference.
pub(super) fn yaml_value(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|why| format!("yaml: {why}"))?;
    let options = yaml_options(body, serde_saphyr::DuplicateKeyPolicy::LastWins);
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|why| format!("yaml: {}", yaml_fault(&why)))?;
    Ok(documents.into_iter().next().unwrap_or_default())
}

/// The nodes that a YAML body of any length may expand to, and the events that its aliases may replay. A few kilobytes of
/// YAML with a shared `&base` reach thousands. In memory these nodes take about 3 MiB, as much as the largest body.
const LEAST_YAML_NODES: usize = 20_000;
/// The bytes of scalars that a YAML body of any length may expand to.
const LEAST_YAML_SCALAR_BYTES: usize = 256 << 10;
/// The most nodes that the longest YAML body may expand to. A key is a node as well, so an object takes up to two for each of
/// its values.
const MOST_YAML_NODES: usize = 2 * values::MOST_VALUES + 1000;

/// Options of the reader of a YAML body.
///
/// With all aliases and merge keys expanded, a body may hold one node for each two bytes and two bytes of scalars for each
/// byte, or the constants above where these are more. The fixed limits of the library would let a few kilobytes stand for
/// 250,000 nodes. The ratio of aliases to anchors is not limited, as the events that the aliases replay are.
pub(super) fn yaml_options(body: &[u8], duplicate_keys: serde_saphyr::DuplicateKeyPolicy) -> serde_saphyr::Options {
    let most = (body.len() / 2).clamp(LEAST_YAML_NODES, MOST_YAML_NODES);
    let most_bytes = (body.len() * 2).max(LEAST_YAML_SCALAR_BYTES);
    let defaults = serde_saphyr::Budget::default();
    serde_saphyr::options! {
        duplicate_keys: duplicate_keys,
        budget: serde_saphyr::budget! {
            max_nodes: most,
            max_total_scalar_bytes: most_bytes.min(defaults.max_total_scalar_bytes),
            max_recorded_anchor_events: most,
            max_recorded_anchor_bytes: most_bytes.min(defaults.max_recorded_anchor_bytes),
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: most },
    }
}

/// What is wrong with a text that is no YAML, in the words of the reference where these are simple to find.
fn yaml_fault(why: &serde_saphyr::Error) -> String {
    let plain = excerpt::of(why.without_snippet());
    let line = why.location().map_or(1, |location| location.line());
    match plain.as_str() {
        told if told.contains("mapping values are not allowed in this context") => {
            "mapping values are not allowed in this context".into()
        }
        told if told.contains("unclosed bracket '{'") => format!("line {line}: did not find expected ',' or '}}'"),
        told if told.contains("unclosed bracket '['") => format!("line {line}: did not find expected ',' or ']'"),
        _ => plain,
    }
}

/// The deepest nesting of an object. Nothing that belongs into one comes near it.
pub(super) const DEEPEST: usize = 64;

/// Whether a value is nested deeper than anything that belongs into an object. What is stored and sent is nested a
/// little deeper than what came in, and must still be readable.
pub(super) fn is_too_deep(value: &Value, left: usize) -> bool {
    match (value, left.checked_sub(1)) {
        (Value::Object(_) | Value::Array(_), None) => true,
        (Value::Object(fields), Some(left)) => fields.values().any(|value| is_too_deep(value, left)),
        (Value::Array(items), Some(left)) => items.iter().any(|value| is_too_deep(value, left)),
        _ => false,
    }
}

/// An object whose kind and version are texts, or nothing at all: `null` is an object without fields.
fn as_object(value: Value) -> Result<Value, String> {
    if is_too_deep(&value, DEEPEST) {
        return Err(format!("the object is nested deeper than {DEEPEST} levels"));
    }
    let fields = match &value {
        Value::Null => return Ok(Value::Object(serde_json::Map::new())),
        Value::Object(fields) => fields,
        other => {
            return Err(go_text::no_object(name_of(other)));
        }
    };
    let is_text = |key: &str| fields.get(key).is_none_or(|value| value.is_string() || value.is_null());
    match ["kind", "apiVersion"].into_iter().find(|key| !is_text(key)) {
        None => Ok(value),
        Some(key) => {
            let found = name_of(&fields[key]);
            Err(format!("json: cannot unmarshal {found} into Go struct field .{key} of type string"))
        }
    }
}

fn unrecognized(kind: &str, why: &str, body: &[u8]) -> Status {
    let head = head(body);
    Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why} ({head})"))
}

fn cannot_be_handled(found: &str, version: &str, wanted: &str, why: &str) -> Status {
    let (found, version) = (excerpt::of(found), excerpt::of(version));
    Status::bad_request(format!("{found} in version {version:?} cannot be handled as a {wanted}: {why}"))
}

/// The beginning of a body for an error message: an object as it is, anything else in hexadecimal.
fn head(body: &[u8]) -> String {
    const SHOWN: usize = 30;
    let start = &body[..body.len().min(SHOWN)];
    let more = if body.len() > SHOWN { " ..." } else { "" };
    match std::str::from_utf8(start) {
        Ok("") => "<empty>".into(),
        Ok(text) if text.starts_with('{') => format!("{text}{more}"),
        _ => start.iter().map(|byte| format!("{byte:02x}")).chain([more.to_owned()]).collect(),
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

#[cfg(test)]
mod tests;
