//! JSON values on their way from a text to an object, and back.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::machinery::body_limits;
use crate::machinery::group_version::GroupVersion;
use crate::meta::{Kind, ManagedFieldsEntry, excerpt, go_json};

/// An object from a request's body.
#[derive(Clone, Debug)]
pub struct Decoded<T> {
    /// The object.
    pub object: T,
    /// Faults of the body that are no errors.
    pub warnings: Vec<String>,
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

/// The value in a JSON body.
pub(crate) fn parse_json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| {
        let syntax_error = go_json::syntax_error(&String::from_utf8_lossy(body));
        syntax_error.map_or_else(|| error.to_string(), excerpt::of)
    })
}

/// The value in a YAML body. The first document counts, as for the reference.
pub(crate) fn parse_yaml(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("yaml: {error}"))?;
    let options = yaml_options(body, serde_saphyr::DuplicateKeyPolicy::LastWins);
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| format!("yaml: {}", yaml_error(&error)))?;
    Ok(documents.into_iter().next().unwrap_or_default())
}

/// The nodes that a YAML body of any length may expand to, and the events that its aliases may replay. A few kilobytes of
/// YAML with a shared `&base` reach thousands. In memory these nodes take about 3 MiB, as much as the largest body.
const MIN_YAML_NODES: usize = 20_000;
/// The bytes of scalars that a YAML body of any length may expand to.
const MIN_YAML_SCALAR_BYTES: usize = 256 << 10;
/// The most nodes that the longest YAML body may expand to. A key is a node as well, so an object takes up to two for each of
/// its values.
const MAX_YAML_NODES: usize = 2 * body_limits::MAX_VALUES + 1000;

/// Options of the reader of a YAML body.
///
/// With all aliases and merge keys expanded, a body may hold one node for each two bytes and two bytes of scalars for each
/// byte, or the constants above where these are more. The fixed limits of the library would let a few kilobytes stand for
/// 250,000 nodes. The ratio of aliases to anchors is not limited, as the events that the aliases replay are.
pub(crate) fn yaml_options(body: &[u8], duplicate_keys: serde_saphyr::DuplicateKeyPolicy) -> serde_saphyr::Options {
    let max_nodes = (body.len() / 2).clamp(MIN_YAML_NODES, MAX_YAML_NODES);
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

/// What is wrong with a text that is no YAML, in the words of the reference where these are simple to find.
fn yaml_error(error: &serde_saphyr::Error) -> String {
    let plain = excerpt::of(error.without_snippet());
    let line = error.location().map_or(1, |location| location.line());
    match plain.as_str() {
        text if text.contains("mapping values are not allowed in this context") => {
            "mapping values are not allowed in this context".into()
        }
        text if text.contains("unclosed bracket '{'") => format!("line {line}: did not find expected ',' or '}}'"),
        text if text.contains("unclosed bracket '['") => format!("line {line}: did not find expected ',' or ']'"),
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
