//! Conversion between text, JSON values and objects.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::machinery::go_json::{self, JsonText, RepeatedKeys};
use crate::machinery::go_yaml;
use crate::machinery::group_version::GroupVersion;
use crate::meta::{Kind, ManagedFieldsEntry, excerpt};

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

/// Parses a JSON body that is decoded into a type with these rules for repeated keys. Errors have
/// the text of Go's `encoding/json`.
pub(crate) fn parse_json(body: &[u8], repeated_keys: RepeatedKeys<'_>) -> Result<Value, String> {
    let text = JsonText::check(body).map_err(excerpt::of)?;
    go_json::to_value(text, repeated_keys).map_err(excerpt::of)
}

/// Parses the first document of a YAML body, as `sigs.k8s.io/yaml` does.
pub(crate) fn parse_yaml(body: &[u8]) -> Result<Value, String> {
    go_yaml::read(body).map(|document| document.value)
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
