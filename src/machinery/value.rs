//! Conversion between text, JSON values and objects.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::machinery::body_cost;
use crate::machinery::group_version::GroupVersion;
use crate::meta::{Kind, ManagedFieldsEntry, excerpt, go_json};

/// An object decoded from a request body.
#[derive(Clone, Debug)]
pub struct Decoded<T> {
    /// The object.
    pub object: T,
    /// Warnings about the body, from field validation.
    pub warnings: Vec<String>,
}

/// Decodes an object and sets its defaults.
///
/// An explicit empty list in `metadata.managedFields` differs from a missing one: it ends the
/// tracking of owners. The object then has one empty entry.
///
/// # Errors
/// A sentence with the part that has the wrong type.
pub fn object_from<T: Kind>(value: Value) -> Result<T, String> {
    let ends_tracking = value
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .is_some_and(Vec::is_empty);
    let mut object: T = from_value(value)?;
    object.default_fields();
    if ends_tracking {
        object.metadata_mut().managed_fields = vec![ManagedFieldsEntry::default()];
    }
    Ok(object)
}

/// Decodes a type of the API. `null` is the same as a missing key.
///
/// # Errors
/// A sentence with the part that has the wrong type.
pub fn from_value<T: DeserializeOwned>(mut value: Value) -> Result<T, String> {
    drop_nulls(&mut value);
    serde_json::from_value(value).map_err(excerpt::of)
}

/// Converts an object to a JSON value with `kind` and `apiVersion`.
pub fn to_value<T: Kind>(object: &T, api: GroupVersion) -> Value {
    let fields =
        serde_json::to_value(object).expect("keys are strings and serializers do not fail");
    let mut value = serde_json::Map::new();
    value.insert("kind".into(), T::KIND.into());
    value.insert("apiVersion".into(), api.name.into());
    if let Value::Object(fields) = fields {
        value.extend(fields);
    }
    Value::Object(value)
}

/// Parses a JSON body. Syntax errors have the text of Go's `encoding/json`.
pub(crate) fn parse_json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| {
        let syntax_error = go_json::syntax_error(&String::from_utf8_lossy(body));
        syntax_error.map_or_else(|| error.to_string(), excerpt::of)
    })
}

/// Parses the first document of a YAML body, as `sigs.k8s.io/yaml` does.
pub(crate) fn parse_yaml(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("yaml: {error}"))?;
    let options = yaml_options(body, serde_saphyr::DuplicateKeyPolicy::LastWins);
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| format!("yaml: {}", yaml_error(&error)))?;
    Ok(documents.into_iter().next().unwrap_or_default())
}

/// Minimum limit for the scalars of an expanded YAML body, in bytes.
const MIN_YAML_SCALAR_BYTES: usize = 256 << 10;

/// Options of the YAML reader.
///
/// With all aliases and merge keys expanded, a body may hold one node for every two bytes and two
/// bytes of scalars for every byte, or the minimum limits above where these are higher. The default
/// limits of the library would allow a few kilobytes to expand to 250,000 nodes. The ratio of
/// aliases to anchors is not limited, because the number of replayed events is.
pub(crate) fn yaml_options(
    body: &[u8],
    duplicate_keys: serde_saphyr::DuplicateKeyPolicy,
) -> serde_saphyr::Options {
    let max_nodes = body_cost::max_yaml_nodes(body);
    let max_bytes = (body.len() * 2).max(MIN_YAML_SCALAR_BYTES);
    let defaults = serde_saphyr::Budget::default();
    serde_saphyr::options! {
        duplicate_keys: duplicate_keys,
        budget: serde_saphyr::budget! {
            max_nodes: max_nodes,
            max_total_scalar_bytes: max_bytes.min(defaults.max_total_scalar_bytes),
            max_recorded_anchor_events: max_nodes,
            max_recorded_anchor_bytes: max_bytes.min(defaults.max_recorded_anchor_bytes),
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: max_nodes },
    }
}

/// Describes a YAML syntax error, with the text of `sigs.k8s.io/yaml` for common errors.
fn yaml_error(error: &serde_saphyr::Error) -> String {
    let plain = excerpt::of(error.without_snippet());
    let line = error.location().map_or(1, |location| location.line());
    match plain.as_str() {
        text if text.contains("mapping values are not allowed in this context") => {
            "mapping values are not allowed in this context".into()
        }
        text if text.contains("unclosed bracket '{'") => {
            format!("line {line}: did not find expected ',' or '}}'")
        }
        text if text.contains("unclosed bracket '['") => {
            format!("line {line}: did not find expected ',' or ']'")
        }
        _ => plain,
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
